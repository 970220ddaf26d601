"""Collect each worker's address and row counts, and send those of all to every worker."""

from __future__ import annotations

import itertools

from nbkeras.data.images import unreadable
from nbkeras.data.shards import CHECKSUM_BITS, nulls_message, require_one_shape
from nbkeras.data.windows import starts
from nbkeras.errors import ClusterError, DataError
from nbkeras.job.checkpoint import Origin
from nbkeras.plan import Plan
from nbkeras.transport.events import Answer
from nbkeras.transport.messages import Addresses, Done, Hello, Port, PortsFree, Ready, Shards, WorkerEvent

#: How often workers choose ports when one was taken before it was used.
PORTS = 5
NO_ROWS = "the DataFrame has no rows to train on: it is empty, or validation_split took them all"
_NOTHING_TO_VALIDATE = "the validation data has no rows: give some, or leave validation_data out"


class Rendezvous:
    """Answers the workers when all have come: their addresses, their rows, and that all have done.

    Args:
        plan: of the training.
        origin: of the checkpoint that it goes on from.
    """

    def __init__(self, plan: Plan, origin: Origin | None = None) -> None:
        self._plan, self._origin = plan, origin
        self._ports: dict[str, tuple[bool, Answer]] = {}
        self._taken = 0
        self._hellos: dict[str, tuple[Hello, Answer]] = {}
        self._readies: dict[str, tuple[Ready, Answer]] = {}
        self._trained: dict[str, Answer] = {}

    @property
    def begun(self) -> bool:
        """Whether a worker has all its rows."""
        return bool(self._readies)

    @property
    def complete(self) -> bool:
        """Whether all have."""
        return len(self._readies) == self._plan.workers

    @property
    def rows(self) -> int:
        """All rows that the workers have, to train and to validate on."""
        return _number([ready for ready, _ in self._readies.values()])

    @property
    def notes(self) -> list[str]:
        """Sentences about rows that are left out, once all have come."""
        return unreadable.notes(_unreadable([ready for ready, _ in self._readies.values()]))

    def take(self, peer: str, event: WorkerEvent, answer: Answer) -> bool:
        """Handle an event of the rendezvous; False for any other event.

        Raises:
            NbkerasError: as the methods for each event.
        """
        if event["type"] == "hello":
            self.hello(peer, event, answer)
        elif event["type"] == "port":
            self.port(peer, event, answer)
        elif event["type"] == "ready":
            self.ready(peer, event, answer)
        elif event["type"] == "trained":
            self.trained(peer, answer)
        else:
            return False
        return True

    def hello(self, peer: str, event: Hello, answer: Answer) -> None:
        """A trainer runs and says where."""
        self._hellos[peer] = (event, answer)
        if len(self._hellos) == self._plan.workers:
            everyone = [self._hellos[f"trainer-{rank}"] for rank in range(self._plan.workers)]
            addresses = [f"{hello['host']}:{hello['port']}" for hello, _ in everyone]
            where = [hello["executor"] for hello, _ in everyone]
            self._hellos = {}
            for hello, reply in everyone:
                reply(Addresses(addresses=addresses, neighbours=where.count(hello["executor"])))

    def port(self, peer: str, event: Port, answer: Answer) -> None:
        """A trainer has looked at its port; if one is taken, all say hello again, with other ports.

        Raises:
            ClusterError: that has happened too often.
        """
        self._ports[peer] = (event["free"], answer)
        if len(self._ports) < self._plan.workers:
            return
        everyone, self._ports = list(self._ports.values()), {}
        free = all(one for one, _ in everyone)
        self._taken += not free
        if self._taken == PORTS:
            raise ClusterError(
                f"ports that workers had reserved were taken by other programs {PORTS} times: "
                "run it again, or use --workers 1"
            )
        for _, reply in everyone:
            reply(PortsFree(free=free))

    def ready(self, peer: str, event: Ready, answer: Answer) -> None:
        """A trainer has all its rows; what is wrong with them is known when all have.

        Raises:
            DataError: they cannot be trained on.
        """
        self._readies[peer] = (event, answer)
        if not self.complete:
            return
        everyone = [self._readies[f"trainer-{rank}"] for rank in range(self._plan.workers)]
        events = [ready for ready, _ in everyone]
        self._require_data(events)
        shards = Shards(
            rows=[ready["rows"] for ready in events],
            validation=[ready["validation"] for ready in events],
            layout=next(ready["layout"] for ready in events if ready["layout"]),
            number=_number(events),
            checksum=_checksum(events),
        )
        for _, reply in everyone:
            reply(shards)

    def trained(self, peer: str, answer: Answer) -> None:
        """A trainer has done; nobody leaves before all have."""
        self._trained[peer] = answer
        if len(self._trained) == self._plan.workers:
            for leave in self._trained.values():
                leave(Done())

    def _require_data(self, readies: list[Ready]) -> None:
        """Make sure that all that the workers have received can be trained on.

        Raises:
            DataError: nulls, images that cannot be read, no rows, several shapes, or other rows than before.
        """
        nulls: dict[str, int] = {}
        for ready in readies:
            for name, number in ready["nulls"].items():
                nulls[name] = nulls.get(name, 0) + number
        if nulls:
            raise DataError(nulls_message(nulls))
        if unreadable.stops(found := _unreadable(readies)):
            raise DataError(unreadable.message(found))
        if not sum(ready["rows"] for ready in readies):
            if found:
                raise DataError(
                    f"{unreadable.notes(found)[0]}, and none is left to train on: name a folder or a column "
                    "of images that can be read"
                )
            raise DataError(NO_ROWS if self._plan.schema.windows is None else starts.none(self._plan.schema))
        # Batches are read later, and say nothing of their rows.
        if self._plan.validates and not sum(ready["validation"] for ready in readies):
            none = None if self._plan.schema.windows is None else starts.none(self._plan.schema)
            raise DataError(f"in the validation data {none}" if none else _NOTHING_TO_VALIDATE)
        layouts = [ready["layout"] for ready in readies if ready["layout"]]
        for layout, one in itertools.product(layouts[1:], self._plan.schema.fields):
            require_one_shape(one, tuple(layouts[0][one.name][1]), tuple(layout[one.name][1]))
        self._require_order(readies, found)
        if self._origin is not None:
            self._origin.require_same_rows(_number(readies), _checksum(readies))

    def _require_order(self, readies: list[Ready], left_out: unreadable.Unreadable) -> None:
        """Make sure that rows that were dealt to the workers in their order have come like this.

        Raises:
            DataError: they have not.
        """
        if self._plan.workers == 1 or all(ready["complete"] for ready in readies):
            return
        if left_out:
            raise DataError(
                f"{unreadable.notes(left_out)[0]}, which with shuffle=False and {self._plan.workers} workers "
                "would give each worker other rows: use workers=1, or shuffle"
            )
        raise DataError(
            "the DataFrame gave its rows in another order when it was read again: "
            "cache it first (df.cache()) or sort it, so that shuffle=False has an order to keep"
        )


def _unreadable(readies: list[Ready]) -> unreadable.Unreadable:
    return unreadable.merged(ready["unreadable"] for ready in readies)


def _number(readies: list[Ready]) -> int:
    return sum(ready["rows"] + ready["validation"] for ready in readies)


def _checksum(readies: list[Ready]) -> int:
    return sum(ready["checksum"] for ready in readies) & CHECKSUM_BITS
