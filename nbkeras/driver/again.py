"""Again: a training on a dataset that has moved on, such as one that shuffles, in a training before."""

from __future__ import annotations

from typing import Any
from weakref import WeakValueDictionary

from nbkeras.data.stream import Stream
from nbkeras.model.reader import moves_on

#: The datasets of the trainings before, by identity: they may compare by their content.
_before: WeakValueDictionary[int, Any] = WeakValueDictionary()


def notes(stream: Stream | None) -> list[str]:
    """Name a dataset that begins again on the workers, where in plain Keras it would go on.

    Args:
        stream: what a training reads in batches; None for none.
    """
    if stream is None or not stream.dataset.is_sent:
        return []
    source, kind = stream.dataset.data, stream.dataset.kind
    again = _before.get(id(source)) is source
    _before[id(source)] = source
    if not (again and moves_on(source)):
        return []
    sentence = (
        f"the {kind} begins again with the shuffles and random steps of its first epoch, in plain Keras it "
        f"goes on: for the same result in both make a new {kind} for each fit"
    )
    return [sentence]
