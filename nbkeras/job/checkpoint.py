"""Checkpoints: all that a training needs to go on, in one file per epoch.

A file is NumPy's ``.npz`` without pickles: the variables' bytes, the arrays that
deciding callbacks keep, and a JSON text for the rest. It is written under
another name and renamed when it is whole, so a reader finds the old one or the
new one and never a part. The two newest stay: the older one is for the case that
the newer cannot be read.

A file's name tells its training, which keeps its files apart from those of
another one: of what lies in a folder a training takes, replaces and deletes
only its own. Two processes may write for one training, when a worker that was
given up is still at work.
"""

from __future__ import annotations

import importlib
import io
import itertools
import json
import math
import operator
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from nbkeras.errors import ClusterError, DataError, ModelError, OptionError, one_line
from nbkeras.job import shapes
from nbkeras.model import settings
from nbkeras.plan import Plan

_NAME = re.compile(r"epoch-(?P<epoch>\d+)(-(?P<training>[0-9a-f]+))?\.npz")
_PART = re.compile(_NAME.pattern + r"\.[0-9a-f]+\.part")
#: Files that stay.
_KEPT = 2
#: What the files hold; another number is of another version of nbkeras.
_FORMAT = 1


@dataclass(frozen=True)
class Origin:
    """What a training that goes on must share with the one that it goes on from.

    Attributes:
        seed: of the order of rows; None keeps the order.
        ordered: whether row i lies on worker i modulo workers.
        batch_size: rows of a global batch.
        workers: how many there were.
        rows: training and validation rows.
        checksum: of all rows, whatever their order and place.
    """

    seed: int | None
    ordered: bool
    batch_size: int
    workers: int
    rows: int
    checksum: int

    @classmethod
    def of(cls, plan: Plan, rows: int, checksum: int) -> Self:
        """The origin of a training by its plan and the rows that have arrived."""
        return cls(plan.seed, plan.ordered, plan.batch_size or 32, plan.workers, rows, checksum)

    def require_same(self, plan: Plan) -> None:
        """Make sure that a plan trains on the same batches.

        Raises:
            OptionError: an option differs.
        """
        for name, before, now in (
            ("batch_size", self.batch_size, plan.batch_size or 32),
            ("shuffle", self.seed is not None, plan.seed is not None),
            ("seed", self.seed, plan.seed),
        ):
            if before != now:
                raise _another(name, before, now, plan)

    def require_same_rows(self, rows: int, checksum: int) -> None:
        """Make sure that the rows are still the same.

        Raises:
            DataError: they are others.
        """
        if (rows, checksum) != (self.rows, self.checksum):
            what = f"{rows} rows, not {self.rows}" if rows != self.rows else "other values in its rows"
            raise DataError(
                f"the DataFrame has {what}, since the training began: it can go on with the same rows only "
                "(write the DataFrame to a file if it is computed anew each time)"
            )


