"""The trainer that predicts for a task; it stays with the model loaded for the tasks that come next."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy.typing as npt

from nbkeras import devices
from nbkeras.job.job import Job
from nbkeras.spark import gpus
from nbkeras.worker.files import local_directory, shared
from nbkeras.worker.process import Process
from nbkeras.worker.slots import Slot

T = TypeVar("T")
Array = npt.NDArray[Any]
#: Batches on their way: one goes through the model while the task makes the next.
_SLOTS = 2
#: Trainers that one Python worker of Spark keeps.
_KEPT = 2
#: Seconds that a trainer waits for a next task, as a Python worker of Spark does; shorter where it may hold
#: memory of a GPU, which a training would miss.
_IDLE_SECONDS, _IDLE_SECONDS_WITH_GPU = 60.0, 5.0


class Predictor(Process):
    """A trainer that predicts.

    Args:
        job: to predict.
    """

    def __init__(self, job: Job) -> None:
        files = [shared(local_directory(), encrypted=job.encrypted) for _ in range(_SLOTS)]
        super().__init__(job, 0, files)
        self._slots = [Slot(one.fileno()) for one in files]

    def through(self, parts: Iterable[tuple[Sequence[Array], T]]) -> Iterator[tuple[list[Array], T]]:
        """The model's outputs for all rows of a task, part by part, in their order.

        Args:
            parts: the inputs of some rows, and what is handed on beside their outputs.
        """
        asked: deque[T] = deque()
        for number, (inputs, beside) in enumerate(parts):
            if len(asked) == _SLOTS:
                yield self._outputs(), asked.popleft()
            place = number % _SLOTS
            self._put((place, self._slots[place].write(inputs)))
            asked.append(beside)
        while asked:
            yield self._outputs(), asked.popleft()
        # The next rows are those of another task.
        self._put(None)

    def is_alive(self) -> bool:
        """Whether it still waits; takes in the signs of life that it has given meanwhile."""
        try:
            while self._pipe.poll():
                if self._pipe.recv()[0] != "alive":
                    return False
        except (EOFError, OSError):
            return False
        return True

    def close(self) -> None:
        """End the trainer."""
        self.__exit__()

    def _outputs(self) -> list[Array]:
        outputs: list[Array] = self._get()[1]
        return outputs


@contextmanager
def hired(job: Job) -> Iterator[Predictor]:
    """A trainer with the model of a job, which is kept if the ``with`` block ends well."""
    from pyspark import TaskContext

    key = (job.key, gpus.given(TaskContext.get()))
    one = _waiting.take(key) or Predictor(job).__enter__()
    try:
        yield one
    except BaseException:
        one.close()
        raise
    if job.key:
        _waiting.keep(key, one)
    else:
        one.close()


class _Waiting:
    """The trainers that this process keeps, those that were used last at the end."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, tuple[Predictor, threading.Timer]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key: Hashable) -> Predictor | None:
        """A trainer that waits for rows of a job; None where there is none."""
        with self._lock:
            one, timer = self._kept.pop(key, (None, None))
        if timer is not None:
            timer.cancel()
        if one is not None and not one.is_alive():
            one.close()
            return None
        return one

    def keep(self, key: Hashable, one: Predictor) -> None:
        """Let a trainer wait for further rows, for a while; one that waits for the same rows ends."""
        seconds = _IDLE_SECONDS_WITH_GPU if devices.may_have_gpus() else _IDLE_SECONDS
        timer = threading.Timer(seconds, self._end, (key, one))
        timer.daemon = True
        with self._lock:
            old = [self._kept.pop(key)] if key in self._kept else []
            self._kept[key] = one, timer
            while len(self._kept) > _KEPT:
                old.append(self._kept.popitem(last=False)[1])
        timer.start()
        for other, others in old:
            others.cancel()
            other.close()

    def _end(self, key: Hashable, one: Predictor) -> None:
        with self._lock:
            if self._kept.get(key, (None,))[0] is not one:
                return  # A task has just taken it.
            del self._kept[key]
        one.close()


_waiting = _Waiting()
