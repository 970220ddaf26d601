"""Adaptation: layers learn vocabularies, means and quantiles from the rows of a DataFrame, in one Spark job.

What they learn is what Keras' own ``adapt`` learns of the same rows. Only the boundaries of
``Discretization`` are the quantiles themselves, which Keras approximates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from nbkeras.data import columns
from nbkeras.data.names import first, listed
from nbkeras.data.preprocessing.calls import Calls, Value, calls
from nbkeras.data.preprocessing.graph import Graph
from nbkeras.data.preprocessing.layer import Layer
from nbkeras.data.preprocessing.operations import tokens_of
from nbkeras.data.preprocessing.statistics import (
    COLUMNS,
    Counts,
    Learner,
    Moments,
    Statistic,
    Values,
    learned,
    merged,
)
from nbkeras.data.rows import Rows
from nbkeras.data.source import Source, data_frame
from nbkeras.driver import inference
from nbkeras.errors import DataError, ModelError, OptionError
from nbkeras.schema import Field
from nbkeras.spark import cluster
from nbkeras.spark.session import attached

_WORDS = (keras.layers.StringLookup, keras.layers.TextVectorization)
_LOOKUPS = (*_WORDS, keras.layers.IntegerLookup)
_LEARNS = (*_LOOKUPS, keras.layers.Normalization, keras.layers.Discretization)
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
    found = calls(layers, _LEARNS)
    if found is None:
        raise ModelError(
            f"{type(layers).__name__} does not say which columns its layers take: adapt them before it is "
            "called, nbkeras.adapt({'column': layer}, df)"
        )
    learning = _learning(found)
    if not learning:
        raise OptionError(f"no layer of {layers.name} learns from data: there is nothing to adapt")
    rows = Source(spark, layers, features).rows(data, y, None)
    return _of_model(spark, found, rows, learning)


def automatic(spark: SparkSession, model: Any, rows: Rows) -> list[str]:
    """Adapt the layers of a model that never were, and say what they have learned, in sentences.

    Args:
        spark: the session.
        model: about to be trained.
        rows: to train on; those of named columns alone, as plain Keras trains with arrays as they are.
    """
    found = None if rows.numbered else calls(model, _LEARNS)
    if found is None:
        return []
    never = [one for one in _learning(found) if not _has_learned(one) and _takes_columns(found, one)]
    if not never:
        return []
    table = _of_model(spark, found, rows, never)
    said = [f"{one.layer} of {one.columns} ({one.learned})" for one in table.itertuples()]
    return [f"adapted to the rows of the training first: {first(said, 4)}"]


def _learning(found: Calls) -> list[Any]:
    """The layers that can learn from data, among those that are called."""
    layers = {id(one.operation): one.operation for one in found.made}.values()
    return [one for one in layers if isinstance(one, _LEARNS) and _can_learn(one)]


def _can_learn(layer: Any) -> bool:
    """Whether a layer was not made with what it would learn."""
    if isinstance(layer, keras.layers.Normalization):
        return layer.input_mean is None
    if isinstance(layer, keras.layers.Discretization):
        return layer.num_bins is not None
    return not layer._has_input_vocabulary  # noqa: SLF001  # as Keras itself asks it


def _has_learned(layer: Any) -> bool:
    if isinstance(layer, keras.layers.Normalization):
        # As Keras makes them.
        return not layer.built or bool(
            np.any(keras.ops.convert_to_numpy(layer.adapt_mean) != 0)
            or np.any(keras.ops.convert_to_numpy(layer.adapt_variance) != 1)
        )
    if isinstance(layer, keras.layers.Discretization):
        return layer.bin_boundaries is not None
    return bool(layer.get_vocabulary(include_special_tokens=False))


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
    while waiting:
        behind = {id(one) for one in waiting}
        ready = [one for one in waiting if not behind & _before(found, one)]
        targets = [(one, found.graph([_taken(found, one)])) for one in ready]
        tables.append(_learn(spark, rows.df, rows.schema.features, targets))
        waiting = [one for one in waiting if one not in ready]
    return pd.concat(tables, ignore_index=True)


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
    df = data_frame(spark, data)
    if not layers or len({id(one) for one in layers.values()}) < len(layers):
        raise OptionError(f"there are {len(layers)} columns for their layers: give each column its own layer")
    fields, targets = [], []
    for number, (name, layer) in enumerate(layers.items()):
        if not isinstance(layer, _LEARNS):
            raise OptionError(f"{type(layer).__name__} of '{name}' learns nothing from data: leave it out")
        if not _can_learn(layer):
            raise OptionError(f"{_title(layer)} was made with what it would learn: leave out '{name}'")
        field = columns.feature_field(df, f"x{number}", name, _type(layer))
        fields.append(field)
        targets.append((layer, Graph((), (number,), (field,))))
    selected = df.select(*[columns.expression(df, one) for one in fields])
    return _learn(spark, selected, tuple(fields), targets)


def _type(layer: Any) -> str:
    if isinstance(layer, _WORDS):
        return "string"
    return "int64" if isinstance(layer, keras.layers.IntegerLookup) else keras.config.floatx()


def _learn(
    spark: SparkSession, df: DataFrame, fields: tuple[Field, ...], targets: list[tuple[Any, Graph]]
) -> pd.DataFrame:
    """Let layers learn, each what a graph gives it of the columns; a table of what they have learned."""
    for layer, graph in targets:
        if isinstance(layer, keras.layers.Normalization) and not layer.built:
            layer.build((None, *(graph.outputs[0].shape or ())))
    learners = [Learner(graph, _statistic(layer)) for layer, graph in targets]

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
    limits = F.array(*[F.lit(_limit(layer)) for layer, _ in targets])
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
            raise DataError(f"{_title(layer)} of {listed(names)} has no value to learn from")
        learnt.append((_title(layer), ", ".join(names), _set(layer, own, names), missing))
    return _table(learnt)


def _table(learnt: list[tuple[str, str, str, int]]) -> pd.DataFrame:
    return pd.DataFrame(learnt, columns=["layer", "columns", "learned", "missing"])


def _title(layer: Any) -> str:
    return f"{type(layer).__name__} '{layer.name}'"


def _lookup(layer: Any) -> Any:
    """The lookup in a layer: its vocabulary is there."""
    return getattr(layer, "_lookup_layer", layer)


def _statistic(layer: Any) -> Statistic:
    if isinstance(layer, keras.layers.Normalization):
        return Moments(layer._keep_axis)  # noqa: SLF001  # its axis, counted from the first
    if isinstance(layer, keras.layers.Discretization):
        return Values()
    text = isinstance(layer, keras.layers.TextVectorization)
    documents = _lookup(layer).output_mode == "tf_idf"
    return Counts(tokens_of(layer) if text else None, documents=documents)


def _limit(layer: Any) -> int:
    """The most frequent words that are fetched: those that the vocabulary has room for, and special ones."""
    if not isinstance(layer, _LOOKUPS) or _lookup(layer).max_tokens is None:
        return (1 << 31) - 1
    return int(_lookup(layer).max_tokens) + 2


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


def _set(layer: Any, found: pd.DataFrame, names: Sequence[str]) -> str:
    """Give a layer what it has learned; in words."""
    if isinstance(layer, keras.layers.Normalization):
        return _set_moments(layer, found)
    if isinstance(layer, keras.layers.Discretization):
        (bounds,) = found["quantiles"]
        # Equal ones stay: layers behind it count on as many bins as it was made with.
        layer.bin_boundaries = [float(np.float32(one)) for one in bounds]
        return f"quantiles as boundaries: {_some([f'{one:g}' for one in layer.bin_boundaries])}"
    return _set_vocabulary(layer, found, names)


def _set_moments(layer: Any, found: pd.DataFrame) -> str:
    means, variances = [], []
    for _, position in found.sort_values(["number", "part"]).groupby("number"):
        total = (0, 0.0, 0.0)
        for one in position.itertuples():
            total = merged(total, (int(one.rows), one.value, one.spread))
        means.append(total[1])
        variances.append(total[2] / total[0])
    shape = layer.adapt_mean.shape
    layer.adapt_mean.assign(np.reshape(means, shape))
    layer.adapt_variance.assign(np.reshape(variances, shape))
    layer.finalize_state()
    return (
        f"mean {_some([f'{one:.4g}' for one in means])}, "
        f"variance {_some([f'{one:.4g}' for one in variances])}"
    )


def _set_vocabulary(layer: Any, found: pd.DataFrame, names: Sequence[str]) -> str:
    lookup = _lookup(layer)
    words = lookup.vocabulary_dtype == "string"
    counted = found[found["word" if words else "number"].notna()]
    counted = counted.sort_values(["rows"], ascending=False, kind="stable")
    key = "word" if words else "number"
    special = {lookup.mask_token, lookup.oov_token}
    counted = counted[~counted[key].isin(special)]
    if lookup.max_tokens is not None:
        counted = counted.head(lookup.max_tokens - lookup._token_start_index())  # noqa: SLF001  # special ones
    tokens = counted[key].astype(object if words else "int64").tolist()
    if not tokens:
        raise DataError(f"{_title(layer)} of {listed(names)} finds no word for its vocabulary")
    if words:
        _require_lines(tokens, names)
    idf = None
    if lookup.output_mode == "tf_idf":
        number = found.loc[found["word"].isna() & found["number"].isna(), "documents"].sum()
        idf = np.log(1 + number / (1 + counted["documents"].to_numpy(np.float64))).astype("float32")
    layer.set_vocabulary(tokens, idf)
    return f"{len(tokens):,} {'words' if words else 'numbers'}: {_some([repr(one) for one in tokens])}"


def _require_lines(words: list[str], names: Sequence[str]) -> None:
    """Make sure that Keras can save the words: it writes one on each line, and reads lines as Python does.

    Raises:
        DataError: a word has a line break or a zero, or the last one is empty.
    """
    broken = [one for one in words if one and (one.splitlines() != [one] or "\0" in one)]
    if broken:
        raise DataError(
            f"column {listed(names)} holds {len(broken)} words with a line break or a zero, such as "
            f"{broken[0]!r}, which Keras would save as other words: replace it, "
            f"df.withColumn('{names[0]}', F.regexp_replace('{names[0]}', r'[\r\n]', ' '))"
        )
    if words[-1] == "":
        raise DataError(
            f"column {listed(names)} holds an empty word, which Keras would lose at the end of a saved "
            "vocabulary: give the layer mask_token='', or the column another word for it"
        )


def _some(things: list[str]) -> str:
    return ", ".join(things[:3]) + (", …" if len(things) > 3 else "")
