"""What a report is asked for, checked as far as no row has to be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame

from nbkeras.data import frames
from nbkeras.data.source import names_columns
from nbkeras.errors import DataError, OptionError
from nbkeras.metrics.tally import WORST
from nbkeras.run import registry

#: Rows that are kept at most.
_WORST = 1_000


@dataclass(frozen=True)
class Wanted:
    """What a report is asked for; see :func:`nbkeras.report`."""

    y: Any
    prediction: str | None
    sample_weight: Any
    features: Sequence[str] | None
    classes: Sequence[str] | None
    by: str | None
    worst: Any
    task: str | None
    threshold: Any
    output: str | None

    def require(self) -> None:
        """Refuse what is no argument.

        Raises:
            OptionError: one is none.
        """
        if type(self.worst) is not int or not 0 <= self.worst <= _WORST:
            raise OptionError(f"worst={self.worst!r}: use a number of rows from 0 to {_WORST:,}")
        if not isinstance(self.threshold, (int, float)) or not 0 < self.threshold < 1:
            raise OptionError(f"threshold={self.threshold!r}: use a probability between 0 and 1")
        for name in ("by", "prediction", "output"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise OptionError(f"{name} is a {type(value).__name__}: give a name, {name}='…'")
        given = self.classes
        words = isinstance(given, (list, tuple)) and all(isinstance(one, str) for one in given)
        if given is not None and (not words or len(set(given)) < len(given)):
            raise OptionError(
                f"classes={given!r:.100}: use a list of different words, in the order of their numbers"
            )

    def names_columns(self, data: Any, model: Any) -> bool:
        """Whether labels are columns of the data: those that y names, without y those of the training.

        Args:
            data: the rows.
            model: a Keras model; None where a column holds the predictions.
        """
        if self.y is not None:
            return names_columns(data, self.y) or (isinstance(self.y, str) and frames.holds_columns(data))
        known = None if model is None else registry.schema(model)
        trained = set() if known is None else {*known.targets}
        return frames.is_frame(data) or (
            bool(trained) and frames.holds_columns(data) and trained <= {*frames.names(data)}
        )

    def require_columns(self, df: DataFrame) -> None:
        """Refuse columns that the rows which are kept cannot have.

        Raises:
            DataError: one comes twice, or has the name of one that is added.
        """
        if not self.worst:
            return
        twice = [name for name in dict.fromkeys(df.columns) if df.columns.count(name) > 1]
        if taken := [*twice, *(set(WORST) & set(df.columns))]:
            raise DataError(
                f"worst={self.worst} keeps all columns, adds {', '.join(WORST)}, and would have {taken[0]!r} "
                "twice: rename or drop one"
            )
