"""What travels to the workers, and what they tell their trainers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from nbkeras.data.decoder import Decoder
from nbkeras.data.images.unreadable import Unreadable
from nbkeras.job.checkpoint import Origin
from nbkeras.plan import Plan
from nbkeras.spark.shared import INSIDE, Shared

#: What reads images.
IMAGES = ("PIL",)


@dataclass(frozen=True)
class Job:
    """One training or evaluation, as every worker gets it inside Spark's own task.

    Attributes:
        kind: what the trainers do.
        plan: how.
        payload: the model and its callbacks, from :func:`nbkeras.model.pickling.contents`.
        address, secret: of the event channel; without a host, workers cannot reach
            the notebook and meet at a mailbox in rank 0's task.
        driver: host of Spark's driver: the way to it shows a worker's own address.
        weights: bytes of the model's weights and the optimizer's: no event brings more.
        rows: bytes of them that may come back as rows; more come by an event.
        mute: nobody can fetch what lies in the mailbox before the end.
        again: whether workers have trained before, of which one was lost.
        preprocessing: makes the fields of the plan of the columns that arrive; None where these are they.
        cores: processor cores that one executor has for all its trainers; None
            for as many as the machine gives the process.
        gpus: whether each worker has GPUs that no other one has.
        encrypted: nothing may be written to disk in the clear.
        key: the same for predictions that one trainer can make; empty where it makes no others.
        resume: the checkpoint to go on from, from :func:`nbkeras.job.archive.dumps`.
        origin: what it was trained with.
        certificate: of the event channel where it is encrypted, as PEM.
    """

    kind: Literal["train", "evaluate", "predict", "report"]
    plan: Plan
    payload: Shared
    address: tuple[str, int]
    secret: bytes = field(repr=False)
    cores: int | None = None
    gpus: bool = False
    encrypted: bool = False
    key: str = ""
    resume: Shared | None = None
    origin: Origin | None = None
    certificate: str | None = None
    driver: str = "127.0.0.1"
    weights: int = 0
    rows: int = INSIDE
    mute: bool = False
    again: bool = False
    preprocessing: Decoder | None = None

    @property
    def decoder(self) -> Decoder:
        """What makes the fields of the plan of the columns that arrive."""
        return self.preprocessing or Decoder(self.plan.schema.fields)

    @property
    def packages(self) -> tuple[str, ...]:
        """What the workers import besides Keras and its backend."""
        return IMAGES if any(one.image is not None for one in self.decoder.fields) else ()


@dataclass(frozen=True)
class Assignment:
    """A job and the place of one trainer in it.

    Attributes:
        rank: of this worker, from 0.
        executor: tells trainers of one executor from those of others.
        neighbours: trainers that share the executor's cores, where that is known
            without asking the others.
        gpus: addresses of those that Spark gave this worker's task.
        path: where the task finds modules: the server may be older than what
            Spark has been given since.
    """

    job: Job
    rank: int
    executor: str
    neighbours: int = 1
    gpus: tuple[str, ...] = ()
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
    """What a task tells its trainer when all rows have arrived.

    Attributes:
        train, validation: the rows.
        nulls: that were seen, by column.
        checksum: the sum of all rows' hashes modulo 2**63, whatever their order.
        unreadable: files that are no images, by column.
    """

    train: Shard
    validation: Shard
    nulls: dict[str, int]
    checksum: int = 0
    unreadable: Unreadable = field(default_factory=dict)


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
