from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbkeras.worker import schedule

SHARDS = st.lists(st.integers(0, 60), min_size=1, max_size=6).filter(any)
SIZES = st.integers(1, 40)


def batches(rows, batch_size):
    """Sizes of the batches that Keras cuts."""
    return [min(batch_size, rows - start) for start in range(0, rows, batch_size)]


@given(rows=st.integers(1, 200), workers=st.integers(1, 6), batch_size=SIZES)
def test_dealt_rows_make_the_very_batches_of_keras(rows, workers, batch_size):
    table = schedule.dealt(rows, workers, batch_size)

    assert table.shape == (schedule.steps(rows, batch_size), workers)
    assert table.sum(axis=1).tolist() == batches(rows, batch_size)
    taken = np.zeros(workers, dtype=int)
    for step, counts in enumerate(table):
        # Row i lies on worker i modulo workers, as its (i // workers)-th.
        mine = [
            position * workers + worker
            for worker in range(workers)
            for position in range(taken[worker], taken[worker] + counts[worker])
        ]
        first = step * batch_size
        assert sorted(mine) == list(range(first, first + counts.sum()))
        taken += counts


@given(shards=SHARDS, batch_size=SIZES)
def test_proportional_parts_add_up_to_batches_and_to_shards(shards, batch_size):
    table = schedule.proportional(shards, batch_size)

    assert (table >= 0).all()
    assert table.sum(axis=1).tolist() == batches(sum(shards), batch_size)
    assert table.sum(axis=0).tolist() == shards


@given(shards=SHARDS, batch_size=SIZES)
def test_proportional_parts_are_within_one_row_of_their_share(shards, batch_size):
    left = np.array(shards)

    for part in schedule.proportional(shards, batch_size):
        share = part.sum() * left / left.sum()
        assert (np.abs(part - share) < 1).all()
        left = left - part


def test_a_worker_without_rows_makes_as_many_steps_as_the_others():
    assert schedule.proportional([3, 0], 2).tolist() == [[2, 0], [1, 0]]
    assert schedule.dealt(1, 3, 2).tolist() == [[1, 0, 0]]


def test_batches_are_cut_as_keras_cuts_them():
    assert schedule.steps(60, 32) == 2
    assert schedule.dealt(60, 1, 32).tolist() == [[32], [28]]


@given(shards=SHARDS, batch_size=SIZES, dealt=st.booleans())
def test_each_row_of_a_batch_has_a_place_of_its_own(shards, batch_size, dealt):
    rows, workers = sum(shards), len(shards)
    table = schedule.dealt(rows, workers, batch_size) if dealt else schedule.proportional(shards, batch_size)
    everyone = [schedule.Steps(table, rank, dealt) for rank in range(workers)]

    for step, total in enumerate(everyone[0].totals):
        places = [one.firsts[step] + one.stride * row for one in everyone for row in range(one.counts[step])]
        assert sorted(places) == list(range(total))
        assert sum(one.share(step) for one in everyone) == pytest.approx(1)


@given(rows=st.integers(1, 60), workers=st.integers(1, 5), batch_size=SIZES)
def test_dealt_rows_keep_the_order_of_their_batch(rows, workers, batch_size):
    table = schedule.dealt(rows, workers, batch_size)

    for rank in range(workers):
        steps = schedule.Steps(table, rank, dealt=True)
        starts = np.cumsum(steps.totals) - steps.totals
        counts = zip(starts, steps.firsts, steps.counts, strict=True)
        found = [start + first + steps.stride * row for start, first, count in counts for row in range(count)]
        assert found == list(range(rank, rows, workers))
