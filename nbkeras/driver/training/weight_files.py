"""Kept weights: those that each run has ended with, on disk as long as the run and this process live.

Each run's lie in a file without a name, which only this process can open: whatever ends
it, nothing stays behind. Where Spark is told to encrypt what it writes to disks, the file
lies in memory. Of many runs the newest keep theirs.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import tempfile
import threading
import weakref
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from nbkeras.errors import ClusterError, ModelError
from nbkeras.job.checkpoint import Checkpoint
from nbkeras.run.run import Run
from nbkeras.worker.files import unnamed

Layout = list[tuple[str, tuple[int, ...]]]

#: Of the room that is free, what one run's weights may take.
_SHARE = 0.5
#: Runs that keep their weights: each takes a file, of which a process has some thousand.
MOST = 100
_MB = 1e6


@dataclass(frozen=True)
class Kept:
    """The weights of one run.

    Attributes:
        file: that holds them, one after the other; it is closed with this.
        layout: (type, shape) of each.
        whole: whether the layout is that of ``model.weights``; else these are all variables of a
            checkpoint that an older version wrote, seeds and optimizers among them.
    """

    file: IO[bytes]
    layout: Layout
    whole: bool = True

    def __post_init__(self) -> None:
        weakref.finalize(self, self.file.close)

    def load(self, model: Any) -> None:
        """Put them into a model.

        Raises:
            ModelError: it has weights of other shapes; none is changed then.
        """
        from nbkeras.model import state

        if not getattr(model, "built", False):
            raise ModelError("the model is not built yet: give it a keras.Input, or call it on one batch")
        weights = model.weights
        these = weights if self.whole else state.own(model)
        _require_same(self.layout if self.whole else self.layout[: len(these)], these)
        wanted, offset = {id(one) for one in weights}, 0
        for one, (dtype, shape) in zip(these, self.layout, strict=False):
            count = _bytes(dtype, shape)
            if id(one) in wanted:
                array = np.frombuffer(self._read(offset, count), dtype).reshape(shape)
                one.assign(array.astype(one.dtype))
            offset += count

    def _read(self, offset: int, count: int) -> bytearray:
        data = bytearray(count)
        view = memoryview(data)
        while view:
            read = os.preadv(self.file.fileno(), [view], offset)
            if not read:
                raise ModelError("the kept weights of this run are gone: train it again")
            view, offset = view[read:], offset + read
        return data


def keep(run: Run, model: Any, *, encrypted: bool = False) -> None:
    """Keep the weights of a model as those of a run; where there is no room, the run says so.

    Args:
        run: that has just trained it.
        model: as it is now.
        encrypted: nothing may be written to a disk in the clear.

    Example:
        >>> import keras
        >>> from nbkeras.run.run import Run
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> run = Run("ones", model, epochs=1, workers=1)
        >>> keep(run, model)
        >>> run.weights.layout
        [('float32', (2, 1)), ('float32', (1,))]
    """
    from nbkeras.model import state

    weights = model.weights
    parts = (np.ascontiguousarray(state.value(one)) for one in weights)
    _keep(run, state.layout(weights), parts, encrypted=encrypted)


def keep_checkpoint(run: Run, found: Checkpoint) -> None:
    """Keep the weights of a checkpoint as those of a run: a training that goes on would replace it."""
    offsets = list(itertools.accumulate((_bytes(*one) for one in found.layout), initial=0))
    places = found.about.get("weights")
    chosen = range(len(found.layout)) if places is None else places
    data = np.frombuffer(found.variables, np.uint8)
    parts = (data[offsets[place] : offsets[place + 1]] for place in chosen)
    _keep(run, [found.layout[place] for place in chosen], parts, whole=places is not None)


#: Runs with weights, the newest last.
_newest: deque[weakref.ref[Run]] = deque()
_lock = threading.Lock()


def _keep(
    run: Run,
    layout: Layout,
    parts: Iterable[npt.NDArray[Any]],
    *,
    encrypted: bool = False,
    whole: bool = True,
) -> None:
    try:
        _require_room(sum(_bytes(*one) for one in layout), encrypted=encrypted)
        file = unnamed(encrypted=encrypted)
        try:
            _write(file, parts)
        except BaseException:
            file.close()
            raise
    except (OSError, ClusterError) as error:
        run.note(f"the weights of this run are not kept for nbkeras.runs: {' '.join(str(error).split())}")
        return
    run.weights = Kept(file, layout, whole)
    with _lock:
        _newest.append(weakref.ref(run))
        while len(_newest) > MOST:
            oldest = _newest.popleft()()
            if oldest is not None and oldest.weights is not None:
                oldest.let_go()
                oldest.note(f"the weights of this run are kept no longer: {MOST} newer runs keep theirs")


def _write(file: IO[bytes], parts: Iterable[npt.NDArray[Any]]) -> None:
    offset = 0
    for part in parts:
        view = memoryview(part.reshape(-1).view(np.uint8).data)
        while view:
            count = os.pwrite(file.fileno(), view, offset)
            view, offset = view[count:], offset + count


def _require_room(size: int, *, encrypted: bool) -> None:
    """Make sure that they leave room for others.

    Raises:
        OSError: they would not.
    """
    where = "memory" if encrypted else tempfile.gettempdir()
    free = _free_memory() if encrypted else shutil.disk_usage(where).free
    if size > _SHARE * free:
        raise OSError(f"they take {size / _MB:,.0f} MB, and {where} has {free / _MB:,.0f} MB free")


def _free_memory() -> int:
    # Files in memory are a thing of Linux, and so is this one.
    found = re.search(r"MemAvailable:\s*(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
    return int(found[1]) * 1024 if found else 0


def _require_same(there: Layout, these: list[Any]) -> None:
    for index, (kept, here) in enumerate(itertools.zip_longest(there, these)):
        before = None if kept is None else tuple(kept[1])
        now = None if here is None else tuple(here.shape)
        if before != now:
            name = "" if here is None else f" ({here.path})"
            raise ModelError(
                f"these weights are of another model: weight {index}{name} is {_shape(before)} in the run "
                f"and {_shape(now)} in the model; give a model of the same layers"
            )


def _shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else f"{shape}"


def _bytes(dtype: str, shape: tuple[int, ...]) -> int:
    return np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64))
