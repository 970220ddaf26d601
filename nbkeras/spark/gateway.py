"""Gateway: the start, output and end of the Java process that PySpark starts for this process."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import threading
from collections import deque
from typing import TYPE_CHECKING

from nbkeras.errors import ClusterError, one_line
from nbkeras.spark import class_data

if TYPE_CHECKING:
    from pyspark import SparkConf, SparkContext

HAS_ENDED = (
    "Spark's Java has ended: it was killed, or had no memory left: make a new session, as you have made "
    "this one or by spark = nbkeras.local_spark()"
)
STOPPED = (
    "the Spark session was stopped: make a new one, spark = nbkeras.local_spark() for one on this machine, "
    "and create its DataFrames again"
)
#: What Py4J logs when an interrupt breaks a call of Java: the interrupt itself is enough.
_OF_INTERRUPTS = {
    "KeyboardInterrupt while sending command.",
    "Exception occurred while shutting down connection",
}
#: Seconds to read the last output of a Java that has ended.
_LAST_WORDS = 2.0


def has_ended(seconds: float = 0) -> bool:
    """Whether the Java that this process has started and uses has ended.

    Args:
        seconds: to wait for its end.
    """
    from pyspark import SparkContext

    process = getattr(SparkContext._gateway, "proc", None)  # noqa: SLF001  # no public way
    if not isinstance(process, subprocess.Popen):  # Zeppelin's gateway answers to any attribute
        return False
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return process.returncode is not None


def _is_to_be_logged(record: logging.LogRecord) -> bool:
    """Filter out what Py4J logs, with a traceback, about an interrupt or a Java that has ended."""
    if record.msg in _OF_INTERRUPTS:
        return False
    if record.msg != "Exception while sending command.":
        return True
    return not has_ended(_LAST_WORDS)


def require() -> None:
    """Check that Java has not ended, if there is one; PySpark would log its end with tracebacks.

    Raises:
        ClusterError: it has ended.
    """
    if has_ended():
        raise ClusterError(HAS_ENDED)
    for name in (None, "py4j.clientserver"):
        logging.getLogger(name).addFilter(_is_to_be_logged)


def forget() -> None:
    """Let PySpark forget a Java that has ended: it would call it before it starts another."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    if SparkContext._active_spark_context is not None:  # noqa: SLF001  # it cannot be stopped: Java would do that
        SparkContext._active_spark_context._jsc = None  # noqa: SLF001
    SparkContext._gateway = SparkContext._jvm = SparkContext._active_spark_context = None  # noqa: SLF001
    SparkSession._instantiatedSession = SparkSession._activeSession = None  # noqa: SLF001


class _Listener(threading.Thread):
    """Reads the output of Java and its workers: stores it while Spark starts, and prints it from then on.

    Attributes:
        output: the file that they print to; the line ``STARTED`` is written to it once Spark has started.
        last: their last lines before that.
    """

    STARTED = "nbkeras: Spark has started\n"

    def __init__(self) -> None:
        super().__init__(daemon=True, name="java output")  # belongs to no training: it lives as long as Java
        lines, output = os.pipe()
        self._lines, self.output = os.fdopen(lines, errors="replace"), os.fdopen(output, "w")
        self.last: deque[str] = deque(maxlen=3)

    def run(self) -> None:
        with self._lines:
            started = False
            for line in self._lines:
                if started:
                    print(line, end="")  # noqa: T201  # the output of the user's functions
                elif line.endswith(self.STARTED):
                    started = True
                else:
                    self.last.append(line.strip())


def start(conf: SparkConf) -> None:
    """Start Java and a Spark in it.

    Args:
        conf: of that Spark.

    Raises:
        ClusterError: it does not start; the message has Java's last lines.
    """
    from pyspark import SparkContext

    gateway = SparkContext._gateway  # noqa: SLF001  # after spark.stop() its Java still runs
    if gateway is not None:
        _quiet(SparkContext(conf=conf, gateway=gateway))
        return
    with class_data.used() as file:
        try:
            _launch(conf)
        except ClusterError:
            # Java notices a damaged file only as it uses it, and ends.
            if file is None or not (SparkContext._gateway is None or has_ended(_LAST_WORDS)):  # noqa: SLF001
                raise
            file.unlink(missing_ok=True)
        else:
            return
    forget()
    _launch(conf)


def _launch(conf: SparkConf) -> None:
    from pyspark import SparkContext
    from pyspark.java_gateway import launch_gateway

    listener = _Listener()
    listener.start()
    said = {"stdout": listener.output, "stderr": listener.output}
    try:
        with listener.output:
            gateway = launch_gateway(conf, said)  # type: ignore[no-untyped-call]
            _quiet(SparkContext(conf=conf, gateway=gateway))
            listener.output.write(listener.STARTED)
    except Exception as error:
        listener.join(_LAST_WORDS)  # with the end of Java
        last = " ".join(listener.last)[-600:]
        raise ClusterError(
            f"Spark does not start ({one_line(error)}); Java said: {last or 'nothing'}: type nbkeras doctor"
        ) from error


def _quiet(context: SparkContext) -> None:
    # An error in a job raises an exception here, so its log is not needed.
    context.setLogLevel("OFF")
