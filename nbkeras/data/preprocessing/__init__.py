"""Preprocessing: what a Keras model does with words and categories, done by Arrow and NumPy, once per row.

Keras' lookup, hashing and text layers need TensorFlow, and on other backends a model that holds them cannot
train. Here such a model is cut behind these layers: Spark's tasks do what stands before the cut, as the rows
arrive, and the rest of the model trains on numbers. It shares its layers with the user's own model.
"""
