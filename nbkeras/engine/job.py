"""What travels to the workers, and what they tell their trainers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from nbkeras.plan import Plan


@dataclass(frozen=True)
class Job:
    """One training or evaluation, as every worker gets it inside Spark's own task.

    Attributes:
        kind: what the trainers do.
        plan: how.
        payload: the model and its callbacks, from :func:`nbkeras.engine.shipping.dumps`.
        address, secret: of the event channel.
        cores: processor cores that one executor has for all its trainers; None
            for as many as the machine gives the process.
        encrypted: nothing may be written to disk in the clear.
    """

    kind: Literal["train", "evaluate", "predict"]
    plan: Plan
    payload: bytes
    address: tuple[str, int]
    secret: bytes = field(repr=False)
    cores: int | None = None
    encrypted: bool = False


@dataclass(frozen=True)
class Assignment:
    """A job and the place of one trainer in it.

    Attributes:
        rank: of this worker, from 0.
        executor: tells trainers of one executor from those of others.
        neighbours: trainers that share the executor's cores, where that is known
            without asking the others.
        path: where the task finds modules: the server may be older than what
            Spark has been given since.
    """

    job: Job
    rank: int
    executor: str
    neighbours: int = 1
    path: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shard:
    """The rows of one spool.

    Attributes:
        layout: NumPy type and shape of each field; empty where there are no rows.
        rows: number of rows.
    """

    layout: dict[str, tuple[str, tuple[int, ...]]]
    rows: int


@dataclass(frozen=True)
class Spooled:
    """What a task tells its trainer when all rows have arrived."""

    train: Shard
    validation: Shard
    nulls: dict[str, int]


@dataclass(frozen=True)
class Failure:
    """An exception on a worker, in words.

    Attributes:
        kind: class name of the exception.
        message: its text.
        frames: (file, line, function) of the frames in the user's own code.
        own: whether nbkeras raised it on purpose.
    """

    kind: str
    message: str
    frames: tuple[tuple[str, int, str], ...] = ()
    own: bool = False
