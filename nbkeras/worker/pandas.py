"""Functions of columns on a Spark that gives them pandas' columns: Arrow's are made of these, and back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pyarrow as pa


def arguments(batches: Iterator[Any]) -> Iterator[tuple[pa.Array, ...]]:
    """Arrow's columns of batches of arguments.

    Args:
        batches: a series of pandas for each argument, a DataFrame where it is a struct.
    """
    for one in batches:
        yield tuple(map(_array, one if isinstance(one, tuple) else (one,)))


def results(arrays: Iterator[pa.Array]) -> Iterator[Any]:
    """Batches of results as pandas' columns, a DataFrame where they are structs."""
    for one in arrays:
        if pa.types.is_struct(one.type):
            parts = zip((field.name for field in one.type), one.flatten(), strict=True)
            yield pd.DataFrame({name: part.to_pandas() for name, part in parts})
        else:
            yield one.to_pandas()


def _array(values: Any) -> pa.Array:
    if isinstance(values, pd.DataFrame):
        parts = {str(name): _array(values[name]) for name in values.columns}
        return pa.StructArray.from_arrays([*parts.values()], [*parts])
    return pa.Array.from_pandas(values)
