"""Every message between the workers and the notebook: its name, its fields, who sends it and who answers.

A message is a JSON object. Those who pass it on (:mod:`nbkeras.transport.channel`,
:mod:`nbkeras.transport.events`, the mailbox and the relay) add ``seq``, ``blob`` or ``peer``
and look at nothing else. Who acts on a message takes it from :func:`event` or :func:`control`,
which check it.

Long because all messages stand in one place.
"""

# Annotations are not postponed here: a TypedDict would not see which fields may be missing.
import functools
from typing import Any, Literal, NotRequired, TypedDict, cast, get_args, get_type_hints

from nbkeras.transport import wire
from nbkeras.transport.checking import checked

# -- events: from a worker to the notebook -----------------------------------------


class Alive(TypedDict):
    """A channel sends this after a second without another event. Nobody answers."""

    type: Literal["alive"]


class Farewell(TypedDict):
    """A channel sends this as its last event: from now on its silence means nothing. Nobody answers."""

    type: Literal["farewell"]


class Hello(TypedDict):
    """A trainer sends this when it runs, with its address; the rendezvous answers :class:`Addresses`."""

    type: Literal["hello"]
    host: str
    port: int
    executor: str


class Port(TypedDict):
    """A trainer sends this after :class:`Addresses`; the rendezvous answers :class:`PortsFree`."""

    type: Literal["port"]
    free: bool


class Ready(TypedDict):
    """A trainer sends this when it has all its rows; the rendezvous answers :class:`Shards`."""

    type: Literal["ready"]
    rows: int
    validation: int
    layout: dict[str, Any]
    nulls: dict[str, int]
    unreadable: dict[str, Any]
    checksum: int
    complete: bool


class Trained(TypedDict):
    """A trainer sends this after its last sum; the rendezvous answers :class:`Done` when all have."""

    type: Literal["trained"]


class Rows(TypedDict):
    """A task sends this while it receives rows, and once more with ``all`` at the end. Nobody answers."""

    type: Literal["rows"]
    rank: int
    rows: int
    all: NotRequired[bool]


class Phase(TypedDict):
    """Rank 0's trainer sends this when it goes on to another phase. Nobody answers."""

    type: Literal["phase"]
    phase: Literal["training", "paused", "validating"]


class Note(TypedDict):
    """A trainer sends this with a sentence for the user. Nobody answers."""

    type: Literal["note"]
    sentence: str


class Said(TypedDict):
    """A trainer sends this for each line that Python code prints, warns or logs. Nobody answers."""

    type: Literal["said"]
    rank: int
    line: str


class Progress(TypedDict):
    """Rank 0's trainer sends this within an epoch, the latest one alone. Nobody answers."""

    type: Literal["progress"]
    epoch: int
    step: int
    steps: int
    rate: float
    learning_rate: float | None
    loss: float | None


class LearningRate(TypedDict):
    """Rank 0's trainer sends this when all workers obey :class:`SetLearningRate`. Nobody answers."""

    type: Literal["learning_rate"]
    number: int
    before: float
    rate: float
    epoch: int
    step: int


class Epoch(TypedDict):
    """Rank 0's trainer sends this at the end of an epoch. If it asks, the notebook answers :class:`Decision`.

    The weights come as its bytes where a callback in the notebook looks at them.
    """

    type: Literal["epoch"]
    epoch: int
    logs: dict[str, Any]
    measured: dict[str, float | None]
    ask: NotRequired[bool]
    last: NotRequired[bool]
    optimizers: NotRequired[list[list[int] | None]]


class Batches(TypedDict):
    """Rank 0's trainer sends this with steps that it has made, where a callback in the notebook sees them.

    A call is a list: ``"train"`` or ``"test"``, the first and the last step of the execution, the logs, the
    steps that the optimizer has taken, and the learning rate, None where a schedule sets it. ``first`` counts
    the calls of the epoch before these; ``steps`` are those of an epoch. Nobody answers.
    """

    type: Literal["batches"]
    epoch: int
    steps: int | None
    first: int
    calls: list[list[Any]]


class Next(TypedDict):
    """A trainer asks with this for its rows of the next batch that the notebook reads; see :class:`Piece`.

    ``source`` is 0 for what is trained on and 1 for what is validated on; ``iteration`` counts how often the
    worker has begun to read it, from 0.
    """

    type: Literal["next"]
    source: int
    iteration: int
    epoch: int


class SourceEpochs(TypedDict):
    """A trainer sends this when Keras tells a source that an epoch begins or has ended. Nobody answers.

    ``begun`` and ``ended`` count how often it has.
    """

    type: Literal["source_epochs"]
    source: int
    begun: int
    ended: int


class Saved(TypedDict):
    """Rank 0's trainer sends this when a checkpoint is written. Nobody answers."""

    type: Literal["saved"]
    epoch: int
    host: str


