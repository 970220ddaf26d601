"""Sequences: columns of arrays of several lengths give what Keras gives on padded arrays."""

from __future__ import annotations

import functools
import re

import keras
import numpy as np
import pytest
from keras import layers
from twins import assert_same_history, eagerly, value

import nbkeras
from nbkeras.errors import DataError, NbkerasError

ROWS = 27
RANDOM = np.random.default_rng(5)
IDS = [RANDOM.integers(1, 9, RANDOM.integers(0, 12)).tolist() for _ in range(ROWS)]
STEPS = [RANDOM.normal(size=(RANDOM.integers(0, 9), 2)).round(3).tolist() for _ in range(ROWS)]
WORDS = [RANDOM.choice(["a", "é", "c"], RANDOM.integers(0, 6)).tolist() for _ in range(ROWS)]
Y = RANDOM.random(ROWS).astype("float32")
COLUMNS = "ids array<int>, steps array<array<double>>, words array<string>, y float"


@pytest.fixture(scope="module")
def table(spark):
    rows = zip(IDS, STEPS, WORDS, Y.tolist(), strict=True)
    return spark.createDataFrame(list(rows), COLUMNS).coalesce(1)


def made(*, recurrent=False):
    """A model of ids, of steps of two numbers, and of words, always with the same weights."""
    keras.utils.set_random_seed(1)

    def ordered(steps):
        """Numbers that depend on the order of the steps: a convolution is traced in far less time."""
        return layers.LSTM(3)(steps) if recurrent else layers.Flatten()(layers.Conv1D(2, 3)(steps))

    inputs = {
        "ids": keras.Input((7,), dtype="int32", name="ids"),
        "steps": keras.Input((5, 2), name="steps"),
        "words": keras.Input((4,), dtype="string", name="words"),
    }
    codes = layers.StringLookup(vocabulary=["a", "é", "c"], mask_token="", name="codes")(inputs["words"])
    body = layers.Concatenate()(
        [
            ordered(layers.Embedding(10, 4, mask_zero=recurrent)(inputs["ids"])),
            ordered(layers.Masking()(inputs["steps"]) if recurrent else inputs["steps"]),
            layers.GlobalAveragePooling1D()(layers.Embedding(5, 3)(codes)),
        ]
    )
    model = keras.Model(inputs, layers.Dense(1)(body))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


@functools.cache
def of_keras(padding, truncating, *, recurrent):
    """What plain Keras makes of arrays that it has padded."""
    import tensorflow as tf

    how = {"padding": padding, "truncating": truncating}
    steps = [np.array(row, "float32").reshape(-1, 2) for row in STEPS]
    x = {
        "ids": keras.utils.pad_sequences(IDS, 7, **how),
        "steps": keras.utils.pad_sequences(steps, 5, dtype="float32", **how),
        "words": tf.constant(keras.utils.pad_sequences(WORDS, 4, dtype=object, value="", **how).tolist()),
    }
    model = eagerly(made(recurrent=recurrent))
    batches = tf.data.Dataset.from_tensor_slices((x, Y)).batch(8)
    history = model.fit(batches, epochs=2, shuffle=False, verbose=0).history
    return model, history, model.predict(batches, verbose=0)


