"""What a worker does: its share of each step, and the sum over all."""
