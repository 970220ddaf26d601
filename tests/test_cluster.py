from __future__ import annotations

from types import SimpleNamespace

import pytest

from nbkeras.engine.spark import cluster


class Clock:
    """Time that passes where somebody sleeps, and nowhere else."""

    def __init__(self):
        self.now = 1_000_000.0

    def time(self):
        return self.now

    monotonic = time

    def sleep(self, seconds):
        self.now += seconds


def application(monkeypatch, age, *slots):
    """A session on a cluster, so many seconds after its start, whose slots are asked again and again."""
    asked, clock = iter(slots), Clock()
    monkeypatch.setattr(cluster, "slots", lambda _: next(asked, slots[-1]))
    monkeypatch.setattr(cluster, "time", clock)
    context = SimpleNamespace(startTime=1000 * (clock.now - age))
    settings = {"spark.master": "spark://node:7077"}
    return SimpleNamespace(conf=settings, sparkContext=context, _jsparkSession=None), asked


@pytest.mark.parametrize("workers", [4, None])
def test_executors_of_a_new_session_are_waited_for_and_that_is_said(monkeypatch, capsys, workers):
    spark, left = application(monkeypatch, 1, *[0] * 15, 2, 2, 4)

    cluster.settle(spark, workers)

    assert list(left) == []
    assert capsys.readouterr().out == "nbkeras: waiting for Spark's executors\n"


def test_nobody_waits_for_executors_of_an_old_session_nor_for_more_than_are_needed(monkeypatch, capsys):
    spark, left = application(monkeypatch, 3600, 2, 4)
    cluster.settle(spark, None)
    assert list(left) == [4]

    spark, left = application(monkeypatch, 1, 2, 4)
    cluster.settle(spark, 2)
    assert list(left) == [4]
    assert capsys.readouterr().out == ""
