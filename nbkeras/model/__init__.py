"""A Keras model: its state, how it travels, what can be trained exactly, and what was chosen for it."""
