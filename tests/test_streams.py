"""Batches of their own: datasets of tf.data, PyDatasets and DataLoaders train as in plain Keras."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

import nbkeras
from nbkeras.data import stream
from nbkeras.driver import again
from nbkeras.errors import DataError, OptionError

#: Keras' own, of arguments that have a default.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*was passed, but will be ignored", "ignore:Your input ran out of data"
)
ROWS, BATCH = 50, 8
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(ROWS, 4)).astype("float32")
Y = RANDOM.normal(size=(ROWS, 1)).astype("float32")
CLASSES = (Y > 0).astype("float32")


def net(x=X):
    """A compiled model, always with the same weights."""
    keras.utils.set_random_seed(3)
    layers = [keras.layers.Dense(6, activation="relu"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input(x.shape[1:]), *layers])
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    return model


def slices(*arrays):
    return tf.data.Dataset.from_tensor_slices(arrays if len(arrays) > 1 else arrays[0])


class Batches(keras.utils.PyDataset):
    """Batches by their number; counts how often an epoch has ended."""

    def __len__(self):
        return ROWS // BATCH + 1

    def __getitem__(self, index):
        rows = slice(index * BATCH, (index + 1) * BATCH)
        return X[rows], Y[rows]


class Reordered(Batches):
    """Batches of rows in another order in each epoch, by NumPy's own generator."""

    def __init__(self):
        super().__init__()
        np.random.seed(4)  # noqa: NPY002
        self.order = np.arange(ROWS)

    def __getitem__(self, index):
        rows = self.order[index * BATCH : (index + 1) * BATCH]
        return X[rows], Y[rows]

    def on_epoch_end(self):
        np.random.shuffle(self.order)  # noqa: NPY002


class Rows(torch.utils.data.Dataset):
    def __len__(self):
        return ROWS

    def __getitem__(self, index):
        return X[index], Y[index]


def noisy(x, y):
    return x + tf.random.normal(tf.shape(x), seed=2), y


#: How batches are made, and what else the cell says.
MADE = {
    "shuffled": (lambda: slices(X, Y).shuffle(ROWS, seed=1).batch(BATCH), {}),
    "mapped and read ahead": (lambda: slices(X, Y).batch(BATCH).map(noisy).prefetch(2), {}),
    "repeated": (lambda: slices(X, Y).shuffle(9, seed=1).repeat().batch(BATCH), {"steps_per_epoch": 4}),
    "of unknown length": (lambda: slices(X, Y).filter(lambda x, _: x[0] > 0).batch(BATCH), {}),
    "with weights": (lambda: slices(X, Y, np.linspace(0, 2, ROWS, dtype="float32")).batch(BATCH), {}),
    "with class weights": (lambda: slices(X, CLASSES).batch(BATCH), {"class_weight": {0: 1.0, 1: 3.0}}),
    "with a batch of fewer rows than workers": (lambda: slices(X[:17], Y[:17]).batch(BATCH), {}),
    "cached": (lambda: slices(X, Y).map(noisy).cache().shuffle(ROWS, seed=1).batch(BATCH), {}),
    "of a PyDataset that shuffles": (Reordered, {"shuffle": False}),
    "of a PyDataset": (Batches, {"shuffle": False}),
    "of a DataLoader": (lambda: torch.utils.data.DataLoader(Rows(), BATCH), {}),
}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("made", MADE)
def test_batches_train_and_validate_as_in_plain_keras(spark, made, workers):
    make, options = MADE[made]
    plain, ours = net(), net()
    how = {"epochs": 2, "verbose": 0, "validation_data": slices(X, Y).batch(20), **options}
    right = plain.fit(make(), **how).history

    run = nbkeras.fit(ours, make(), workers=workers, spark=spark, **how)

    assert run.history.keys() == right.keys()
    for name, values in right.items():
        np.testing.assert_allclose(run.history[name], values, 1e-5, err_msg=name)
    for one, other in zip(ours.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, 1e-4, 1e-6)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_read_the_same_batches(spark, backend):
    make, _ = MADE["shuffled"]
    how = {"epochs": 2, "verbose": 0, "validation_data": (X, Y), "validation_batch_size": 20, "spark": spark}

    one, two = (
        nbkeras.fit(net(), make(), workers=workers, backend=backend, **how).history for workers in (1, 2)
    )

    for name, values in one.items():
        np.testing.assert_allclose(two[name], values, 1e-4, err_msg=name)


