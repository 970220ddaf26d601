"""Arrays as rows: turn NumPy arrays, pandas data and whatever NumPy can read into a DataFrame of bytes."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from nbkeras.data import columnar
from nbkeras.data.kinds.raw import Raw
from nbkeras.data.kinds.text import Text
from nbkeras.data.rows import Rows, require_nested_alike
from nbkeras.data.signature import Input, Signature, signature_of
from nbkeras.errors import DataError
from nbkeras.schema import ORDER, WORDS, Field, Schema, named

Array = npt.NDArray[Any]
#: Bytes of one column in one chunk: far below the 2 GiB that Arrow's offsets can address.
_CHUNK = 1 << 26


def from_arrays(
    spark: SparkSession,
    signature: Signature,
    x: Any,
    y: Any,
    sample_weight: Any,
    floatx: str,
    like: Schema | None = None,
) -> Rows:
    """Make rows of arrays, numbered in their order.

    Args:
        spark: the session.
        signature: of the model.
        x: an array, or a list or dict of arrays, one per input.
        y: labels likewise, or None; None within for an output without a loss.
        sample_weight: one number per row or step of a row, nested as y or one for all labels, or None.
        floatx: Keras' float type, which other floats become.
        like: schema of the training rows, for validation rows; these take its types.

    Raises:
        DataError: lengths differ, there are no rows, x does not fit the model, or
            a field has another shape than in ``like``.
    """
    any_numbers = signature.open
    if signature.open and _is_structure(x):
        signature = signature_of(x, signature)
    inputs = _inputs(x, signature)
    arrays: list[tuple[Field, Array]] = []
    for index, (one, array) in enumerate(zip(signature.inputs, inputs, strict=True)):
        title = f"model input '{one.key or one.name}'"
        if one.dtype == WORDS:
            words = _fitted(_words(array, title), one, signature)
            arrays.append((Field(f"x{index}", (title,), title, WORDS, words.shape[1:], Text.name), words))
            continue
        numbers = _kept(array, title, floatx) if any_numbers else _numbers(array, title, one.dtype)
        arrays.append(_field(f"x{index}", title, _fitted(numbers, one, signature)))
    y_names, labels = named(_labels(y, signature), "y")
    for index, label in enumerate(labels):
        arrays.append(_field(f"y{index}", "label", _kept(label, "label", floatx)))
    w_names, weights = named(_arrays(sample_weight, "sample_weight"), "w")
    require_nested_alike(y_names, w_names)
    for index, weight in enumerate(weights):
        arrays.append(_field(f"w{index}", "sample_weight", _numbers(weight, "sample_weight", floatx)))
    schema = Schema(tuple(field for field, _ in arrays), signature.nested, y_names, w_names)
    if like is not None:
        _require_alike(schema, like)
        arrays = [_alike(field, array, like) for field, array in arrays]
        schema = like
    return Rows(_dataframe(spark, arrays, _rows(arrays)), schema, numbered=True)


def ones(like: Schema, x: Any) -> Any:
    """Make sample weights of 1, nested as those of other rows, for as many rows as x has.

    Args:
        like: schema of the other rows.
        x: arrays in any structure.
    """
    import keras

    rows = len(keras.tree.flatten(x)[0]) if _is_structure(x) else len(x)
    return like.nest({one.name: np.ones((rows, *(one.shape or ())), one.dtype) for one in like.fields})[2]


def _labels(y: Any, signature: Signature) -> Any:
    """Labels in a structure of arrays; a list of anything else is an array, or one for each output."""
    if isinstance(y, (list, tuple)):
        if len(signature.outputs) > 1 and len(y) == len(signature.outputs):
            return [_arrays(one, "label") for one in y]
        if not signature.open and len(signature.outputs) <= 1 and len(y) > 1:
            return _array(y, "label")
    return _arrays(y, "label")


def _arrays(thing: Any, title: str) -> Any:
    """A structure whose lists of numbers are arrays."""
    if isinstance(thing, dict):
        return {key: _arrays(one, title) for key, one in thing.items()}
    if isinstance(thing, (list, tuple)):
        return [_arrays(one, title) for one in thing] if _is_structure(thing) else _array(thing, title)
    return thing


def split(thing: Any, part: float) -> tuple[Any, Any]:
    """Split off the last ``part`` of the rows, as ``keras.Model.fit`` does.

    Example:
        >>> import numpy as np
        >>> from nbkeras.data.arrays import split
        >>> split(np.arange(5), 0.4)
        (array([0, 1, 2]), array([3, 4]))
    """
    if thing is None:
        return None, None
    if isinstance(thing, dict):
        halves = {key: split(value, part) for key, value in thing.items()}
        return {k: v[0] for k, v in halves.items()}, {k: v[1] for k, v in halves.items()}
    if isinstance(thing, (list, tuple)) and _is_structure(thing):
        pairs = [split(value, part) for value in thing]
        return [one for one, _ in pairs], [two for _, two in pairs]
    array = np.asarray(thing)
    cut = math.floor(len(array) * (1.0 - part))
    if not 0 < cut < len(array):
        raise DataError(
            f"validation_split={part} of {len(array)} rows leaves no rows on one side: use another part"
        )
    return array[:cut], array[cut:]


def _inputs(x: Any, signature: Signature) -> list[Any]:
    """An array for each input, from any way in which Keras lets them be given."""
    number = len(signature.inputs)
    if isinstance(x, dict):
        for names in signature.names:
            if set(x) == set(names):
                return [x[name] for name in names]
    if signature.nested is not None:
        import keras

        with contextlib.suppress(TypeError, ValueError):
            keras.tree.assert_same_structure(signature.nested, keras.tree.lists_to_tuples(x))
            return list(keras.tree.flatten(x))
    if isinstance(x, dict):
        keys = ", ".join(map(repr, x))
        raise DataError(f"{signature}, but x has {keys}: use the inputs' names as keys")
    if isinstance(x, (list, tuple)) and all(hasattr(one, "shape") for one in x):
        if len(x) == number:
            return list(x)
        if number > 1:
            raise DataError(f"{signature}, but x is a list of {len(x)} arrays: give {number}")
    if number > 1:
        raise DataError(f"{signature}: give x as a list or dict of {number} arrays")
    return [x]


def _is_structure(x: Any) -> bool:
    """Whether these are arrays in a dict, list or tuple, maybe beside None; lists of numbers are an array."""
    parts = [*x.values()] if isinstance(x, dict) else x if isinstance(x, (list, tuple)) else []
    found = [one for one in parts if one is not None]
    return bool(found) and all(len(getattr(one, "shape", ())) or _is_structure(one) for one in found)


def _fitted(array: Array, one: Input, signature: Signature) -> Array:
    if one.shape is None or array.shape[1:] == one.shape:
        return array
    # Keras adds the last axis of a vector of numbers or of grey pictures, and drops one of 1.
    shape = array.shape[1:]
    if (*shape, 1) == one.shape or shape == (*one.shape, 1):
        return array.reshape(len(array), *one.shape)
    raise DataError(
        f"{signature}, but x has shape {array.shape}, which is rows of shape {shape}: "
        f"reshape x, or give the model keras.Input({shape})"
    )


def _kept(thing: Any, title: str, floatx: str) -> Array:
    """Numbers that Keras takes as they are: whole ones stay whole."""
    array = _array(thing, title)
    return _numbers(array, title, array.dtype.name if array.dtype.kind in "iu" else floatx)


def _numbers(thing: Any, title: str, dtype: str) -> Array:
    array = _array(thing, title)
    if array.dtype.kind not in "iufb":
        raise DataError(f"{title} holds {array.dtype} values, but a model takes numbers: convert them first")
    return np.ascontiguousarray(array, dtype=dtype)


def _words(thing: Any, title: str) -> Array:
    """Words as Python's own, from NumPy's or TensorFlow's.

    Raises:
        DataError: there is something else.
    """
    array = _array(thing, title)
    flat = [one.decode() if isinstance(one, bytes) else one for one in array.reshape(-1).tolist()]
    if strange := [one for one in flat if not isinstance(one, str)]:
        raise DataError(
            f"{title} holds {strange[0]!r}, and the model takes words there: write all values as words, "
            "such as x.astype(str)"
        )
    words = np.empty(len(flat), object)
    words[:] = flat
    return words.reshape(array.shape)


def _array(thing: Any, title: str) -> Array:
    try:
        array = np.asarray(thing)
    except ValueError as error:
        # NumPy's own message about nested lists of several lengths is long and hard to read.
        raise DataError(
            f"{title} is a {type(thing).__name__} whose rows differ in length: cut or pad them"
        ) from error
    if array.ndim == 0:
        raise DataError(f"{title} is {type(thing).__name__}: give an array with one entry per row")
    return array


def _field(name: str, title: str, array: Array) -> tuple[Field, Array]:
    return Field(name, (title,), title, array.dtype.str, array.shape[1:], Raw.name), array


def _require_alike(schema: Schema, like: Schema) -> None:
    """Make sure that validation rows are nested as the training rows.

    Raises:
        DataError: they are not.
    """
    if lacking := [one.title for one in like.fields if one.name not in {own.name for own in schema.fields}]:
        raise DataError(
            f"validation_data has no {lacking[0]}, the training data has: give validation_data=(x, y)"
        )
    for part, title in {"x": "x", "y": "y", "w": "sample_weight"}.items():
        if getattr(schema, part) != getattr(like, part):
            raise DataError(
                f"{title} of validation_data is nested otherwise than {title}: give both the same structure"
            )


def _alike(field: Field, array: Array, like: Schema) -> tuple[Field, Array]:
    known = next((one for one in like.fields if one.name == field.name), None)
    if known is None or known.shape != field.shape:
        trained = "none" if known is None else f"rows of shape {known.shape}"
        raise DataError(
            f"validation_data has {field.title} of rows of shape {field.shape}, the training data {trained}: "
            "give both the same shapes"
        )
    return known, array if known.dtype == WORDS else np.ascontiguousarray(array, dtype=known.dtype)


def _rows(arrays: Sequence[tuple[Field, Array]]) -> int:
    sizes = {field.title: len(array) for field, array in arrays}
    if len(set(sizes.values())) > 1:
        lengths = ", ".join(f"{title} {length}" for title, length in sizes.items())
        raise DataError(f"the arrays differ in length ({lengths}): give each one entry per row")
    rows = next(iter(sizes.values()))
    if not rows:
        shapes = ", ".join(f"{field.title} has shape {array.shape}" for field, array in arrays)
        raise DataError(f"the arrays have no rows ({shapes}): give at least one")
    return rows


def _dataframe(spark: SparkSession, arrays: Sequence[tuple[Field, Array]], rows: int) -> DataFrame:
    widest = max(max(1, array.nbytes // rows) for _, array in arrays)
    step = max(1, _CHUNK // widest)
    starts = range(0, rows, step)
    names = [field.name for field, _ in arrays]
    batches = [
        pa.RecordBatch.from_arrays(
            [
                *[_column(array[start : start + step]) for _, array in arrays],
                pa.array(np.arange(start, min(rows, start + step), dtype=np.int64)),
            ],
            names=[*names, ORDER],
        )
        for start in starts
    ]
    return columnar.created(spark, pa.Table.from_batches(batches))


def _column(array: Array) -> pa.Array:
    if array.dtype != object:
        return _bytes(array)
    words = pa.array(array.reshape(-1).tolist(), pa.string())
    width = math.prod(array.shape[1:])
    if array.ndim == 1 or width == 1:
        return words
    return pa.ListArray.from_arrays(np.arange(len(array) + 1, dtype=np.int32) * width, words)


def _bytes(array: Array) -> pa.Array:
    """View each row of an array as bytes, without a copy."""
    width = array.itemsize * math.prod(array.shape[1:])
    offsets = np.arange(0, width * len(array) + 1, max(width, 1), dtype=np.int32)
    return pa.Array.from_buffers(pa.binary(), len(array), [None, pa.py_buffer(offsets), pa.py_buffer(array)])