@dataclass(frozen=True)
class Checkpoint:
    """A training at the end of an epoch.

    Attributes:
        origin: what it was trained with.
        epochs: (epoch from 0, logs) of all epochs so far.
        ended: whether a callback had decided that this is the last epoch.
        layout: (type, shape) of each variable.
        optimizers: which variables they were built for, from :func:`nbkeras.model.state.built`.
        variables: their values, from :func:`nbkeras.model.state.pack`.
        deciders: what each deciding callback knows: plain attributes, and lists of arrays.
        about: what it tells of its run, which nothing needs to go on: ``settings``, ``code``, ``began``,
            and from the worker ``saved`` and ``weights``, the places of the model's weights among the
            variables. Empty where an older version wrote it.
        training: whose checkpoint it is, kept by a training that goes on; in hexadecimal digits, empty where
            an older version wrote it.
    """

    origin: Origin
    epochs: list[tuple[int, dict[str, Any]]]
    ended: bool
    layout: list[tuple[str, tuple[int, ...]]]
    optimizers: list[list[int] | None]
    variables: bytes = field(repr=False)
    deciders: list[tuple[dict[str, Any], dict[str, list[npt.NDArray[Any]]]]] = field(repr=False)
    about: dict[str, Any] = field(default_factory=dict, repr=False)
    training: str = ""

    @property
    def epoch(self) -> int:
        """The last epoch, from 0."""
        return self.epochs[-1][0]

    @property
    def chosen(self) -> dict[str, Any]:
        """The settings of its run; empty where an older version wrote it."""
        chosen: dict[str, Any] = self.about.get("settings", {})
        return chosen

    def require_same_compiled(self, plan: Plan) -> None:
        """Make sure that a plan has the same optimizer and loss: a history of two losses would say nothing.

        Raises:
            OptionError: it has another.
        """
        before, now = self.chosen, plan.about.get("settings", {})
        for name, same in (("optimizer", operator.eq), ("loss", settings.same_loss)):
            if name not in before or name not in now:
                continue  # An older version wrote it.
            if not same(before[name], now[name]):
                raise _another(name, repr(before[name]), repr(now[name]), plan)

    def require_same_model(self, model: Any, deciders: int) -> None:
        """Make sure that it is of such a model, with so many deciding callbacks.

        An optimizer that is not built yet takes whatever it will need.

        Raises:
            ModelError: the variables differ.
            OptionError: the number of callbacks does.
        """
        from nbkeras.model import state

        if len(self.optimizers) != len(state.optimizers(model)):
            raise ModelError(
                f"the checkpoint is of a model with {len(self.optimizers)} optimizers, this one has "
                f"{len(state.optimizers(model))}: build and compile the same model"
            )
        waiting = not all(one.built for one in state.optimizers(model))
        layout = state.layout(state.own(model) if waiting else state.variables(model))
        there = self.layout[: len(layout)] if waiting else self.layout
        for index, (before, now) in enumerate(itertools.zip_longest(there, layout)):
            if before != now:
                raise ModelError(
                    f"the checkpoint is of another model: variable {index} of weights and optimizer is "
                    f"{_described(before)} there and {_described(now)} here; build and compile the same model"
                )
        if len(self.deciders) != deciders:
            raise OptionError(
                f"the checkpoint was made with {len(self.deciders)} callbacks such as EarlyStopping, "
                f"now there are {deciders}: give the same"
            )

    def restore(self, model: Any) -> None:
        """Give a model what its variables held."""
        from nbkeras.model import state  # Keras, which Spark's own Python workers do without

        state.build(model, self.optimizers)
        state.assign(state.variables(model), self.variables)

    def next_epoch(self, epochs: int) -> int:
        """The epoch to go on with, from 0; ``epochs`` where none is left."""
        return epochs if self.ended else min(self.epoch + 1, epochs)


