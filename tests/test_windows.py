"""Windows: series in a DataFrame give what Keras gives on `timeseries_dataset_from_array` of each of them."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers
from twins import assert_same_history, eagerly, value

import nbkeras
from nbkeras.data.windows.starts import Passing, checksum, starts
from nbkeras.errors import NbkerasError
from nbkeras.schema import Field, Schema, Windows

LENGTH = 5
RANDOM = np.random.default_rng(7)
#: Series of three shops, of which one is too short for a window.
SERIES = [
    pd.DataFrame(
        {
            "shop": f"shop {number}",
            "day": 2 * np.arange(rows) + number,
            "sold": RANDOM.normal(size=rows).astype("float32"),
            "price": RANDOM.normal(size=rows),
            "y": RANDOM.normal(size=rows).astype("float32"),
        }
    )
    for number, rows in enumerate((37, 17, 4))
]
FEATURES = ["sold", "price"]


@pytest.fixture(scope="module")
def table(spark):
    """The rows of all shops, in no order."""
    return spark.createDataFrame(pd.concat(SERIES).sample(frac=1, random_state=1)).repartition(3)


@pytest.fixture(scope="module")
def single(spark):
    """The rows of one shop."""
    rows = SERIES[0].drop(columns="shop").sample(frac=1, random_state=1)
    return spark.createDataFrame(rows).repartition(2)


def made(*, recurrent=False, normalized=False):
    """A model of windows, always with the same weights."""
    keras.utils.set_random_seed(1)
    taken = keras.Input((LENGTH, 2))
    steps = layers.Normalization()(taken) if normalized else taken
    # A convolution is traced in far less time.
    body = layers.LSTM(3)(steps) if recurrent else layers.Flatten()(layers.Conv1D(2, 3)(steps))
    model = keras.Model(taken, layers.Dense(1)(body))
    model.compile(keras.optimizers.SGD(0.1), "mse", metrics=["mae"])
    return model


def of_keras(series, offset=0, **how):
    """Windows and labels as Keras cuts them from arrays."""
    pieces = []
    for one in series:
        x, y = one[FEATURES].to_numpy("float32"), one["y"].to_numpy()[offset:]
        if len(x) > (LENGTH - 1) * how.get("sampling_rate", 1) and len(y):
            batches = keras.utils.timeseries_dataset_from_array(x, y, LENGTH, batch_size=100, **how)
            pieces += [(np.array(one), np.array(label)) for one, label in batches]
    return tuple(map(np.concatenate, zip(*pieces, strict=True)))


@pytest.mark.parametrize(
    ("backend", "workers", "keyed", "recurrent", "how"),
    [
        pytest.param("torch", 2, True, False, {"offset": LENGTH}, marks=pytest.mark.smoke("connect")),
        ("torch", 2, False, False, {"offset": 1, "sampling_rate": 2, "sequence_stride": 2}),
        pytest.param("torch", 1, True, False, {"sequence_stride": 3}, marks=pytest.mark.soak),
        pytest.param("tensorflow", 1, True, True, {"offset": LENGTH}, marks=pytest.mark.soak),
        pytest.param("tensorflow", 2, False, True, {"sampling_rate": 3}, marks=pytest.mark.soak),
        pytest.param("tensorflow", 2, True, True, {"sequence_stride": 2}, marks=pytest.mark.soak),
        pytest.param("jax", 1, False, True, {"offset": 13}, marks=pytest.mark.soak),
        pytest.param("jax", 2, True, True, {"offset": 1, "sequence_stride": 4}, marks=pytest.mark.soak),
    ],
)
def test_windows_give_what_keras_gives_on_those_that_it_cuts(
    spark, table, single, backend, workers, keyed, recurrent, how
):
    x, y = of_keras(SERIES if keyed else SERIES[:1], **how)
    theirs = eagerly(made(recurrent=recurrent))
    options = {"epochs": 2, "batch_size": 8, "shuffle": False, "verbose": 0}
    history = theirs.fit(x, y, validation_data=(x, y), **options).history
    key = {"key": "shop"} if keyed else {}
    df = nbkeras.timeseries(table if keyed else single, "day", LENGTH, **key, **how, spark=spark)
    model, options = made(recurrent=recurrent), {**options, "workers": workers, "backend": backend}

    run = nbkeras.fit(model, df, "y", validation_data=df, spark=spark, **options)

    assert_same_history(run.history, history)
    for one, other in zip(model.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(value(one), value(other), 1e-5, 1e-5, err_msg=one.path)
    found = nbkeras.evaluate(model, df, "y", backend=backend, spark=spark)
    expected = theirs.evaluate(x, y, verbose=0)
    np.testing.assert_allclose(list(found.values()), expected, 1e-5, 1e-6)


@pytest.mark.usefixtures("any_backend")
def test_shuffled_windows_are_divided_and_each_is_trained_on_once_an_epoch(spark, table, single):
    for df, series, key in ((table, SERIES, {"key": "shop"}), (single, SERIES[:1], {})):
        x, y = of_keras(series, offset=LENGTH, sequence_stride=2)
        theirs, model = eagerly(made()), made()
        # One batch: it sums all windows, wherever they are.
        history = theirs.fit(x, y, epochs=2, batch_size=100, verbose=0).history
        marked = nbkeras.timeseries(df, "day", LENGTH, sequence_stride=2, offset=LENGTH, **key, spark=spark)
        run = nbkeras.fit(model, marked, "y", epochs=2, batch_size=100, workers=2, verbose=0, spark=spark)
        assert_same_history(run.history, history)


@pytest.mark.parametrize("backend", ["auto", pytest.param("tensorflow", marks=pytest.mark.soak)])
@pytest.mark.usefixtures("any_backend")
def test_a_worker_whose_series_are_too_short_lets_the_others_train(spark, table, backend):
    x, y = of_keras(SERIES[1:])
    history = eagerly(made()).fit(x, y, epochs=2, batch_size=100, verbose=0).history
    df = nbkeras.timeseries(table.filter("shop <> 'shop 0'"), "day", LENGTH, key="shop", spark=spark)
    how = {"epochs": 2, "batch_size": 100, "workers": 2, "backend": backend, "verbose": 0}
    assert_same_history(nbkeras.fit(made(), df, "y", spark=spark, **how).history, history)


@pytest.mark.usefixtures("any_backend")
def test_a_trained_model_predicts_at_the_last_row_of_each_window_and_learns_each_row_once(
    spark, table, tmp_path
):
    model = made(normalized=True)
    df = nbkeras.timeseries(table, "day", LENGTH, key="shop", offset=LENGTH, spark=spark)
    run = nbkeras.fit(model, df, "y", workers=1, verbose=0, spark=spark)
    rows = pd.concat(SERIES)[FEATURES].to_numpy("float64")
    np.testing.assert_allclose(value(model.layers[1].adapt_mean).reshape(-1), rows.mean(0), 1e-5, 1e-6)
    assert any("adapted" in one for one in run.notes)
    nbkeras.save_model(model, tmp_path / "sold.keras")
    loaded = nbkeras.load_model(tmp_path / "sold.keras")

    # No column of this one is marked, and windows go over the borders of what Spark hands on at once.
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", 7)
    try:
        found = nbkeras.predict(loaded, table, spark=spark).toPandas()
    finally:
        spark.conf.unset("spark.sql.execution.arrow.maxRecordsPerBatch")

    found = found.sort_values(["shop", "day"])
    last = pd.concat([one.iloc[LENGTH - 1 :] for one in SERIES])
    x, _ = of_keras(SERIES)
    pd.testing.assert_frame_equal(found[last.columns].reset_index(drop=True), last.reset_index(drop=True))
    expected = model.predict_on_batch(keras.ops.convert_to_tensor(x))
    np.testing.assert_allclose(found["prediction"], np.asarray(expected)[:, 0], 1e-5, 1e-6)


@pytest.mark.usefixtures("any_backend")
def test_a_single_series_of_values_predicts_its_own_next_one(spark, single):
    df = nbkeras.timeseries(single.select("day", "y"), "day", LENGTH, offset=LENGTH, spark=spark)
    for shape in ((LENGTH, 1), (LENGTH,), None):
        body = [layers.Flatten(), layers.Dense(1)]
        model = keras.Sequential(body if shape is None else [keras.Input(shape), *body])
        model.compile("sgd", "mse")
        run = nbkeras.fit(model, df, "y", workers=1, verbose=0, spark=spark)
        (one,) = run.schema.features
        assert (one.sources, one.shape) == (("y",), () if shape == (LENGTH,) else (1,))


@pytest.mark.usefixtures("any_backend")
def test_a_training_goes_on_with_the_same_windows_on_other_workers_and_refuses_others(spark, table, tmp_path):
    df = nbkeras.timeseries(table, "day", LENGTH, key="shop", spark=spark)
    fit = functools.partial(nbkeras.fit, y="y", shuffle=False, checkpoint=tmp_path, verbose=0, spark=spark)
    fit(made(), df, workers=2)
    went_on = fit(made(), table, epochs=2, workers=1, resume=True)
    assert len(went_on.history["loss"]) == 2
    changed = df.replace({0: 1}, subset=["day"])
    for other in (changed, df.filter("day > 4")):
        with pytest.raises(NbkerasError, match="since the training began"):
            fit(made(), other, epochs=3, workers=1, resume=True)


@pytest.mark.usefixtures("any_backend")
def test_what_cannot_be_cut_into_windows_is_refused_in_one_line(spark, table, single):
    mark = functools.partial(nbkeras.timeseries, spark=spark)
    fit = functools.partial(nbkeras.fit, y="y", verbose=0, spark=spark)
    window = mark(single, "day", LENGTH)
    pair = keras.Input((LENGTH, 1), name="a"), keras.Input((LENGTH, 1), name="b")
    two = keras.Model(pair, layers.Dense(1)(layers.Concatenate()([layers.Flatten()(one) for one in pair])))
    two.compile("sgd", "mse")
    stream = spark.readStream.format("rate").load().selectExpr("value AS day", "rand() AS sold", "1 AS price")
    null = "CASE WHEN day = 4 THEN NULL ELSE {0} END AS {0}"
    times = single.selectExpr(null.format("day"), "sold", "price", "y")
    keys = table.selectExpr(null.format("shop"), "day", "sold", "price", "y")
    trained = made()
    fit(trained, window, workers=1)
    for wrong, words in (
        (
            lambda: fit(made(), window, validation_split=0.2),
            "validation_split=0.2 takes rows at random, .* with the later rows",
        ),
        (lambda: fit(made(), mark(single, "day", LENGTH, offset=99)), "there is no window: each needs 100"),
        (
            lambda: nbkeras.evaluate(made(), mark(single, "day", LENGTH, offset=99), "y", spark=spark),
            "there is no window",
        ),
        (lambda: fit(made(), mark(table.drop("shop"), "day", LENGTH)), "holds a time again in .*key='…'"),
        (lambda: fit(made(), mark(times, "day", LENGTH)), "column 'day' holds 1 null"),
        (lambda: fit(made(), mark(keys, "day", LENGTH, key="shop")), "column 'shop' holds 2 nulls"),
        (
            lambda: fit(made(), mark(single, "day", 7)),
            r"windows have 7 rows: give .*keras.Input\(\(7, number",
        ),
        (lambda: fit(two, window), "feed a model with one input"),
        (
            lambda: fit(made(), window, validation_data=mark(single, "day", LENGTH, offset=1)),
            "validation_data is marked by nbkeras.timeseries otherwise",
        ),
        (lambda: fit(made(), single.drop("day")), "windows of rows .* come of nbkeras.timeseries"),
        (lambda: fit(made(), mark(window, "price", 3)), "columns 'day', 'price' are marked"),
        (lambda: mark(single, "dy", 3), "time column 'dy' is not in the DataFrame: did you mean 'day'"),
        (lambda: mark(single, "day", 3, key="shop"), "key column 'shop' is not in the DataFrame"),
        (lambda: mark(single, "day", 0), "sequence_length=0: use a whole number from 1"),
        (lambda: mark(single, "day", 3, offset=-1), "offset=-1: use a whole number from 0"),
        (
            lambda: nbkeras.predict(made(), mark(stream, "day", LENGTH), spark=spark),
            "the DataFrame is a stream",
        ),
        (lambda: nbkeras.predict(trained, single.drop("day"), spark=spark), "time column 'day' is not in"),
        (
            lambda: nbkeras.predict(trained, mark(single, "day", LENGTH, sampling_rate=2), spark=spark),
            "windows of 5 rows, 2 rows apart, and the model was trained with those of 5 rows",
        ),
    ):
        with pytest.raises(NbkerasError, match=words) as raised:
            wrong()
        assert "\n" not in str(raised.value)


# -- positions ----------------------------------------------------------------------------------------------


def drawn(random):
    """A way to cut, the rows of some series, and their hashes of series and time."""
    windows = Windows("time", *(int(random.integers(1, most)) for most in (6, 4, 4)), key=("key",))
    lengths = random.integers(1, 20, random.integers(1, 5))
    keys = np.repeat(np.arange(len(lengths)), lengths)
    times = np.concatenate([np.arange(one) for one in lengths])
    return windows, keys, {"x0": np.arange(len(keys)), "series0": keys, "time": times}


def test_windows_begin_where_those_of_keras_do_also_where_rows_come_in_pieces():
    random = np.random.default_rng(3)
    for _ in range(60):
        windows, keys, arrays = drawn(random)
        schema = Schema((Field("x0", ("a",), "a"),), windows=windows)
        expected = []
        for key in range(keys[-1] + 1):
            own = arrays["x0"][keys == key]
            if len(own) > windows.span:
                # As its own documentation cuts them: TensorFlow takes long to make a data set.
                firsts = range(0, len(own) - windows.span, windows.stride)
                expected += [own[one : one + windows.span + 1 : windows.rate].tolist() for one in firsts]

        found = starts(schema, arrays)
        assert found.tolist() == [one[0] for one in expected]

        passing, begun = Passing(schema), 0
        seen, lasts = [], []
        while begun < len(keys):
            end = begun + int(random.integers(1, 9))
            piece = {name: one[begun:end] for name, one in arrays.items()}
            for places, (x,) in passing.take(piece):
                seen += x.tolist()
                lasts += piece["x0"][places].tolist()
            begun = end
        assert seen == expected
        assert lasts == [one[-1] for one in expected]


def test_the_checksum_of_windows_is_that_of_all_rows_that_they_take():
    random = np.random.default_rng(4)
    for _ in range(30):
        windows, _, arrays = drawn(random)
        fields = Field("x0", ("a",), "a"), Field("y0", ("b",), "b")
        schema = Schema(fields, windows=windows)
        hashes = random.integers(0, 1 << 63, len(arrays["time"]), dtype=np.uint64)
        found = starts(schema, arrays)
        steps = np.arange(windows.length) * windows.rate
        taken = [hashes[found[:, None] + steps], hashes[found + windows.offset]]
        assert checksum(schema, hashes, found) == sum(int(one.sum()) for one in taken) % (1 << 64) or not len(
            found
        )


def test_hashes_of_a_time_twice_are_found():
    schema = Schema(windows=Windows("day", 2, key=("shop",)))
    shop, day = np.array([1, 1, 2, 2]), np.array([1, 1, 1, 2])
    with pytest.raises(NbkerasError, match="'day' holds a time again in 1 row of one series"):
        starts(schema, {"series0": shop, "time": day})
