"""Session: the given Spark session, the active one, or a new local one."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from nbkeras import wait
from nbkeras.errors import ClusterError, one_line
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
    if spark is not None and not hasattr(spark, "createDataFrame"):
        raise ClusterError(f"spark={spark!r} is not a SparkSession: omit it, or give a session")
    session: Any = spark if spark is not None else running()
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


def running() -> Any:
    """Return the active session, or one of the Spark that this process has started; None for none."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    session = _active()
    if session is None and SparkContext._active_spark_context is not None:  # noqa: SLF001  # no public sign
        # A session is active in one thread only; another thread must get the running Spark.
        session = SparkSession.builder.getOrCreate()
    return session


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


#: Seconds until a machine that does not answer is given up.
_PATIENCE = 5.0
#: All cores of this machine.
_HERE = "local[*]"
#: Settings of a Spark that prints nothing.
_QUIET = {
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
}
#: Settings of a local Spark, which listens on loopback only.
_LOCAL = _QUIET | {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.ui.enabled": "false",
}


def local_spark() -> SparkSession:
    """Start a Spark on this machine with all its cores, or return the one that runs already.

    Finds Java first, or installs it; listens on loopback only. If Spark does not start, the error
    has Java's last lines; what your functions print on workers is printed here.

    Raises:
        ClusterError: there is no Java and none can be installed, or Spark does not start.
    """
    return started(_HERE, {})


def started(master: str, settings: Mapping[str, str]) -> SparkSession:
    """Start a Spark, or return the one that runs already.

    Args:
        master: as Spark names it, such as ``local[2]``, ``yarn`` or ``sc://host:15002`` for a Connect server.
        settings: of the session.

    Raises:
        ClusterError: there is no Java and none can be installed, or Spark does not start.
    """
    from pyspark import SparkConf, SparkContext
    from pyspark.sql import SparkSession

    _require_listening(master)
    if master.startswith("sc://"):
        return _connected(master, settings)
    own = _LOCAL if master.startswith("local") else _QUIET
    with SparkContext._lock:  # noqa: SLF001  # as PySpark does, so that two threads start one Spark
        if gateway.has_ended():
            gateway.forget()
        is_there = SparkContext._active_spark_context is not None  # noqa: SLF001  # no public sign
        with nullcontext() if is_there else wait.shown("java"):
            java.ensure()
            # The workers must run this Python, with its packages; PATH may have another one first.
            if own is _LOCAL:
                os.environ["PYSPARK_PYTHON"] = sys.executable
            else:
                named = settings.get("spark.pyspark.python", sys.executable)
                os.environ.setdefault("PYSPARK_PYTHON", named)
            conf = SparkConf().setMaster(master).setAppName("nbkeras").setAll([*{**own, **settings}.items()])
            if not is_there:
                gateway.start(conf)
            try:
                session: SparkSession = SparkSession.builder.config(conf=conf).getOrCreate()
            except Exception as error:
                raise ClusterError(f"Spark at {master} has ended as it started: look at its log") from error
    return session


def _require_listening(master: str) -> None:
    """Make sure that somebody listens at a master: Spark would try for minutes, and say nothing.

    Raises:
        ClusterError: nobody does.
    """
    scheme, _, rest = master.partition("://")
    default = {"sc": 15002, "spark": 7077}.get(scheme)
    if default is None or any(name.lower().endswith("_proxy") for name in os.environ):
        return  # Spark knows the way
    places = [urlsplit(f"//{one}") for one in rest.partition("/")[0].split(",")]
    for place in places:
        try:
            with socket.create_connection((place.hostname or "", place.port or default), _PATIENCE):
                return
        except OSError as error:
            reason = error
    raise ClusterError(
        f"nobody answers at {master} ({reason.strerror or reason}): start Spark there, or name another master"
    )


def _connected(master: str, settings: Mapping[str, str]) -> SparkSession:
    """A session of a Connect server.

    Raises:
        ClusterError: it gives none.
    """
    from pyspark.sql import SparkSession

    builder: Any = SparkSession.builder  # its methods are of another class in each kind of Spark
    for key, value in settings.items():
        builder = builder.config(key, value)
    try:
        session: SparkSession = builder.remote(master).getOrCreate()
    except Exception as error:
        raise ClusterError(
            f"Spark Connect at {master} gives no session ({one_line(error)}): type {sys.executable} -m pip "
            "install 'nbkeras[connect]', or name another master"
        ) from error
    return session
