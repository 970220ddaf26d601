"""Rows: a DataFrame in the form that is sent to workers, and the worker of each row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from nbkeras.data import columns, places, sequences
from nbkeras.data import image_columns as images
from nbkeras.data.decoder import Decoder
from nbkeras.data.preprocessing.graph import Graph
from nbkeras.data.signature import Signature
from nbkeras.data.windows import columns as windows
from nbkeras.data.windows import exchange
from nbkeras.errors import DataError
from nbkeras.schema import CHECK, ORDER, PREFIX, Schema, named
from nbkeras.spark import cluster

#: Says that there is nothing to look at.
NO_ROWS = "the DataFrame has no rows: see which filter or join has removed them"
#: Rows of one partition that ``monotonically_increasing_id`` can number.
_NUMBERS = (1 << 33) - 1
#: The split by hash divides the rows into so many buckets.
_GRAIN = 1 << 20


@dataclass(frozen=True)
class Rows:
    """Rows ready for the exchange.

    Attributes:
        df: one column per field, named as the field; ``order`` too when
            ``numbered``; ``validation`` when flagged; what sorts them where they become windows.
        schema: the fields, and how Keras takes them.
        numbered: whether ``order`` is each row's position already.
        graph: the steps from the inputs to what is trained; None for none.
    """

    df: DataFrame
    schema: Schema
    numbered: bool = False
    graph: Graph | None = None

    def behind(self, graph: Graph | None) -> Rows:
        """The same rows behind the steps of a graph; images that it passes on are kept as they are."""
        if graph is None:
            return self
        if self.schema.windows is not None:
            raise DataError(
                "windows of nbkeras.timeseries hold numbers, and the model has lookup or text layers, which "
                "are done row by row: give it the numbers that these make, as columns"
            )
        passed = {number: one.image for number, one in enumerate(self.schema.features)}
        outputs = zip(graph.gives, graph.outputs, strict=True)
        kept = tuple(replace(one, image=passed.get(number)) for number, one in outputs)
        return replace(self, graph=replace(graph, outputs=kept))

    @property
    def decoder(self) -> Decoder:
        """What turns the columns into what a model trains on."""
        return Decoder(self.schema.fields, self.graph)

    @property
    def trained(self) -> Schema:
        """The fields that a model trains on, behind the steps of the graph."""
        if self.graph is None:
            return self.schema
        rest = tuple(one for one in self.schema.fields if not one.is_input)
        return replace(self.schema, fields=(*self.graph.outputs, *rest), x=None)


def from_dataframe(
    df: DataFrame,
    signature: Signature,
    y: Any,
    floatx: str,
    features: Sequence[str] | None = None,
    sample_weight: Any = None,
    known: Schema | None = None,
) -> Rows:
    """Make rows of a DataFrame.

    Args:
        df: the user's DataFrame.
        signature: of the model.
        y: name of the label column, or names as Keras takes labels: in the order of the outputs, or by output
            name.
        floatx: Keras' float type.
        features: feature columns; None for all others.
        sample_weight: name of the weight column, or names nested as those of y.
        known: the schema of a training, whose gaps are filled and whose images are read likewise.

    Raises:
        DataError: the columns do not fit the model.
    """
    series = windows.of(df, None if known is None else known.windows)
    y_names, targets = named(_single(y), "y")
    w_names, weighing = named(_single(sample_weight), "w")
    require_nested_alike(y_names, w_names)
    labels = columns.label_fields(df, targets, floatx)
    weights = columns.weight_fields(df, weighing, floatx)
    if series is None:
        inputs = columns.feature_fields(df, signature, features, targets, weighing)
    else:
        inputs = windows.feature_fields(df, signature, features, targets, weighing, series)
    if known is not None:
        read = {one.name: one.image for one in known.features}
        inputs = tuple(images.known(df, one, read.get(one.name)) for one in inputs)
        inputs = sequences.known(inputs, known.features)
        if fills := known.fills:
            inputs = tuple(replace(one, fills=tuple(map(fills.get, one.sources))) for one in inputs)
    fields = (*inputs, *labels, *weights)
    selected = [columns.expression(df, one) for one in fields]
    if series is not None:
        fields = (*fields, *windows.fields(series))
        selected += [*windows.expressions(df, series), *exchange.sorters(series)]
    return Rows(df.select(*selected), Schema(fields, signature.nested, y_names, w_names, series))


def require_nested_alike(labels: Any, weights: Any) -> None:
    """Make sure that there is a sample weight, or None, for each output, or one for all.

    Args:
        labels, weights: their names by structure, from :func:`nbkeras.schema.named`.

    Raises:
        DataError: they are nested otherwise.
    """
    if labels is None or weights is None:
        return
    import keras

    try:
        keras.tree.assert_same_structure(labels, weights)
    except (ValueError, TypeError):
        raise DataError(
            f"sample_weight is nested otherwise than y (got {_places(weights)} beside {_places(labels)}): "
            "give a weight for each output, None for an output without weights, or one weight for all outputs"
        ) from None


def _places(names: Any) -> str:
    """The places of a structure, in words."""
    return f"{len(names)} in a list" if isinstance(names, tuple) else ", ".join(map(repr, names))


def _single(names: Any) -> Any:
    """The only name of a list: a label in no list is what Keras takes for one output."""
    return names[0] if isinstance(names, (list, tuple)) and len(names) == 1 else names


def exchanged(
    spark: SparkSession,
    train: Rows,
    validation: Rows | None,
    *,
    workers: int,
    shuffle: bool,
    validation_split: float = 0.0,
    checked: bool = False,
) -> tuple[DataFrame, bool]:
    """Send the rows to one partition for each worker, and say whether they are numbered.

    Row i of numbered rows goes to worker i modulo workers. The hash of any other row
    chooses its worker. It does not depend on the order in which Spark reads the rows, so
    a worker gets the same rows in every run on the same data. A worker that is alone may read
    them itself, from files that are not large.

    Args:
        spark: the session.
        train: training rows.
        validation: validation rows; they are sent in the same shuffle, flagged.
        workers: number of partitions.
        shuffle: False numbers the rows of a DataFrame, in its order.
        validation_split: part of the rows of a DataFrame to validate on, chosen by hash.
        checked: adds the hash of numbered rows, so that a checkpoint can detect other rows.
    """
    if train.schema.windows is not None:
        pairs = [None if one is None else (hashed(one), one.schema) for one in (train, validation)]
        assert pairs[0] is not None
        sent = exchange.exchanged(spark, pairs[0], pairs[1], workers=workers, shuffle=shuffle)
        return sent, not shuffle
    split = _split(train, validation_split) if validation_split else None
    numbered = train.numbered or not shuffle
    if not numbered:
        df = hashed(train)
        if split is not None:
            df = df.withColumn("validation", split)
    else:
        if split is not None:
            validation = to_validate(train, validation_split)
            train = to_train(train, validation_split)
        df = train.df if train.numbered else _numbered(train.df, workers)
    parts = [df]
    if validation is not None:
        theirs = (
            hashed(validation) if validation.numbered or not numbered else _numbered(validation.df, workers)
        )
        parts = [df.withColumn("validation", F.lit(False)), theirs.withColumn("validation", F.lit(True))]
    if checked and numbered:
        parts = [one.withColumn(CHECK, _hash(train.schema)) for one in parts]
    # A position is that of the partitions as they are, a hash that of any.
    if workers == 1 and not numbered and (read := cluster.link(spark).in_one_task(parts)) is not None:
        return read, numbered
    df = reduce(DataFrame.unionByName, parts)
    if workers == 1:
        return df.repartition(1), numbered
    return places.sent(spark, df, F.pmod(F.col(ORDER), F.lit(workers)), workers), numbered


def to_train(rows: Rows, validation_split: float) -> Rows:
    """Return the rows that :func:`exchanged` does not split off to validate on."""
    if not validation_split:
        return rows
    return replace(rows, df=rows.df.filter(~_split(rows, validation_split)))


def to_validate(rows: Rows, validation_split: float) -> Rows:
    """Return the rows that :func:`exchanged` splits off to validate on."""
    return replace(rows, df=rows.df.filter(_split(rows, validation_split)))


def apart(rows: Rows, workers: int) -> DataFrame:
    """Return the rows for workers that do not wait for each other; each series of windows is on one."""
    if rows.schema.windows is None:
        return hashed(rows)
    return exchange.in_order(hashed(rows), rows.schema.windows, workers)


def hashed(rows: Rows) -> DataFrame:
    """Return the rows with the column ``order``: their position or their hash."""
    return rows.df if rows.numbered else rows.df.withColumn(ORDER, _hash(rows.schema))


def in_order(rows: Rows) -> DataFrame:
    """Return the rows numbered in the DataFrame's order, for one worker."""
    if rows.schema.windows is not None:
        return apart(rows, 1)
    return rows.df if rows.numbered else _numbered(rows.df, 1)


