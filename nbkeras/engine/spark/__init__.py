"""What asks Spark: its clusters, their executors and what they can offer."""
