"""Archives: a checkpoint as the bytes of a file.

It is NumPy's ``.npz`` without pickles: the variables' bytes, the arrays of the workers' callbacks, and a
JSON text for the rest, which is held against a shape when it is read: anybody may have written it.
"""

from __future__ import annotations

import importlib
import io
import json
import math
import struct
from contextlib import suppress
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt

from nbkeras.job import shapes
from nbkeras.job.checkpoint import Checkpoint, Origin
from nbkeras.model import values

#: What the files hold; another number is of another version of nbkeras.
_FORMAT = 1
#: Length of the JSON in front of values.
_LENGTH = struct.Struct(">Q")


def dumps(one: Checkpoint) -> bytes:
    """A checkpoint as the bytes of its file.

    Example:
        >>> from nbkeras.job.archive import dumps, loads
        >>> from nbkeras.job.checkpoint import Checkpoint, Origin
        >>> origin = Origin(seed=1, ordered=False, batch_size=32, workers=2, rows=9, checksum=5)
        >>> loads(dumps(Checkpoint(origin, [(0, {"loss": 0.5})], False, [], [], b"", []))).epoch
        0
    """
    buffer = io.BytesIO()
    np.savez(buffer, **entries(one))  # type: ignore[arg-type]  # as in write
    return buffer.getvalue()


def loads(data: bytes) -> Checkpoint:
    """What :func:`dumps` wrote."""
    return checkpoint(np.load(io.BytesIO(data), allow_pickle=False))


def entries(one: Checkpoint) -> dict[str, npt.NDArray[Any]]:
    """The entries of a file. Arrays are held as bytes: NumPy's format knows no bfloat16."""
    made = {"variables": np.frombuffer(one.variables, np.uint8)}
    rest = {
        "format": _FORMAT,
        "origin": vars(one.origin),
        "epochs": one.epochs,
        "ended": one.ended,
        "layout": one.layout,
        "optimizers": one.optimizers,
        "deciders": _described(one.callbacks, made),
        "about": one.about,
        "training": one.training,
        "generator": one.generator,
    }
    made["json"] = np.frombuffer(json.dumps(rest).encode(), np.uint8)
    return made


def dump_values(values: list[dict[str, Any]]) -> bytes:
    """Values by their names as bytes, as a checkpoint holds what callbacks have changed.

    Raises:
        TypeError: a value is not what :func:`nbkeras.model.values.packed` takes.

    Example:
        >>> from nbkeras.job.archive import dump_values, load_values
        >>> load_values(dump_values([{"best": 0.5, "seen": {1: (2, 3)}}]))
        [{'best': 0.5, 'seen': {1: (2, 3)}}]
    """
    made: dict[str, npt.NDArray[Any]] = {}
    described = _described(values, made)
    header = json.dumps([described, {name: one.size for name, one in made.items()}]).encode()
    return b"".join([_LENGTH.pack(len(header)), header, *(one.data for one in made.values())])


def load_values(data: bytes) -> list[dict[str, Any]]:
    """What :func:`dump_values` wrote."""
    (length,) = _LENGTH.unpack_from(data)
    start = _LENGTH.size + length
    described, sizes = json.loads(data[_LENGTH.size : start])
    entries = {}
    for name, size in sizes.items():
        entries[name] = np.frombuffer(data, np.uint8, size, start)
        start += size
    return _callbacks(described, entries)


def _described(callbacks: list[dict[str, Any]], made: dict[str, npt.NDArray[Any]]) -> list[Any]:
    """What callbacks have changed as JSON, with the types of the arrays, which become entries."""
    described = []
    for number, changed in enumerate(callbacks):
        plain, types = {}, {}
        for name, value in changed.items():
            arrays: values.Arrays = []
            plain[name] = values.packed(value, arrays)
            types[name] = [[_name(array.dtype), list(array.shape)] for array in arrays]
            for index, array in enumerate(arrays):
                content = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
                made[f"decider{number}.{name}.{index}"] = content
        described.append([plain, types])
    return described


def _callbacks(described: list[Any], entries: Any) -> list[dict[str, Any]]:
    """What callbacks have changed, from its JSON and the entries."""
    callbacks = []
    for number, (plain, types) in enumerate(described):
        arrays = {
            name: [
                np.frombuffer(entries[f"decider{number}.{name}.{index}"], _dtype(dtype)).reshape(shape).copy()
                for index, (dtype, shape) in enumerate(each)
            ]
            for name, each in types.items()
        }
        # An older version wrote lists of arrays without their place.
        lists = {name: each for name, each in arrays.items() if name not in plain}
        known = {name: values.unpacked(value, arrays.get(name, [])) for name, value in plain.items()}
        callbacks.append(known | lists)
    return callbacks


