"""What the magics find in the user's namespace: the Spark session, DataFrames, models.

Everything is recognised by its class' name, so that nothing heavy is imported to look at it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbkeras.errors import ModelError, OptionError
from nbkeras.notebook.magic.parser import evaluate
from nbkeras.notebook.suggest import suggest

#: What offers Arrow's stream and is a single column.
_COLUMNS = {"Series", "ChunkedArray"}


def spark_of(names: Mapping[str, Any]) -> Any:
    """Give the Spark session called ``spark``, None when there is none.

    Example:
        >>> spark_of({"spark": "a word"}) is None
        True
    """
    spark = names.get("spark")
    return spark if _is_a(spark, "SparkSession", "pyspark") else None


def frames_of(names: Mapping[str, Any], package: str = "") -> list[str]:
    """List the DataFrames by name, of one package or of all.

    Example:
        >>> import pandas
        >>> frames_of({"train": pandas.DataFrame(), "_": pandas.DataFrame(), "x": 1})
        ['train']
    """
    return [name for name, value in names.items() if not name.startswith("_") and is_frame(value, package)]


def is_frame(value: Any, package: str = "") -> bool:
    """Whether something is a DataFrame, of one package or of any; so is what offers Arrow's stream of rows.

    Example:
        >>> import pandas, pyarrow
        >>> is_frame(pandas.DataFrame()), is_frame(pandas.DataFrame(), "pyspark")
        (True, False)
        >>> is_frame(pyarrow.table({"a": [1]})), is_frame(pandas.Series([1]))
        (True, False)
    """
    if _is_a(value, "DataFrame", package):
        return True
    if package:
        return False
    kinds = {base.__name__ for base in type(value).__mro__}
    return "LazyFrame" in kinds or (hasattr(type(value), "__arrow_c_stream__") and not kinds & _COLUMNS)


def models_of(names: Mapping[str, Any]) -> list[str]:
    """List the Keras models by name.

    Example:
        >>> models_of({"model": "a word"})
        []
    """
    return [
        name for name, value in names.items() if not name.startswith("_") and _is_a(value, "Model", "keras")
    ]


def frame(word: str, names: Mapping[str, Any], option: str) -> Any:
    """Give the data that an option names: a variable or an ``{expression}``.

    Example:
        >>> frame("{[1, 2]}", {}, "data")
        [1, 2]
    """
    if word.startswith("{") and word.endswith("}"):
        return evaluate(word[1:-1], names)
    name = word.removeprefix("$")
    if name in names:
        return names[name]
    known = frames_of(names)
    if not known:
        raise OptionError(f"--{option} {word}: there is no such variable, and no DataFrame at all")
    raise OptionError(
        f"--{option} {word}: there is no such variable; the DataFrames are: {', '.join(known)}"
        + (f" ({suggest(name, known)})" if suggest(name, known).startswith("did") else "")
    )


def assigned_model(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Name the compiled model that a cell has assigned.

    Args:
        before: the namespace before the cell ran.
        after: the namespace now.
    """
    assigned: dict[int, str] = {}
    for name, value in after.items():
        if not name.startswith("_") and before.get(name) is not value and _is_a(value, "Model", "keras"):
            assigned.setdefault(id(value), name)
    compiled = [name for name in assigned.values() if after[name].compiled]
    if len(compiled) == 1:
        return compiled[0]
    if compiled:
        raise ModelError(f"the cell assigns several compiled models: {', '.join(compiled)}; call fit in it")
    if assigned:
        name = next(iter(assigned.values()))
        raise ModelError(f"{name} is not compiled; add {name}.compile(optimizer, loss) to the cell")
    raise ModelError("the cell assigns no model and calls no fit; assign a compiled model, or call fit")


def _is_a(value: Any, kind: str, package: str) -> bool:
    return any(base.__name__ == kind and base.__module__.startswith(package) for base in type(value).__mro__)
