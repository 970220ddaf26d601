"""Batches of their own: datasets of tf.data, PyDatasets and DataLoaders train as in plain Keras."""

from __future__ import annotations

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from fits import (
    BATCH,
    FED,
    RANDOM,
    ROWS,
    Batches,
    Items,
    Shrinks,
    Stops,
    X,
    Y,
    calls_python,
    endless,
    net,
    slices,
)
from twins import eagerly

import nbkeras
from nbkeras.data import stream
from nbkeras.driver import inference
from nbkeras.driver.training import again
from nbkeras.errors import DataError, OptionError, TrainingError
from nbkeras.model import pickling
from nbkeras.model.reader import kind_of
from nbkeras.schema import Schema

#: Keras' own, of arguments that have a default.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*was passed, but will be ignored", "ignore:Your input ran out of data"
)


@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.soak  # torch loads TensorFlow for it; below, it evaluates and predicts batches without
def test_other_backends_read_the_same_batches(spark, backend):
    data = FED["shuffled"].data
    how = {"epochs": 2, "verbose": 0, "validation_data": (X, Y), "validation_batch_size": 20, "spark": spark}

    one, two = (
        nbkeras.fit(net(), *data(), workers=workers, backend=backend, **how).history for workers in (1, 2)
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
    right = eagerly(plain).fit(data, epochs=2, verbose=0).history
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
    right = eagerly(make()).fit(data, verbose=0).history["loss"]

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


def test_a_generator_may_validate_and_feed_a_model_that_is_not_built(spark):
    def make():
        keras.utils.set_random_seed(3)
        model = keras.Sequential([keras.layers.Dense(6, activation="relu"), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        return model

    def how():
        return {"steps_per_epoch": 4, "validation_data": endless(), "validation_steps": 3, "verbose": 0}

    right = eagerly(make()).fit(endless(), **how()).history
    ours = make()
    with nbkeras.on_spark(workers=2, spark=spark):
        history = ours.fit(endless(), **how()).history

    assert history.keys() == right.keys()
    np.testing.assert_allclose(history["loss"], right["loss"], 1e-5)
    np.testing.assert_allclose(history["val_loss"], right["val_loss"], 1e-5)
    assert ours.input_shape == (None, 4)


def test_what_a_generator_raises_ends_the_training_with_its_own_lines(spark):
    def broken():
        yield X[:BATCH], Y[:BATCH]
        yield X[:BATCH], Y[:BATCH]
        raise LookupError("no picture 17")

    with pytest.raises(TrainingError, match=r"^in a generator: LookupError: no picture 17$") as raised:
        nbkeras.fit(net(), broken(), steps_per_epoch=9, workers=1, spark=spark, verbose=0)

    assert "in broken\n    raise LookupError" in raised.value.worker_traceback


def test_what_stays_in_the_notebook_is_evaluated_and_predicted_there_with_a_line(spark, capsys):
    model = net()
    right = model.evaluate(calls_python(), verbose=0)
    with nbkeras.on_spark(spark=spark):
        assert model.evaluate(calls_python(), verbose=0) == pytest.approx(right, rel=1e-6)
        model.predict(((x,) for x, _ in endless()), steps=2, verbose=0)

    others = "give arrays or a DataFrame to compute on Spark"
    assert capsys.readouterr().out.splitlines() == [
        f"evaluate runs in this process, since x is {FED['Python function'].reason}: {others}",
        f"predict runs in this process, since x is a generator: {others}",
    ]


def once(kind, *others):
    """Batches of one kind for workers with TensorFlow, and of others, which torch reads without it."""
    more = [pytest.param(one, "tensorflow", marks=pytest.mark.soak) for one in others]
    return pytest.mark.parametrize(
        ("made", "backend"), [(kind, "tensorflow"), *((one, "torch") for one in others), *more]
    )


@pytest.mark.usefixtures("predicts_on_spark")
@once("of unknown length", "PyDataset")
def test_batches_are_predicted_as_in_plain_keras_and_in_their_order(spark, made, backend):
    make = FED[made].data
    model = net()
    right = model.predict(*make(), verbose=0)

    with nbkeras.on_spark(spark=spark, backend=backend):
        np.testing.assert_allclose(model.predict(*make(), verbose=0), right, 1e-5)
        np.testing.assert_allclose(model.predict(*make(), steps=1, verbose=0), right[:BATCH], 1e-5)


@pytest.mark.usefixtures("predicts_on_spark")
def test_shuffles_go_on_from_where_they_stand_through_all_that_reads_them_as_in_plain_keras(spark):
    def read(how=None):
        keras.utils.set_random_seed(1)
        shared = slices(X, Y).shuffle(40, seed=1)
        data = shared.skip(10).shuffle(9, seed=2).repeat(2).batch(BATCH)
        other = shared.take(10).batch(BATCH)
        next(iter(data))
        model, found = net(), []
        with contextlib.nullcontext() if how is None else nbkeras.on_spark(**how):
            for epochs in (2, 1):
                done = model.fit(data, epochs=epochs, validation_data=other, verbose=0)
                found += [done.history["loss"], done.history["val_loss"]]
            model.evaluate(data, verbose=0)
            model.evaluate(data, steps=2, verbose=0)
            model.evaluate(shared.map(lambda x, y: (2 * x, y)).batch(BATCH), verbose=0)
            found.append(model.predict(data.map(lambda x, _: x), verbose=0))
        return [*found, *(np.concatenate([x for x, _ in one]) for one in (data, other))]

    for one, right in zip(read({"spark": spark}), read(), strict=True):
        np.testing.assert_allclose(one, right, 1e-5)


def test_batches_of_few_rows_are_predicted_in_the_notebook_without_a_word(spark, capsys, monkeypatch):
    model, data = net(), slices(X).batch(BATCH)
    monkeypatch.setattr(inference, "collected", pytest.fail)
    with nbkeras.on_spark(spark=spark):
        found = model.predict(data, verbose=0)

    np.testing.assert_allclose(found, model.predict(X, verbose=0), 1e-6)
    assert capsys.readouterr().out == ""


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
    ],
)
def test_arguments_that_do_not_go_with_batches_are_refused(spark, kind, words, arguments):
    with pytest.raises(kind, match=words):
        nbkeras.fit(net(), slices(X, Y).batch(BATCH), spark=spark, **arguments)


def test_an_epoch_is_partial_where_it_was_stopped_not_where_its_batches_ran_out(spark):
    (unknown,) = FED["of unknown length"].data()

    stopped = nbkeras.fit(net(), unknown, callbacks=[Stops()], workers=1, verbose=0, spark=spark)
    ended = nbkeras.fit(net(), Shrinks(), epochs=3, workers=1, verbose=0, spark=spark)

    assert (stopped.partial, stopped.epoch_numbers) == (1, [0])
    assert (ended.partial, ended.epoch_numbers) == (None, [0, 1, 2])


def flipped():
    flip = keras.layers.RandomFlip(seed=1)
    return slices(np.ones((4, 2, 2, 1), "float32")).map(lambda x: flip(x, training=True)).batch(2)


def noted(data):
    """What is said of a dataset that is trained on."""
    return again.notes(streams(data))


def streams(data, validation=None):
    train = None if data is None else stream.Stream(None, Schema(), dataset=stream.Dataset(data))
    return stream.Streams(train, None if validation is None else stream.Dataset(validation))


@pytest.mark.parametrize("make", [FED["PyDataset that shuffles"].data, lambda: (flipped(),)])
def test_a_dataset_that_moves_on_is_named_where_it_is_trained_on_again(make):
    (data,) = make()
    assert noted(data) == []
    assert noted(data)[0].startswith(f"the {kind_of(data)} begins again")


@pytest.mark.parametrize("kind", ["shuffled", "with weights", "PyDataset", "DataLoader", "generator"])
def test_a_dataset_that_is_the_same_in_each_epoch_or_goes_on_is_trained_on_again_without_a_word(kind):
    (data,) = FED[kind].data()
    assert [noted(data), noted(data), noted(None)] == [[], [], []]


def test_a_model_is_called_with_words_and_numbers_of_a_first_batch():
    data = slices({"words": np.array(["a", "b"]), "numbers": np.ones((2, 1), "float32")}, Y[:2]).batch(2)
    inputs = {
        "words": keras.Input((), name="words", dtype="string"),
        "numbers": keras.Input((1,), name="numbers"),
    }
    words = keras.layers.StringLookup(vocabulary=["a", "b"], output_mode="one_hot")(inputs["words"])
    model = keras.Model(inputs, keras.layers.concatenate([words, inputs["numbers"]]))

    x, _ = streams(data).train.first_batch(1)

    assert np.asarray(model(x)).tolist() == [[0, 1, 0, 1]]


def test_a_shuffle_that_workers_and_notebook_share_is_named_unless_its_order_stays():
    data, other = (slices(X, Y).shuffle(40, seed=1) for _ in range(2))
    fixed = slices(X, Y).shuffle(40, seed=1, reshuffle_each_iteration=False)

    def in_python(one):
        return one.map(lambda x, y: (tf.numpy_function(np.negative, [x], tf.float32), y)).batch(8)

    shared = again.notes(streams(data.take(24).batch(8), in_python(data.skip(24))))

    assert [one.split(",")[0] for one in shared] == ["x and validation_data share a shuffle"]
    assert again.notes(streams(data.take(24).batch(8), data.skip(24).batch(8))) == []
    assert again.notes(streams(data.batch(4), in_python(other))) == []
    assert again.notes(streams(fixed.take(24).batch(8), in_python(fixed.skip(24)))) == []
    assert again.notes(streams(data.batch(4), (X, Y))) == []


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (Batches(), "PyDataset"),
        (slices(X), "tf.data.Dataset"),
        (torch.utils.data.DataLoader(Items()), "DataLoader"),
        (iter([1]), "generator"),
        (X, None),
        ([X], None),
    ],
)
def test_batches_are_known_by_their_class(data, kind):
    assert kind_of(data) == kind


