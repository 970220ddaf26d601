"""Dynamic allocation: what is asked of Spark, and what is waited for, with a Spark that only counts."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest

from nbkeras.errors import ClusterError
from nbkeras.run.run import Run
from nbkeras.spark import dynamic_allocation

ENABLED = "spark.dynamicAllocation.enabled"


class Settings(dict):
    """Spark's own, which a session only reads."""

    set = dict.__setitem__


@pytest.fixture
def spark(monkeypatch):
    """A session on a cluster of executors with one slot each; ``slots`` are those at each look."""
    settings = Settings({ENABLED: "true", "spark.master": "spark://here"})
    context = SimpleNamespace(applicationId="application", _conf=settings)
    spark = SimpleNamespace(conf=settings, sparkContext=context, slots=itertools.repeat(1), asked=[])
    monkeypatch.setattr(dynamic_allocation.cluster, "is_local", lambda _: False)
    monkeypatch.setattr(dynamic_allocation.cluster, "slots", lambda _: next(spark.slots))
    monkeypatch.setattr(dynamic_allocation, "is_connect", lambda _: False)
    monkeypatch.setattr(dynamic_allocation, "_executors", lambda _: 1)
    monkeypatch.setattr(dynamic_allocation, "_slots_of_one", lambda _: 1)
    monkeypatch.setattr(dynamic_allocation, "_ask", lambda _, executors: spark.asked.append(executors))
    return spark


@pytest.fixture
def run():
    return Run("digits", None, epochs=1, workers=3)


def test_missing_executors_are_asked_for_and_waited_for_and_then_no_longer(spark, run):
    spark.slots = iter([1, 1, 2, 3])
    with dynamic_allocation.stage(spark, 3, run):
        assert spark.asked == [3, 0]
        assert spark.conf[ENABLED] == "false"
    assert spark.conf[ENABLED] == "true"
    assert run.notes == ["dynamic allocation: Spark is asked for executors with 3 task slots"]


def test_nothing_is_asked_for_where_all_are_there(spark, run):
    with dynamic_allocation.stage(spark, 1, run):
        pass
    assert (spark.asked, run.notes) == ([], [])


def test_of_two_stages_the_last_to_end_gives_the_setting_back(spark, run):
    with dynamic_allocation.stage(spark, 1, run):
        with dynamic_allocation.stage(spark, 1, run):
            pass
        assert spark.conf[ENABLED] == "false"
    assert spark.conf[ENABLED] == "true"


def test_a_stop_ends_the_wait(spark, run):
    run.stop()
    with pytest.raises(InterruptedError), dynamic_allocation.stage(spark, 3, run):
        pytest.fail("there are no slots")
    assert spark.asked == [0]


def test_a_cluster_that_gives_no_more_is_taken_to_be_full(spark, run, monkeypatch):
    monkeypatch.setattr(dynamic_allocation, "PATIENCE", -1.0)
    said = r"^3 workers need 3 task slots, Spark at spark://here has got 1 and no more .* use --workers 1 "
    with pytest.raises(ClusterError, match=said), dynamic_allocation.stage(spark, 3, run):
        pytest.fail("there are no slots")


def test_over_connect_it_is_refused_with_what_to_do(spark, run, monkeypatch):
    monkeypatch.setattr(dynamic_allocation, "is_connect", lambda _: True)
    with pytest.raises(
        ClusterError, match="over Connect it cannot be turned off: start the server without it"
    ):
        dynamic_allocation.is_on(spark)
    spark.conf[ENABLED] = "false"
    assert not dynamic_allocation.is_on(spark)
