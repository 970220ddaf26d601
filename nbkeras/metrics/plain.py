"""Numbers, arrays and tables as what JSON has, and back: NaN is null, an infinity a word."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np


def number(value: float) -> float | str | None:
    """A number as JSON has it.

    Example:
        >>> number(0.5), number(float("nan")), number(float("-inf"))
        (0.5, None, '-Infinity')
    """
    value = float(value)
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")


def read_number(value: float | str | None) -> float:
    """The number that :func:`number` has written."""
    return math.nan if value is None else float(value)


def numbers(array: Any) -> list[Any]:
    """An array of one dimension as a list.

    Example:
        >>> numbers(np.array([1, 2])), numbers(np.array([0.5, np.nan]))
        ([1, 2], [0.5, None])
    """
    return [*map(number, array.tolist())] if array.dtype.kind == "f" else array.tolist()


def read_numbers(values: Sequence[Any], dtype: str = "float64") -> Any:
    """The array that :func:`numbers` has written.

    Raises:
        ValueError: it is of no numbers: a file may name any type, and a size with it.
    """
    kind = np.dtype(dtype).kind
    if kind not in "biuf":
        raise ValueError(f"{dtype} is no type of numbers")
    return np.array([read_number(one) if kind == "f" else one for one in values], dtype)


def value(one: Any) -> Any:
    """Anything that a table holds, as JSON has it; of what has no form in it, the words.

    Example:
        >>> value([1, b"a", {"of": None}])
        [1, {'$bytes': 'YQ=='}, {'$struct': {'of': None}}]
    """
    if isinstance(one, np.generic):
        one = one.item()
    if one is None or isinstance(one, (bool, int, str)) or (isinstance(one, float) and math.isfinite(one)):
        return one
    if isinstance(one, (list, tuple)):
        return [value(part) for part in one]
    found = ({tag: write(one)} for tag, (kind, write, _) in _TAGS.items() if isinstance(one, kind))
    return next(found, None) or str(one)


def read_value(one: Any) -> Any:
    """What :func:`value` has written."""
    if isinstance(one, list):
        return [read_value(part) for part in one]
    if not isinstance(one, dict):
        return one
    ((tag, content),) = one.items()
    return _TAGS[tag][2](content)


def _array(dtype: str, parts: list[Any]) -> Any:
    kind = np.dtype(dtype).kind
    if kind in "biufcmM":
        return np.array(parts, dtype)
    if kind == "U":
        return np.array(parts, str)
    array = np.empty(len(parts), object)  # of arrays of one length NumPy would make one array
    array[:] = parts
    return array


#: By tag: the kind of value that JSON lacks, what stands for it, and how it comes back.
_TAGS: dict[str, tuple[Any, Callable[[Any], Any], Callable[[Any], Any]]] = {
    "$float": (float, number, read_number),
    "$bytes": (bytes, lambda one: base64.b64encode(one).decode(), base64.b64decode),
    "$decimal": (Decimal, str, Decimal),
    "$time": (datetime, lambda one: one.isoformat(), datetime.fromisoformat),
    "$date": (date, lambda one: one.isoformat(), date.fromisoformat),
    "$struct": (
        dict,
        lambda one: {str(key): value(part) for key, part in one.items()},
        lambda one: {key: read_value(part) for key, part in one.items()},
    ),
    "$array": (
        np.ndarray,
        lambda one: [str(one.dtype), *map(value, one.tolist())],
        lambda one: _array(one[0], [read_value(part) for part in one[1:]]),
    ),
}


def table(frame: Any) -> dict[str, Any]:
    """A table of pandas: its index and its columns, each with a name, a type and values.

    Example:
        >>> import pandas as pd
        >>> table(pd.DataFrame({"f1": [0.5]}, pd.Index(["cat"], name="class")))["columns"]
        [{'name': 'f1', 'type': 'float64', 'values': [0.5]}]
    """
    columns = [_column(name, frame.iloc[:, place]) for place, name in enumerate(frame.columns)]
    return {"index": _column(frame.index.name, frame.index), "across": frame.columns.name, "columns": columns}


def read_table(described: dict[str, Any]) -> Any:
    """The table that :func:`table` has written."""
    import pandas as pd

    index, columns = described["index"], described["columns"]
    made = pd.DataFrame(
        {place: _series(one) for place, one in enumerate(columns)},
        index=range(len(index["values"])),
    )
    made.columns = pd.Index([one["name"] for one in columns], name=described["across"])
    made.index = pd.Index(_series(index).array, name=index["name"])
    return made


def _column(name: Any, values: Any) -> dict[str, Any]:
    kind = values.dtype.kind if isinstance(values.dtype, np.dtype) else "O"
    if kind in "biuf":
        made = numbers(values.to_numpy())
    elif kind == "M" or "datetime64" in str(values.dtype):
        made = [None if one != one else one.isoformat() for one in values]  # noqa: PLR0124  # NaT is not itself
    else:
        return {"name": value(name), "type": "object", "values": [value(_own(one)) for one in values]}
    return {"name": value(name), "type": str(values.dtype), "values": made}


def _own(one: Any) -> Any:
    """A value of a column of objects, without pandas' own sign of a gap."""
    import pandas as pd

    return None if one is pd.NaT or one is pd.NA else one


def _series(described: dict[str, Any]) -> Any:
    import pandas as pd

    kind, values = described["type"], described["values"]
    if kind == "object":
        return pd.Series([read_value(one) for one in values], dtype=object)
    if "datetime64" in kind:
        return pd.Series(pd.to_datetime(values, format="ISO8601", utc="," in kind)).astype(kind)
    return pd.Series(read_numbers(values, kind))