_COUNT = shapes.whole(0)
#: A chart counts up to the last one.
_EPOCH = shapes.whole(0, 10_000_000)
#: Seconds since 1970, up to the year 9999.
_TIME = shapes.within(0, 253_402_300_799)
_TYPE = shapes.several(shapes.text, shapes.items(_COUNT))
_PLAIN = shapes.either(shapes.number, shapes.flag, shapes.text, shapes.none)
#: What the JSON of a file must look like.
_REST = shapes.record(
    origin=shapes.record(
        seed=shapes.either(shapes.none, shapes.whole()),
        ordered=shapes.flag,
        batch_size=shapes.whole(1),
        workers=shapes.whole(1, 1_000_000),
        rows=_COUNT,
        checksum=shapes.whole(),
    ),
    epochs=shapes.items(shapes.several(_EPOCH, shapes.mapping(shapes.nested(_PLAIN)))),
    ended=shapes.flag,
    layout=shapes.items(_TYPE),
    optimizers=shapes.items(shapes.either(shapes.none, shapes.items(_COUNT))),
    deciders=shapes.items(
        shapes.several(
            shapes.mapping(shapes.tree(_PLAIN)),
            shapes.mapping(shapes.items(_TYPE)),
        )
    ),
)
_WORD = shapes.whole(0, 2**32 - 1)
_GENERATOR = shapes.either(shapes.none, shapes.several(_WORD, _WORD))
_SCHEMA = shapes.record(
    fields=shapes.items(
        shapes.record(
            name=shapes.text,
            sources=shapes.items(shapes.text),
            title=shapes.text,
            dtype=shapes.either(shapes.none, shapes.text),
            shape=shapes.either(shapes.none, shapes.items(_COUNT)),
            kind=shapes.text,
        )
    ),
    x=shapes.either(shapes.none, shapes.tree(shapes.text)),
    y=shapes.either(shapes.none, shapes.tree(shapes.text)),
)
_ABOUT = shapes.partial(
    settings=shapes.partial(
        epochs=shapes.whole(1, 10_000_000),
        batch_size=shapes.whole(1),
        workers=shapes.whole(1, 1_000_000),
        learning_rate=shapes.either(shapes.number, shapes.text, shapes.none),
    ),
    layers=shapes.either(shapes.none, shapes.items(shapes.several(shapes.text, shapes.tree(_PLAIN)))),
    code=shapes.either(shapes.none, shapes.text),
    schema=shapes.either(shapes.none, _SCHEMA),
    began=_TIME,
    saved=_TIME,
    stream=shapes.record(
        query=shapes.text,
        batch=_COUNT,
        learned=shapes.items(shapes.either(shapes.none, shapes.mapping(shapes.nested(_PLAIN)))),
    ),
    weights=shapes.items(_COUNT),
)


def checkpoint(entries: Any) -> Checkpoint:
    """What a file holds, which anybody may have written.

    Raises:
        ValueError: it is no checkpoint, or one of another version. What is not even a file of NumPy's raises
            whatever NumPy, ``zipfile`` and ``zlib`` raise.
    """
    rest = json.loads(entries["json"].tobytes())
    if not isinstance(rest, dict) or rest.get("format") != _FORMAT:
        found = rest.get("format") if isinstance(rest, dict) else None
        raise ValueError(f"format {found}, this version of nbkeras reads {_FORMAT}")
    about, training, generator = rest.get("about", {}), rest.get("training", ""), rest.get("generator")
    numbers = [epoch for epoch, _ in rest["epochs"]] if _REST(rest) else []
    if (
        not numbers
        or numbers != list(range(numbers[0], numbers[-1] + 1))
        or not _ABOUT(about)
        or not shapes.text(training)
        or not _GENERATOR(generator)
    ):
        raise ValueError("it does not hold what a checkpoint holds")
    for _, logs in rest["epochs"]:
        for value in logs.values():
            np.asarray(value)  # lists of several lengths are no array
    places = [*about.get("weights", []), *(place for one in rest["optimizers"] for place in one or [])]
    if places and max(places) >= len(rest["layout"]):
        raise ValueError("it names variables that it does not hold")
    variables = entries["variables"].tobytes()
    layout = [(dtype, tuple(shape)) for dtype, shape in rest["layout"]]
    size = sum(_dtype(dtype).itemsize * math.prod(shape) for dtype, shape in layout)
    if size != len(variables):
        raise ValueError(f"its variables have {len(variables)} bytes, not {size}")
    return Checkpoint(
        origin=Origin(**{one.name: rest["origin"][one.name] for one in fields(Origin)}),
        epochs=[(epoch, logs) for epoch, logs in rest["epochs"]],
        ended=rest["ended"],
        layout=layout,
        optimizers=rest["optimizers"],
        variables=variables,
        callbacks=_callbacks(rest["deciders"], entries),
        about=about,
        training=training,
        generator=generator,
    )


def _name(dtype: np.dtype[Any]) -> str:
    """The name of a type; NumPy's name of a text has a length in bits that it does not read itself."""
    return dtype.str if dtype.kind in "SU" else dtype.name


def _dtype(name: str) -> np.dtype[Any]:
    """A type by its name, also one of those that came after NumPy, such as bfloat16."""
    with suppress(TypeError):
        return np.dtype(name)
    later: np.dtype[Any] = np.dtype(getattr(importlib.import_module("ml_dtypes"), name))
    return later
