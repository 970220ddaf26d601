"""Adaptation: what layers learn of the rows of one Spark task, and how they are given what was learned."""
