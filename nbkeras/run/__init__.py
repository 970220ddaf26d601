"""A run: what a training has reported so far, and what the user has requested."""
