"""What is asked of Spark: its session, its cluster, and what its executors can offer."""