@once("with weights", "PyDataset", "DataLoader")
def test_batches_are_evaluated_as_in_plain_keras(spark, made, backend):
    make = FED[made].data
    model = net()
    expected = model.evaluate(*make(), verbose=0, return_dict=True)

    with nbkeras.on_spark(spark=spark, backend=backend):
        found = model.evaluate(*make(), verbose=0, return_dict=True)

    assert found == pytest.approx(expected, rel=1e-5)


def test_so_many_batches_are_evaluated_as_in_plain_keras(spark):
    model = net()

    with nbkeras.on_spark(spark=spark):
        first = model.evaluate(slices(X, Y).batch(BATCH), steps=2, verbose=0)

    assert first == pytest.approx(model.evaluate(X[: 2 * BATCH], Y[: 2 * BATCH], verbose=0), rel=1e-5)


def test_a_dataset_that_never_ends_needs_the_number_of_its_batches(spark):
    forever = slices(X, Y).repeat().batch(BATCH)
    for call, name in (
        (nbkeras.fit, "steps_per_epoch"),
        (nbkeras.evaluate, "steps"),
        (nbkeras.predict, "steps"),
    ):
        words = rf"^the tf\.data\.Dataset never ends: give {name}=…, the number of its batches to read$"
        with pytest.raises(OptionError, match=words):
            call(net(), forever, spark=spark)


def test_a_class_weight_beside_weights_in_the_batches_is_refused(spark):
    (weighted,) = FED["with weights"].data()
    with pytest.raises(
        DataError, match=r"^class_weight=… is given beside batches with sample weights: leave"
    ):
        nbkeras.fit(net(), weighted, class_weight={0: 2.0}, workers=2, verbose=0, spark=spark)


def test_a_dataset_that_refers_to_the_model_refers_to_the_model_that_trains():
    class Own(Batches):
        """Of this test alone: to unpickle a class changes it where it comes from."""

    data, model = Own(), net()
    data.model = model
    sent = stream.Dataset(data).sent

    found = pickling.restored(pickling.contents(model, [], batches=(sent, None, ())))

    assert found["batches"][0].model is found["model"]


def test_the_notebooks_own_classes_stay_as_they_are(spark):
    before = vars(Batches)["__getitem__"]
    nbkeras.fit(net(), Batches(), workers=2, verbose=0, spark=spark)
    assert vars(Batches)["__getitem__"] is before
