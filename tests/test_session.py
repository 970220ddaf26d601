from __future__ import annotations

import threading

import pytest

import nbkeras
from nbkeras.errors import ClusterError
from nbkeras.session import attached


def test_another_thread_finds_the_spark_that_runs(spark, capsys):
    found = []
    thread = threading.Thread(target=lambda: found.append(attached()))
    thread.start()
    thread.join()

    assert [one.sparkContext for one in found] == [spark.sparkContext]
    assert capsys.readouterr().out == ""


def test_status_says_in_one_line_that_executors_cannot_start_python(spark, monkeypatch):
    monkeypatch.setattr(spark.sparkContext, "pythonExec", "/no/such/python")

    with pytest.raises(ClusterError, match=r"^the executors cannot start Python on \S+: .*/no/such/python"):
        nbkeras.status(spark)
