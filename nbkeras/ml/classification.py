"""Classification by a Keras model, as Spark ML's classifiers do it."""

from __future__ import annotations

from typing import Any, Self

from pyspark.ml.classification import ProbabilisticClassificationModel, ProbabilisticClassifier
from pyspark.ml.functions import array_to_vector
from pyspark.ml.linalg import DenseVector, Vector
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nbkeras import api
from nbkeras.data import parts
from nbkeras.errors import ModelError, OptionError
from nbkeras.ml import labels
from nbkeras.ml.estimator import KerasEstimator
from nbkeras.ml.model import KerasModel
from nbkeras.ml.outputs import Head, best, head, units


class KerasClassificationModel(KerasModel, ProbabilisticClassificationModel):
    """Adds the classes that a Keras model predicts: the Transformer that :class:`KerasClassifier` fits.

    ``predictionCol`` is the number of the likeliest class, a double; ``probabilityCol`` is a vector of the
    probabilities of all classes. ``rawPredictionCol`` is a vector of the model's outputs as they are: logits
    where the model gives logits, else the probabilities again. One output becomes a vector of two.
    ``thresholds`` divide the probabilities before the likeliest is chosen, as in MLlib, and are above 0.

    Args:
        model: a trained and compiled Keras model; it is not copied.
        labels: the names of the classes, in the order of their numbers; empty if unknown.
        params: by their names: ``featuresCol``, ``featuresCols``, ``predictionCol``, ``probabilityCol``,
            ``rawPredictionCol``, ``thresholds``.

    Attributes:
        labels: the names.
        history: of the training, as in Keras.

    Raises:
        ModelError: the model's outputs are neither probabilities nor logits.

    Example:
        >>> import keras
        >>> from nbkeras.ml import KerasClassificationModel
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, activation="softmax")])
        >>> model.compile("sgd", "sparse_categorical_crossentropy")
        >>> KerasClassificationModel(model, labels=["cat", "owl", "emu"]).numClasses
        3
    """

    def __init__(
        self, model: Any = None, *, labels: Any = (), outputs: int | None = None, **params: Any
    ) -> None:
        super().__init__(model, **params)
        self.labels: tuple[str, ...] = tuple(map(str, labels))
        self._head = None if model is None else head(model, type(self).__name__, outputs)
        if model is not None and self._head is None:
            raise ModelError(
                f"{model.name} does not say how many outputs it has: give them, "
                f"{type(self).__name__}(model, outputs=…)"
            )

    @property
    def numClasses(self) -> int:
        """The number of classes."""
        return self._known_head().classes

    def predictRaw(self, value: Vector) -> DenseVector:
        """The scores of all classes for one vector."""
        return DenseVector(self._known_head().raw_values(self._outputs(value)))

    def predictProbability(self, value: Vector) -> DenseVector:
        """The probabilities of all classes for one vector."""
        return DenseVector(self._known_head().probabilities(self.predictRaw(value).toArray()))

    def predict(self, value: Vector) -> float:
        """The number of the likeliest class for one vector."""
        probability = self.predictProbability(value).toArray()
        limits = self._limits()
        return float((probability / limits if limits else probability).argmax())

    def content(self) -> tuple[dict[str, Any], Any]:
        """See :class:`KerasModel`."""
        about, model = super().content()
        return {**about, "labels": list(self.labels), "outputs": self._known_head().units}, model

    @classmethod
    def restored(cls, about: dict[str, Any], model: Any) -> Self:
        """See :class:`KerasModel`."""
        made = cls(model, labels=about["labels"], outputs=about["outputs"])
        made.history = about["history"]
        return made

    def _transform(self, dataset: DataFrame) -> DataFrame:
        known, limits = self._known_head(), self._limits()
        predicted, output = self._predicted(dataset)
        raw = known.raw(output)
        probability = known.probability(raw)
        names = [self.getOrDefault(f"{one}Col") for one in ("rawPrediction", "probability", "prediction")]
        group = {labels.METADATA: {"num_attrs": known.classes}}
        prediction = labels.attribute(names[2], self.labels, known.classes)
        made = {
            names[0]: _vector(raw).alias(names[0], metadata=group),
            names[1]: _vector(probability).alias(names[1], metadata=group),
            names[2]: best(probability, limits).alias(names[2], metadata=prediction),
        }
        return self._with(dataset, predicted, made)

    def _known_head(self) -> Head:
        if self._head is None:
            raise ModelError(f"{type(self).__name__} has no model: fit a KerasClassifier, or give it one")
        return self._head

    def _limits(self) -> list[float] | None:
        if not self.isDefined("thresholds"):
            return None
        given = [float(one) for one in self.getOrDefault("thresholds")]
        if len(given) != self.numClasses or min(given) <= 0:
            raise OptionError(
                f"thresholds={given!r}: give a number above 0 for each of the {self.numClasses} classes"
            )
        return given


