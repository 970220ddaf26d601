"""Options: where and how a training runs. Each option is declared once.

:func:`nbkeras.fit` and :func:`nbkeras.on_spark` have these arguments (a test compares them), the cell
magic accepts the options that have a help text, and a :class:`nbkeras.plan.Plan` takes those that it has a
field for.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from nbkeras.plan import BACKENDS
from nbkeras.run.display import Host
from nbkeras.run.listeners import Listener

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def words(said: str, metavar: str | None = None, choices: Sequence[str] = ()) -> dict[str, Any]:
    """Make the metadata of an option of the cell magic.

    Args:
        said: help text.
        metavar: name of the option's value in the help.
        choices: allowed values; empty for any.
    """
    return {"help": said, "metavar": metavar, "choices": tuple(choices)}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Where and how a training runs; :func:`nbkeras.fit` says what each option means.

    Example:
        >>> from nbkeras.options import Options
        >>> Options(workers=2).changed()
        {'workers': 2}
    """

    workers: int | str = field(
        default="auto", metadata=words("trainers that share the work (auto)", "N|auto")
    )
    background: bool = field(
        default=False, metadata=words("go on at once; the chart lives, fit gives the run")
    )
    name: str | None = field(
        default=None, metadata=words("shown in the chart; %%keras_spark stop NAME knows it")
    )
    backend: str = field(
        default="auto",
        metadata=words("what Keras computes with on the workers (as in the notebook)", choices=BACKENDS),
    )
    checkpoint: str | os.PathLike[str] | None = field(
        default=None, metadata=words("folder that keeps the training after each epoch", "URI")
    )
    resume: bool = field(default=False, metadata=words("go on from the newest checkpoint there"))
    monitor: str | None = field(
        default=None, metadata=words("the metric by which an epoch is best (val_loss, loss)", "METRIC")
    )
    restore_best: bool = field(
        default=False, metadata=words("the model gets the weights of the best epoch in the end")
    )
    heartbeat: float = field(
        default=60.0, metadata=words("silence after which a worker counts as lost (60)", "SECONDS")
    )
    gpus: int | None = field(
        default=None, metadata=words("GPUs of each worker (those that Spark gives by itself)", "N")
    )
    sync_every: int = field(
        default=1,
        metadata=words("steps that workers take apart before their weights become their mean (1: none)", "K"),
    )
    trusted_network: bool = field(
        default=False,
        metadata=words("several workers though Spark protects the network: what they send is in the clear"),
    )
    spark: SparkSession | None = None
    shown_by: Host | None = None
    listeners: Sequence[Listener] = ()

    def changed(self) -> dict[str, Any]:
        """Return the options that differ from their defaults, by name."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {one.name: values[one.name] for one in fields(self) if values[one.name] != one.default}


#: The names of all options.
NAMES = tuple(one.name for one in fields(Options))
#: The options that the cell magic accepts.
TYPED = {one.name: one for one in fields(Options) if one.metadata}
