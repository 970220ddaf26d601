"""Images: from the bytes of a file to the numbers that Keras' own loader would make of it."""
