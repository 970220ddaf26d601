"""The DataFrames of a builder, and what Spark has computed of them once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbkeras.builder import given, table
from nbkeras.builder.catalogue import NORMALIZATION
from nbkeras.builder.front import Features
from nbkeras.builder.layers import Layer
from nbkeras.builder.table import Table
from nbkeras.errors import OptionError

if TYPE_CHECKING:
    from nbkeras.driver.columns.encoding import Encoding


class Frames(Mapping[str, Any]):
    """DataFrames by the names of their variables.

    Args:
        frames: at least one.

    Raises:
        OptionError: there is none.
    """

    def __init__(self, frames: Mapping[str, Any]) -> None:
        if not frames:
            raise OptionError("the builder has no DataFrame to begin with: give it one, nbkeras.Builder(df)")
        self.kinds: dict[str, given.Kind] = {name: given.kind_of(one) for name, one in frames.items()}
        self._frames = {name: given.in_spark(one) for name, one in frames.items()}
        self._tables: dict[str, Table] = {}
        self._values: dict[tuple[str, str], list[float]] = {}
        self._moments: dict[tuple[str, str], tuple[float, float]] = {}
        self._encodings: dict[str, dict[str, Encoding]] = {}

    def __getitem__(self, name: str) -> Any:
        return self._frames[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._frames)

    def __len__(self) -> int:
        return len(self._frames)

    def table(self, name: str) -> Table:
        """The columns of a DataFrame.

        Raises:
            ClusterError: its session was stopped, or what computes it fails.
            DataError: it has nothing that a network could learn.
            OptionError: there is no such DataFrame.
        """
        if name not in self._frames:
            raise OptionError(f"there is no DataFrame {name!r}: use one of {', '.join(self._frames)}")
        found = self._tables.get(name) or Table.of(self._frames[name], name)
        self._tables[name] = found
        return found

    def label_values(self, name: str, label: str) -> list[float]:
        """Values of a label; Spark computes them once, and not at every tick of a feature."""
        if (name, label) not in self._values:
            self._values[name, label] = table.values_of(self._frames[name], label)
        return self._values[name, label]

    def encodings(self, name: str) -> dict[str, Encoding]:
        """What is proposed for each column; one Spark job looks at all of them, once.

        Raises:
            ClusterError: its session was stopped, or what computes it fails.
        """
        if name not in self._encodings:
            self._encodings[name] = encodings(self._frames[name])
        return self._encodings[name]

    def known(self, name: str) -> dict[str, Encoding]:
        """The same as far as it is known by now."""
        return self._encodings.get(name, {})

    def normalization(self, name: str, features: Sequence[str], taken: Features) -> Layer:
        """A normalization by mean and variance of each feature, or of all numbers of a single array.

        Spark computes them once for each column.
        """
        missing = [feature for feature in features if (name, feature) not in self._moments]
        for feature, found in table.moments(self._frames[name], missing).items():
            self._moments[name, feature] = found
        inputs = {one.name: one.width() for one in taken.inputs}
        pairs = [self._moments[name, feature] for feature in features for _ in range(inputs.get(feature, 1))]
        means, variances = zip(*pairs, strict=True)
        if len(features) == 1:
            return Layer(NORMALIZATION, {"axis": None, "mean": means[0], "variance": variances[0]})
        return Layer(NORMALIZATION, {"mean": means, "variance": variances})


def encodings(df: Any) -> dict[str, Encoding]:
    """What is proposed for each column of a DataFrame. One job of Spark.

    Raises:
        ClusterError: its session was stopped, or what computes it fails.
    """
    from nbkeras.driver.columns.encoding import proposed
    from nbkeras.driver.columns.inspection import inspected

    with table.asked(df):
        return {one.name: proposed(one) for one in inspected(df.sparkSession, df, df.columns)}
