"""Forward: how many rows go through a model together, and what it makes of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nbkeras.plan import Plan

Array = npt.NDArray[Any]
#: Rows that go through the model together where nobody says how many, and what they may take in bytes.
_ROWS, _BYTES = 1024, 64 << 20


def rows(plan: Plan) -> int:
    """How many rows go through the model together."""
    return plan.batch_size or max(1, min(_ROWS, _BYTES // max(1, plan.schema.row_bytes)))


def of(model: Any, plan: Plan) -> Callable[[Sequence[Array]], list[Array]]:
    """Make a function that gives the outputs of a model for arrays of its inputs."""
    import keras

    number = rows(plan)
    # A step of the user's own gets x alone, as at `predict`; predict_on_batch would give it a tuple.
    own = type(model).predict_step is not keras.Model.predict_step
    alone = functools.partial(model.predict, batch_size=number, verbose=0)
    predict = alone if own else model.predict_on_batch

    def outputs(inputs: Sequence[Array]) -> list[Array]:
        found = []
        for part in _parts(inputs, plan):
            made = keras.tree.flatten(predict(plan.schema.inputs(part)))
            found.append([np.asarray(one) for one in made])
        return found[0] if len(found) == 1 else [np.concatenate(parts) for parts in zip(*found, strict=True)]

    return outputs


def measuring(model: Any, plan: Plan) -> Callable[[Sequence[Array]], None]:
    """Make a function that adds rows to the model's own loss and metrics: inputs, labels and weights."""
    # test_on_batch would reset them before each batch.
    model.reset_metrics = lambda: None
    names = [one.name for one in plan.schema.given]

    def measure(given: Sequence[Array]) -> None:
        for part in _parts(given, plan):
            model.test_on_batch(*plan.schema.nest(dict(zip(names, part, strict=True))))

    return measure


def _parts(given: Sequence[Array], plan: Plan) -> Iterator[list[Array]]:
    """As many rows at a time as go through a model together: its inputs, or all that it is given."""
    number = rows(plan)
    for start in range(0, len(given[0]), number):
        yield [
            one[start : start + number].astype(field.dtype if field.image else one.dtype, copy=False)
            for one, field in zip(given, plan.schema.given, strict=False)
        ]
