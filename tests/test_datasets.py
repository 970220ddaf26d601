"""A dataset of tf.data travels as its graph, and gives every process the same elements."""

from __future__ import annotations

import pytest
import tensorflow as tf

from nbkeras.data import stream
from nbkeras.errors import ModelError
from nbkeras.model import pickling
from nbkeras.model.portable import graphs, seed_generators

NUMBERS = tf.data.Dataset.range(20)


def elements(dataset):
    return [int(one) for one in dataset.as_numpy_iterator()]


def copies(dataset):
    sent = pickling.dumps(dataset)
    return pickling.loads(sent), pickling.loads(sent)


def test_a_cache_in_memory_keeps_in_each_process_what_was_drawn_first():
    for one in copies(NUMBERS.shuffle(20).cache()):
        first = elements(one)
        assert sorted(first) == [*range(20)]
        assert elements(one) == first
    inner = NUMBERS.flat_map(lambda number: tf.data.Dataset.range(number % 3).cache())
    assert elements(copies(inner)[0]) == elements(inner)


@pytest.mark.parametrize(
    "cached",
    [
        lambda folder: NUMBERS.cache(f"{folder}/cache"),
        lambda folder: NUMBERS.flat_map(
            lambda one: NUMBERS.cache(tf.strings.join([str(folder), "/", tf.strings.as_string(one)]))
        ),
    ],
    ids=["one", "one for each element"],
)
def test_a_cache_in_a_file_stays_in_the_notebook_with_its_reason(tmp_path, cached):
    assert stream.Dataset(cached(tmp_path)).reason == (
        "a tf.data.Dataset: it caches in a file, which several workers would write at once"
    )


@pytest.mark.parametrize(
    "drawn",
    [
        tf.data.Dataset.sample_from_datasets([NUMBERS, NUMBERS], [0.5, 0.5]),
        tf.data.Dataset.random().take(3),
    ],
    ids=["which dataset comes next", "numbers"],
)
def test_what_a_dataset_draws_without_a_seed_is_the_same_everywhere(drawn):
    one, other = copies(drawn)
    assert elements(one) == elements(other)


def shuffled():
    return NUMBERS.shuffle(20, seed=1).repeat(2).shuffle(8, seed=2)


def test_a_copy_begins_where_the_notebook_stands_which_goes_on_as_the_copy_has():
    read, unread = shuffled(), shuffled()
    first, second, third = (elements(unread) for _ in range(3))
    assert first != second

    assert elements(read) == first
    copy = pickling.loads(pickling.dumps(read))
    assert elements(copy) == second
    seed_generators.go_on(read, seed_generators.given(copy))
    assert elements(read) == third


def test_a_dataset_that_is_used_twice_has_one_order():
    order = NUMBERS.shuffle(20, seed=1)
    pairs = tf.data.Dataset.zip(order, order).map(lambda one, other: 100 * one + other)

    copy, _ = copies(pairs)
    order = NUMBERS.shuffle(20, seed=1)
    assert elements(copy) == elements(
        tf.data.Dataset.zip(order, order).map(lambda one, other: 100 * one + other)
    )


def test_a_dataset_that_stays_in_the_notebook_is_not_moved_by_a_look():
    numbers = tf.data.Dataset.random(seed=2, rerandomize_each_iteration=True)
    with_numbers = tf.data.Dataset.zip(NUMBERS.shuffle(20, seed=1), numbers).map(lambda one, _: one)
    calls_python = NUMBERS.shuffle(20, seed=1).map(lambda one: tf.numpy_function(int, [one], tf.int64))
    for kept in (with_numbers, calls_python):
        assert not stream.Dataset(kept).is_sent
        assert elements(kept) == elements(NUMBERS.shuffle(20, seed=1))


def test_no_node_of_the_graph_gets_an_attribute_that_its_operation_has_not():
    from tensorflow.core.framework import graph_pb2

    _, (graph, *_) = graphs.reduced(NUMBERS.shuffle(3).cache())

    extra = [
        one.op
        for one in graph_pb2.GraphDef.FromString(graph).node
        if "dtype" in one.attr and one.op != "Const"
    ]
    assert extra == []


def test_large_arrays_travel_beside_the_graph_and_an_order_that_is_drawn_once_stays():
    rows = tf.random.stateless_normal((300_000,), [1, 2])
    dataset = tf.data.Dataset.from_tensor_slices(rows).shuffle(9, seed=1).batch(100_000)

    _, (graph, arrays, *_) = graphs.reduced(dataset)
    (one, other) = copies(dataset)

    assert (len(graph) < 100_000, [one.shape for one in arrays.values()]) == (True, [(300_000,)])
    assert all(bool(tf.reduce_all(a == b)) for a, b in zip(one, other, strict=True))
    with pytest.raises(ModelError, match="it shuffles once, in an order of its own: give shuffle a seed"):
        pickling.dumps(NUMBERS.shuffle(20, reshuffle_each_iteration=False))
