from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import keras
import pytest

import nbkeras
from nbkeras.errors import ClusterError, OptionError
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


def test_keras_methods_are_replaced_by_one_thread_at_a_time_and_come_back():
    def enter():
        with nbkeras.on_spark():
            return keras.Model.fit

    before = keras.Model.fit
    with ThreadPoolExecutor(1) as pool:
        with nbkeras.on_spark(), nbkeras.on_spark(workers=1):
            with pytest.raises(OptionError, match=r"^another thread is in an on_spark block"):
                pool.submit(enter).result()
            assert keras.Model.fit is not before
        assert pool.submit(enter).result() is not before
    assert keras.Model.fit is before
