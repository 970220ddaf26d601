"""From a user's columns and arrays to the rows that workers get."""
