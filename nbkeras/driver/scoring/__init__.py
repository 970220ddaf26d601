"""Scoring: predictions, evaluations and reports, over rows that no worker waits for."""
