"""The attached Spark: the one at hand, the active one, or a new local one."""

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

        return Remote.getActiveSession() or Remote._get_default_session()  # noqa: SLF001  # the active one is one thread's
    gateway.require()  # which would be asked
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

    with SparkContext._lock:  # noqa: SLF001  # as PySpark does: two threads start one Spark
        if gateway.has_ended():
            gateway.forget()
        is_there = SparkContext._active_spark_context is not None  # noqa: SLF001  # no public sign
        with nullcontext() if is_there else wait.shown("java"):
            java.ensure()
            # The workers must run this very Python, with its packages; PATH may know another first.
            os.environ["PYSPARK_PYTHON"] = sys.executable
            conf = SparkConf().setMaster("local[*]").setAppName("nbkeras").setAll(list(_LOCAL.items()))
            if not is_there:
                gateway.start(conf)
            session: SparkSession = SparkSession.builder.config(conf=conf).getOrCreate()
    return session