class KerasClassifier(KerasEstimator, ProbabilisticClassifier):
    """Trains a Keras model to classify the rows of a DataFrame: an Estimator for pipelines of Spark ML.

    The model ends with ``Dense(classes, activation="softmax")`` and has the loss
    ``sparse_categorical_crossentropy``, or with ``Dense(1, activation="sigmoid")`` for two classes and
    ``binary_crossentropy``; or it gives logits, to a loss that has ``from_logits=True``. Each ``fit`` trains
    a copy of the model as it was given, with its weights, so that trials run beside each other.

    A training that the notebook waits for shows its chart. Those in threads, such as the trials of
    CrossValidator, say one line each, and ``nbkeras.runs`` has their curves; ``verbose=0`` says nothing.

    Args:
        model: compiled; or a function that returns such a model, and is given ``modelArguments``. A function
            is not saved with the estimator, nor is a model with lookup or text layers that have not learned.
        params: by their names. The columns: ``featuresCol`` ("features", vectors, arrays or images);
            ``featuresCols`` in place of it, a list with a column for each input, or of numbers for the only
            one; ``labelCol`` ("label"), numbers of classes from 0; ``weightCol``;
            ``validationIndicatorCol``, true for rows to validate on; ``predictionCol``, ``probabilityCol``,
            ``rawPredictionCol`` and ``thresholds`` as in :class:`KerasClassificationModel`. The training:
            ``epochs`` (1), ``batchSize`` (32), ``learningRate``, ``shuffle`` (True), ``seed``, ``workers``
            (1), ``gpus``, ``backend`` ("auto"), ``modelArguments``, ``verbose`` (1).

    Raises:
        ModelError: the model is not compiled, or does not classify.
        OptionError: there is no such param.
        TypeError: a param has the wrong type.

    Example:
        >>> import keras, nbkeras
        >>> from nbkeras.ml import KerasClassifier
        >>> from pyspark.ml.linalg import Vectors
        >>> spark = nbkeras.local_spark()
        >>> rows = [(Vectors.dense(float(one), 1.0), float(one % 2)) for one in range(8)]
        >>> df = spark.createDataFrame(rows, ["features", "label"])
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, activation="sigmoid")])
        >>> model.compile("sgd", "binary_crossentropy")
        >>> fitted = KerasClassifier(model=model, epochs=2, verbose=0).fit(df)
        >>> fitted.transform(df).columns
        ['features', 'label', 'rawPrediction', 'probability', 'prediction']
    """

    def _fit(self, dataset: DataFrame) -> KerasClassificationModel:
        owner, name = type(self).__name__, self.getOrDefault("labelCol")
        model = self.model()
        known = head(model, owner)
        self._require_columns(dataset)
        labels.require_numbers(dataset, name, owner)
        spark = dataset.sparkSession
        labels.require_classes(spark, dataset, name, None if known is None else known.classes)
        # Losses that take classes take whole numbers; StringIndexer makes doubles.
        whole = dataset.withColumn(name, parts.column(dataset, name).cast("int"))
        self._trained(model, whole)
        outputs = units(model, owner) or self._counted(model, dataset)
        fitted = KerasClassificationModel(model, labels=labels.names(dataset, name), outputs=outputs)
        fitted._resetUid(self.uid)
        return self._copyValues(fitted)

    def _counted(self, model: Any, dataset: DataFrame) -> int:
        """How many numbers a model gives for a row that does not say it: those of the first row."""
        spark = dataset.sparkSession
        found = api.predict(model, dataset.limit(1), features=self.features(), output="output", spark=spark)
        (value,) = found.select("output").first() or (None,)
        return len(value) if isinstance(value, list) else 1


def _vector(values: Column) -> Column:
    """A vector of an array; null where a row has no prediction, such as that of an unreadable image."""
    return F.when(values.isNotNull(), array_to_vector(values))
