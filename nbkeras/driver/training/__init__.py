"""Trainings: each is a barrier stage of Spark, and another one where a worker is lost."""
