"""The DataFrame side: from a user's columns and arrays to the rows that workers get."""
