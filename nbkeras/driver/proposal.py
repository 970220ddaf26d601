"""Proposal: preprocessing for the columns of a DataFrame, as Keras code that the user can change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import pandas as pd
from pyspark.sql import SparkSession

from nbkeras.data.columns import existing
from nbkeras.data.source import data_frame, require_no_stream
from nbkeras.driver.encoding import Taken, proposed
from nbkeras.driver.inspection import inspected
from nbkeras.errors import DataError
from nbkeras.model import code
from nbkeras.spark.session import attached


class Whole(pd.DataFrame):  # type: ignore[misc]  # pandas is untyped
    """A table of which a notebook cuts no sentence; what is made of it is an ordinary one.

    Example:
        >>> "." * 80 in repr(Whole({"said": ["." * 80]}))
        True
    """

    @property
    def _constructor(self) -> Any:
        return pd.DataFrame

    def __repr__(self) -> str:
        with pd.option_context("display.max_colwidth", None):
            return str(super().__repr__())

    def _repr_html_(self) -> Any:
        with pd.option_context("display.max_colwidth", None):
            return super()._repr_html_()


@dataclass(frozen=True, repr=False)
class Features:
    """Proposed preprocessing for a DataFrame.

    Attributes:
        table: of the columns: type, number of different values, gaps, and what is proposed for each.
        code: Keras code that makes ``inputs`` and ``features``.
        nulls: what fills gaps, for ``fit``.
        inputs: ``keras.Input`` by name.
        features: what the layers of a network take, a ``KerasTensor``.
    """

    table: pd.DataFrame
    code: str
    nulls: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, Any] = field(default_factory=dict)
    features: Any = None

    def __repr__(self) -> str:
        return f"{self.table.to_string(index=False)}\n\n{self.code}"

    def _repr_html_(self) -> str:
        with pd.option_context("display.max_colwidth", None):
            table = self.table.to_html(index=False, notebook=True)
        return f"{table}<pre>{escape(self.code)}</pre>"

    def bundle(self) -> dict[str, str]:
        """The table, and the code below it, by media type."""
        return {"text/plain": repr(self), "text/html": self._repr_html_()}


def propose(spark: SparkSession | None, data: Any, label: str | Sequence[str] | None) -> Features:
    """Propose preprocessing; see :func:`nbkeras.features`.

    Raises:
        DataError: there is no such label, or no column that a model could take.
    """
    spark = attached(spark)
    require_no_stream(data)
    df = data_frame(spark, data)
    labels = [label] if isinstance(label, str) else list(label or ())
    for name in labels:
        existing(df, name, "label")
    names = [existing(df, name, "feature") for name in df.columns if name not in labels]
    plans = [(one, proposed(one)) for one in inspected(spark, df, names)]
    taken = [one for _, plan in plans for one in plan.inputs]
    if not taken:
        raise DataError(
            f"no column is one that a model could take: the DataFrame has {', '.join(df.columns)}"
        )
    written = "\n".join(
        [
            "from keras import Input, layers",
            "",
            "inputs, encoded = {}, []",
            *(line for one in taken for line in _lines(one)),
            "features = layers.Concatenate()(encoded)" if len(taken) > 1 else "features = encoded[0]",
        ]
    )
    made: dict[str, Any] = {}
    exec(written, made)  # noqa: S102  # the code above, which is shown to the user
    table = Whole(
        [(one.name, one.dtype.simpleString(), one.distinct, one.missing, plan.said) for one, plan in plans],
        columns=["column", "type", "distinct", "missing", "proposed"],
    )
    nulls = {one.name: plan.fill for one, plan in plans if plan.fill is not None}
    return Features(table, written, nulls, made["inputs"], made["features"])


def _lines(one: Taken) -> tuple[str, str]:
    """Code that makes an input, and what the layers take of it."""
    own = f"inputs[{code.value(one.name)}]"
    dtype = {"dtype": one.dtype} if one.dtype else {}
    made = code.call("Input", [code.value(one.shape)], **dtype, name=one.name)
    taken = own
    for step in one.steps:
        taken = f"{code.call(f'layers.{step.kind}', **step.arguments).flat()}({taken})"
    return f"{own} = {made.flat()}", f"encoded.append({taken})"
