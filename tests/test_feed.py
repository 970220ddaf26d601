from __future__ import annotations

from itertools import chain
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbkeras.schema import Field, Schema
from nbkeras.worker import files, schedule
from nbkeras.worker.backends import arrays as numpy_arrays
from nbkeras.worker.backends import tensorflow
from nbkeras.worker.feed import feed

STRUCTURE = Schema((Field("x0", ("x",), "x"), Field("y0", ("y",), "y"), Field("w0", ("w",), "w")))


def mapped(array):
    """A copy at the start of a page, as the spool's are."""
    array = np.asarray(array)
    return np.frombuffer(files.pages(array.tobytes()), dtype=array.dtype)[: array.size].reshape(array.shape)


def rows(number):
    position = np.arange(number)
    return {
        "x0": mapped(np.stack([position, 10 * position], axis=1).astype("float32")),
        "y0": mapped(position),
        "w0": mapped((position / 2).astype("float32")),
    }


def canonical(number, seed=4):
    order = files.scratch(number)
    order[:] = np.random.default_rng(seed).permutation(number)
    return order


@pytest.fixture(params=[tensorflow.batches, numpy_arrays.Batches], ids=["TensorFlow", "NumPy"])
def batches(request):
    """What makes batches of a feed."""
    return request.param


@pytest.fixture
def epochs(batches):
    """Give the labels of each step of some epochs: labels are positions."""

    def epochs(fed, number):
        made = batches(fed)
        found = []
        for epoch in range(number):
            fed.permute(epoch)
            found.append([np.asarray(y).tolist() for _, y, _ in made])
        return found

    return epochs


def test_large_batches_wait_for_their_step_one_at_a_time(monkeypatch):
    fed = feed(rows(12), canonical(12), np.array([8, 4]), STRUCTURE)
    assert fed.batch_bytes == 8 * (2 * 4 + 8 + 4)
    small = tensorflow.batches(fed)
    monkeypatch.setattr(tensorflow, "_AHEAD", fed.batch_bytes)

    large = tensorflow.batches(fed)

    # TensorFlow tells it nowhere else.
    waiting = [int(one._input_dataset._buffer_size) for one in (small, large)]
    assert waiting == [tensorflow.tf.data.AUTOTUNE, 1]
    assert [np.asarray(y).tolist() for _, y, _ in large] == [np.asarray(y).tolist() for _, y, _ in small]


def test_without_a_seed_every_epoch_keeps_the_canonical_order(epochs):
    order = canonical(7)
    fed = feed(rows(7), order, np.array([3, 1, 3]), STRUCTURE)

    first, second = epochs(fed, 2)

    assert [len(step) for step in first] == [3, 1, 3]
    assert [*chain(*first)] == order.tolist()
    assert second == first


def test_fields_of_a_row_stay_together(batches):
    fed = feed(rows(9), canonical(9), np.array([4, 5]), STRUCTURE, seed=(1, 0))
    fed.permute(3)

    for x, y, w in batches(fed):
        np.testing.assert_array_equal(x[:, 1], 10.0 * np.asarray(y))
        np.testing.assert_array_equal(w, np.asarray(y) / 2)


def test_a_seed_gives_every_row_once_per_epoch_in_another_order_each_time(epochs):
    fed = feed(rows(20), canonical(20), np.array([8, 8, 4]), STRUCTURE, seed=(1, 0))

    orders = [[*chain(*epoch)] for epoch in epochs(fed, 3)]

    assert [sorted(order) for order in orders] == [list(range(20))] * 3
    assert len({tuple(order) for order in orders}) == 3


def test_the_same_seed_gives_the_same_order_and_another_seed_another(epochs):
    def of(seed, worker=0):
        return epochs(feed(rows(20), canonical(20), np.array([20]), STRUCTURE, seed=(seed, worker)), 2)

    assert of(1) == of(1)
    assert of(1) != of(2)
    assert of(1) != of(1, worker=1)


def test_an_order_depends_on_seed_and_epoch_alone_not_on_the_epochs_before():
    def order(*passed):
        fed = feed(rows(20), canonical(20), np.array([20]), STRUCTURE, seed=(1, 0))
        for epoch in passed:
            fed.permute(epoch)
        return fed.order.tolist()

    assert order(0, 1, 2) == order(2)


def test_the_canonical_order_is_left_as_it_is():
    order = canonical(9)
    before = order.tolist()

    feed(rows(9), order, np.array([9]), STRUCTURE, seed=(1, 0)).permute(0)

    assert order.tolist() == before


@pytest.mark.parametrize("counts", [[0, 2, 0, 1, 0], [0, 0, 0, 0, 3], [3, 0, 0, 0, 0]])
def test_some_row_stands_in_where_a_step_has_none(epochs, counts):
    fed = feed(rows(3), canonical(3), np.array(counts), STRUCTURE)

    (steps,) = epochs(fed, 1)

    assert [len(step) for step in steps] == [max(1, count) for count in counts]
    own = [row for step, count in zip(steps, counts, strict=True) if count for row in step]
    assert own == fed.order.tolist()


