"""GPUs that Spark assigns to tasks, by its settings or at the request of a training."""

from __future__ import annotations

import contextlib
from typing import Any

from pyspark.sql import SparkSession

from nbkeras.errors import ClusterError
from nbkeras.plan import Plan
from nbkeras.spark import cluster, connect, dynamic_allocation
from nbkeras.spark.session import is_connect

_OF_TASK = "spark.task.resource.gpu.amount"
_OF_EXECUTOR = "spark.executor.resource.gpu.amount"


def given(context: Any) -> tuple[str, ...]:
    """Return the addresses of a task's GPUs; none if Spark does not manage GPUs.

    Args:
        context: the task's ``TaskContext``.
    """
    resource = None if context is None else context.resources().get("gpu")
    return () if resource is None else tuple(resource.addresses)


def own(spark: SparkSession, plan: Plan) -> bool:
    """Whether each worker gets whole GPUs: Spark may also let several tasks share one."""
    return plan.gpus is not None or _amount(spark, _OF_TASK) >= 1


def require(spark: SparkSession, plan: Plan) -> None:
    """Check that Spark can give each worker the GPUs that it requests.

    Raises:
        ClusterError: it cannot.
    """
    if (wanted := _asked(spark, plan)) is None:
        return
    asked = f"--gpus {wanted} (gpus={wanted})"
    if cluster.is_local(spark):
        raise ClusterError(
            f"{asked}: Spark {cluster.place(spark)} counts no GPUs; omit it, "
            "and the workers use those of this machine"
        )
    if dynamic_allocation.is_on(spark):
        raise ClusterError(
            f"{asked}: with dynamic allocation, start Spark with {_OF_EXECUTOR}={wanted} "
            f"and {_OF_TASK}={wanted}"
        )
    if spark.version.startswith("3."):
        raise ClusterError(
            f"{asked}: Spark {spark.version} gives the stages of a DataFrame no GPUs of their own: "
            f"start it with {_OF_TASK}={wanted}, or use Spark 4"
        )
    there = int(_amount(spark, _OF_EXECUTOR))
    if not (each := there // wanted):
        raise ClusterError(
            f"{asked}: Spark's executors have {there} GPUs each: start Spark with "
            f"{_OF_EXECUTOR}={wanted} or more and spark.executor.resource.gpu.discoveryScript"
        )
    if (most := each * cluster.executors(spark)) < plan.workers:
        raise ClusterError(
            f"{plan.workers} workers with {wanted} GPUs each need {plan.workers * wanted}, Spark "
            f"{cluster.place(spark)} has enough for {most}: use --workers {most}, or more executors"
        )


def profile(spark: SparkSession, plan: Plan) -> Any:
    """Make the ``ResourceProfile`` of each worker's task; None if Spark's settings are enough."""
    if (wanted := _asked(spark, plan)) is None:
        return None
    from pyspark.resource import ResourceProfileBuilder, TaskResourceRequests

    cpus = int(spark.conf.get("spark.task.cpus", "1") or 1)
    # Without requests for executors, the profile uses the executors that run.
    requests = TaskResourceRequests().cpus(cpus).resource("gpu", wanted)
    made = ResourceProfileBuilder().require(requests).build
    with connect.active(spark) if is_connect(spark) else contextlib.nullcontext():
        _ = made.id  # registers the profile with Spark
    return made


def _asked(spark: SparkSession, plan: Plan) -> int | None:
    """Return the GPUs that each worker requests; None if Spark's settings give each task as many."""
    return None if _amount(spark, _OF_TASK) == plan.gpus else plan.gpus


def _amount(spark: SparkSession, key: str) -> float:
    return float(spark.conf.get(key, "0") or 0)
