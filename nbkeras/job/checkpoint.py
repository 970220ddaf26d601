"""Checkpoints: all that a training needs to go on after an epoch."""

from __future__ import annotations

import itertools
import operator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from nbkeras.errors import DataError, ModelError, OptionError
from nbkeras.model import settings
from nbkeras.plan import Plan
from nbkeras.schema import Schema

if TYPE_CHECKING:
    from nbkeras.model.randomness import Common


@dataclass(frozen=True)
class Origin:
    """What a training that goes on must share with the one that it goes on from.

    Attributes:
        seed: of the order of rows; None keeps the order.
        ordered: whether row i lies on worker i modulo workers.
        batch_size: rows of a global batch.
        workers: how many there were.
        rows: training and validation rows.
        checksum: of all rows, whatever their order and place.
    """

    seed: int | None
    ordered: bool
    batch_size: int
    workers: int
    rows: int
    checksum: int

    @classmethod
    def of(cls, plan: Plan, rows: int, checksum: int) -> Self:
        """The origin of a training by its plan and the rows that have arrived."""
        return cls(plan.seed, plan.ordered, plan.batch_size or 32, plan.workers, rows, checksum)

    def require_same(self, plan: Plan) -> None:
        """Make sure that a plan trains on the same batches.

        Raises:
            OptionError: an option differs.
        """
        for name, before, now in (
            ("batch_size", self.batch_size, plan.batch_size or 32),
            ("shuffle", self.seed is not None, plan.seed is not None),
            ("seed", self.seed, plan.seed),
        ):
            if before != now:
                raise _another(name, before, now, plan)

    def require_same_rows(self, rows: int, checksum: int) -> None:
        """Make sure that the rows are still the same.

        Raises:
            DataError: they are others.
        """
        if (rows, checksum) != (self.rows, self.checksum):
            what = f"{rows} rows, not {self.rows}" if rows != self.rows else "other values in its rows"
            raise DataError(
                f"the data has {what}, since the training began: it can go on with the same rows only "
                "(write the DataFrame to a file if it is computed again each time)"
            )


@dataclass(frozen=True)
class Checkpoint:
    """A training at the end of an epoch.

    Attributes:
        origin: what it was trained with.
        epochs: (epoch from 0, logs) of all epochs so far.
        ended: whether a callback had decided that this is the last epoch.
        layout: (type, shape) of each variable.
        optimizers: which variables they were built for, from :func:`nbkeras.model.state.built`.
        variables: their values, from :func:`nbkeras.model.state.pack`.
        callbacks: what each callback that runs on the workers has changed, by name.
        about: what it tells of its run, which nothing needs to go on: ``settings``, ``layers`` (from
            :func:`nbkeras.model.architecture.of`), ``code``, ``began``, ``schema``, of a ``stream`` the
            query and the micro-batch that it has trained on last, and from the worker ``saved`` and
            ``weights``, the places of the model's weights among the variables. Empty where an older version
            wrote it.
        training: whose checkpoint it is, kept by a training that goes on; in hexadecimal digits, empty where
            an older version wrote it.
        generator: the state of Keras' global generator; None where an older version wrote it.
    """

    origin: Origin
    epochs: list[tuple[int, dict[str, Any]]]
    ended: bool
    layout: list[tuple[str, tuple[int, ...]]]
    optimizers: list[list[int] | None]
    variables: bytes = field(repr=False)
    callbacks: list[dict[str, Any]] = field(repr=False)
    about: dict[str, Any] = field(default_factory=dict, repr=False)
    training: str = ""
    generator: list[int] | None = None

    @property
    def epoch(self) -> int:
        """The last epoch, from 0."""
        return self.epochs[-1][0]

    @property
    def chosen(self) -> dict[str, Any]:
        """The settings of its run; empty where an older version wrote it."""
        chosen: dict[str, Any] = self.about.get("settings", {})
        return chosen

    @property
    def schema(self) -> Schema | None:
        """The columns that it was trained on; None for arrays, and where an older version wrote it."""
        described = self.about.get("schema")
        return None if described is None else Schema.read(described)

    def require_same_compiled(self, plan: Plan) -> None:
        """Make sure that a plan has the same optimizer, loss, weights of classes and rows to validate.

        A history of two losses would say nothing.

        Raises:
            OptionError: it has another.
        """
        before, now = self.chosen, plan.about.get("settings", {})
        for name, same in (("optimizer", operator.eq), ("loss", settings.same_loss)):
            if name not in before or name not in now:
                continue  # An older version wrote it.
            if not same(before[name], now[name]):
                raise _another(name, repr(before[name]), repr(now[name]), plan)
        for name in ("class_weight", "validation_split", "steps_per_epoch"):
            if before and now and before.get(name) != now.get(name):
                raise _another(name, before.get(name), now.get(name), plan)

    def require_same_model(self, model: Any, callbacks: int) -> None:
        """Make sure that it is of such a model, with so many callbacks on its workers.

        An optimizer that is not built yet takes whatever it will need.

        Raises:
            ModelError: the variables differ.
            OptionError: the number of callbacks does.
        """
        from nbkeras.model import architecture, state

        layers = self.about.get("layers")
        if layers is not None and (differs := architecture.difference(layers, architecture.of(model))):
            raise ModelError(
                f"the checkpoint is of another model: {differs}; build and compile the same model"
            )
        if len(self.optimizers) != len(state.optimizers(model)):
            raise ModelError(
                f"the checkpoint is of a model with {len(self.optimizers)} optimizers, this one has "
                f"{len(state.optimizers(model))}: build and compile the same model"
            )
        waiting = not all(one.built for one in state.optimizers(model))
        layout = state.layout(state.own(model) if waiting else state.variables(model))
        there = self.layout[: len(layout)] if waiting else self.layout
        for index, (before, now) in enumerate(itertools.zip_longest(there, layout)):
            if before != now:
                raise ModelError(
                    f"the checkpoint is of another model: variable {index} of weights and optimizer is "
                    f"{_described(before)} there and {_described(now)} here; build and compile the same model"
                )
        if len(self.callbacks) != callbacks:
            raise OptionError(
                f"the checkpoint was made with {len(self.callbacks)} callbacks such as EarlyStopping, "
                f"now there are {callbacks}: give the same"
            )

    def restore(self, model: Any, common: Common) -> None:
        """Give a model what its variables held, and Keras' global generator its state."""
        from nbkeras.model import state  # Keras, which Spark's own Python workers do without

        state.build(model, self.optimizers)
        state.assign(state.variables(model), self.variables)
        if self.generator is not None:
            common.state = self.generator

    def next_epoch(self, epochs: int) -> int:
        """The epoch to go on with, from 0; ``epochs`` where none is left."""
        return epochs if self.ended else min(self.epoch + 1, epochs)


def _another(name: str, before: Any, now: Any, plan: Plan) -> OptionError:
    return OptionError(
        f"{name}={now} now, {name}={before} in the checkpoint in {plan.checkpoint}: "
        "give the same to go on from it, or another place for a new training"
    )


def _described(variable: tuple[str, tuple[int, ...]] | None) -> str:
    return "missing" if variable is None else f"{variable[0]} {variable[1]}"
