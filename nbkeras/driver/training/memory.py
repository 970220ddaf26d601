"""Memory beside the JVM: YARN and Kubernetes end an executor that takes more than it has asked for.

Trainers are not in the executor's heap, but in its overhead, which is a tenth of
the heap unless set.
"""

from __future__ import annotations

import math
import re
from typing import Any

import keras
from pyspark.sql import SparkSession

from nbkeras.model import state
from nbkeras.model.footprint import SERVER, TRAINER, Footprint, megabytes
from nbkeras.plan import Plan
from nbkeras.spark import cluster

_MB = 1 << 20
#: MiB of Spark's units.
_UNITS = {"b": 2**-20, "k": 2**-10, "": 1, "m": 1, "g": 2**10, "t": 2**20, "p": 2**30}
#: What an executor's JVM with two slots takes beside its heap: 160 MB measured, a little after its start.
_JVM = 200 * _MB


def note(spark: SparkSession, model: Any, plan: Plan) -> str | None:
    """One sentence where trainers will probably be ended by the cluster manager, and what to set.

    Args:
        spark: the session.
        model: built, with its optimizer.
        plan: of the training.
    """
    if (allowed := _allowed(spark)) is None:
        return None
    trainers = math.ceil(plan.workers / cluster.executors(spark))
    took = Footprint.of(
        state.size(state.variables(model)),
        state.size(model.trainable_variables),
        _outputs(model, math.ceil((plan.batch_size or 32) / plan.workers)),
    )
    needed = _JVM + SERVER + trainers * took.trainer
    if needed <= allowed:
        return None
    manager = "Kubernetes" if _master(spark).startswith("k8s") else "YARN"
    several = f" for each of {trainers} trainers" if trainers > 1 else ""
    return (
        f"an executor will take about {megabytes(needed)} MB beside its heap (estimated: "
        f"{megabytes(_JVM + SERVER)} for the JVM, Keras and its backend; {megabytes(TRAINER)} to start, "
        f"{megabytes(took.learnt)} for weights, gradients and optimizer, {megabytes(took.outputs)} for the "
        f"layers' outputs{several}), and {manager} ends it at {megabytes(allowed)} MB: start Spark with "
        f"spark.executor.memoryOverhead={math.ceil(needed / _MB / 128) * 128}m"
    )


def _allowed(spark: SparkSession) -> int | None:
    """Bytes that an executor may take beside its heap, None where nobody counts."""
    if not _master(spark).startswith(("yarn", "k8s")):
        return None
    overhead = _setting(spark, "spark.executor.memoryOverhead", "")
    if overhead is None:
        heap = _setting(spark, "spark.executor.memory", "1g") or 0
        factor = spark.conf.get(
            "spark.executor.memoryOverheadFactor",
            spark.conf.get("spark.kubernetes.memoryOverheadFactor", "0.1"),
        )
        least = _setting(spark, "spark.executor.minMemoryOverhead", "384m") or 0
        overhead = max(int(heap * float(factor or 0)), least)
    return overhead + (_setting(spark, "spark.executor.pyspark.memory", "") or 0)


def _setting(spark: SparkSession, key: str, default: str) -> int | None:
    """A size of Spark's settings in bytes, read as Spark reads it: in whole MiB, where no unit is named."""
    value = str(spark.conf.get(key, default))
    if not value:
        return None
    # Over Connect there is no JVM to ask.
    found = re.fullmatch(r"(\d+)([bkmgtp]?)b?", value.strip().lower())
    return None if found is None else int(int(found[1]) * _UNITS[found[2]]) * _MB


def _master(spark: SparkSession) -> str:
    return str(spark.conf.get("spark.master", ""))


def _outputs(model: Any, rows: int) -> int:
    """Bytes of the layers' outputs for so many rows, as far as their shapes are known."""
    total = 0
    for layer in model._flatten_layers(include_self=False):  # noqa: SLF001  # nested models' layers too
        if isinstance(layer, keras.layers.InputLayer):
            continue
        try:
            shapes = [one.shape for one in keras.tree.flatten(layer.output)]
        except (AttributeError, ValueError):  # a layer of a subclassed model, or one that is used twice
            continue
        total += sum(math.prod(size or 1 for size in shape[1:]) for shape in shapes)
    return 4 * rows * total
