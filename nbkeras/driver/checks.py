"""Checks: what a call is refused for before anything is computed, and what it waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbkeras.errors import ModelError, OptionError
from nbkeras.plan import BACKENDS, Plan, whole
from nbkeras.run import registry
from nbkeras.run.run import calling
from nbkeras.schema import Schema
from nbkeras.spark import cluster, dynamic_allocation, gpus, protection

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def require_model(model: Any, method: str) -> None:
    """Make sure that a method got a model.

    Raises:
        ModelError: it is none of Keras'.
    """
    import keras

    if not isinstance(model, keras.Model):
        raise ModelError(f"{method} takes a keras.Model, not {type(model).__module__}.{type(model).__name__}")


def require_compiled(model: Any, method: str) -> None:
    """Make sure that a method got a model with a loss.

    Raises:
        ModelError: it is not compiled, or none of Keras'.
    """
    require_model(model, method)
    if not model.compiled:
        raise ModelError(f"the model is not compiled: call model.compile(optimizer, loss) before {method}")


def require_free(model: Any) -> None:
    """Make sure that no other run trains a model.

    Raises:
        OptionError: one does.
    """
    if (run := registry.training(model)) is not None:
        raise OptionError(
            f"{run.name} trains this model: wait for it (run.wait()) or stop it (run.stop()) first, or train "
            "a copy, keras.models.clone_model(model), compiled like it"
        )


def require(spark: SparkSession, plan: Plan, *, dynamic: bool, trusted: bool) -> None:
    """Refuse what this Spark cannot give a training.

    Args:
        spark: the session.
        plan: of the training.
        dynamic: whether Spark allocates executors dynamically.
        trusted: whether gradients may travel in the clear.

    Raises:
        ClusterError: Spark lacks slots, GPUs or a backend.
        OptionError: Spark protects its network.
    """
    cluster.require_backend(spark, plan.backend)
    protection.require_trust(spark, plan, trusted=trusted)
    gpus.require(spark, plan)
    if dynamic:
        dynamic_allocation.require(spark, plan.workers)
    else:
        cluster.require_slots(spark, plan.workers)


def require_class_weight(class_weight: Any, schema: Schema) -> None:
    """Refuse class weights where Keras has no use for them.

    Raises:
        OptionError: rows have sample weights, or not one label.
    """
    if class_weight and schema.weights:
        raise OptionError("class_weight and sample_weight exclude each other: give one of them")
    if class_weight and (len(schema.labels) != 1 or schema.y is not None):
        raise OptionError(
            f"class_weight is for one label per row, and there are {len(schema.labels)}: give sample_weight, "
            "an array or a column for each output"
        )


def backend(asked: str) -> str:
    """The Keras backend of the workers.

    Args:
        asked: its name, or "auto" for the notebook's own.

    Raises:
        ModelError: the notebook's own is one that no model can be trained with.
    """
    import keras

    own = str(keras.config.backend())
    if own not in BACKENDS:
        raise ModelError(
            f"Keras runs on {own} in this notebook, nbkeras knows {', '.join(BACKENDS)}: "
            "restart the kernel with KERAS_BACKEND=tensorflow"
        )
    return own if asked == "auto" else asked


def is_own(asked: str) -> bool:
    """Whether a backend is the notebook's own."""
    import keras

    return asked in ("auto", keras.config.backend())


def seed(given: int | None) -> int:
    """The seed of the rows' order: without one from NumPy, which ``keras.utils.set_random_seed`` seeds."""
    import numpy as np

    return int(np.random.randint(1 << 31)) if given is None else whole("seed", given, 0)  # noqa: NPY002


def wait_for_training(model: Any) -> None:
    """Wait for a run that trains this model: half trained, it says little.

    Raises:
        OptionError: the run waits itself, for its user or for a callback that asks here.
    """
    if (run := registry.training(model)) is None:
        return

    def go_on() -> None:
        if run.pausing.is_set():
            raise OptionError(
                f"{run.name} trains this model and is paused: let it go on with %keras_spark resume "
                "(run.resume()), or end it with %keras_spark stop (run.stop())"
            )

    go_on()
    if run.stream is not None:
        raise OptionError(
            f"{run.name} trains this model on a stream, which has no end: stop it with run.stop(), or take a "
            "copy, keras.models.clone_model(model) with set_weights(model.get_weights())"
        )
    if calling() is run:
        raise OptionError(
            f"{run.name} trains this model, and waits for this callback: validation_data gives metrics of "
            "every epoch; to predict, copy it with keras.models.clone_model(model) and set_weights"
        )
    print(f"Waiting for {run.name}, which trains this model.")  # noqa: T201  # no wait without its reason
    run.wait(tick=go_on)
