"""A run: what a training has told so far, and what was asked of it."""
