"""Task: a training that is declared, as a Python object or as YAML, and run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbkeras.tasks.declared import Declared

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from nbkeras.tasks.result import Result


class Task(Declared):
    """A training, declared: its data, model, Spark, epochs and results. The same as a YAML file.

    Parts may be given as dicts. Relative paths are those of the file, or of the current folder for a task
    that is made in Python. A task runs the code of its model: read one before you run it, as any program.

    Raises:
        TaskError: a value cannot be; there is a line for each fault.

    Example:
        >>> import nbkeras
        >>> task = nbkeras.Task(
        ...     data={"training": "flowers.parquet", "validation": 0.2, "y": "kind"},
        ...     model="model.py:build",
        ...     epochs=3,
        ... )
        >>> task.data.validation.fraction, task.spark.workers
        (0.2, 'auto')
        >>> nbkeras.Task(data={"training": "flowers.parquet"}, model="model.py:build", epoch=3)
        Traceback (most recent call last):
        nbkeras.errors.TaskError: epoch: there is no such key: did you mean epochs?
    """

    def run(self, spark: SparkSession | None = None) -> Result:
        """Train, predict, report and write what the task says, and return what has come of it.

        Args:
            spark: the session; None for the active one, or one that the task says, which is then stopped in
                the end.

        Raises:
            TaskError: something that the task names is not there, or is there already.
            NbkerasError: as :func:`nbkeras.fit`, :func:`nbkeras.report` and :func:`nbkeras.predict`.
        """
        from nbkeras.tasks import running
        from nbkeras.tasks.result import Result

        result = Result(self.title, self._places.file or None)
        running.perform(self, result, spark)
        return result

    def explain(self, spark: SparkSession | None = None) -> str:
        """Say what :meth:`run` would do, after a look at the columns and the model; no row is computed.

        Args:
            spark: as in :meth:`run`.

        Raises:
            NbkerasError: as :meth:`run` would, as far as it is known without the rows.
        """
        from nbkeras.tasks import explanation

        return explanation.explain(self, spark)
