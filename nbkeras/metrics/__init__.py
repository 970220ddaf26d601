"""Metrics of predictions that add up over parts of the rows, exactly."""
