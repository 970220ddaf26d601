"""Source: turn the data that the user gives into rows for the workers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from nbkeras.data import arrays, columnar, frames, rows, series
from nbkeras.data.converted import converted
from nbkeras.data.names import first
from nbkeras.data.rows import Rows
from nbkeras.data.signature import signature
from nbkeras.data.windows import columns as windows
from nbkeras.errors import ClusterError, DataError, OptionError
from nbkeras.schema import Schema
from nbkeras.spark.session import is_stopped


@dataclass(frozen=True)
class Given:
    """Data as the user gave it; see :func:`nbkeras.fit`."""

    data: Any
    y: Any
    features: Any
    sample_weight: Any


class Source:
    """Turns DataFrames, pandas and arrays into rows for one model.

    Args:
        spark: the session.
        model: whose inputs they feed.
        features: feature columns; None for those of ``known``, or all that are not label or weight.
        known: the schema that the model was trained with, if any.
    """

    def __init__(
        self,
        spark: SparkSession,
        model: Any,
        features: Sequence[str] | None,
        known: Schema | None = None,
    ) -> None:
        self._spark, self._model = spark, model
        self._known = known
        self._features = _listed(features)
        if self._features is None and known is not None:
            self._features = known.columns

    def rows(self, data: Any, y: Any, sample_weight: Any, *, like: Rows | None = None) -> Rows:
        """Make rows of data.

        Args:
            data: a DataFrame of any kind, or arrays.
            y: label columns, or arrays, in any structure.
            sample_weight: weight columns, or arrays, in any structure.
            like: training rows, for validation rows.

        Raises:
            DataError: the data does not fit the model.
        """
        floatx = _floatx()
        if not names_columns(data, y):
            if data is None or isinstance(data, (str, bytes, int, float, os.PathLike)):
                raise DataError(
                    f"the data is {data!r:.100}, a {type(data).__name__}: "
                    f"give {frames.KINDS}, or arrays; nbkeras.images(…) reads a folder of images"
                )
            if self._features is not None and frames.is_frame(data):
                data = frames.chosen(data, self._features)
            return arrays.from_arrays(
                self._spark,
                signature(self._model),
                converted(data),
                converted(y),
                converted(sample_weight),
                floatx,
                like.schema if like is not None else None,
            )
        if not _names(y):
            raise DataError(
                f"y of a DataFrame is the name of its label column, not a {type(y).__name__} "
                f"({columns_of(data)}): give y='…'"
            )
        if not _names(sample_weight):
            raise DataError(
                f"sample_weight of a DataFrame is the name of a column, not a "
                f"{type(sample_weight).__name__}: give sample_weight='…'"
            )
        df = data_frame(self._spark, data, self.needed(data, y, sample_weight))
        return rows.from_dataframe(
            df, signature(self._model), y, floatx, self._features, sample_weight, self._known
        )

    def needed(self, data: Any, y: Any = None, sample_weight: Any = None) -> Sequence[str] | None:
        """The columns that are needed of a frame of the notebook; None where all may be.

        Args:
            data, y, sample_weight: as in :meth:`rows`.
        """
        windows_known = self._known is not None and self._known.windows is not None
        if isinstance(data, DataFrame) or self._features is None or windows_known:
            return None
        named = [one for one in (*self._features, *flat(y), *flat(sample_weight)) if one is not None]
        there = set(frames.names(data))
        # A name that is none stands for a part of a column.
        found = [one if one in there else str(one).rpartition("_")[0] for one in named]
        return found if set(found) <= there else None

    def labelled(self, data: Any, y: Any, sample_weight: Any, step: str) -> Rows:
        """Make rows of data, with labels where the model needs them.

        Args:
            data, y, sample_weight: as in :meth:`rows`.
            step: of the model, ``train_step`` or ``test_step``.

        Raises:
            DataError: labels are missing, or the data does not fit the model.
        """
        data, y, sample_weight = series.named(frames.held(data), y, sample_weight)
        lacking = y is None and needs_labels(self._model, step)
        if lacking and frames.is_frame(data):
            raise DataError(f"y is missing ({columns_of(data)}): name the label column, y='…'")
        require_no_stream(data)
        made = self.rows(data, y, sample_weight)
        if lacking:
            raise DataError("y is missing: give the labels, y=…")
        return made

    def both(
        self, data: Any, y: Any, sample_weight: Any, validation_data: Any, validation_split: Any
    ) -> tuple[Rows, Rows | None, float]:
        """Make the rows to train and to validate on, and return the part to be split off by hash later.

        Raises:
            DataError: the data does not fit the model.
            OptionError: validation_split is not a part, or validation_data not a tuple.
        """
        if not isinstance(validation_split, (int, float)) or not 0 <= validation_split < 1:
            raise OptionError(
                f"validation_split={validation_split!r}: use a part of the rows, from 0 to below 1"
            )
        data, y, sample_weight = series.named(frames.held(data), y, sample_weight)
        if validation_data is not None:
            validation_split = 0.0
        if validation_split and not names_columns(data, y):
            (data, held_x), (y, held_y), (sample_weight, held_weight) = (
                arrays.split(converted(one), validation_split) for one in (data, y, sample_weight)
            )
            validation_data, validation_split = (held_x, held_y, held_weight), 0.0
        train = self.labelled(data, y, sample_weight, "train_step")
        if validation_split:
            windows.require_none(train.schema.windows, validation_split)
        if validation_data is None:
            return train, None, float(validation_split)
        return train, self._validation(validation_data, data, y, sample_weight, train), 0.0

    def _validation(self, given: Any, data: Any, y: Any, sample_weight: Any, train: Rows) -> Rows:
        if names_columns(data, y):
            given = frames.held(given)
            if isinstance(given, tuple) and frames.is_pandas_on_spark(given[0]):
                given, _, _ = series.named(*_unpacked(given))
            require_no_stream(given)
            if not frames.holds_columns(given):
                raise OptionError(
                    f"validation_data is a {type(given).__name__}: for a DataFrame give a DataFrame "
                    "with the same columns"
                )
            if isinstance(sample_weight, str) and sample_weight not in frames.names(given):
                given = self._weighted(given, sample_weight)
            chosen = self._features if self._features is not None else train.schema.columns
            # Gaps are filled later, by the same values.
            source = Source(self._spark, self._model, chosen, _read_alike(train.schema))
            made = source.rows(given, y, sample_weight)
            windows.require_same(made.schema.windows, train.schema.windows)
            return made
        x, labels, weights = map(converted, _unpacked(given))
        if train.schema.weights and weights is None:
            # Without weights, Keras weights validation rows by 1.
            weights = arrays.ones(train.schema, x)
        if weights is not None and not train.schema.weights:
            raise OptionError(
                "validation_data has sample weights, the training data has none: give both or neither"
            )
        return self.rows(x, labels, weights, like=train)

    def _weighted(self, given: Any, name: str) -> DataFrame:
        from pyspark.sql import functions as F

        return data_frame(self._spark, given).withColumn(name, F.lit(1.0))

    def guessed(self, made: Rows) -> tuple[str, ...]:
        """The feature columns of a single input that neither the user nor a training has named.

        Args:
            made: from these features.
        """
        columns = made.schema.columns
        named = self._features is not None or made.numbered or len(columns) == len(made.schema.features)
        return () if named else columns

    def say_guessed(self, made: Rows) -> None:
        """Print the columns that a model takes because the user has named none: one may be the label."""
        if columns := self.guessed(made):
            print(  # noqa: T201  # no result shows it
                f"The model takes the columns {first(columns)}, in this order: choose others "
                "with features=['…', …]."
            )


def _read_alike(schema: Schema) -> Schema:
    """What validation rows take of the training rows: how images are read."""
    return replace(schema, fields=tuple(replace(one, fills=()) for one in schema.fields))


def names_columns(data: Any, y: Any) -> bool:
    """Whether y names columns of the data: always for DataFrames of Spark, for others if y is text.

    A dict of arrays has columns where y names some of them.
    """
    if isinstance(data, DataFrame) or frames.is_pandas_on_spark(data):
        return True
    if not isinstance(y, (str, list, dict)) or not _names(y):
        return False
    if isinstance(data, dict):
        return frames.holds_columns(data) and all(one is None or one in data for one in flat(y))
    return frames.is_frame(data)


def flat(names: Any) -> list[Any]:
    """List names of columns, in any structure, one behind the other.

    Example:
        >>> flat({"price": "sold_for", "kind": ["a", None]})
        ['sold_for', 'a', None]
    """
    if isinstance(names, dict):
        names = list(names.values())
    return [one for part in names for one in flat(part)] if isinstance(names, (list, tuple)) else [names]


def require_no_stream(data: Any) -> None:
    """Refuse a stream, whose rows never end, where all rows are needed.

    Raises:
        DataError: it is one.
    """
    if isinstance(data, DataFrame) and data.isStreaming:
        raise DataError(
            "the DataFrame is a stream, which has no end: predict takes it as it is; nbkeras.fit_stream "
            "trains on its rows as they come, nbkeras.fit on those of a table to which it is written"
        )


def data_frame(spark: SparkSession, data: Any, only: Sequence[str] | None = None) -> DataFrame:
    """Return a Spark DataFrame, made of a frame of the notebook or of pandas on Spark if need be.

    Args:
        spark: the session.
        data: a DataFrame of any kind, or a dict of arrays.
        only: the columns that are needed of what is not Spark's; None for all.

    Raises:
        ClusterError: its session was stopped.
        DataError: it is no DataFrame, or holds what Spark does not take.
    """
    if frames.is_pandas_on_spark(data):
        return data_frame(spark, data.spark.frame())  # to_spark() warns of the index
    if not isinstance(data, DataFrame):
        return columnar.to_spark(spark, frames.table(frames.of(data), only))
    if is_stopped(data.sparkSession):
        raise ClusterError("the DataFrame is of a Spark session that was stopped: create it again")
    return data


def columns_of(data: Any) -> str:
    """List the columns of a DataFrame, for a message."""
    return f"the DataFrame has {first(frames.names(data), 20)}"


def needs_labels(model: Any, step: str) -> bool:
    """Whether a step of a model needs labels: it is Keras' own, and compile was given a loss.

    Args:
        model: compiled.
        step: ``train_step`` or ``test_step``.
    """
    import keras

    own = any(getattr(type(model), name) is not getattr(keras.Model, name) for name in (step, "compute_loss"))
    return not own and model.loss is not None


def _unpacked(given: Any) -> tuple[Any, Any, Any]:
    """Validation arrays as x, y and sample weights, from any way in which Keras takes them."""
    if not isinstance(given, (list, tuple)):
        return given, None, None
    if not 1 <= len(given) <= 3:
        raise OptionError(
            f"validation_data is a {type(given).__name__} of {len(given)}: for arrays give a tuple (x, y) "
            "or (x, y, sample_weight)"
        )
    x, y, weights = (*given, None, None)[:3]
    return x, y, weights


def _listed(features: Any) -> Any:
    """Names of columns as words: a single one is one column, though text is a sequence too."""
    if isinstance(features, (str, int)):
        features = (features,)
    numbers = isinstance(features, (list, tuple)) and any(not isinstance(one, str) for one in features)
    return [str(one) if hasattr(one, "__index__") else one for one in features] if numbers else features


def _names(given: Any) -> bool:
    """Whether these are names of columns, or none, in any structure."""
    if isinstance(given, (dict, list, tuple)):
        return all(map(_names, given.values() if isinstance(given, dict) else given))
    return given is None or isinstance(given, str)


def _floatx() -> str:
    import keras

    return str(keras.config.floatx())