def inputs(df: DataFrame, rows: Rows) -> list[Column]:
    """Return the columns of the model inputs, under names that do not clash with the DataFrame's own."""
    made = [columns.expression(df, one) for one in rows.schema.features]
    if rows.schema.windows is not None:
        made += windows.expressions(df, rows.schema.windows)
    names = [one.name for one in rows.schema.fields]
    return [one.alias(f"{PREFIX}{name}") for one, name in zip(made, names, strict=True)]


def with_inputs(df: DataFrame, inputs: Sequence[Column], schema: Schema, workers: int) -> DataFrame:
    """Return a DataFrame with the inputs of a model behind its own columns, for so many workers at most.

    Args:
        df: the user's DataFrame.
        inputs: from :func:`inputs`.
        schema: of the rows.
        workers: that do not wait for each other.
    """
    if schema.windows is None:
        return df.select("*", *inputs).coalesce(workers)
    sorted_by = exchange.sorters(schema.windows)
    return exchange.in_order(df.select("*", *inputs, *sorted_by), schema.windows, workers)


def _hash(schema: Schema) -> Column:
    return F.xxhash64(*[F.col(one.name) for one in schema.fields])


def _split(rows: Rows, part: float) -> Column:
    """Whether a row is for validation, by bits of its hash that do not choose its worker."""
    bits = F.pmod(F.shiftright(_hash(rows.schema), 32), F.lit(_GRAIN))
    return bits < F.lit(round(part * _GRAIN))


def _numbered(df: DataFrame, workers: int) -> DataFrame:
    """Add each row's position in the DataFrame's order.

    The rows of each partition are counted first, since a row's position depends on the
    partitions before its own. With one worker only the order of the numbers matters.
    """
    number = F.monotonically_increasing_id()
    if workers == 1:
        return df.withColumn(ORDER, number)
    partition = F.spark_partition_id()
    counted = df.groupBy(partition.alias("partition")).count().collect()
    offsets, total = {}, 0
    for row in sorted(counted):
        offsets[row["partition"]] = total
        total += row["count"]
    if not offsets:
        raise DataError(NO_ROWS)
    starts = F.array(*[F.lit(offsets.get(index, 0)).cast("bigint") for index in range(max(offsets) + 1)])
    return df.withColumn(ORDER, F.get(starts, partition) + number.bitwiseAND(F.lit(_NUMBERS)))
