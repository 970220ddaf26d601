"""Scoring: predictions, evaluations and reports. No worker waits for another."""
