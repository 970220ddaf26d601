"""Adaptation: layers learn vocabularies, means and quantiles from the rows of a DataFrame, in one Spark job.

What they learn is what Keras' own ``adapt`` learns of the same rows. Only the boundaries of
``Discretization`` are the quantiles themselves, which Keras approximates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras
import pandas as pd
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from nbkeras.data import columns, frames
from nbkeras.data.adaptation.learning import (
    LEARNS,
    WORDS,
    can_learn,
    give,
    has_learned,
    held,
    limit,
    statistic,
    teach,
    title,
)
from nbkeras.data.adaptation.statistics import COLUMNS, Learner, learned
from nbkeras.data.names import first, listed
from nbkeras.data.preprocessing.calls import Calls, Value, calls
from nbkeras.data.preprocessing.graph import Graph
from nbkeras.data.preprocessing.layer import Layer
from nbkeras.data.rows import Rows
from nbkeras.data.source import Source, data_frame, require_no_stream
from nbkeras.driver import inference
from nbkeras.errors import DataError, ModelError, OptionError
from nbkeras.schema import Field
from nbkeras.spark import cluster
from nbkeras.spark.session import attached

#: Part of a sorted column by which a quantile may be off.
_ACCURACY = 10_000


def adapt(
    spark: SparkSession | None, layers: Any, data: Any, y: Any, features: Sequence[str] | None
) -> pd.DataFrame:
    """Adapt layers to the rows of a DataFrame; see :func:`nbkeras.adapt`.

    Raises:
        DataError: the columns do not fit, or a word cannot be in a vocabulary.
        ModelError: a layer takes what only another layer that learns can give it.
        OptionError: there is no layer that learns.
    """
    spark = attached(spark)
    if isinstance(layers, keras.utils.FeatureSpace):
        names = layers._list_adaptable_preprocessors()  # noqa: SLF001  # those that Keras adapts
        found = _of_columns(spark, {name: layers.preprocessors[name] for name in names}, data)
        # This marks it as adapted, and makes its other layers.
        layers.build_from_config({})
        return found
    if isinstance(layers, dict):
        return _of_columns(spark, layers, data)
    if not isinstance(layers, keras.Model):
        raise OptionError(
            f"a {type(layers).__name__} does not say which columns it takes: give a dict, "
            "nbkeras.adapt({'column': layer}, df), a FeatureSpace, or a model"
        )
    found = calls(layers, LEARNS)
    if found is None:
        raise ModelError(
            f"{type(layers).__name__} does not say which columns its layers take: adapt them before it is "
            "called, nbkeras.adapt({'column': layer}, df)"
        )
    learning = _learning(found)
    if not learning:
        raise OptionError(f"no layer of {layers.name} learns from data: there is nothing to adapt")
    if frames.holds_columns(data):
        data = data_frame(spark, data)
    rows = Source(spark, layers, features).rows(data, y, None)
    return _of_model(spark, found, rows, learning)


def automatic(spark: SparkSession, model: Any, rows: Rows) -> list[str]:
    """Adapt the layers of a model that never were, and say what they have learned, in sentences.

    Args:
        spark: the session.
        model: about to be trained.
        rows: to train on; those of named columns alone, as plain Keras trains with arrays as they are.
    """
    found = None if rows.numbered else calls(model, LEARNS)
    if found is None:
        return []
    never = [one for one in _learning(found) if not has_learned(one) and _takes_columns(found, one)]
    if not never:
        return []
    table = _of_model(spark, found, rows, never)
    said = [f"{one.layer} of {one.columns} ({one.learned})" for one in table.itertuples()]
    return [f"adapted to the rows of the training first: {first(said, 4)}"]


def learned_by(model: Any) -> list[dict[str, Any] | None]:
    """Return what the layers of a model have learned besides their variables, ready for JSON."""
    found = calls(model, LEARNS)
    return [] if found is None else [held(one) for one in _learning(found)]


def give_back(model: Any, learned: list[dict[str, Any] | None]) -> None:
    """Give the layers of a model what :func:`learned_by` has returned.

    Raises:
        ModelError: the model has other layers.
    """
    found = calls(model, LEARNS)
    layers = [] if found is None else _learning(found)
    if len(layers) != len(learned):
        raise ModelError(
            f"the checkpoint is of a model with {len(learned)} layers that learn from data, this one has "
            f"{len(layers)}: build the same model"
        )
    for layer, one in zip(layers, learned, strict=True):
        give(layer, one)


def _learning(found: Calls) -> list[Any]:
    """The layers that can learn from data, among those that are called."""
    layers = {id(one.operation): one.operation for one in found.made}.values()
    return [one for one in layers if isinstance(one, LEARNS) and can_learn(one)]


def _takes_columns(found: Calls, layer: Any) -> bool:
    """Whether no layer of Keras stands before this one but those whose work Arrow does.

    Others, such as one in a network for pictures behind a Rescaling, stay as Keras makes them.
    """
    try:
        steps = found.graph([_taken(found, layer)]).steps
    except ModelError:
        return False
    return not any(isinstance(one.operation, Layer) for one in steps)


def _of_model(spark: SparkSession, found: Calls, rows: Rows, layers: list[Any]) -> pd.DataFrame:
    """Adapt layers of a model, first those that take columns, then those behind them."""
    waiting, tables = list(layers), []
    fields = rows.schema.features
    if rows.schema.windows is not None:
        fields = _single_steps(fields, layers)
    while waiting:
        behind = {id(one) for one in waiting}
        ready = [one for one in waiting if not behind & _before(found, one)]
        targets = [(one, found.graph([_taken(found, one)])) for one in ready]
        tables.append(_learn(spark, rows.df, fields, targets))
        waiting = [one for one in waiting if one not in ready]
    return pd.concat(tables, ignore_index=True)


def _single_steps(fields: tuple[Field, ...], layers: list[Any]) -> tuple[Field, ...]:
    """Fields of windows of one row: layers learn from each row of a series once.

    Raises:
        ModelError: a layer learns something else for each row of a window.
    """
    for one in layers:
        if isinstance(one, keras.layers.Normalization) and 1 in one._keep_axis:  # noqa: SLF001  # counted from the first
            raise ModelError(
                f"{title(one)} learns a mean for each row of a window, and windows overlap: use axis=-1, or "
                "call its own adapt"
            )
    return tuple(one if one.shape is None else replace(one, shape=(1, *one.shape)) for one in fields)


def _taken(found: Calls, layer: Any) -> Value:
    """What a layer takes in its first call."""
    return next(call.takes[0] for call in found.made if call.operation is layer)


def _before(found: Calls, layer: Any) -> set[int]:
    """The layers whose outputs a layer depends on, by ``id()``."""
    wanted, before = {_taken(found, layer)}, set()
    for call in reversed(found.made):
        if wanted & set(call.gives):
            wanted |= set(call.takes)
            before.add(id(call.operation))
    return before


def _of_columns(spark: SparkSession, layers: dict[str, Any], data: Any) -> pd.DataFrame:
    """Adapt each layer to the column of its name."""
    require_no_stream(data)
    df = data_frame(spark, data)
    if not layers or len({id(one) for one in layers.values()}) < len(layers):
        raise OptionError(f"there are {len(layers)} columns for their layers: give each column its own layer")
    fields, targets = [], []
    for number, (name, layer) in enumerate(layers.items()):
        if not isinstance(layer, LEARNS):
            raise OptionError(f"{type(layer).__name__} of '{name}' learns nothing from data: leave it out")
        if not can_learn(layer):
            raise OptionError(f"{title(layer)} was made with what it would learn: leave out '{name}'")
        field = columns.feature_field(df, f"x{number}", name, _type(layer))
        fields.append(field)
        targets.append((layer, Graph((), (number,), (field,))))
    selected = df.select(*[columns.expression(df, one) for one in fields])
    return _learn(spark, selected, tuple(fields), targets)


def _type(layer: Any) -> str:
    if isinstance(layer, WORDS):
        return "string"
    return "int64" if isinstance(layer, keras.layers.IntegerLookup) else keras.config.floatx()


def _learn(
    spark: SparkSession, df: DataFrame, fields: tuple[Field, ...], targets: list[tuple[Any, Graph]]
) -> pd.DataFrame:
    """Let layers learn, each what a graph gives it of the columns; a table of what they have learned."""
    for layer, graph in targets:
        if isinstance(layer, keras.layers.Normalization) and not layer.built:
            layer.build((None, *(graph.outputs[0].shape or ())))
    learners = [Learner(graph, statistic(layer)) for layer, graph in targets]

    def work(batches: Any) -> Any:
        from pyspark import TaskContext

        context = TaskContext.get()
        return learned(fields, learners, 0 if context is None else context.partitionId(), batches)

    cluster.ship(spark)
    keys = ["layer", "part", "word", "number"]
    passed = df.select(*[one.name for one in fields]).mapInArrow(work, COLUMNS)
    quantiled = [n for n, (layer, _) in enumerate(targets) if isinstance(layer, keras.layers.Discretization)]
    sums = [F.sum("rows").alias("rows"), F.sum("documents").alias("documents")]
    sums += [F.first("value").alias("value"), F.first("spread").alias("spread")]
    if quantiled:
        sums.append(_quantiles(targets, quantiled))
    grouped = passed.groupBy(*keys).agg(*sums)
    order = Window.partitionBy("layer", F.col("part").isNull()).orderBy(
        F.desc("rows"), F.desc("word"), F.desc("number")
    )
    limits = F.array(*[F.lit(limit(layer)) for layer, _ in targets])
    most_frequent = F.row_number().over(order) <= F.get(limits, F.col("layer"))
    kept = grouped.withColumn("kept", most_frequent | F.col("part").isNotNull()).filter("kept")
    rows = inference.attended(spark, "adapt", lambda: inference.arrow(kept)).to_pandas()
    learnt = []
    for number, (layer, graph) in enumerate(targets):
        own = rows[rows["layer"] == number]
        missing = int(own.loc[own["part"] == -1, "rows"].sum())
        own = own[own["part"] != -1]
        names = [name for index in graph.needs(len(fields)) for name in fields[index].sources]
        if own.empty:
            raise DataError(
                f"{title(layer)} of {listed(names)} has no value to learn from: fill the column first "
                "(df.fillna), or leave it out of the model"
            )
        learnt.append((title(layer), ", ".join(names), teach(layer, own, names), missing))
    return _table(learnt)


def _table(learnt: list[tuple[str, str, str, int]]) -> pd.DataFrame:
    return pd.DataFrame(learnt, columns=["layer", "columns", "learned", "missing"])


def _quantiles(targets: list[tuple[Any, Graph]], quantiled: list[int]) -> Any:
    """The boundaries of the bins of each layer that has some."""
    chosen = None
    for number in quantiled:
        bins = targets[number][0].num_bins
        parts = [index / bins for index in range(1, bins)]
        own = F.percentile_approx("value", parts, _ACCURACY)
        taken = F.when(F.first("layer") == number, own)
        chosen = taken if chosen is None else F.coalesce(chosen, taken)
    assert chosen is not None
    return chosen.alias("quantiles")