def test_a_cell_with_a_dataset_trains_on_spark_and_augmentation_in_it_draws_what_keras_draws(spark, capsys):
    pictures = RANDOM.uniform(size=(24, 6, 6, 1)).astype("float32")

    def make():
        keras.utils.set_random_seed(3)
        model = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        flip = keras.layers.RandomFlip(seed=1)
        data = slices(pictures, Y[:24]).batch(6).map(lambda x, y: (flip(x, training=True), y))
        return model, data

    plain, data = make()
    right = plain.fit(data, epochs=2, verbose=0).history
    model, data = make()
    with nbkeras.on_spark(workers=1, spark=spark) as calls:
        history = model.fit(data, epochs=2, verbose=0).history

    assert calls.fits == 1
    assert nbkeras.runs[-1].model is model
    np.testing.assert_allclose(history["loss"], right["loss"], 1e-6)
    assert capsys.readouterr().out == ""


def test_inputs_and_labels_of_a_dataset_may_be_nested_and_ragged(spark):
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            keras.utils.set_random_seed(3)
            self.dense = keras.layers.Dense(1)
            self.dense.build((None, 5))

        def call(self, inputs):
            firsts = keras.ops.cast(inputs["words"].to_tensor()[:, :1], "float32")
            return {"out": self.dense(keras.ops.concatenate([inputs["a"], firsts], 1))}

    def make():
        model = Own()
        model.compile("sgd", {"out": "mse"})
        return model

    words = tf.ragged.constant([[at % 5] * (1 + at % 3) for at in range(ROWS)], dtype=tf.int64)
    data = tf.data.Dataset.from_tensor_slices(({"a": X, "words": words}, {"out": Y})).batch(BATCH)
    right = make().fit(data, verbose=0).history["loss"]

    for workers in (1, 2):
        ours = nbkeras.fit(make(), data, workers=workers, verbose=0, spark=spark).history["loss"]
        np.testing.assert_allclose(ours, right, 1e-5)


