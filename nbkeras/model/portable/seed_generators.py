"""Generators of seeds: what gives each iterator of a ``tf.data`` shuffle its order."""

from __future__ import annotations

from typing import Any

#: Where the generators of a dataset are kept.
_KEPT = "_nbkeras_seed_generators"
#: Orders that are tried at most to find where a generator stands.
_MOST = 10_000


class SeedGenerator:
    """TensorFlow's generator of the seeds of one shuffle: each iterator gets the next ones.

    Args:
        seed, seed2: of the shuffle.
        moves: whether each iterator gets other seeds.
        resource: a graph's constant that names a generator of this process; None to make one.

    Attributes:
        resource: the constant that names it.
        moves: as given.
        seen: how many iterators had got seeds behind the last look.
    """

    seen = 0

    def __init__(self, seed: int, seed2: int, *, moves: bool = True, resource: Any = None) -> None:
        import tensorflow as tf

        self._seeds, self.moves = (seed, seed2), moves
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
        (shuffle,) = (node for node in graph.node if node.op == "ShuffleDatasetV3")
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
        for number in range(_MOST):
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


def keep(dataset: Any, generators: list[SeedGenerator | None]) -> None:
    """Keep the generators of a dataset's shuffles, in the order of its graph.

    Args:
        dataset: which is pickled, or unpickled.
        generators: None for one of which nobody can tell where it stands, for lack of a seed.
    """
    setattr(dataset, _KEPT, generators)


def move(dataset: Any) -> bool:
    """Whether a dataset that has been pickled or unpickled has shuffles that go on from epoch to epoch."""
    return bool(_moving(dataset))


def given(dataset: Any) -> list[int]:
    """Count, for each shuffle of an unpickled dataset that moves, the iterators that have got seeds."""
    return [one.given() for one in _moving(dataset)]


def go_on(dataset: Any, counts: list[int]) -> None:
    """Let the shuffles of a pickled dataset go on as those of a copy of it have done.

    Args:
        dataset: the one that was pickled; what has read it since is not taken back.
        counts: from :func:`given`, of the copy.
    """
    for one, count in zip(_moving(dataset), counts, strict=True):
        if one is not None:
            one.advance(count - one.seen)


def _moving(dataset: Any) -> list[Any]:
    return [one for one in getattr(dataset, _KEPT, []) if one is None or one.moves]