def test_rows_gives_the_first_of_them_as_keras_takes_them():
    order = canonical(6)

    x, y, w = feed(rows(6), order, np.array([6]), STRUCTURE, seed=(1, 0)).rows(2)

    assert y.tolist() == order[:2].tolist()
    assert x[:, 1].tolist() == [10 * one for one in y]
    assert w.tolist() == [one / 2 for one in y]


def test_labels_of_several_outputs_come_as_a_tuple(batches):
    several = Schema((Field("x0", ("x",), "x"), Field("y0", ("y",), "y"), Field("y1", ("w",), "w")))
    arrays = rows(4)
    arrays["y1"] = arrays.pop("w0")

    (batch,) = batches(feed(arrays, canonical(4), np.array([4]), several))

    assert isinstance(batch[1], tuple)
    assert [tuple(label.shape) for label in batch[1]] == [(4,), (4,)]


@given(
    shards=st.lists(st.integers(0, 30), min_size=1, max_size=4).filter(any),
    batch_size=st.integers(1, 16),
    epoch=st.integers(0, 5),
)
def test_the_workers_feeds_give_every_row_once(shards, batch_size, epoch):
    table = schedule.proportional(shards, batch_size)
    starts = np.cumsum([0, *shards])
    seen = []
    for worker, number in enumerate(shards):
        if number:
            arrays = {"y0": starts[worker] + np.arange(number)}
            fed = feed(arrays, canonical(number), table[:, worker], STRUCTURE, seed=(7, worker))
            fed.permute(epoch)
            ends = np.cumsum(fed.counts)
            for start, end in zip(ends - fed.counts, ends, strict=True):
                seen += arrays["y0"][fed.order[start:end]].tolist()
    assert sorted(seen) == list(range(sum(shards)))


def test_what_was_gathered_ahead_is_not_taken_for_the_next_epoch():
    fed = feed(rows(6), canonical(6), np.array([2, 2, 2]), STRUCTURE, seed=(1, 0))
    made = numpy_arrays.Batches(fed)
    fed.permute(0)
    next(iter(made))  # as Keras looks at one batch before it trains; the second lies ready now

    fed.permute(1)
    seen = [y.tolist() for _, y, _ in made]

    assert [*chain(*seen)] == fed.order.tolist()


def test_iterating_takes_no_copy_of_the_rows(tmp_path, batches, epochs):
    small = rows(8)
    number, width = 200_000, 256  # 205 MB
    with (tmp_path / "rows").open("w+b") as file:
        file.truncate(number * width * 4)
        arrays = {"x0": files.mapped(file.fileno(), "<f4", (number, width))}
        counts = np.full(number // 1000, 1000)
        structure = Schema((Field("x0", ("a",), "a"),))
        fed = feed(arrays, canonical(number), counts, structure, seed=(1,))
        list(epochs(feed(small, canonical(8), np.array([8]), STRUCTURE), 1))  # starts TensorFlow
        before = own_memory()
        first = next(iter(batches(fed)))
        grown = own_memory() - before

    assert len(first) == 1000
    assert grown < number * width * 4 / 4


class Noisy(keras.layers.Dropout):
    """Counts how often it is traced."""

    calls = 0

    def call(self, inputs, training=False):
        Noisy.calls += 1
        return super().call(inputs, training=training)


@pytest.mark.parametrize("names", [("one",), ("one", "two")], ids=["one output", "a dict of two"])
def test_a_step_traced_before_there_are_rows_is_not_traced_again(names):
    inputs = keras.Input((2,))
    noisy = Noisy(0.5)(inputs)
    model = keras.Model(inputs, {name: keras.layers.Dense(1, name=name)(noisy) for name in names})
    model.compile("adam", dict.fromkeys(names, "mse"), metrics={name: ["mae"] for name in names})
    labels = {name: f"y{index}" for index, name in enumerate(names)}
    fields = [Field(name, (name,), name, "int64", kind="number") for name in labels.values()]
    schema = Schema((Field("x0", ("x",), "x", "<f4", (2,)), *fields), y=labels)
    before = [(one, np.array(one)) for one in model.variables]

    tensorflow.trace(model, schema)

    traced = Noisy.calls
    for variable, value in before:
        np.testing.assert_array_equal(variable, value)
    values = rows(7)
    arrays = {"x0": values["x0"], **dict.fromkeys(labels.values(), values["y0"])}
    fed = feed(arrays, canonical(7), np.array([4, 3]), schema, seed=(1,))
    model.fit(tensorflow.batches(fed), epochs=2, verbose=0, shuffle=False)
    assert Noisy.calls == traced > 0


def test_a_step_whose_rows_tell_their_shape_is_traced_with_them():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    tensorflow.trace(model, Schema((Field("x0", ("x",), "x", "float32", (2,)), Field("y0", ("y",), "y"))))

    assert model.train_function is None


def test_a_step_that_cannot_be_traced_fails_on_its_first_batch():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    schema = Schema(tuple(Field(name, (name,), name, "float32", (2,)) for name in ("x0", "y0")))
    tensorflow.trace(model, schema)

    assert model.train_function is None


def own_memory() -> int:
    """Bytes of this process that no file can give back (Linux)."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon"))