class Store:
    """The folder of one training's checkpoints, on any file system that PyArrow or fsspec opens.

    Args:
        uri: a path, or a URI such as ``s3://bucket/folder`` or ``hdfs://host/folder``.

    Raises:
        OptionError: no library opens it.

    Example:
        >>> import tempfile
        >>> from nbkeras.job.checkpoint import Store
        >>> print(Store(tempfile.mkdtemp()).latest())
        None
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._files, self._folder = _opened(uri)

    def require_writable(self, who: str, training: str = "") -> None:
        """Write and delete a file as small as can be: an epoch must not be lost to a place that takes none.

        Args:
            who: writes here, as an error names it.
            training: whose checkpoints are to lie here.

        Raises:
            OptionError: it cannot, or another training keeps its checkpoints here.
        """
        # Named as a part: where it cannot be deleted now, the next write sweeps it away.
        part = f"{self._folder}/{_name(0, training)}.{secrets.token_hex(4)}.part"
        try:
            self._files.create_dir(self._folder, recursive=True)
            with self._files.open_output_stream(part) as stream:
                stream.write(b"0")  # Some file systems create no file for no bytes.
            self._files.delete_file(part)
            self._require_own(training)
        except OptionError:
            raise
        except Exception as error:  # each package of fsspec has errors of its own
            raise OptionError(
                f"checkpoint={self.uri!r}: {who} cannot write there ({one_line(error)}): name a folder, or a "
                "URI such as s3://bucket/folder, that it may write to"
            ) from error

    def write(self, one: Checkpoint) -> None:
        """Put a checkpoint beside the last one, and take older ones and torn parts away.

        Raises:
            ClusterError: it cannot be written, and no part of it stays.
            OptionError: another training keeps its checkpoints here.
        """
        name = _name(one.epoch + 1, one.training)
        part = f"{self._folder}/{name}.{secrets.token_hex(4)}.part"
        try:
            self._files.create_dir(self._folder, recursive=True)
            older = self._require_own(one.training)
            self._sweep(one)
            with self._files.open_output_stream(part) as stream:
                np.savez(stream, **_arrays(one))  # type: ignore[arg-type]  # no entry is named allow_pickle
            with suppress(FileNotFoundError):  # swept away by who writes a later epoch
                self._files.move(part, f"{self._folder}/{name}")
            for old in sorted({*older, name})[:-_KEPT]:
                self._delete(old)
        except OptionError:
            raise
        except Exception as error:  # each package of fsspec has errors of its own
            self._delete(Path(part).name)
            raise ClusterError(
                f"epoch {one.epoch + 1} cannot be kept in checkpoint={self.uri!r} ({one_line(error)})"
            ) from error

    def latest(self, training: str | None = None) -> Checkpoint | None:
        """The newest checkpoint that can be read, None where there is none.

        Args:
            training: whose; None for that of the one training which has some here.

        Raises:
            OptionError: it is no folder; or there are files in it, and none can be read, or they are of
                several trainings.
        """
        try:
            names = self._names()
        except Exception as error:  # each package of fsspec has errors of its own
            raise OptionError(
                f"checkpoint={self.uri!r} is no folder that can be looked into from here "
                f"({one_line(error)}): name a folder, also one that is not there yet"
            ) from error
        if training is None and len(several := {_training(name) for name in names}) > 1:
            raise OptionError(
                f"{self.uri} holds checkpoints of {len(several)} trainings, told apart by the end of their "
                "names: move those of one into a folder of their own, and name that"
            )
        wrong: Exception | None = None
        for name in reversed(names):
            if training not in (None, _training(name)):
                continue
            try:
                with self._files.open_input_file(f"{self._folder}/{name}") as file:
                    return _checkpoint(np.load(file, allow_pickle=False))
            except Exception as error:  # noqa: BLE001  # of a file that anybody may have written
                wrong = wrong or error
        if wrong is not None:
            raise OptionError(
                f"no checkpoint in {self.uri} can be read ({one_line(wrong)}): name another place"
            ) from wrong
        return None

    def _require_own(self, training: str) -> list[str]:
        """The names of a training's checkpoints.

        Raises:
            OptionError: there are none, but some of another training.
        """
        names = self._names()
        own = [name for name in names if _training(name) == training]
        if names and not own:
            raise OptionError(
                f"checkpoint={self.uri!r} is in use by another training, which has put {names[-1]} there: "
                "name another place"
            )
        return own

    def _sweep(self, one: Checkpoint) -> None:
        """Take away the parts of this epoch and of earlier ones, whose writers are gone or late."""
        for name in self._listed(_PART):
            found = _PART.fullmatch(name)
            assert found is not None
            if (found["training"] or "") == one.training and int(found["epoch"]) <= one.epoch + 1:
                self._delete(name)

    def _delete(self, name: str) -> None:
        # Somebody else may have deleted it; and where nothing can be deleted, nothing is lost by that.
        with suppress(Exception):
            self._files.delete_file(f"{self._folder}/{name}")

    def _names(self) -> list[str]:
        return self._listed(_NAME)

    def _listed(self, pattern: re.Pattern[str]) -> list[str]:
        """Names in the folder, in the order of the epochs."""
        from pyarrow.fs import FileSelector

        found = self._files.get_file_info(FileSelector(self._folder, allow_not_found=True))
        return sorted(info.base_name for info in found if pattern.fullmatch(info.base_name))


def _name(epoch: int, training: str) -> str:
    return f"epoch-{epoch:06d}-{training}.npz" if training else f"epoch-{epoch:06d}.npz"


def _training(name: str) -> str:
    found = _NAME.fullmatch(name)
    assert found is not None
    return found["training"] or ""


def _another(name: str, before: Any, now: Any, plan: Plan) -> OptionError:
    return OptionError(
        f"{name}={now} now, {name}={before} in the checkpoint in {plan.checkpoint}: "
        "give the same to go on from it, or another place for a new training"
    )


def _described(variable: tuple[str, tuple[int, ...]] | None) -> str:
    return "missing" if variable is None else f"{variable[0]} {variable[1]}"


def dumps(one: Checkpoint) -> bytes:
    """A checkpoint as the bytes of its file.

    Example:
        >>> from nbkeras.job.checkpoint import Checkpoint, Origin, dumps, loads
        >>> origin = Origin(seed=1, ordered=False, batch_size=32, workers=2, rows=9, checksum=5)
        >>> loads(dumps(Checkpoint(origin, [(0, {"loss": 0.5})], False, [], [], b"", []))).epoch
        0
    """
    buffer = io.BytesIO()
    np.savez(buffer, **_arrays(one))  # type: ignore[arg-type]  # as in write
    return buffer.getvalue()


def loads(data: bytes) -> Checkpoint:
    """What :func:`dumps` wrote."""
    return _checkpoint(np.load(io.BytesIO(data), allow_pickle=False))


def absolute(uri: str) -> str:
    """A relative path made absolute, since workers run elsewhere; a URI as it is.

    Raises:
        OptionError: it is empty, which would be the notebook's own folder.

    Example:
        >>> from nbkeras.job.checkpoint import absolute
        >>> absolute("s3://bucket/run")
        's3://bucket/run'
    """
    if not uri.strip():
        raise OptionError(f"checkpoint={uri!r} names no place: give a folder, such as checkpoints/first")
    return uri if "://" in uri else str(Path(uri).expanduser().absolute())


def _opened(uri: str) -> tuple[Any, str]:
    """A file system and the path in it."""
    from pyarrow import fs

    if "://" not in uri:
        return fs.LocalFileSystem(), absolute(uri)
    try:
        files, path = fs.FileSystem.from_uri(uri)
    except (ValueError, OSError) as error:
        try:
            opened, path = importlib.import_module("fsspec").core.url_to_fs(uri)
        except Exception as other:
            raise OptionError(
                f"checkpoint={uri!r}: PyArrow cannot open it ({one_line(error)}), nor can fsspec "
                f"({one_line(other)}): give a path, or pip install fsspec and its package for such a URI"
            ) from other
        files = fs.PyFileSystem(fs.FSSpecHandler(opened))
    return files, path.rstrip("/")


def _arrays(one: Checkpoint) -> dict[str, npt.NDArray[Any]]:
    """The entries of a file. Arrays are held as bytes: NumPy's format knows no bfloat16."""
    entries = {"variables": np.frombuffer(one.variables, np.uint8)}
    deciders = []
    for number, (plain, lists) in enumerate(one.deciders):
        shapes = {}
        for name, arrays in lists.items():
            shapes[name] = [[array.dtype.name, list(array.shape)] for array in arrays]
            for index, array in enumerate(arrays):
                content = np.ascontiguousarray(array).tobytes()
                entries[f"decider{number}.{name}.{index}"] = np.frombuffer(content, np.uint8)
        deciders.append([plain, shapes])
    rest = {
        "format": _FORMAT,
        "origin": vars(one.origin),
        "epochs": one.epochs,
        "ended": one.ended,
        "layout": one.layout,
        "optimizers": one.optimizers,
        "deciders": deciders,
        "about": one.about,
        "training": one.training,
    }
    entries["json"] = np.frombuffer(json.dumps(rest).encode(), np.uint8)
    return entries


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
            shapes.mapping(_PLAIN),
            shapes.mapping(shapes.items(_TYPE)),
        )
    ),
)
_ABOUT = shapes.partial(
    settings=shapes.partial(
        epochs=shapes.whole(1, 10_000_000),
        batch_size=shapes.whole(1),
        workers=shapes.whole(1, 1_000_000),
        learning_rate=shapes.either(shapes.number, shapes.text, shapes.none),
    ),
    code=shapes.either(shapes.none, shapes.text),
    began=_TIME,
    saved=_TIME,
    weights=shapes.items(_COUNT),
)


