"""Session: the given Spark session, the active one, or a new local one."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from nbkeras import wait
from nbkeras.errors import ClusterError
from nbkeras.spark import gateway, java

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def attached(spark: Any = None) -> SparkSession:
    """Return a session that works.

    Args:
        spark: the session; None for the active one, or a new local one, which is then
            announced.

    Raises:
        ClusterError: the session was stopped, or is not a session.
    """
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    if spark is not None and not hasattr(spark, "createDataFrame"):
        raise ClusterError(f"spark={spark!r} is not a SparkSession: omit it, or give a session")
    session: Any = spark if spark is not None else _active()
    if session is None and SparkContext._active_spark_context is not None:  # noqa: SLF001  # no public sign
        # A session is active in one thread only; another thread must get the running Spark.
        session = SparkSession.builder.getOrCreate()
    if session is None:
        print(
            "nbkeras: no Spark at hand, starting a local one; spark = nbkeras.local_spark() gives it to you"
        )
        session = local_spark()
    if not is_connect(session):
        gateway.require()
    if is_stopped(session):
        raise ClusterError(gateway.STOPPED)
    if is_connect(session):
        from nbkeras.spark import connect

        connect.require_alive(session)
    return session  # type: ignore[no-any-return]


def _active() -> Any:
    from pyspark.sql import SparkSession
    from pyspark.sql.utils import is_remote

    if is_remote():
        from pyspark.sql.connect.session import SparkSession as Remote

        return Remote.getActiveSession() or Remote._get_default_session()  # noqa: SLF001  # active in one thread only
    gateway.require()  # getActiveSession calls Java
    return SparkSession.getActiveSession()


def is_connect(session: Any) -> bool:
    """Whether this is a Spark Connect session, which has no JVM."""
    return not hasattr(session, "_jsparkSession")


def is_stopped(session: Any) -> bool:
    """Whether the session was stopped."""
    if is_connect(session):
        return bool(session.is_stopped)
    return session.sparkContext._jsc is None  # noqa: SLF001  # there is no public sign


def thread(spark: SparkSession, work: Callable[[], None], name: str) -> threading.Thread:
    """Make a daemon thread, not yet started, that inherits this thread's settings of Spark."""
    from pyspark import InheritableThread

    # On Connect, a thread's settings belong to a session; Spark 3.5 lacks this argument.
    inherited: dict[str, Any] = {"session": spark} if is_connect(spark) else {}

    def run() -> None:
        if inherited:
            # Spark ML asks for the session of its thread; there is no public way to set it.
            kind: Any = type(spark)
            kind._set_default_and_active_session(spark)  # noqa: SLF001
        work()

    made: threading.Thread = InheritableThread(target=run, name=name, daemon=True, **inherited)
    return made


#: Settings of a local Spark: it listens on loopback only, and prints nothing.
_LOCAL = {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
}


def local_spark() -> SparkSession:
    """Start a Spark on this machine with all its cores, or return the one that runs already.

    Finds Java first, or installs it; listens on loopback only. If Spark does not start, the error
    has Java's last lines; what your functions print on workers is printed here.

    Raises:
        ClusterError: there is no Java and none can be installed, or Spark does not start.
    """
    from pyspark import SparkConf, SparkContext
    from pyspark.sql import SparkSession

    with SparkContext._lock:  # noqa: SLF001  # as PySpark does, so that two threads start one Spark
        if gateway.has_ended():
            gateway.forget()
        is_there = SparkContext._active_spark_context is not None  # noqa: SLF001  # no public sign
        with nullcontext() if is_there else wait.shown("java"):
            java.ensure()
            # The workers must run this Python, with its packages; PATH may have another one first.
            os.environ["PYSPARK_PYTHON"] = sys.executable
            conf = SparkConf().setMaster("local[*]").setAppName("nbkeras").setAll(list(_LOCAL.items()))
            if not is_there:
                gateway.start(conf)
            session: SparkSession = SparkSession.builder.config(conf=conf).getOrCreate()
    return session
