"""A dataset of tf.data travels as its graph, and gives every process the same elements."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from nbkeras.data import stream
from nbkeras.errors import ModelError
from nbkeras.model import pickling
from nbkeras.model.portable import graphs, seed_generators, sharding

NUMBERS = tf.data.Dataset.range(20)
ELEMENTS = tf.data.Dataset.range(22)
COUNT = tf.Variable(0, dtype=tf.int64)
GENERATOR = tf.random.Generator.from_seed(1)
PAIRS = tf.lookup.KeyValueTensorInitializer(tf.range(22, dtype=tf.int64), tf.range(22, dtype=tf.int64) * 3)
TABLE = tf.lookup.StaticHashTable(PAIRS, -1)


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


def single(number):
    return tf.cast(number, "float32") * 2


#: Of 22 elements, and whether two workers can each make their rows of its batches alone.
PARTS = {
    "mapped": (lambda: ELEMENTS.map(single).batch(6), True),
    "shuffled, mapped, read ahead": (
        lambda: ELEMENTS.shuffle(22, seed=1).map(single, tf.data.AUTOTUNE).batch(6).prefetch(2),
        True,
    ),
    "in two parts": (lambda: tf.data.Dataset.zip(ELEMENTS.map(single), ELEMENTS).batch(6), True),
    "used twice": (lambda: tf.data.Dataset.zip(one := ELEMENTS.map(single), one.skip(1)).batch(6), True),
    "repeated": (lambda: ELEMENTS.shuffle(22, seed=1).map(single).batch(6).repeat(2), True),
    "repeated before": (lambda: ELEMENTS.repeat(2).map(single).batch(6), True),
    "without an end": (lambda: ELEMENTS.map(single).repeat().batch(6).take(9), False),
    "batches are cached": (lambda: ELEMENTS.map(single).batch(6).cache(), True),
    "batches are mapped by row": (lambda: ELEMENTS.map(single).batch(6).map(lambda one: one / 255.0), True),
    "batches are mapped whole": (
        lambda: ELEMENTS.map(single).batch(6).map(lambda one: one - tf.reduce_mean(one)),
        False,
    ),
    "whole batches are shuffled": (lambda: ELEMENTS.take(18).map(single).batch(6).shuffle(9, seed=1), True),
    "batches of two sizes are shuffled": (lambda: ELEMENTS.map(single).batch(6).shuffle(9, seed=1), False),
    "the rest is dropped": (lambda: ELEMENTS.map(single).batch(6, drop_remainder=True), False),
    "none is dropped": (lambda: ELEMENTS.take(18).map(single).batch(6, drop_remainder=True), True),
    "a last batch of one row": (lambda: ELEMENTS.take(19).map(single).batch(6), False),
    "batches of an odd number": (lambda: ELEMENTS.map(single).batch(5), False),
    "batches are mapped with one another": (
        lambda: ELEMENTS.map(single).batch(6).map(lambda one: one * tf.range(6.0)[: tf.size(one)]),
        False,
    ),
    "batches and their inputs are mapped": (
        lambda: tf.data.Dataset.zip(ELEMENTS.map(single), ELEMENTS.map(single)).batch(6).map(tf.add),
        False,
    ),
    "batches get a constant": (lambda: ELEMENTS.map(single).batch(6).map(lambda one: (one, 2.0)), False),
    "of unknown rank": (
        lambda: ELEMENTS.map(lambda one: tf.io.parse_tensor(tf.io.serialize_tensor(one), tf.int64)).batch(6),
        False,
    ),
    "counts": (lambda: ELEMENTS.map(lambda one: one + COUNT.assign_sub(1)).batch(6), False),
    "draws from a generator": (
        lambda: ELEMENTS.map(lambda one: one + GENERATOR.uniform_full_int((), tf.int64)).batch(6),
        False,
    ),
    "looks up": (lambda: ELEMENTS.map(TABLE.lookup).batch(6), True),
    "draws": (lambda: ELEMENTS.map(lambda _: tf.random.uniform((), seed=1)).batch(6), False),
    "shuffled behind the map": (lambda: ELEMENTS.map(single).shuffle(22, seed=1).batch(6), False),
    "of unknown length": (lambda: ELEMENTS.filter(lambda one: one < 20).map(single).batch(6), False),
    "not mapped": (lambda: ELEMENTS.batch(6), False),
}


def arrays(dataset):
    return [[part.numpy() for part in tf.nest.flatten(batch)] for batch in dataset]


@pytest.mark.parametrize("kind", PARTS)
def test_the_part_of_a_worker_is_its_rows_of_each_batch_in_each_epoch(kind):
    make, divides = PARTS[kind]
    whole, *others = (pickling.loads(pickling.dumps(make())) for _ in range(3))
    parts = [sharding.part(one, rank, 2) for rank, one in enumerate(others)]
    assert [part is not None for part in parts] == [divides, divides]
    for _ in range(2 if divides else 0):
        batches = arrays(whole)
        for rank, part in enumerate(parts):
            own = [[one[rank::2] for one in batch] for batch in batches]
            np.testing.assert_equal(arrays(part.dataset), own)
            assert [part.rows(step) for step in range(len(batches))] == [len(one[0]) for one in batches]


def test_elements_keep_their_order_in_a_copy_where_it_would_depend_on_which_is_ready_first():
    loose = tf.data.Options()
    loose.deterministic = False
    mapped = ELEMENTS.map(single, num_parallel_calls=4, deterministic=False)
    read = mapped.interleave(tf.data.Dataset.from_tensors, num_parallel_calls=2, deterministic=False)

    copy, _ = copies(read.batch(4).with_options(loose))

    nodes = graphs.graph_of(copy).node
    assert [one.attr["deterministic"].s for one in nodes if one.op.startswith("Parallel")] == [b"true"] * 2
    assert copy.options().deterministic is not False
    np.testing.assert_equal(arrays(copy), arrays(ELEMENTS.map(single).batch(4)))


def test_a_cache_is_state_only_where_it_keeps_what_was_drawn():
    drawn, shuffled_behind = NUMBERS.shuffle(9, seed=1).cache(), NUMBERS.cache().shuffle(9, seed=1)
    assert [graphs.has_state(copies(one)[0]) for one in (drawn, shuffled_behind)] == [True, False]


def test_a_worker_reads_the_files_of_its_own_rows_alone(tmp_path):
    paths = [tmp_path / str(number) for number in range(12)]
    for path in paths:
        path.write_text(path.name)
    names = tf.data.Dataset.from_tensor_slices([str(path) for path in paths]).shuffle(12, seed=1)
    data = pickling.loads(pickling.dumps(names.map(tf.io.read_file).batch(4)))
    read = [int(one) for batch in data for one in batch.numpy()]
    part = sharding.part(pickling.loads(pickling.dumps(names.map(tf.io.read_file).batch(4))), 1, 2)

    for number in read[::2]:
        paths[number].unlink()

    assert [int(one) for batch in part.dataset for one in batch.numpy()] == read[1::2]
    assert sharding.reads_files(data)
    assert not sharding.reads_files(copies(ELEMENTS.batch(2))[0])


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
