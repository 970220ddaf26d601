"""The attached Spark: the one at hand, the active one, or a new local one."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nbkeras import java
from nbkeras.errors import ClusterError, one_line

if TYPE_CHECKING:
    from pyspark import SparkConf
    from pyspark.sql import SparkSession

JAVA_HAS_ENDED = (
    "Spark's Java has ended: it was killed, or had no memory left: make a new session, as you have made "
    "this one or by spark = nbkeras.local_spark()"
)


def attached(spark: Any = None) -> SparkSession:
    """A session that works.

    Args:
        spark: the session at hand; None for the active one, or a new local one,
            which is then said.

    Raises:
        ClusterError: the session was stopped, or is none.
    """
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    if spark is not None and not hasattr(spark, "createDataFrame"):
        raise ClusterError(f"spark={spark!r} is no SparkSession")
    session: Any = spark if spark is not None else _active()
    if session is None and SparkContext._active_spark_context is not None:  # noqa: SLF001  # no public sign
        # The active session is that of one thread; in another the running Spark is to be asked for.
        session = SparkSession.builder.getOrCreate()
    if session is None:
        print(
            "nbkeras: no Spark at hand, starting a local one; spark = nbkeras.local_spark() gives it to you"
        )
        session = local_spark()
    if not is_connect(session):
        _require_java()
        logging.getLogger().addFilter(_is_to_be_logged)
    if is_stopped(session):
        raise ClusterError(
            "the Spark session was stopped: make a new one, or leave it to nbkeras.local_spark()"
        )
    if is_connect(session):
        from nbkeras.engine.spark import connect

        connect.require_alive(session)
    return session  # type: ignore[no-any-return]


def _active() -> Any:
    from pyspark.sql import SparkSession
    from pyspark.sql.utils import is_remote

    if is_remote():
        from pyspark.sql.connect.session import SparkSession as Remote

        return Remote.getActiveSession() or Remote._get_default_session()  # noqa: SLF001  # the active one is one thread's
    _require_java()  # which would be asked
    return SparkSession.getActiveSession()


def is_connect(session: Any) -> bool:
    """Whether this is a Spark Connect session: it has no JVM in this process."""
    return not hasattr(session, "_jsparkSession")


def is_stopped(session: Any) -> bool:
    """Whether the session can do nothing any more."""
    if is_connect(session):
        return bool(session.is_stopped)
    return session.sparkContext._jsc is None  # noqa: SLF001  # there is no public sign


def thread(spark: SparkSession, work: Callable[[], None], name: str) -> threading.Thread:
    """A thread, not yet started, in which Spark finds what is set for this one; no process waits for it."""
    from pyspark import InheritableThread

    # Connect's settings of a thread belong to a session; Spark 3.5 knows no such argument.
    inherited: dict[str, Any] = {"session": spark} if is_connect(spark) else {}
    made: threading.Thread = InheritableThread(target=work, name=name, daemon=True, **inherited)
    return made


#: Seconds in which what Java has said before its end is read.
_LAST_WORDS = 2.0
#: Of a Spark of our own: on loopback only, and without lines of its own.
_LOCAL = {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
}


def local_spark() -> SparkSession:
    """A Spark on this machine with all its cores, or the one that runs already.

    Finds Java first, or installs it; listens on loopback only. What Java says as it starts is
    told where it does not; what your functions print on workers is printed here.

    Raises:
        ClusterError: there is no Java and none can be installed, or it does not start.
    """
    from pyspark import SparkConf, SparkContext
    from pyspark.sql import SparkSession

    java.ensure()
    # The workers must run this very Python, with its packages; PATH may know another first.
    os.environ["PYSPARK_PYTHON"] = sys.executable
    with SparkContext._lock:  # noqa: SLF001  # as PySpark does: two threads start one Spark
        if java_has_ended():
            _forget()
        conf = SparkConf().setMaster("local[*]").setAppName("nbkeras").setAll(list(_LOCAL.items()))
        if SparkContext._active_spark_context is None:  # noqa: SLF001  # no public sign
            _start(conf)
        session: SparkSession = SparkSession.builder.config(conf=conf).getOrCreate()
    # What goes wrong in a job is an exception here, too.
    session.sparkContext.setLogLevel("OFF")
    return session


def java_has_ended(seconds: float = 0) -> bool:
    """Whether the Java that this process has started, and speaks with, is gone.

    Args:
        seconds: to wait for its end.
    """
    from pyspark import SparkContext

    process = getattr(SparkContext._gateway, "proc", None)  # noqa: SLF001  # no public way
    if not isinstance(process, subprocess.Popen):  # Zeppelin's gateway has any name that it is asked for
        return False
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return process.returncode is not None


def _is_to_be_logged(record: logging.LogRecord) -> bool:
    """Leave out what Py4J logs at the root, with a traceback, of a Java that has ended."""
    if record.msg != "Exception while sending command.":
        return True
    return not java_has_ended(_LAST_WORDS)


def _require_java() -> None:
    if java_has_ended():
        raise ClusterError(JAVA_HAS_ENDED)


def _forget() -> None:
    """Have PySpark forget a Java that is gone, which it would ask before it starts another."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    if SparkContext._active_spark_context is not None:  # noqa: SLF001  # it cannot be stopped: Java would do that
        SparkContext._active_spark_context._jsc = None  # noqa: SLF001
    SparkContext._gateway = SparkContext._jvm = SparkContext._active_spark_context = None  # noqa: SLF001
    SparkSession._instantiatedSession = SparkSession._activeSession = None  # noqa: SLF001


class _Listener(threading.Thread):
    """Reads what a Java and its workers print: keeps it while Spark starts, and prints it from then on.

    Attributes:
        output: a file that they print to; so does who says that Spark has started, behind all of before.
        last: their last lines.
    """

    STARTED = "nbkeras: Spark has started\n"

    def __init__(self) -> None:
        super().__init__(daemon=True, name="java output")  # of no training: it stays as long as Java
        lines, output = os.pipe()
        self._lines, self.output = os.fdopen(lines, errors="replace"), os.fdopen(output, "w")
        self.last: deque[str] = deque(maxlen=3)

    def run(self) -> None:
        with self._lines:
            started = False
            for line in self._lines:
                if started:
                    print(line, end="")
                elif line.endswith(self.STARTED):
                    started = True
                else:
                    self.last.append(line.strip())


def _start(conf: SparkConf) -> None:
    """Start Java and a Spark in it."""
    from pyspark import SparkContext
    from pyspark.java_gateway import launch_gateway

    gateway = SparkContext._gateway  # noqa: SLF001  # where a Spark was stopped its Java is still there
    if gateway is not None:
        SparkContext(conf=conf, gateway=gateway)
        return
    listener = _Listener()
    listener.start()
    said = {"stdout": listener.output, "stderr": listener.output}
    try:
        with listener.output:
            gateway = launch_gateway(conf, said)  # type: ignore[no-untyped-call]
            SparkContext(conf=conf, gateway=gateway).setLogLevel("OFF")
            listener.output.write(listener.STARTED)
    except Exception as error:
        listener.join(_LAST_WORDS)  # with the end of Java
        last = " ".join(listener.last)[-600:]
        raise ClusterError(
            f"Spark does not start ({one_line(error)}); Java said: {last or 'nothing'}"
        ) from error
