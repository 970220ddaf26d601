"""Learning: which layers of Keras learn from data, of what, and how they are given what they have learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd

from nbkeras.data.adaptation.statistics import Counts, Moments, Statistic, Values, merged
from nbkeras.data.names import listed
from nbkeras.data.preprocessing.operations import tokens_of
from nbkeras.errors import DataError, ModelError

#: Layers that learn a vocabulary of words.
WORDS = (keras.layers.StringLookup, keras.layers.TextVectorization)
#: Layers that learn a vocabulary.
LOOKUPS = (*WORDS, keras.layers.IntegerLookup)
#: Layers that learn.
LEARNS = (*LOOKUPS, keras.layers.Normalization, keras.layers.Discretization)


def title(layer: Any) -> str:
    """Name a layer in messages."""
    return f"{type(layer).__name__} '{layer.name}'"


def can_learn(layer: Any) -> bool:
    """Whether a layer was not made with what it would learn."""
    if isinstance(layer, keras.layers.Normalization):
        return layer.input_mean is None
    if isinstance(layer, keras.layers.Discretization):
        return layer.num_bins is not None
    return not layer._has_input_vocabulary  # noqa: SLF001  # as Keras itself asks it


def has_learned(layer: Any) -> bool:
    """Whether a layer holds more than what Keras makes it with."""
    if isinstance(layer, keras.layers.Normalization):
        # As Keras makes them.
        return not layer.built or bool(
            np.any(keras.ops.convert_to_numpy(layer.adapt_mean) != 0)
            or np.any(keras.ops.convert_to_numpy(layer.adapt_variance) != 1)
        )
    if isinstance(layer, keras.layers.Discretization):
        return layer.bin_boundaries is not None
    return bool(layer.get_vocabulary(include_special_tokens=False))


def statistic(layer: Any) -> Statistic:
    """Return what collects, of the values that a layer takes, what it learns.

    Raises:
        ModelError: the layer cuts sentences by functions of its own, or into n-grams.
    """
    if isinstance(layer, keras.layers.Normalization):
        return Moments(layer._keep_axis)  # noqa: SLF001  # its axis, counted from the first
    if isinstance(layer, keras.layers.Discretization):
        return Values()
    text = isinstance(layer, keras.layers.TextVectorization)
    tokens = tokens_of(layer) if text else None
    if text and tokens is None:
        raise ModelError(
            f"{title(layer)} cuts sentences by functions of its own, or into n-grams: call its own adapt "
            "with some of them, or give it vocabulary=…"
        )
    return Counts(tokens, documents=_lookup(layer).output_mode == "tf_idf")


def limit(layer: Any) -> int:
    """How many of the most frequent words are needed: as many as the vocabulary takes, and special ones."""
    if not isinstance(layer, LOOKUPS) or _lookup(layer).max_tokens is None:
        return (1 << 31) - 1
    return int(_lookup(layer).max_tokens) + 2


def teach(layer: Any, found: pd.DataFrame, names: Sequence[str]) -> str:
    """Give a layer what it has learned.

    Args:
        layer: that learns.
        found: what its statistic has given, of all tasks.
        names: of the columns that it takes.

    Returns:
        What it has learned, in words.

    Raises:
        DataError: there is nothing to learn, or a word that Keras cannot save.
    """
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
        raise DataError(
            f"{title(layer)} of {listed(names)} finds no word for its vocabulary: name a column with words, "
            "or fill its gaps first (df.fillna)"
        )
    if words:
        _require_lines(tokens, names)
    idf = None
    if lookup.output_mode == "tf_idf":
        number = found.loc[found["word"].isna() & found["number"].isna(), "documents"].sum()
        idf = np.log(1 + number / (1 + counted["documents"].to_numpy(np.float64))).astype("float32")
    layer.set_vocabulary(tokens, idf)
    return f"{len(tokens):,} {'words' if words else 'numbers'}: {_some([repr(one) for one in tokens])}"


def held(layer: Any) -> dict[str, Any] | None:
    """Return what a layer has learned besides its variables, ready for JSON; None where that is nothing.

    Example:
        >>> import keras
        >>> from nbkeras.data.adaptation.learning import give, held
        >>> port, other = keras.layers.StringLookup(), keras.layers.StringLookup()
        >>> port.set_vocabulary(["S", "Q"])
        >>> give(other, held(port))
        >>> print(*other.get_vocabulary())
        [UNK] S Q
    """
    if isinstance(layer, keras.layers.Normalization) or not has_learned(layer):
        return None
    if isinstance(layer, keras.layers.Discretization):
        return {"boundaries": [float(one) for one in layer.bin_boundaries]}
    lookup = _lookup(layer)
    words = [
        str(one) if isinstance(one, str) else int(one) for one in layer.get_vocabulary(False)
    ]  # no special ones
    weights = None
    if lookup.output_mode == "tf_idf":
        known = keras.ops.convert_to_numpy(lookup.idf_weights_const)
        first = lookup._token_start_index()  # noqa: SLF001  # behind the special ones
        weights = known[first : first + len(words)].tolist()
    return {"words": words, "weights": weights}


def give(layer: Any, learned: dict[str, Any] | None) -> None:
    """Give a layer what :func:`held` has returned of another."""
    if learned is None:
        return
    if isinstance(layer, keras.layers.Discretization):
        layer.bin_boundaries = learned["boundaries"]
    else:
        weights = learned["weights"]
        layer.set_vocabulary(learned["words"], None if weights is None else np.array(weights, "float32"))


def _require_lines(words: list[str], names: Sequence[str]) -> None:
    """Make sure that Keras can save the words: it writes one on each line, and reads lines as Python does.

    Raises:
        DataError: a word has a line break or a zero, or the last one is empty.
    """
    broken = [one for one in words if one and (one.splitlines() != [one] or "\0" in one)]
    if broken:
        raise DataError(
            f"column {listed(names)} holds {len(broken)} words with a line break or a zero, such as "
            f"{broken[0]!r}, which Keras would save as other words: replace these by a space"
        )
    if words[-1] == "":
        raise DataError(
            f"column {listed(names)} holds an empty word, which Keras would lose at the end of a saved "
            "vocabulary: give the layer mask_token='', or the column another word for it"
        )


def _lookup(layer: Any) -> Any:
    """The lookup in a layer: its vocabulary is there."""
    return getattr(layer, "_lookup_layer", layer)


def _some(things: list[str]) -> str:
    return ", ".join(things[:3]) + (", …" if len(things) > 3 else "")
