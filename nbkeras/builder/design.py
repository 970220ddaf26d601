"""A design: all that the builder holds, and the cell that it stands for."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nbkeras.builder.branches import Branch, written
from nbkeras.builder.given import Kind
from nbkeras.builder.network import Looked, Network
from nbkeras.builder.table import Task
from nbkeras.data.names import quoted
from nbkeras.model import code
from nbkeras.model.code import Piece
from nbkeras.model.footprint import Footprint

_QUANTITY = ("mse", "mae", "huber", "log_cosh", "msle"), ("mae", "mse", "RootMeanSquaredError")
#: Losses and metrics for each task, the first of them at first.
FITTING: dict[Task, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "binary": (
        ("binary_crossentropy", "binary_focal_crossentropy"),
        ("accuracy", "AUC", "Precision", "Recall"),
    ),
    "classes": (
        ("sparse_categorical_crossentropy",),
        ("accuracy", "sparse_top_k_categorical_accuracy"),
    ),
    "regression": _QUANTITY,
    "input": _QUANTITY,
}
#: Bytes of a number.
_FLOAT = 4
#: The column that an autoencoder learns.
_TARGET = "target"
OPTIMIZERS = ("Adam", "AdamW", "SGD", "RMSprop", "Nadam", "Adagrad", "Lion")


@dataclass(frozen=True)
class Design:
    """A network, what it learns from, and how.

    Attributes:
        data: name of the DataFrame's variable.
        label: its label column; None where the features themselves are learnt.
        features: its feature columns, in the order of the inputs.
        network: the layers.
        loss: a name that Keras knows.
        metrics: names that Keras knows.
        optimizer: one of :data:`OPTIMIZERS`.
        learning_rate: of the optimizer.
        batch_size: rows of a step.
        epochs: how often to go over the rows.
        validation_split: part of the rows to validate on.
        patience: epochs without a lower loss, of validation if there is one, after which training stops
            and has the best weights again; 0 where it goes on to the end.
        workers: that train, or "auto".
        backend: of the workers, or "auto".
        unused: the DataFrame's other columns; None where they are not known.
        inputs: features that are an input each, with their layers; empty where all are one input.
        depth: of a feature that holds arrays, 2 where these hold arrays themselves.
        nulls: what fills gaps, by column.
        kind: of the DataFrame: how its columns are selected.

    Example:
        >>> from nbkeras.builder import presets
        >>> network = presets.mlp((2,), presets.last("regression", 1), (8,))
        >>> print(Design("df", "y", ("a", "b"), network, "mse", ("mae",), epochs=5).code())
        import keras
        <BLANKLINE>
        model = keras.Sequential(
            [
                keras.Input((2,)),
                keras.layers.Dense(8, activation="relu"),
                keras.layers.Dense(1),
            ]
        )
        model.compile(keras.optimizers.Adam(0.001), "mse", metrics=["mae"])
        history = model.fit(df.select("a", "b", "y"), y="y", batch_size=32, epochs=5)
    """

    data: str
    label: str | None
    features: tuple[str, ...]
    network: Network
    loss: str
    metrics: tuple[str, ...]
    optimizer: str = "Adam"
    learning_rate: float = 0.001
    batch_size: int = 32
    epochs: int = 10
    validation_split: float = 0.0
    patience: int = 0
    workers: int | str = "auto"
    backend: str = "auto"
    unused: tuple[str, ...] | None = None
    inputs: tuple[Branch, ...] = ()
    depth: int = 1
    nulls: tuple[tuple[str, Any], ...] = ()
    kind: Kind = "spark"

    def code(self) -> str:
        """The cell that builds and trains it."""
        return f"{self.building()}\n{self.training()}"

    def building(self) -> str:
        """The part that makes and compiles ``model``, which needs no Spark."""
        optimizer = code.call(f"keras.optimizers.{self.optimizer}", [f"{self.learning_rate:g}"])
        compiled: dict[str, Any] = {"metrics": list(self.metrics)} if self.metrics else {}
        compiling = code.call("model.compile", [optimizer, code.value(self.loss)], **compiled)
        network = written(self.inputs, self.network.layers) if self.inputs else self.network.code()
        return f"import keras\n\n{network}\n{compiling.written()}"

    def training(self) -> str:
        """The part that trains it on the DataFrame."""
        sizes: dict[str, Any] = {}
        if self.nulls:
            filled = [f"{code.value(name)}: {code.value(fill)}" for name, fill in self.nulls]
            sizes["nulls"] = Piece("{", filled, "}")
        sizes |= {"batch_size": self.batch_size, "epochs": self.epochs}
        if self.validation_split:
            sizes["validation_split"] = self.validation_split
        if self.patience:
            watched = [] if self.validation_split else [code.value("loss")]
            how: dict[str, Any] = {"patience": self.patience, "restore_best_weights": True}
            sizes["callbacks"] = Piece("[", [code.call("keras.callbacks.EarlyStopping", watched, **how)], "]")
        if self.label is None and self.kind != "spark":
            return code.call("history = model.fit", [self._selected(self.features)] * 2, **sizes).written()
        if self.label is None:
            return code.call("history = model.fit", [self._twice()], y=_TARGET, **sizes).written()
        return code.call("history = model.fit", [self._rows(self.label)], y=self.label, **sizes).written()

    def _rows(self, label: str) -> str | Piece:
        """The columns that it learns from, in the shortest words."""
        if self.unused is not None and len(self.unused) < len(self.features):
            if not self.unused:
                return self.data
            if self.kind != "spark":
                return self._selected((*self.features, label))
            return code.call(f"{self.data}.drop", [code.value(name) for name in self.unused])
        return self._selected((*self.features, label))

    def _selected(self, names: Sequence[str]) -> Piece:
        if self.kind == "spark":
            return code.call(f"{self.data}.select", [code.value(quoted(name)) for name in names])
        listed = Piece("[", [code.value(name) for name in names], "]")
        if self.kind == "pandas":
            return Piece(f"{self.data}[", [listed], "]")
        return code.call(f"{self.data}.select", [listed])

    def _twice(self) -> Piece:
        """The features, as input and as what is to be learnt."""
        names = [f"`{name.replace('`', '``')}`" for name in self.features]
        # Spark has no type that a Boolean and a number have in common.
        one = f"array({', '.join(f'double({name})' for name in names)})"
        if len(names) == 1:
            # What the last layer gives is a line of numbers.
            one = "flatten(" * (self.depth - 1) + names[0] + ")" * (self.depth - 1)
        aliases = [code.value(f"{one} as {alias}") for alias in ("input", _TARGET)]
        return code.call(f"{self.data}.selectExpr", aliases)

    def footprint(self, looked: list[Looked]) -> Footprint:
        """What a worker takes, estimated.

        Args:
            looked: what each layer gives, of the network and of the inputs.
        """
        weights, trained = sum(one.weights for one in looked), sum(one.trained for one in looked)
        outputs = sum(math.prod(size or 1 for size in one.shape or (0,)) for one in looked)
        workers = self.workers if isinstance(self.workers, int) else 1
        rows = -(-self.batch_size // workers)
        slots = _slots(self.optimizer)
        return Footprint.of(_FLOAT * (weights + slots * trained), _FLOAT * trained, _FLOAT * rows * outputs)

    def options(self) -> str:
        """Where it trains, as options of ``%%keras_spark``.

        Example:
            >>> from nbkeras.builder import presets
            >>> network = presets.mlp((2,), presets.last("regression", 1), (8,))
            >>> Design("df", "y", ("a", "b"), network, "mse", ("mae",), workers=2, backend="jax").options()
            '--workers 2 --backend jax'
        """
        chosen = {"workers": self.workers, "backend": self.backend}
        return " ".join(f"--{name} {value}" for name, value in chosen.items() if value != "auto")

    def cell(self) -> str:
        """The whole cell, with the magic above its code."""
        return f"{f'%%keras_spark {self.options()}'.strip()}\n{self.code()}"


@functools.cache
def _slots(optimizer: str) -> int:
    """Numbers that an optimizer keeps for each one that is learnt."""
    import keras

    made = getattr(keras.optimizers, optimizer)()
    shape = (2, 3)
    made.build([keras.Variable(keras.ops.zeros(shape))])
    return sum(one.shape == shape for one in made.variables)
