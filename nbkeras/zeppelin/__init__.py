"""Setting up Apache Zeppelin: what it needs, what a server has, and what lies between them."""