class Weights(TypedDict):
    """Rank 0's trainer sends this with the weights as its bytes; the notebook answers :class:`Done`."""

    type: Literal["weights"]


class Failure(TypedDict):
    """A task sends this when it or its trainer fails, a mailbox when its rendezvous does. Nobody answers."""

    type: Literal["failure"]
    rank: int
    host: str
    kind: str
    message: str
    frames: list[list[Any]]
    own: bool


WorkerEvent = (
    Alive
    | Farewell
    | Hello
    | Port
    | Ready
    | Trained
    | Rows
    | Phase
    | Note
    | Said
    | Progress
    | LearningRate
    | Epoch
    | Batches
    | Next
    | SourceEpochs
    | Saved
    | Weights
    | Failure
)

# -- control events: from the notebook to all workers --------------------------------


class Stop(TypedDict):
    """The notebook sends this when the user stops the run; trainers stop after the batch in work."""

    type: Literal["stop"]


class Pause(TypedDict):
    """The notebook sends this when the user pauses or resumes the run; trainers pause between two steps."""

    type: Literal["pause"]
    pausing: bool


class SetLearningRate(TypedDict):
    """The notebook sends this when the user sets a learning rate; rank 0 reports :class:`LearningRate`."""

    type: Literal["learning_rate"]
    number: int
    rate: float


class Leave(TypedDict):
    """A mailbox sends this when a worker fails, a channel to itself when the notebook is gone: end."""

    type: Literal["leave"]


ControlEvent = Stop | Pause | SetLearningRate | Leave

# -- answers: to one event of one worker ---------------------------------------------


class Addresses(TypedDict):
    """The rendezvous answers :class:`Hello` with all addresses by rank, and the trainers on this executor."""

    addresses: list[str]
    neighbours: int


class PortsFree(TypedDict):
    """The rendezvous answers :class:`Port` with whether all ports are free; else all say hello again."""

    free: bool


class Shards(TypedDict):
    """The rendezvous answers :class:`Ready` with this: the rows of each worker, and of all together."""

    rows: list[int]
    validation: list[int]
    layout: dict[str, Any]
    number: int
    checksum: int


class Decision(TypedDict):
    """The notebook answers :class:`Epoch` with this: what its callbacks have decided.

    ``note`` is for the notebook itself.
    """

    stop: bool
    learning_rate: NotRequired[float | None]
    note: NotRequired[str]


class Piece(TypedDict):
    """The notebook answers :class:`Next` with a piece of an archive as its bytes, and whether more comes.

    The archive, of :func:`nbkeras.job.archive.dump_values`, holds ``rows``, those of the batch, and
    ``batch``, the worker's part of them. Without bytes, the batches have come to their end.
    """

    more: bool


class Done(TypedDict):
    """The answer to :class:`Trained` and :class:`Weights`: go on."""


# -- between the relay and a mailbox --------------------------------------------------

#: A job of the relay sends this to the mailbox, which answers :class:`Fetched`: the answers (peer, number,
#: event, and base64 of its bytes) and control events to pass on, the bytes of the log that have arrived
#: (``known``), and those to send next (``from``).
Fetch = TypedDict(
    "Fetch",
    {
        "type": Literal["fetch"],
        "seq": int,
        "answers": list[Any],
        "controls": list[Any],
        "known": int,
        "from": int,
        "last": bool,
    },
)


class Fetched(TypedDict):
    """A mailbox answers :class:`Fetch` with frames of its log (base64) and each peer's seconds of silence."""

    data: str
    silent: dict[str, float]


# -- checking what arrives -----------------------------------------------------------


def event(message: wire.Event) -> WorkerEvent | None:
    """A worker's event, checked; None where no such event is known.

    Raises:
        ProtocolError: a field is missing or has another type.

    Example:
        >>> from nbkeras.transport import messages
        >>> messages.event({"type": "note", "sentence": 3})
        Traceback (most recent call last):
        nbkeras.transport.wire.ProtocolError: note: sentence is 3, not a str
    """
    return cast("WorkerEvent | None", _checked(message, WorkerEvent))


def control(message: wire.Event) -> ControlEvent | None:
    """A control event, checked; None where no such control event is known.

    Raises:
        ProtocolError: a field is missing or has another type.

    Example:
        >>> from nbkeras.transport import messages
        >>> messages.control({"type": "pause", "pausing": True, "seq": 1})["pausing"]
        True
    """
    return cast("ControlEvent | None", _checked(message, ControlEvent))


@functools.cache
def _kinds(union: Any) -> dict[str, type]:
    """The message types of a union by their names."""
    return {get_args(get_type_hints(kind)["type"])[0]: kind for kind in get_args(union)}


def _checked(message: wire.Event, union: Any) -> wire.Event | None:
    name = message.get("type")
    kind = _kinds(union).get(name) if isinstance(name, str) else None
    return None if kind is None else checked(message, kind)
