"""Values: what a callback has found out, as JSON and arrays, without pickles.

Numbers, words and lists are themselves in JSON. Every other container is an object with
one name, which says what it is; arrays lie beside the JSON, which holds their places.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

Arrays = list[npt.NDArray[Any]]
_PLAIN = (bool, int, float, str, type(None))
_SEVERAL: dict[str, Any] = {"tuple": tuple, "set": set, "deque": deque}


def packed(value: Any, arrays: Arrays) -> Any:
    """Return a value as JSON.

    Args:
        value: numbers, words, arrays and containers of them.
        arrays: takes the arrays in it.

    Raises:
        TypeError: it is, or holds, something else.

    Example:
        >>> from nbkeras.model.values import packed, unpacked
        >>> arrays = []
        >>> packed({1: (0.5, None)}, arrays)
        {'dict': [[1, {'tuple': [0.5, None]}]]}
        >>> unpacked(packed({1: (0.5, None)}, arrays), arrays)
        {1: (0.5, None)}
    """
    if isinstance(value, np.generic) and not isinstance(value, (np.void, np.object_)):
        value = value.item()
    if type(value) in _PLAIN:
        return value
    if isinstance(value, dict):
        return {"dict": [[packed(key, arrays), packed(one, arrays)] for key, one in value.items()]}
    if isinstance(value, list):
        return [packed(one, arrays) for one in value]
    for name, kind in _SEVERAL.items():
        if isinstance(value, kind):
            return {name: [packed(one, arrays) for one in value]}
    if hasattr(value, "dtype") and hasattr(value, "__array__"):
        array = np.asarray(value)
        if array.dtype.hasobject or array.dtype.names:
            raise TypeError("an array of objects")
        arrays.append(array)
        return {"array": len(arrays) - 1}
    raise TypeError(f"a {type(value).__name__}")


def unpacked(content: Any, arrays: Arrays) -> Any:
    """Return the value that :func:`packed` was given, from its JSON and its arrays.

    Raises:
        ValueError: it is not what that function returns.
    """
    if isinstance(content, list):
        return [unpacked(one, arrays) for one in content]
    if not isinstance(content, dict):
        return content
    try:
        ((name, within),) = content.items()
        if name == "array":
            return arrays[within]
        if name == "dict":
            return {unpacked(key, arrays): unpacked(one, arrays) for key, one in within}
        return _SEVERAL[name](unpacked(one, arrays) for one in within)
    except (TypeError, LookupError) as error:
        raise ValueError("it holds a value that no callback has") from error
