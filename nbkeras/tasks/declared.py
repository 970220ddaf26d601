"""Declared: a training as its file says it, with its data, model and results."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, ValidationError, ValidationInfo, model_validator

from nbkeras.tasks import files, wording
from nbkeras.tasks.part import FilePath, Part
from nbkeras.tasks.parts import Counted, Data, Model, Out, Spark
from nbkeras.tasks.places import Places, Wrong


class Declared(Part):
    """What a task says; :class:`nbkeras.Task` also does it."""

    name: str | None = Field(default=None, examples=["flowers"])
    """Shown in the chart and in the result; without it, the name of the file."""
    data: Data = Field(examples=[{"training": "train.parquet", "y": "kind"}])
    """What is trained, validated and reported on."""
    model: Model = Field(examples=["model.py:build"])
    """The compiled Keras model."""
    spark: Spark = Spark()
    """Where and how the training runs."""
    epochs: Counted = 1
    """How often to go over the rows."""
    batch_size: Counted | None = None
    """Rows of a step, of all workers; 32 if it is left out."""
    shuffle: bool = True
    """Visit the rows in another order in each epoch."""
    learning_rate: Annotated[float, Field(gt=0)] | None = Field(default=None, examples=[0.001])
    """Of the optimizer; without it, the rate that the model was compiled with."""
    class_weight: Literal["balanced"] | dict[str | int, float] | None = None
    """Weights by class; balanced weighs each class by the inverse of its frequency."""
    callbacks: dict[str, dict[str, Any] | None] = Field(
        default={}, examples=[{"EarlyStopping": {"patience": 3}}]
    )
    """Callbacks of Keras by the names of their classes, with their arguments."""
    seed: Annotated[int, Field(ge=0, le=(1 << 32) - 1)] | None = None
    """Of the model's first weights, its random layers and the order of the rows."""
    monitor: str | None = Field(default=None, examples=["val_accuracy"])
    """The metric by which an epoch is best; without it the loss, of validation if there is one."""
    restore_best: bool = False
    """The model gets the weights of its best epoch in the end."""
    checkpoint: FilePath | None = Field(default=None, examples=["checkpoints/flowers"])
    """A folder that keeps the training after each epoch: a task that was ended goes on from there."""
    resume: bool = True
    """Go on from the newest checkpoint, if there is one; false refuses a folder that holds one."""
    out: Out = Out()
    """What is written, and where."""

    _places: Places = PrivateAttr(default_factory=Places)

    @model_validator(mode="wrap")
    @classmethod
    def _in_our_words(cls, value: Any, handler: Callable[[Any], Self], info: ValidationInfo) -> Self:
        places = (info.context or {}).get("places", Places())
        try:
            task = handler(value)
            task._require_agreement()  # noqa: SLF001  # its own
        except ValidationError as error:
            raise wording.refused(error, cls, value, places) from None
        except Wrong as error:
            raise places.fault(error.keys, str(error)) from None
        task._places = places  # noqa: SLF001  # its own
        return task

    def _require_agreement(self) -> None:
        """Make sure that no value lacks another.

        Raises:
            Wrong: one does.
        """
        monitor, data, out = self.monitor, self.data, self.out
        if monitor is not None and not self.restore_best:
            raise Wrong("monitor", "it says which epoch is best: write restore_best: true too, or remove it")
        if monitor is not None and monitor.startswith("val_") and data.validation is None:
            raise Wrong("monitor", f"{monitor} is of a validation: write data.validation too, such as 0.2")
        if out.report is not None and data.test is None:
            raise Wrong("out.report", "it is about the test rows: write data.test too")
        if out.predictions is not None and data.test is None and data.predict is None:
            raise Wrong("out.predictions", "they are of some rows: write data.predict too, or data.test")

    @classmethod
    def read(cls, path: str | os.PathLike[str], *changes: str) -> Self:
        r"""Read a task from YAML.

        Args:
            path: of the file.
            changes: what to set otherwise, as ``key=value`` with the value in YAML, such as ``epochs=3`` or
                ``spark.workers=2``.

        Raises:
            TaskError: the file cannot be read, or a value cannot be; there is a line for each fault.

        Example:
            >>> import nbkeras, pathlib, tempfile
            >>> file = pathlib.Path(tempfile.mkdtemp(), "flowers.yaml")
            >>> _ = file.write_text("data: {training: rows.parquet, y: kind}\nmodel: model.py:build\n")
            >>> nbkeras.Task.read(file, "epochs=3").epochs
            3
        """
        given, places = files.read(path, changes, cls)
        context = {"folder": Path(path).absolute().parent, "places": places}
        return cls.model_validate(given, context=context)

    def write(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the task as YAML; paths below the file's folder are written relative to it.

        Args:
            path: of the file.
            overwrite: whether a file that is there is replaced.

        Raises:
            OptionError: the file is there already, or cannot be written.

        Example:
            >>> import nbkeras, pathlib, tempfile
            >>> task = nbkeras.Task(data={"sql": "SELECT 1"}, model="model.py:build")
            Traceback (most recent call last):
            nbkeras.errors.TaskError: data.training: is missing: write training: train.parquet
            data.sql: there is no such key here: did you mean data.training.sql?
            >>> task = nbkeras.Task(data={"training": {"table": "lake.rows"}}, model="model.py:build")
            >>> file = pathlib.Path(tempfile.mkdtemp(), "task.yaml")
            >>> task.write(file)
            >>> nbkeras.Task.read(file) == task
            True
        """
        context = {"folder": Path(path).absolute().parent}
        plain = self.model_dump(exclude_defaults=True, context=context)
        files.save(path, files.written(plain), overwrite=overwrite)

    @property
    def title(self) -> str:
        """Its name, or that of its file."""
        return self.name or Path(self._places.file).stem or "task"

    @property
    def places(self) -> Places:
        """Where its values stand, for messages."""
        return self._places
