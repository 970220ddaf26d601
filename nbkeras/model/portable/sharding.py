"""Sharding: a ``tf.data.Dataset`` that makes one worker's rows of each batch, and none of the others'.

Where elements are mapped one by one and then put into batches, a worker takes every so many elements before
they are mapped. So it reads and decodes its own files alone, also behind a shuffle, whose order all workers
know.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from nbkeras.model.portable import graphs
from nbkeras.model.portable.seed_generators import SHUFFLE

#: Operations that give an element for each element, as it is.
_PASSING = {"CacheDataset", "ModelDataset", "OptionsDataset", "PrefetchDataset"}
_MAPS = {"MapDataset", "ParallelMapDataset", "ParallelMapDatasetV2"}
_BATCHES = {"BatchDataset", "BatchDatasetV2", "ParallelBatchDataset"}
#: Operations that compute each number from one number, and those that do so with a single number more.
_OF_ONE = {"Cast", "Identity"}
_OF_TWO = {"Add", "AddV2", "Div", "DivNoNan", "Maximum", "Minimum", "Mul", "RealDiv", "Sub"}
_READS = {
    "FixedLengthRecordDatasetV2",
    "MatchingFilesDataset",
    "ReadFile",
    "TFRecordDatasetV2",
    "TextLineDataset",
}
#: What ``DatasetCardinality`` says of a dataset without an end, and of one that it does not know.
_ENDLESS, _UNKNOWN = -1, -2


@dataclass(frozen=True)
class Part:
    """One worker's rows of each batch.

    Attributes:
        dataset: gives them, batch by batch.
        size: rows of a whole batch, of all workers.
        number: rows of all batches, before they are repeated; None for those that never end.
    """

    dataset: Any
    size: int
    number: int | None

    def rows(self, step: int) -> int:
        """Count the rows of a batch, of all workers."""
        if self.number is None:
            return self.size
        return min(self.size, self.number - step % math.ceil(self.number / self.size) * self.size)


def reads_files(dataset: Any) -> bool:
    """Whether a dataset that has been unpickled reads files, as far as its graph tells."""
    graph = graphs.graph_of(dataset)
    return graph is not None and any(one.op in _READS for nodes in graphs.scopes(graph) for one in nodes)


def part(dataset: Any, rank: int, workers: int) -> Part | None:
    """Make the part of a dataset that is one worker's rows: row i of a batch is worker i's modulo workers.

    Args:
        dataset: unpickled; it must outlive the part, which has its shuffles.
        rank: of the worker.
        workers: number of workers.

    Returns:
        None where the dataset has to be read whole: its elements are not mapped one by one, draw random
        numbers when they are, or come in batches that the workers cannot divide.
    """
    import tensorflow as tf

    graph = graphs.graph_of(dataset)
    specs = tf.nest.flatten(dataset.element_spec)
    if graph is None or not all(isinstance(one, tf.TensorSpec) and one.shape.rank for one in specs):
        return None
    cut = _Cut(graph, rank, workers)
    size = cut.batched()
    if size is None or size % workers:
        return None
    number = cut.number()
    if number == _UNKNOWN or not cut.divides(number, size) or not cut.push(cut.batch, 0):
        return None
    cut.batch.input[1] = cut.constant(size // workers)
    for node in (*cut.above, cut.batch):
        for shape in node.attr["output_shapes"].list.shape:
            if shape.dim:
                shape.dim[0].size = -1
    spec = tf.nest.map_structure(
        lambda one: tf.TensorSpec([None, *one.shape[1:]], one.dtype), dataset.element_spec
    )
    made = tf.data.experimental.from_variant(cut.variant(), spec)
    return Part(made, size, None if number == _ENDLESS else number)


class _Cut:
    """A graph on its way to that of a part.

    Attributes:
        above: the operations behind the batches.
        batch: the operation that makes them; the last one of the dataset before :meth:`batched`.
    """

    def __init__(self, graph: Any, rank: int, workers: int) -> None:
        self._graph, self._rank, self._workers = type(graph)(), rank, workers
        self._graph.CopyFrom(graph)
        self._nodes = {one.name: one for one in self._graph.node}
        self._functions = graphs.functions(self._graph)
        self._consumers = Counter(graphs.node_name(one) for node in self._graph.node for one in node.input)
        (returned,) = [one for one in self._graph.node if one.op == "_Retval"]
        self.above: list[Any] = []
        self.batch = self._source(returned)

    def _source(self, node: Any, at: int = 0) -> Any:
        return self._nodes[graphs.node_name(node.input[at])]

    def batched(self) -> int | None:
        """Find the operation that makes the batches; the rows of each."""
        while self.batch.op not in _BATCHES:
            passes = self.batch.op in _PASSING or self.batch.op in {"RepeatDataset", SHUFFLE}
            if not passes and not (self.batch.op in _MAPS and self._maps_by_row(self.batch)):
                return None
            self.above.append(self.batch)
            self.batch = self._source(self.batch)
        return self._integer(self.batch.input[1])

    def number(self) -> int:
        """Count the elements that are put into batches."""
        import tensorflow as tf

        definition = type(self._graph)()
        definition.CopyFrom(self._graph)
        (returned,) = [one for one in definition.node if one.op == "_Retval"]
        returned.input[0] = self.batch.input[0]
        variant = tf.raw_ops.DatasetFromGraph(graph_def=definition.SerializeToString())
        return int(tf.raw_ops.DatasetCardinality(input_dataset=variant))

    def divides(self, number: int, size: int) -> bool:
        """Whether each worker has rows in each batch, and knows how many rows the batch has."""
        rest = 0 if number == _ENDLESS else number % size
        if number == 0 or 0 < rest < self._workers:
            return False
        drops = self.batch.op != "BatchDataset" and self._boolean(self.batch.input[-1])
        moves = any(one.op == SHUFFLE for one in self.above)
        return not rest or not (drops or moves)

    def push(self, node: Any, at: int) -> bool:
        """Take this worker's elements before an input of an operation, or still further before it.

        Returns:
            Whether an operation maps these elements alone now.
        """
        source = self._source(node, at)
        if self._consumers[source.name] == 1:
            if source.op in _PASSING:
                return self.push(source, 0)
            if source.op in _MAPS and not self._draws(source):
                self.push(source, 0)
                return True
            if source.op == "ZipDataset":
                pushed = [self.push(source, one) for one in range(len(source.input))]
                return any(pushed)
        shard = self._graph.node.add(op="ShardDataset", name=f"shard_{node.name}_{at}")
        shard.input.extend([node.input[at], self.constant(self._workers), self.constant(self._rank)])
        types = "output_types" if "output_types" in source.attr else "Toutput_types"
        shard.attr["output_types"].CopyFrom(source.attr[types])
        shard.attr["output_shapes"].CopyFrom(source.attr["output_shapes"])
        shard.attr["require_non_empty"].b = False
        node.input[at] = shard.name
        return False

    def constant(self, value: int) -> str:
        """Name a new constant."""
        import tensorflow as tf

        node = self._graph.node.add(op="Const", name=f"constant_{len(self._graph.node)}")
        node.attr["dtype"].type = tf.int64.as_datatype_enum
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value, tf.int64))
        return str(node.name)

    def variant(self) -> Any:
        """TensorFlow's tensor of the dataset."""
        import tensorflow as tf

        return tf.raw_ops.DatasetFromGraph(graph_def=self._graph.SerializeToString())

    def _integer(self, name: str) -> int:
        return int(self._nodes[graphs.node_name(name)].attr["value"].tensor.int64_val[0])

    def _boolean(self, name: str) -> bool:
        return bool(self._nodes[graphs.node_name(name)].attr["value"].tensor.bool_val[0])

    def _reached(self, node: Any) -> list[Any]:
        """The operations in a map's function, and in those that it calls."""
        found, seen, waiting = [], set(), [node.attr["f"].func.name]
        while waiting:
            if (name := waiting.pop()) in seen:
                continue
            seen.add(name)
            for one in self._functions[name].node_def:
                found.append(one)
                waiting += [value.func.name for value in one.attr.values() if value.HasField("func")]
                waiting += [func.name for value in one.attr.values() for func in value.list.func]
                waiting += [one.op] if one.op in self._functions else []
        return found

    def _maps_by_row(self, node: Any) -> bool:
        """Whether a map of batches computes each number from one number of the batch and from constants."""
        function = self._functions[node.attr["f"].func.name]
        if node.attr["Targuments"].list.type:
            return False
        #: Of each tensor: whether it is made of the batch, or else a single number.
        of_batch = {one.name: True for one in function.signature.input_arg}
        for one in function.node_def:
            inputs = [of_batch.get(graphs.node_name(name)) for name in one.input if name[0] != "^"]
            if one.op == "Const" and not one.attr["value"].tensor.tensor_shape.dim:
                of_batch[one.name] = False
            elif None not in inputs and one.op in (_OF_ONE if len(inputs) == 1 else _OF_TWO):
                if sum(map(bool, inputs)) > 1:
                    return False
                of_batch[one.name] = any(inputs)
        return all(of_batch.get(graphs.node_name(one)) for one in function.ret.values())

    def _draws(self, node: Any) -> bool:
        """Whether a map draws random numbers one after the other, or changes something."""
        reached = self._reached(node)
        return any("seed2" in one.attr or "Dataset" in one.op or graphs.changes(one) for one in reached)
