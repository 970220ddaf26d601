"""How workers learn of each other: nobody is answered before all have come, and all are told the same."""

from __future__ import annotations

import pytest

from nbkeras.errors import ClusterError, DataError
from nbkeras.job import rendezvous
from nbkeras.job.checkpoint import Origin
from nbkeras.job.rendezvous import Rendezvous
from nbkeras.plan import Plan
from nbkeras.schema import Field, Schema

FIELDS = (Field("x0", ("a", "b"), "model input 'x'", "float32", (2,)), Field("y0", ("label",), "label"))
LAYOUT = {"x0": ["<f4", [2]], "y0": ["<i8", []]}


def broken(count, *, skipped=False):
    """What a worker says of files that it could not read."""
    return {"image": {"count": count, "first": ["a.png (empty)"], "skipped": skipped}}


class Workers:
    """So many workers, which come in any order, and what they are answered."""

    def __init__(self, number=2, **how):
        self.rendezvous = Rendezvous(Plan(Schema(FIELDS), workers=number, **how))
        self.told = {}

    def answers(self, rank):
        return lambda event: self.told.setdefault(rank, []).append(event)

    def ready(self, rank, rows=3, **other):
        event = {
            "rows": rows,
            "validation": 0,
            "nulls": {},
            "unreadable": {},
            "layout": LAYOUT if rows else {},
            "checksum": 10 * (rank + 1),
            "complete": True,
            **other,
        }
        self.rendezvous.ready(f"trainer-{rank}", event, self.answers(rank))

    def hello(self, rank, executor):
        event = {"host": f"node{rank}", "port": 70 + rank, "executor": executor}
        self.rendezvous.hello(f"trainer-{rank}", event, self.answers(rank))

    def port(self, rank, *, free):
        self.rendezvous.port(f"trainer-{rank}", {"free": free}, self.answers(rank))


def test_addresses_are_told_by_rank_when_all_have_come_with_who_shares_an_executor():
    workers = Workers(3)
    workers.hello(2, "b")
    workers.hello(0, "a")
    assert workers.told == {}
    workers.hello(1, "b")
    addresses = ["node0:70", "node1:71", "node2:72"]
    assert {rank: one["addresses"] for rank, (one,) in workers.told.items()} == dict.fromkeys(
        range(3), addresses
    )
    assert [workers.told[rank][0]["neighbours"] for rank in range(3)] == [1, 2, 2]


def test_one_port_that_is_taken_sends_all_workers_back_to_say_hello_again():
    workers = Workers()
    workers.port(1, free=False)
    assert workers.told == {}
    workers.port(0, free=True)
    for rank in (0, 1):
        workers.port(rank, free=True)
    assert workers.told == {rank: [{"free": False}, {"free": True}] for rank in (0, 1)}


def test_ports_that_are_taken_again_and_again_end_the_training():
    workers = Workers(1)
    for _ in range(rendezvous.PORTS - 1):
        workers.port(0, free=False)
    with pytest.raises(ClusterError, match=f"were taken by other programs {rendezvous.PORTS} times"):
        workers.port(0, free=False)
    assert workers.told == {0: [{"free": False}] * (rendezvous.PORTS - 1)}


def test_all_workers_are_told_of_the_rows_of_all():
    workers = Workers(2, validates=True)
    workers.ready(1, rows=0, validation=2)
    assert (workers.rendezvous.begun, workers.rendezvous.complete, workers.told) == (True, False, {})
    workers.ready(0, rows=5)
    told = {"rows": [5, 0], "validation": [0, 2], "layout": LAYOUT, "number": 7, "checksum": 30}
    assert workers.told == {0: [told], 1: [told]}
    assert (workers.rendezvous.complete, workers.rendezvous.rows) == (True, 7)


def test_nobody_is_let_go_before_all_have_trained():
    workers = Workers(3)
    for rank in (2, 0):
        workers.rendezvous.trained(f"trainer-{rank}", workers.answers(rank))
        assert workers.told == {}
    workers.rendezvous.trained("trainer-1", workers.answers(1))
    assert workers.told == {0: [{}], 1: [{}], 2: [{}]}


@pytest.mark.parametrize(
    ("first", "second", "how", "message"),
    [
        (
            {"nulls": {"a": 2, "v[]": 1}},
            {"nulls": {"a": 4, "b": 1}},
            {},
            r"column 'a' holds 6 nulls, column 'b' holds 1 null: drop .*; column 'v' holds 1 array with",
        ),
        (
            {"unreadable": broken(2)},
            {"unreadable": broken(3)},
            {},
            r"column 'image' holds 5 images that cannot be read, a.png \(empty\), …: replace them, or leave",
        ),
        (
            {"unreadable": broken(1, skipped=True), "complete": False},
            {},
            {},
            r"holds 1 image that .*; their rows are left out, which with shuffle=False and 2 workers",
        ),
        ({"rows": 0}, {"rows": 0}, {}, "no rows to train on: it is empty"),
        ({}, {}, {"validates": True}, "the validation data has no rows"),
        (
            {},
            {"layout": LAYOUT | {"x0": ["<f4", [3]]}},
            {},
            r"column 'a', 'b' holds values of shape \(2,\) and of shape \(3,\)",
        ),
        ({}, {"complete": False}, {}, "gave its rows in another order when it was read again: cache it"),
    ],
    ids=[
        "nulls",
        "images",
        "an order with a gap",
        "no rows",
        "no validation rows",
        "two shapes",
        "another order",
    ],
)
def test_what_is_wrong_with_the_rows_is_said_when_all_have_come(first, second, how, message):
    workers = Workers(2, **how)
    workers.ready(0, **first)
    with pytest.raises(DataError, match=message):
        workers.ready(1, **second)
    assert workers.told == {}


@pytest.mark.parametrize(
    ("rows", "checksum", "message"),
    [(4, 10, "has 3 rows, not 4, since"), (3, 11, "has other values in its rows, since")],
)
def test_a_training_goes_on_with_the_rows_that_it_began_with(rows, checksum, message):
    workers = Workers(1)
    workers.rendezvous = Rendezvous(workers.rendezvous._plan, Origin(None, True, 32, 1, rows, checksum))
    with pytest.raises(DataError, match=message):
        workers.ready(0)
    workers.rendezvous = Rendezvous(workers.rendezvous._plan, Origin(None, True, 32, 1, 3, 10))
    workers.ready(0)
    assert workers.told[0][0]["number"] == 3
