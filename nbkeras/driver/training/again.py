"""Again: a dataset that plain Keras goes on with, such as one that shuffles, begins again on the workers."""

from __future__ import annotations

from typing import Any
from weakref import WeakValueDictionary

from nbkeras.data.stream import Dataset, Stream, Streams
from nbkeras.model.portable.datasets import is_dataset, shuffles
from nbkeras.model.portable.graphs import has_state
from nbkeras.model.portable.loaders import has_generator, is_loader
from nbkeras.model.reader import moves_on

#: The datasets of the trainings before, by identity: they may compare by their content.
_before: WeakValueDictionary[int, Any] = WeakValueDictionary()


def notes(streams: Streams) -> list[str]:
    """Name what begins again on the workers, where in plain Keras it would go on.

    Args:
        streams: what a training reads in batches.
    """
    return [*_trained_before(streams.train), *_shared(streams.train, streams.validation)]


def _trained_before(stream: Stream | None) -> list[str]:
    if stream is None or not stream.dataset.is_sent:
        return []
    source, kind = stream.dataset.data, stream.dataset.kind
    again = _before.get(id(source)) is source
    _before[id(source)] = source
    # Shuffles of a tf.data.Dataset go on, as the workers tell, and so does torch's own generator.
    if is_dataset(source):
        moves, steps = has_state(source), "caches and random steps"
    elif is_loader(source):
        moves, steps = has_generator(source), "shuffles"
    else:
        moves, steps = moves_on(source), "shuffles and random steps"
    if not (again and moves):
        return []
    sentence = (
        f"the {kind} begins again with the {steps} of its first epoch, in plain Keras it "
        f"goes on: for the same result in both make a new {kind} for each fit"
    )
    return [sentence]


def _shared(train: Stream | None, validation: Dataset | None) -> list[str]:
    if train is None or validation is None:
        return []
    both = [train.dataset, validation]
    # Where the workers or this notebook read both, each read moves it on as in plain Keras.
    if train.dataset.is_sent == validation.is_sent or not all(is_dataset(one.data) for one in both):
        return []
    if shuffles(train.dataset.data).isdisjoint(shuffles(validation.data)):
        return []
    sentence = (
        "x and validation_data share a shuffle, and the workers read one of them, this notebook the other: "
        "in plain Keras each read moves it on, here each of the two has the order of its own epochs; for the "
        "same result in both give the shuffle reshuffle_each_iteration=False"
    )
    return [sentence]
