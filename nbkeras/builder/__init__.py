"""What the builder builds: a network described by choices, and the Keras code that it stands for."""
