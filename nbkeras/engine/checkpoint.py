"""Checkpoints: all that a training needs to go on, in one file per epoch.

A file is NumPy's ``.npz`` without pickles: the variables' bytes, the arrays that
deciding callbacks keep, and a JSON text for the rest. It is written under
another name and renamed when it is whole, so a reader finds the old one or the
new one and never a part. The two newest stay: the older one is for the case that
the newer cannot be read.
"""

from __future__ import annotations

import importlib
import io
import itertools
import json
import operator
import re
import secrets
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from nbkeras import settings
from nbkeras.errors import DataError, ModelError, OptionError, one_line
from nbkeras.plan import Plan

_NAME = re.compile(r"epoch-(\d+)\.npz")
_PART = re.compile(r"epoch-\d+\.npz\.[0-9a-f]+\.part")
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
        optimizers: which variables they were built for, from :func:`nbkeras.engine.training.state.built`.
        variables: their values, from :func:`nbkeras.engine.training.state.pack`.
        deciders: what each deciding callback knows: plain attributes, and lists of arrays.
        about: what it tells of its run, which nothing needs to go on: ``settings``, ``code``, ``began``,
            and from the worker ``saved`` and ``weights``, the places of the model's weights among the
            variables. Empty where an older version wrote it.
    """

    origin: Origin
    epochs: list[tuple[int, dict[str, Any]]]
    ended: bool
    layout: list[tuple[str, tuple[int, ...]]]
    optimizers: list[list[int] | None]
    variables: bytes = field(repr=False)
    deciders: list[tuple[dict[str, Any], dict[str, list[npt.NDArray[Any]]]]] = field(repr=False)
    about: dict[str, Any] = field(default_factory=dict, repr=False)

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
        from nbkeras.engine.training import state

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
        from nbkeras.engine.training import state  # Keras, which Spark's own Python workers do without

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
        >>> from nbkeras.engine.checkpoint import Store
        >>> print(Store(tempfile.mkdtemp()).latest())
        None
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._files, self._folder = _opened(uri)

    def require_writable(self, who: str) -> None:
        """Write and delete a file as small as can be: an epoch must not be lost to a place that takes none.

        Args:
            who: writes here, as an error names it.

        Raises:
            OptionError: it cannot.
        """
        # Named as a part: where it cannot be deleted now, the next write sweeps it away.
        part = f"{self._folder}/epoch-000000.npz.{secrets.token_hex(4)}.part"
        try:
            self._files.create_dir(self._folder, recursive=True)
            with self._files.open_output_stream(part) as stream:
                stream.write(b"0")  # Some file systems create no file for no bytes.
            self._files.delete_file(part)
        except Exception as error:  # each package of fsspec has errors of its own
            raise OptionError(
                f"checkpoint={self.uri!r}: {who} cannot write there ({one_line(error)}): name a folder, or a "
                "URI such as s3://bucket/folder, that it may write to"
            ) from error

    def write(self, one: Checkpoint) -> None:
        """Put a checkpoint beside the last one, and take older ones and torn parts away."""
        self._files.create_dir(self._folder, recursive=True)
        older = self._names()
        for part in self._listed(_PART):
            self._files.delete_file(f"{self._folder}/{part}")
        name = f"{self._folder}/epoch-{one.epoch + 1:06d}.npz"
        part = f"{name}.{secrets.token_hex(4)}.part"
        with self._files.open_output_stream(part) as stream:
            np.savez(stream, **_arrays(one))  # type: ignore[arg-type]  # no entry is named allow_pickle
        self._files.move(part, name)
        kept = sorted({*older, Path(name).name})[-_KEPT:]
        for old in set(older) - set(kept):
            self._files.delete_file(f"{self._folder}/{old}")

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint that can be read, None where there is none.

        Raises:
            OptionError: it is no folder, or there are files in it and none can be read.
        """
        try:
            names = self._names()
        except Exception as error:  # each package of fsspec has errors of its own
            raise OptionError(
                f"checkpoint={self.uri!r} is no folder that can be looked into from here "
                f"({one_line(error)}): name a folder, also one that is not there yet"
            ) from error
        wrong: Exception | None = None
        for name in reversed(names):
            try:
                with self._files.open_input_file(f"{self._folder}/{name}") as file:
                    return _checkpoint(np.load(file, allow_pickle=False))
            except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
                wrong = wrong or error
        if wrong is not None:
            raise OptionError(
                f"no checkpoint in {self.uri} can be read ({one_line(wrong)}): name another place"
            ) from wrong
        return None

    def _names(self) -> list[str]:
        return self._listed(_NAME)

    def _listed(self, pattern: re.Pattern[str]) -> list[str]:
        """Names in the folder, in the order of the epochs."""
        from pyarrow.fs import FileSelector

        found = self._files.get_file_info(FileSelector(self._folder, allow_not_found=True))
        return sorted(info.base_name for info in found if pattern.fullmatch(info.base_name))


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
        >>> from nbkeras.engine.checkpoint import Checkpoint, Origin, dumps, loads
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
        >>> from nbkeras.engine.checkpoint import absolute
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
    }
    entries["json"] = np.frombuffer(json.dumps(rest).encode(), np.uint8)
    return entries


def _checkpoint(entries: Any) -> Checkpoint:
    rest = json.loads(entries["json"].tobytes())
    if rest["format"] != _FORMAT:
        raise ValueError(f"format {rest['format']}, this version of nbkeras reads {_FORMAT}")
    deciders = []
    for number, (plain, shapes) in enumerate(rest["deciders"]):
        lists = {
            name: [
                np.frombuffer(entries[f"decider{number}.{name}.{index}"].tobytes(), dtype).reshape(shape)
                for index, (dtype, shape) in enumerate(described)
            ]
            for name, described in shapes.items()
        }
        deciders.append((plain, lists))
    return Checkpoint(
        origin=Origin(**rest["origin"]),
        epochs=[(int(epoch), logs) for epoch, logs in rest["epochs"]],
        ended=bool(rest["ended"]),
        layout=[(dtype, tuple(shape)) for dtype, shape in rest["layout"]],
        optimizers=rest["optimizers"],
        variables=entries["variables"].tobytes(),
        deciders=deciders,
        about=rest.get("about", {}),
    )
