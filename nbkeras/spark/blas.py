"""BLAS: MLlib computes in Java where this machine has no native library."""

from __future__ import annotations

import ctypes
import sys

from pyspark.sql import SparkSession

from nbkeras.spark.session import is_connect

#: What MLlib loads, and the property that tells it not to try.
_LIBRARY, _ALLOWED = "libblas.so.3", "dev.ludovic.netlib.blas.allowNative"


def settle(spark: SparkSession) -> None:
    """Have MLlib not look for a library that is not there: it computes the same in Java, and would print why.

    Args:
        spark: the session; a Connect server prints into its own log.
    """
    if is_connect(spark) or sys.platform != "linux":
        return
    try:
        ctypes.CDLL(_LIBRARY)
    except OSError:
        spark._jvm.java.lang.System.setProperty(_ALLOWED, "false")  # type: ignore[union-attr]  # noqa: SLF001  # no setting of Spark's
