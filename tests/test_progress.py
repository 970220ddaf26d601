"""The clock of a run: what has passed, what is left, and how fast it goes."""

from __future__ import annotations

import pytest

from nbkeras.run import progress
from nbkeras.run.run import Run


@pytest.fixture
def now(monkeypatch):
    """Seconds that the test sets, in a list."""
    seconds = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: seconds[0])
    return seconds


def in_training(epochs):
    run = Run("digits", model=None, epochs=epochs, workers=1)
    run.enter("training")
    return run


def test_a_pause_counts_in_no_estimate(now):
    run = in_training(epochs=4)
    run.record_progress(0, 1, 10, 0.0)
    now[0] += 9
    run.record_progress(1, 0, 10, 0.0)
    assert run.snapshot().remaining == 30
    run.enter("paused")
    now[0] += 1000
    assert run.snapshot().remaining == 30
    run.enter("training")
    assert run.snapshot().remaining == 30
    assert run.snapshot().elapsed == 1009


def test_the_first_step_in_which_a_backend_compiles_counts_in_no_estimate(now):
    run = in_training(epochs=2)
    run.record_progress(0, 0, 100, 0.0)
    now[0] += 20
    run.record_progress(0, 1, 100, 0.0)
    assert run.snapshot().remaining is None
    now[0] += 1
    run.record_progress(0, 11, 100, 0.0)
    assert run.snapshot().remaining == pytest.approx(18.9)


def test_the_rate_of_a_run_that_has_ended_is_that_of_all_its_steps(now):
    run = Run("digits", None, epochs=2, workers=1)
    run.settings["batch_size"] = 10
    run.enter("training")
    run.record_progress(0, 5, 5, 1.0)
    run.record_progress(1, 5, 5, 999.0)
    assert run.snapshot().rows_per_second == 999
    run.end("finished", seconds=4.0)
    assert run.snapshot().rows_per_second == pytest.approx(2 * 5 * 10 / 4)


def test_what_lies_behind_moves_nothing_and_a_training_that_begins_again_has_no_estimate(now):
    run = in_training(epochs=4)
    run.record_progress(1, 1, 10, 50.0, 0.1)
    now[0] += 6
    run.record_progress(1, 3, 10, 50.0, 0.1)
    run.record_progress(0, 9, 10, 70.0, 0.2)
    snapshot = run.snapshot()
    assert (snapshot.epoch, snapshot.step, snapshot.rows_per_second, snapshot.learning_rate) == (
        2,
        3,
        50.0,
        0.1,
    )
    assert snapshot.remaining == pytest.approx(6 / 0.2 * 2.7)
    run.restart("a worker is gone")
    snapshot = run.snapshot()
    assert (snapshot.epoch, snapshot.step, snapshot.remaining, snapshot.learning_rate) == (0, 0, None, None)
    assert (snapshot.phase, snapshot.elapsed) == ("slots", 6)


def test_the_losses_of_the_epoch_in_work_go_up_to_its_place_and_end_with_it():
    run = in_training(epochs=4)
    for step, loss in ((0, None), (2, 0.9), (4, 0.8), (4, 0.7)):
        run.record_progress(0, step, 8, 0.0, None, loss)
    assert run.snapshot().losses == ((0.25, 0.9), (0.5, 0.7))
    run.record_progress(0, 8, 8, 0.0, None, 0.6)
    assert run.snapshot().losses[-1] == (1.0, 0.6)
    run.record_epoch(0, {"loss": 0.6})
    assert run.snapshot().losses == ()
    run.record_progress(0, 8, 8, 0.0, None, 0.6)  # comes late
    assert run.snapshot().losses == ()
    run.record_progress(1, 4, 8, 0.0, None, 0.5)
    assert run.snapshot().losses == ((1.5, 0.5),)
    run.restart("a worker is gone")
    run.record_progress(1, 2, 8, 0.0, None, 0.55)
    assert run.snapshot().losses == ((1.25, 0.55),)
    run.end("failed")
    assert run.snapshot().losses == ()


def test_of_many_losses_those_are_kept_that_a_chart_has_room_for():
    run = Run("digits", None, epochs=4, workers=2)
    for step in range(1, 10_001):
        run.record_progress(2, step, 10_000, 0.0, None, 1 / step)
    losses = run.snapshot().losses
    assert 50 <= len(losses) <= 100
    assert losses[0] == (2.0001, 1.0)
    assert losses[-1] == (3.0, 1e-4)
    assert sorted(losses) == list(losses)