@pytest.mark.parametrize(
    ("backend", "workers", "padding", "truncating", "recurrent"),
    [
        ("torch", 2, "pre", "pre", False),
        ("torch", 1, "post", "post", False),
        pytest.param("tensorflow", 2, "pre", "post", True, marks=pytest.mark.soak),
        pytest.param("tensorflow", 1, "post", "pre", True, marks=pytest.mark.soak),
        pytest.param("jax", 2, "pre", "post", True, marks=pytest.mark.soak),
        pytest.param("jax", 1, "pre", "pre", True, marks=pytest.mark.soak),
    ],
)
def test_sequences_of_several_lengths_give_what_keras_gives_on_padded_arrays(
    spark, table, backend, workers, padding, truncating, recurrent
):
    theirs, history, outputs = of_keras(padding, truncating, recurrent=recurrent)
    model, names = made(recurrent=recurrent), ["ids", "steps", "words"]
    df = nbkeras.pad_sequences(table, names, padding=padding, truncating=truncating, spark=spark)
    options = {"epochs": 2, "batch_size": 8, "shuffle": False, "verbose": 0}

    run = nbkeras.fit(model, df, "y", workers=workers, backend=backend, spark=spark, **options)

    assert_same_history(run.history, history)
    for one, other in zip(model.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(value(one), value(other), 1e-5, 1e-5, err_msg=one.path)
    if workers == 1:
        # Padded as in the training, though these columns are not marked.
        found = nbkeras.predict(model, table, backend=backend, spark=spark).toPandas()
        np.testing.assert_allclose(found["prediction"], outputs[:, 0], 1e-5, 1e-6)
        assert found["ids"].map(len).tolist() == [len(row) for row in IDS]


def opened():
    ids = keras.Input((None,), dtype="int32", name="ids")
    model = keras.Model(ids, layers.Dense(1)(layers.LSTM(3)(layers.Embedding(10, 4)(ids))))
    model.compile("sgd", "mse")
    return model


@pytest.mark.usefixtures("any_backend")
def test_a_model_of_sequences_of_any_length_takes_those_of_the_column(spark, table):
    df = nbkeras.pad_sequences(table, "ids", 6, value=9, spark=spark)
    run = nbkeras.fit(opened(), df.select("ids", "y"), "y", workers=1, verbose=0, spark=spark)
    (one,) = run.schema.features
    assert (one.shape, one.padding.value) == ((6,), 9)


def test_what_cannot_be_padded_is_refused_in_one_line(spark, table):
    ids, model = table.select("ids", "y"), made()
    null = spark.createDataFrame([([1], 1.0), (None, 2.0)], "ids array<int>, y double")
    pad = functools.partial(nbkeras.pad_sequences, spark=spark)
    fit = functools.partial(nbkeras.fit, verbose=0, spark=spark)
    for wrong, words in (
        (lambda: fit(opened(), pad(ids, "ids"), "y"), "sequences of any length, and column 'ids' is padded"),
        (
            lambda: fit(opened(), ids, "y"),
            r"arrays of 0 to \d+ values, .* nbkeras.pad_sequences\(df, 'ids'\)",
        ),
        (
            lambda: fit(model, pad(table, "ids", 6), "y"),
            "takes sequences of 7, and column 'ids' is marked with",
        ),
        (lambda: fit(opened(), pad(null, "ids", 3), "y"), "column 'ids' holds 1 null"),
        (
            lambda: fit(model, pad(table, ["ids", "steps"]), "y"),
            "'words' holds arrays of .* nbkeras.pad_sequences",
        ),
        (lambda: pad(table, "y"), "column 'y' is float: name one that holds arrays"),
        (lambda: pad(table, "z"), "sequence column 'z' is not in the DataFrame"),
        (lambda: pad(table, "ids", value="x"), r"value='x', and column 'ids' holds numbers \(int\)"),
        (lambda: pad(table, "words", value=1), "value=1, and column 'words' holds words"),
        (lambda: pad(table, "ids", padding="left"), "padding='left': use 'pre' or 'post'"),
        (lambda: pad(table, "ids", 0), "maxlen=0: use a whole number from 1"),
    ):
        with pytest.raises(NbkerasError, match=words) as raised:
            wrong()
        assert "\n" not in str(raised.value)


# -- streams ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def flowing(spark, table, tmp_path_factory):
    """The same rows as a stream of files."""
    folder = str(tmp_path_factory.mktemp("stream") / "rows")
    table.repartition(3).write.parquet(folder)
    return spark.readStream.schema(COLUMNS).option("maxFilesPerTrigger", 1).parquet(folder)


@pytest.mark.usefixtures("any_backend")
def test_a_stream_is_predicted_as_the_same_rows_at_rest(spark, table, flowing, wait_for):
    model = made()
    nbkeras.fit(
        model, nbkeras.pad_sequences(table, ["ids", "steps", "words"]), "y", workers=1, verbose=0, spark=spark
    )
    expected = nbkeras.predict(model, table, spark=spark).toPandas()["prediction"].sort_values()

    predicted = nbkeras.predict(model, flowing, spark=spark)
    assert predicted.isStreaming
    query = predicted.writeStream.format("memory").queryName("predicted").trigger(availableNow=True).start()
    query.awaitTermination()

    found = spark.table("predicted").toPandas()["prediction"].sort_values()
    np.testing.assert_allclose(found, expected, 1e-5, 1e-6)


def test_what_needs_all_rows_refuses_a_stream_in_one_line(spark, flowing, table):
    model = made()
    bare = keras.Sequential([layers.Dense(1)])
    bare.compile("sgd", "mse")
    numbers = spark.readStream.format("rate").load().select("value")
    for wrong in (
        lambda: nbkeras.fit(model, flowing, "y", verbose=0, spark=spark),
        lambda: nbkeras.fit(model, table, "y", validation_data=flowing, verbose=0, spark=spark),
        lambda: nbkeras.evaluate(model, flowing, "y", spark=spark),
        lambda: nbkeras.adapt({"words": layers.StringLookup()}, flowing),
    ):
        with pytest.raises(DataError, match="is a stream, which has no end: predict takes it as it is"):
            wrong()
    with pytest.raises(DataError, match=re.escape("begin it with keras.Input, or train it first")):
        nbkeras.predict(bare, numbers, spark=spark)
