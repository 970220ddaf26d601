"""Columns: what the notebook learns of them before a training, and what it proposes."""
