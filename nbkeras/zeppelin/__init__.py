"""Setting up Apache Zeppelin: the settings that it needs, those of a server, and their differences."""