def test_a_shuffle_without_a_seed_is_another_in_each_epoch_and_the_same_on_all_workers(spark):
    class Seen(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.losses = []

        def on_train_batch_end(self, batch, logs=None):
            self.losses.append(logs["loss"])

    model = net()
    model.compile(keras.optimizers.SGD(0.0), "mse")
    tf.random.set_seed(None)
    seen = Seen()

    run = nbkeras.fit(
        model,
        slices(X, Y).shuffle(ROWS).batch(25),
        epochs=2,
        workers=2,
        callbacks=[seen],
        verbose=0,
        spark=spark,
    )

    # The weights stay, and all rows are in each epoch: the same loss, from other batches.
    assert run.history["loss"][0] == pytest.approx(run.history["loss"][1], rel=1e-5)
    assert seen.losses[0] != pytest.approx(seen.losses[2], rel=1e-6)


def test_what_workers_cannot_read_trains_in_this_process_with_a_line_that_says_why(spark, capsys, tmp_path):
    def endless():
        while True:
            yield X[:BATCH], Y[:BATCH]

    python = slices(X, Y).map(
        lambda x, y: (tf.ensure_shape(tf.numpy_function(lambda one: one, [x], tf.float32), [4]), y)
    )
    with nbkeras.on_spark(workers=1, spark=spark):
        net().fit(endless(), steps_per_epoch=2, verbose=0)
        net().fit(python.batch(BATCH), verbose=0)
        net().fit(slices(X, Y).cache(str(tmp_path / "cache")).batch(BATCH), verbose=0)
        net().predict(slices(X).batch(BATCH), verbose=0)

    others = "arrays or a DataFrame to compute on Spark"
    cached = "its cache is a file, which only one process may write"
    python_in_it = "it calls a Python function or a generator of this notebook"
    assert capsys.readouterr().out.splitlines() == [
        f"fit runs in this process, since x is a generator: give {others}",
        f"fit runs in this process, since x is a tf.data.Dataset: {python_in_it}: give {others}",
        f"fit runs in this process, since x is a tf.data.Dataset: {cached}: give {others}",
        f"predict runs in this process, since x is a tf.data.Dataset: give {others}",
    ]


@pytest.mark.parametrize(
    ("kind", "words", "arguments"),
    [
        (
            DataError,
            r"^y is given beside a tf\.data\.Dataset, whose batches hold it: leave out y=…$",
            {"y": Y},
        ),
        (DataError, r"^sample_weight is given beside", {"sample_weight": Y[:, 0]}),
        (OptionError, r"^validation_split=0\.2 is of arrays and DataFrames", {"validation_split": 0.2}),
        (OptionError, r"^validation_data is a ndarray beside a tf\.data\.Dataset", {"validation_data": X}),
        (OptionError, r"^validation_data is a generator, which workers", {"validation_data": iter([(X, Y)])}),
    ],
)
def test_arguments_that_do_not_go_with_batches_are_refused(spark, kind, words, arguments):
    with pytest.raises(kind, match=words):
        nbkeras.fit(net(), slices(X, Y).batch(BATCH), spark=spark, **arguments)


class Stops(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        self.model.stop_training = batch == 1


class Shrinks(Reordered):
    """Batches that become fewer with each epoch."""

    number = 6

    def __len__(self):
        return self.number

    def on_epoch_end(self):
        self.number -= 1


def test_an_epoch_is_partial_where_it_was_stopped_not_where_its_batches_ran_out(spark, any_backend):
    unknown = MADE["of unknown length"][0]()

    stopped = nbkeras.fit(net(), unknown, callbacks=[Stops()], workers=1, verbose=0, spark=spark)
    ended = nbkeras.fit(net(), Shrinks(), epochs=3, workers=1, verbose=0, spark=spark)

    assert (stopped.partial, stopped.epoch_numbers) == (1, [0])
    assert (ended.partial, ended.epoch_numbers) == (None, [0, 1, 2])


def flipped():
    flip = keras.layers.RandomFlip(seed=1)
    return slices(np.ones((4, 2, 2, 1), "float32")).map(lambda x: flip(x, training=True)).batch(2)


MOVES_ON = [MADE[made][0] for made in ("shuffled", "mapped and read ahead", "of a PyDataset that shuffles")]


@pytest.mark.parametrize("make", [*MOVES_ON, flipped])
def test_a_dataset_that_moves_on_is_named_where_it_is_trained_on_again(make):
    data = make()
    assert again.notes(data) == []
    assert again.notes(data)[0].startswith(f"the {stream.kind_of(data)} begins again")


@pytest.mark.parametrize("made", ["with weights", "of a PyDataset", "of a DataLoader"])
def test_a_dataset_that_is_the_same_in_each_epoch_is_trained_on_again_without_a_word(made):
    data = MADE[made][0]()
    assert [again.notes(data), again.notes(data), again.notes(X)] == [[], [], []]


def test_arrays_are_validated_on_arrays(spark):
    with pytest.raises(OptionError, match=r"^validation_data is a PyDataset beside arrays: give arrays"):
        nbkeras.fit(net(), X, Y, validation_data=Batches(), spark=spark)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (Batches(), "PyDataset"),
        (slices(X), "tf.data.Dataset"),
        (torch.utils.data.DataLoader(Rows()), "DataLoader"),
        (iter([1]), "generator"),
        (X, None),
        ([X], None),
    ],
)
def test_batches_are_known_by_their_class(data, kind):
    assert stream.kind_of(data) == kind


@pytest.mark.parametrize("made", ["shuffled", "with weights", "of a PyDataset", "of a DataLoader"])
def test_batches_are_evaluated_as_in_plain_keras(spark, made):
    make, _ = MADE[made]
    model = net()
    expected = model.evaluate(make(), verbose=0, return_dict=True)

    with nbkeras.on_spark(spark=spark):
        found = model.evaluate(make(), verbose=0, return_dict=True)
        first = model.evaluate(slices(X, Y).batch(BATCH), steps=2, verbose=0)

    assert found == pytest.approx(expected, rel=1e-5)
    assert first == pytest.approx(model.evaluate(X[: 2 * BATCH], Y[: 2 * BATCH], verbose=0), rel=1e-5)