def _checkpoint(entries: Any) -> Checkpoint:
    """What a file holds, which anybody may have written.

    Raises:
        ValueError: it is no checkpoint, or one of another version. What is not even a file of NumPy's raises
            whatever NumPy, ``zipfile`` and ``zlib`` raise.
    """
    rest = json.loads(entries["json"].tobytes())
    if not isinstance(rest, dict) or rest.get("format") != _FORMAT:
        found = rest.get("format") if isinstance(rest, dict) else None
        raise ValueError(f"format {found}, this version of nbkeras reads {_FORMAT}")
    about, training = rest.get("about", {}), rest.get("training", "")
    numbers = [epoch for epoch, _ in rest["epochs"]] if _REST(rest) else []
    if (
        not numbers
        or numbers != list(range(numbers[0], numbers[-1] + 1))
        or not _ABOUT(about)
        or not shapes.text(training)
    ):
        raise ValueError("it does not hold what a checkpoint holds")
    for _, logs in rest["epochs"]:
        for value in logs.values():
            np.asarray(value)  # lists of several lengths are no array
    places = [*about.get("weights", []), *(place for one in rest["optimizers"] for place in one or [])]
    if places and max(places) >= len(rest["layout"]):
        raise ValueError("it names variables that it does not hold")
    deciders = []
    for number, (plain, described) in enumerate(rest["deciders"]):
        lists = {
            name: [
                np.frombuffer(entries[f"decider{number}.{name}.{index}"], _dtype(dtype)).reshape(shape)
                for index, (dtype, shape) in enumerate(each)
            ]
            for name, each in described.items()
        }
        deciders.append((plain, lists))
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
        deciders=deciders,
        about=about,
        training=training,
    )


def _dtype(name: str) -> np.dtype[Any]:
    """A type by its name, also one of those that came after NumPy, such as bfloat16."""
    with suppress(TypeError):
        return np.dtype(name)
    later: np.dtype[Any] = np.dtype(getattr(importlib.import_module("ml_dtypes"), name))
    return later
