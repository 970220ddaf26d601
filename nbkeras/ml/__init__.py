"""Keras models as Estimators and Transformers of ``pyspark.ml``: for its pipelines, evaluators and tuning.

``import nbkeras`` does not import this package, which imports Spark ML and Keras.

Example:
    >>> import nbkeras.ml
    >>> nbkeras.ml.KerasClassifier().getOrDefault("epochs")
    1
"""

from nbkeras.ml.classification import KerasClassificationModel, KerasClassifier
from nbkeras.ml.regression import KerasRegressionModel, KerasRegressor
from nbkeras.notebook import connection

__all__ = ["KerasClassificationModel", "KerasClassifier", "KerasRegressionModel", "KerasRegressor"]

# Who imports this package alone sees charts too.
connection.connect()
