"""Generators of seeds: what gives each iterator of a ``tf.data`` shuffle its order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any
from weakref import WeakValueDictionary

#: The generators of this notebook, by their names.
_own: WeakValueDictionary[str, SeedGenerator] = WeakValueDictionary()
#: The generators of datasets that are unpickled together, by their names; None where each gets its own.
_together: ContextVar[dict[str, SeedGenerator] | None] = ContextVar("together", default=None)
#: The operation that takes its seeds from a generator.
SHUFFLE = "ShuffleDatasetV3"
#: Where the generators of a dataset are kept.
_KEPT = "_nbkeras_seed_generators"
#: Orders that are tried at most to find where a generator stands, from the last that was seen.
_MOST = 1000


class SeedGenerator:
    """TensorFlow's generator of the seeds of one shuffle: each iterator gets the next ones.

    Args:
        seed, seed2: of the shuffle.
        moves: whether each iterator gets other seeds.
        resource: a graph's constant that names a generator of this process; None to make one.
        name: of the one in the notebook.

    Attributes:
        resource: the constant that names it.
        moves, name: as given.
        seen: how many iterators had got seeds when that was known last.
    """

    seen: int = 0

    def __init__(
        self, seed: int, seed2: int, *, moves: bool = True, resource: Any = None, name: str = ""
    ) -> None:
        import tensorflow as tf

        self._seeds, self.moves, self.name = (seed, seed2), moves, name
        # What a generator gives can only be seen by a shuffle that uses it: here one of one element.
        one = tf.data.Dataset.range(1)
        variant = tf.raw_ops.ShuffleDatasetV3(
            input_dataset=tf.data.experimental.to_variant(one),
            buffer_size=tf.constant(1, tf.int64),
            seed=tf.constant(seed, tf.int64),
            seed2=tf.constant(seed2, tf.int64),
            seed_generator=tf.raw_ops.DummySeedGenerator(),
            reshuffle_each_iteration=moves,
            output_types=[tf.int64],
            output_shapes=[[]],
        )
        graph = to_graph(variant)
        (shuffle,) = (node for node in graph.node if node.op == SHUFFLE)
        (constant,) = (node for node in graph.node if node.name == shuffle.input[-1])
        if resource is not None:
            constant.attr["value"].tensor.CopyFrom(resource)
            variant = tf.raw_ops.DatasetFromGraph(graph_def=graph.SerializeToString())
        self.resource = constant.attr["value"].tensor
        self._shuffle = tf.data.experimental.from_variant(variant, one.element_spec)

    def given(self) -> int:
        """Count the iterators that have got seeds; a look is one more.

        Raises:
            ValueError: they are too many.
        """
        state, tried = self._state(), SeedGenerator(*self._seeds)
        tried.advance(self.seen)
        for number in range(self.seen, self.seen + _MOST):
            if tried._state() == state:
                self.seen = number + 1
                return number
        raise ValueError(f"its shuffle has been read more than {_MOST} times")

    def advance(self, number: int) -> None:
        """Go on as if that many iterators had got seeds."""
        for _ in range(number):
            iter(self._shuffle)

    def _state(self) -> bytes:
        """Where the generator stands behind a further iterator, in TensorFlow's own form."""
        import tensorflow as tf

        resource = iter(self._shuffle)._iterator_resource  # noqa: SLF001  # the public form writes a file
        state = tf.raw_ops.SerializeIterator(resource_handle=resource, external_state_policy=1)
        return bytes(tf.io.serialize_tensor(state).numpy())


def to_graph(variant: Any) -> Any:
    """Return the graph that makes a dataset, as a ``GraphDef``.

    Args:
        variant: TensorFlow's tensor of the dataset.
    """
    import tensorflow as tf
    from tensorflow.core.framework import graph_pb2

    # State, such as where a generator of random numbers stands, is left out.
    options: dict[str, Any] = {"external_state_policy": 1, "strip_device_assignment": True}
    graph = tf.raw_ops.DatasetToGraphV2(input_dataset=variant, **options)
    return graph_pb2.GraphDef.FromString(graph.numpy())


def of(resource: Any, seed: int, seed2: int) -> SeedGenerator:
    """Return a generator of this notebook, the same one for each dataset that uses it.

    Args:
        resource: a graph's constant that names it.
        seed, seed2: of the shuffle.
    """
    name = resource.resource_handle_val[0].name
    found = _own.get(name)
    if found is None:
        found = _own[name] = SeedGenerator(seed, seed2, resource=resource, name=name)
    return found


@contextmanager
def together() -> Iterator[None]:
    """Let datasets that are unpickled here share the shuffles that they share in the notebook."""
    token = _together.set({})
    try:
        yield
    finally:
        _together.reset(token)


def restored(name: str, seed: int, seed2: int, *, moves: bool, given: int) -> SeedGenerator:
    """Return a generator that stands where that of the notebook stood.

    Args:
        name: of the one in the notebook.
        seed, seed2, moves: as of :class:`SeedGenerator`.
        given: how many iterators had got seeds.
    """
    shared = _together.get()
    if shared is not None and name in shared:
        return shared[name]
    made = SeedGenerator(seed, seed2, moves=moves, name=name)
    made.advance(given)
    made.seen = given
    if shared is not None:
        shared[name] = made
    return made


def keep(dataset: Any, generators: list[SeedGenerator]) -> None:
    """Keep the generators of a dataset's shuffles.

    Args:
        dataset: which is pickled, or unpickled.
        generators: without those of which nobody can tell where they stand, for lack of a seed.
    """
    setattr(dataset, _KEPT, generators)


def move(dataset: Any) -> bool:
    """Whether a dataset that has been pickled or unpickled has shuffles that go on from epoch to epoch."""
    return bool(_moving(dataset))


def given(*datasets: Any) -> dict[str, int]:
    """Count, for each shuffle of unpickled datasets that moves, the iterators that have got seeds.

    Returns:
        The counts by the names of the generators; without those that are too large to be found.
    """
    counts = {}
    for name, one in {one.name: one for dataset in datasets for one in _moving(dataset)}.items():
        with suppress(ValueError):
            counts[name] = one.given()
    return counts


def go_on(dataset: Any, counts: dict[str, int]) -> bool:
    """Let the shuffles of a pickled dataset go on as those of a copy of it have done.

    Args:
        dataset: the one that was pickled; what has read it since is not taken back.
        counts: from :func:`given`, of the copy.

    Returns:
        Whether all counts are there.
    """
    for one in _moving(dataset):
        count = counts.get(one.name, one.seen)
        one.advance(count - one.seen)
        one.seen = max(count, one.seen)
    return all(one.name in counts for one in _moving(dataset))


def _moving(dataset: Any) -> list[SeedGenerator]:
    return [one for one in getattr(dataset, _KEPT, []) if one.moves]
