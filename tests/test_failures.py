"""What goes wrong on a worker, or with Spark, in one line."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from nbkeras.errors import ClusterError, TrainingError, WorkerLost
from nbkeras.job import failures
from nbkeras.job.job import Failure
from nbkeras.spark import exceptions, gateway, session


class Wordless(Exception):
    def __str__(self):
        return self.reason  # which nobody has set


def test_an_error_without_a_message_is_reported_by_its_class_and_frames():
    def layer():
        raise Wordless

    with pytest.raises(Wordless) as caught:
        layer()
    failure = failures.describe(caught.value)
    error = failures.of_worker(failure, 1, "here")
    assert type(error) is TrainingError
    assert str(error) == "on worker 1 (here): Wordless: it cannot be said, for AttributeError"
    assert failure.frames[-1][2] == "layer"


def test_of_calls_without_end_the_first_and_the_last_are_shown():
    def layer():
        layer()

    with pytest.raises(RecursionError) as caught:
        layer()
    error = failures.of_worker(failures.describe(caught.value), 0, "here")
    *frames, said = error._render_traceback_()
    assert said.startswith("TrainingError: on worker 0 (here): RecursionError: maximum recursion depth")
    assert len([line for line in frames if line.endswith(", in layer")]) == 15
    assert len([line for line in frames if line.endswith(" more calls …")]) == 1


def test_a_disk_that_is_full_on_a_worker_is_named_unless_the_users_own_code_has_written():
    full = "OSError: [Errno 28] No space left on device"
    ours = failures.of_worker(Failure("OSError", full, ()), 1, "10.0.0.7")
    own = failures.of_worker(Failure("OSError", full, (("layers.py", 3, "call"),)), 1, "10.0.0.7")

    assert type(ours) is ClusterError
    assert str(ours).startswith("a disk is full on 10.0.0.7: make room, or start Spark with spark.local.dir")
    assert type(own) is TrainingError


def test_a_failure_of_a_trainer_that_spark_tells_keeps_its_own_words():
    said = (
        "py4j.Py4JException: stage failed\nnbkeras.worker.process.TrainerFailed: ValueError: no scale\n\tat x"
    )
    error = exceptions.translate(RuntimeError(said), stopped=False)
    assert type(error) is TrainingError
    assert str(error) == "on a worker: ValueError: no scale"


def test_a_package_that_executors_lack_is_named_with_what_to_do():
    missing = "ModuleNotFoundError: No module named 'mine'"
    said = f"py4j.Py4JException: stage failed\n{missing}\n\tat x"
    error = exceptions.translate(RuntimeError(said), stopped=False)
    assert type(error) is ClusterError
    assert str(error).startswith(f"the Python of the executors lacks a package ({missing}): install it")


BEGINNING = "org.apache.spark.SparkException: EOFException occurred while reading the port number from"
BROKEN = """Job aborted due to stage failure: Task 0 in stage 1.0: java.net.SocketException: Broken pipe
\tat java.base/sun.nio.ch.SocketDispatcher.write0(Native Method)
\tat org.apache.spark.{}(Worker.scala:187)"""


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (f"{BEGINNING} pyspark.daemon's stdout and terminated with code: 137.", WorkerLost),
        (f"{BEGINNING} pyspark.daemon's stdout and terminated with code: 143.", WorkerLost),
        (f"{BEGINNING} pyspark.daemon's stdout.", WorkerLost),
        (f"{BEGINNING} pyspark.daemon's stdout and terminated with code: 1.", ClusterError),
        (BROKEN.format("api.python.PythonWorkerFactory.stopWorker"), WorkerLost),
        (BROKEN.format("storage.BlockManager.get"), ClusterError),
    ],
    ids=["killed", "terminated", "not ended", "broken", "spoken with", "of others"],
)
def test_sparks_words_tell_a_python_that_is_gone_from_a_broken_one(said, kind):
    assert type(exceptions.translate(Exception(said))) is kind


FULL = "Task 0 in stage 1.0: (TID 3) (10.0.0.7 executor 1):\njava.io.IOException: No space left on device"
PYTHONS = "\nat org.apache.spark.api.python.PythonRunner$ReaderIterator.read(PythonRunner.scala:7)"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (FULL, "a disk is full on 10.0.0.7: make room, or start Spark with spark.local.dir on a larger one"),
        (FULL + PYTHONS, "a disk is full on 10.0.0.7: "),  # to try again would not make room
        (
            "SparkOutOfMemoryError: [UNABLE_TO_ACQUIRE_MEMORY] Unable to acquire 65536 bytes",
            "more spark.exec",
        ),
        ("Task serialization failed: java.lang.OutOfMemoryError: Java heap space", "spark.driver.memory"),
        ("py4j.protocol.Py4JNetworkError: Answer from Java side is empty", "Spark's Java has ended"),
        ("[Errno 111] Connection refused", "Spark's Java has ended"),
        (
            "Job 1 cancelled because SparkContext was shut down",
            "the Spark session was stop",
        ),
        ("Traceback:\nConnectionError: [Errno 111] Connection refused", "Spark failed on the rows: Conn"),
    ],
)
def test_what_is_not_the_rows_fault_is_named_with_what_to_do(said, told):
    error = exceptions.translate(Exception(said))
    assert type(error) is ClusterError
    assert told in str(error)


def test_of_a_session_that_was_stopped_meanwhile_nothing_else_is_told():
    spark = SimpleNamespace(_jsparkSession=None, sparkContext=SimpleNamespace(_jsc=None))
    said = AttributeError("'NoneType' object has no attribute 'setCallSite'")
    error = exceptions.translate(said, stopped=session.is_stopped(spark))
    assert (type(error), str(error)) == (ClusterError, gateway.STOPPED)
