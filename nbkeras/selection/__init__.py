"""Model selection: models of Keras and of Spark's MLlib are trained and scored on one split of the rows."""
