"""Tables: columns of words, dates and gaps go into a Keras model, and plain Keras' result comes out."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from keras import layers
from twins import assert_same_history, eagerly, value

import nbkeras
from nbkeras.errors import DataError, ModelError, OptionError
from nbkeras.run import registry

ROWS = 61
RANDOM = np.random.default_rng(0)
#: Accents, other scripts, a special token, an empty word, ties, a word that only ASCII lowers.
WORDS = ["the", "Cat", "sat!", "dog.", "on", "émile", "ÉMILE", "中文", "😀", "İ", "x,y", "[UNK]", "a", "a-b"]
TABLE = pd.DataFrame(
    {
        "port": RANDOM.choice(["S", "Q", "é", None], ROWS, p=[0.6, 0.2, 0.1, 0.1]),
        "age": RANDOM.normal(40, 5, ROWS).astype("float32"),
        "cabin": RANDOM.integers(-2, 5, ROWS),
        "alone": RANDOM.random(ROWS) < 0.5,
        "sold": pd.date_range("2024-02-27 22:30", periods=ROWS, freq="7h"),
        "story": [" ".join(RANDOM.choice(WORDS, RANDOM.integers(0, 6))) for _ in range(ROWS)],
        "kind": RANDOM.choice(["owl", "Cat", "émeu"], ROWS),
    }
)
TABLE.loc[::7, "age"] = None
CLASSES = sorted(set(TABLE["kind"]))
SPACE = keras.utils.FeatureSpace
GAPS = {"port": "?"}


@pytest.fixture(scope="module")
def table(spark):
    return spark.createDataFrame(TABLE).coalesce(1)


def plain():
    """The same table as Keras takes it, and its labels."""
    held = TABLE["age"].isna()
    x = {
        "port": TABLE["port"].fillna("?"),
        "age": TABLE["age"].fillna(np.float32(TABLE["age"].astype("float64").mean())),
        "age_missing": held.astype("float32"),
        "cabin": TABLE["cabin"].astype("int32"),
        "alone": TABLE["alone"].astype("float32"),
        "sold_hour": TABLE["sold"].dt.hour.astype("float32"),
        "sold_weekday": TABLE["sold"].dt.weekday.astype("int32"),
        "story": TABLE["story"],
    }
    columns = {
        name: tf.constant(one.tolist() if one.dtype == object else one.to_numpy()) for name, one in x.items()
    }
    labels = np.array([CLASSES.index(one) for one in TABLE["kind"]])
    return {name: one[:, None] for name, one in columns.items()}, labels


def make(space, sentences, *, recurrent=False):
    """A model of all these columns, always with the same weights."""
    keras.utils.set_random_seed(1)
    more = {"age_missing": "float32", "alone": "float32", "sold_hour": "float32", "sold_weekday": "int32"}
    inputs = {name: keras.Input((1,), dtype=dtype, name=name) for name, dtype in more.items()}
    story = keras.Input((1,), dtype="string", name="story")
    embedded = layers.Embedding(12, 4, mask_zero=True)(sentences(story))
    words = (layers.LSTM(3) if recurrent else layers.GlobalAveragePooling1D())(embedded)
    day = layers.Flatten()(layers.Embedding(7, 2)(inputs["sold_weekday"]))
    numbers = [inputs[name] for name in ("age_missing", "alone", "sold_hour")]
    body = layers.Concatenate()([space.get_encoded_features(), words, day, *numbers])
    body = layers.Dense(5, activation="tanh")(body)
    model = keras.Model(
        {**space.get_inputs(), **inputs, "story": story}, layers.Dense(3, activation="softmax")(body)
    )
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


def empty():
    """A FeatureSpace and a text layer that have learned nothing yet."""
    features = {
        "port": SPACE.string_categorical(max_tokens=4),
        "age": "float_normalized",
        "cabin": "integer_categorical",
    }
    space = SPACE(features, crosses=[("port", "cabin")], crossing_dim=5)
    return space, layers.TextVectorization(max_tokens=11, output_sequence_length=4)


@functools.cache
def of_keras(*, recurrent):
    """What plain Keras makes of the table, fed by tf.data: model, history, evaluation and prediction."""
    x, y = plain()
    space, sentences = empty()
    space.adapt(tf.data.Dataset.from_tensor_slices({name: x[name] for name in space.features}))
    sentences.adapt(x["story"])
    model = eagerly(make(space, sentences, recurrent=recurrent))
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
    history = model.fit(batches, epochs=2, shuffle=False, verbose=0)
    return model, history.history, model.evaluate(batches, verbose=0), model.predict(batches, verbose=0)


@pytest.mark.parametrize("recurrent", [False, pytest.param(True, marks=pytest.mark.soak)])
@pytest.mark.parametrize(
    ("backend", "workers"),
    [
        ("tensorflow", 1),
        pytest.param("torch", 2, marks=pytest.mark.smoke("connect")),
        pytest.param("jax", 2, marks=pytest.mark.soak),
        pytest.param("tensorflow", 2, marks=pytest.mark.soak),
        pytest.param("torch", 1, marks=pytest.mark.soak),
        pytest.param("jax", 1, marks=pytest.mark.soak),
    ],
)
def test_a_table_of_words_dates_and_gaps_gives_what_keras_fed_by_tf_data_gives(
    spark, table, backend, workers, recurrent
):
    theirs, history, measured, outputs = of_keras(recurrent=recurrent)
    space, sentences = empty()
    filled = table.fillna(GAPS).withColumn("age", nbkeras_mean(table))
    nbkeras.adapt(space, filled)
    nbkeras.adapt({"story": sentences}, table)
    model = make(space, sentences, recurrent=recurrent)
    options = {"epochs": 2, "batch_size": 8, "shuffle": False, "verbose": 0, "nulls": GAPS}

    run = nbkeras.fit(model, table, "kind", workers=workers, backend=backend, spark=spark, **options)

    assert_same_history(run.history, history)
    for one, other in zip(model.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(value(one), value(other), 1e-5, 1e-5, err_msg=one.path)
    if backend == "tensorflow":
        assert "9 of 'age' by its mean " in run.notes[0]
        evaluated = nbkeras.evaluate(model, table, "kind", spark=spark)
        np.testing.assert_allclose([evaluated["loss"], evaluated["accuracy"]], measured, 1e-5)
        predicted = nbkeras.predict(model, table, classes=True, spark=spark).toPandas()
        np.testing.assert_allclose(np.stack(predicted["prediction"]), outputs, 1e-5, 1e-6)
        assert predicted["prediction_class"].tolist() == [CLASSES[one] for one in outputs.argmax(axis=1)]
        np.testing.assert_allclose(predicted["prediction_probability"], outputs.max(axis=1), 1e-5)
        assert predicted["port"].isna().sum() == TABLE["port"].isna().sum()


def nbkeras_mean(table):
    """The column of ages, its gaps filled by their mean."""
    from pyspark.sql import functions as F

    mean = np.float32(TABLE["age"].astype("float64").mean())
    return F.when(F.isnan("age") | F.isnull("age"), float(mean)).otherwise(table["age"]).cast("float")


@pytest.mark.smoke
def test_what_layers_learn_is_what_their_own_adapt_learns(table):
    def made():
        return {
            "port": layers.StringLookup(max_tokens=3, mask_token=""),
            "cabin": layers.IntegerLookup(mask_token=0),
            "story": layers.TextVectorization(output_mode="tf_idf", max_tokens=9),
            "age": layers.Normalization(),
        }

    ours, theirs = made(), made()

    learned = nbkeras.adapt(ours, table.repartition(3))

    rows = TABLE.dropna(subset=["port", "age"])
    theirs["port"].adapt(TABLE["port"].dropna().tolist())
    theirs["cabin"].adapt(TABLE[["cabin"]].to_numpy())
    theirs["story"].adapt(TABLE["story"].tolist())
    theirs["age"].adapt(rows[["age"]].to_numpy() if len(rows) == ROWS else TABLE[["age"]].dropna().to_numpy())
    for name in ("port", "cabin", "story"):
        assert ours[name].get_vocabulary() == theirs[name].get_vocabulary(), name
    sentences = tf.constant(TABLE["story"].tolist())
    np.testing.assert_array_equal(ours["story"](sentences), theirs["story"](sentences))
    for name in ("mean", "variance"):
        own, other = (value(getattr(one["age"], f"adapt_{name}")) for one in (ours, theirs))
        np.testing.assert_allclose(own, other, 1e-5)
    assert learned["missing"].tolist() == [
        int(TABLE["port"].isna().sum()),
        0,
        0,
        int(TABLE["age"].isna().sum()),
    ]
    assert learned["learned"][0] == "1 words: 'S'"


def test_boundaries_are_quantiles(table):
    bins = layers.Discretization(num_bins=4)

    nbkeras.adapt({"cabin": bins}, table)

    expected = np.quantile(TABLE["cabin"], [0.25, 0.5, 0.75], method="inverted_cdf")
    assert bins.bin_boundaries == expected.tolist()


@pytest.mark.usefixtures("any_backend")
def test_a_layer_that_never_learned_does_so_from_the_rows_to_train_on_alone(spark):
    # The hash of a row decides whether it is held back: a word of its own shows which rows were seen.
    words = [f"word{number}" for number in range(40)]
    df = spark.createDataFrame(pd.DataFrame({"word": words, "y": 1.0}))
    word = keras.Input((1,), dtype="string", name="word")
    lookup = layers.StringLookup()
    model = keras.Model(word, layers.Dense(1)(layers.Flatten()(layers.Embedding(50, 2)(lookup(word)))))
    model.compile("sgd", "mse")

    run = nbkeras.fit(model, df, "y", validation_split=0.4, verbose=0, spark=spark, workers=1)

    known = lookup.get_vocabulary(include_special_tokens=False)
    assert 10 < len(known) < 38
    assert set(known) < set(words)
    assert run.notes[0].startswith("adapted to the rows of the training first: StringLookup")
    assert f"({len(known)} words: " in run.notes[0]


@pytest.mark.usefixtures("any_backend")
@pytest.mark.parametrize("given", [np.array, tf.constant], ids=["array", "tensor"])
def test_arrays_and_tensors_of_words_train_as_in_keras(spark, given):
    words, y = given(["S", "é", "S", "Q"] * 3), np.arange(12, dtype="float32")
    ours, theirs = by_word(), by_word()
    options = {"shuffle": False, "verbose": 0, "batch_size": 5}

    run = nbkeras.fit(ours, words, y, workers=1, spark=spark, **options)

    history = eagerly(theirs).fit(tf.constant(["S", "é", "S", "Q"] * 3)[:, None], y, **options)
    assert_same_history(run.history, history.history)
    if given is np.array:
        with pytest.raises(DataError, match=r"'word' holds 0.0, and the model takes words there"):
            nbkeras.fit(ours, y, y, spark=spark, verbose=0)


def by_word():
    """A compiled model of one word, always with the same weights."""
    keras.utils.set_random_seed(1)
    word = keras.Input((1,), dtype="string", name="word")
    found = layers.StringLookup(vocabulary=["S", "é"])(word)
    model = keras.Model(word, layers.Dense(1)(layers.Flatten()(layers.Embedding(3, 2)(found))))
    model.compile("sgd", "mse")
    return model


@pytest.mark.usefixtures("any_backend")
def test_a_training_that_goes_on_fills_gaps_as_it_has_begun(spark, tmp_path):
    df = spark.createDataFrame([("S", 1.0), (None, 2.0), ("é", 3.0)], "port string, y double").coalesce(1)
    how = {"workers": 1, "spark": spark, "verbose": 0, "checkpoint": str(tmp_path / "kept"), "resume": True}
    nbkeras.fit(by_word(), df, "y", nulls={"port": "S"}, **how)

    with pytest.raises(OptionError, match=r"nulls fills 'port' by 'é', and .* has filled it by 'S': leave"):
        nbkeras.fit(by_word(), df, "y", epochs=2, nulls={"port": "é"}, **how)
    run = nbkeras.fit(by_word(), df, "y", epochs=2, nulls={"port": "S"}, **how)
    assert len(run.history["loss"]) == 2


@pytest.mark.usefixtures("any_backend")
def test_a_saved_model_knows_its_columns_classes_and_what_fills_gaps(spark, tmp_path):
    rows = [("S", "owl"), (None, "cat"), ("é", "owl")]
    df = spark.createDataFrame(rows, "port string, kind string").coalesce(1)
    port = keras.Input((1,), dtype="string", name="port")
    found = layers.CategoryEncoding(4, "one_hot")(layers.StringLookup(max_tokens=4)(port))
    model = keras.Model(port, layers.Dense(2, activation="softmax")(found))
    model.compile("sgd", "sparse_categorical_crossentropy")
    where = {"workers": 1, "spark": spark, "verbose": 0}
    nbkeras.fit(model, df, "kind", nulls={"port": "none"}, **where)
    expected = nbkeras.predict(model, df, classes=True, spark=spark).collect()

    nbkeras.save_model(model, tmp_path / "birds.keras")
    loaded = nbkeras.load_model(tmp_path / "birds.keras")

    more = df.withColumnRenamed("kind", "other")
    assert nbkeras.predict(loaded, more, classes=True, spark=spark).collect() == expected
    assert {row["prediction_class"] for row in expected} <= {"cat", "owl"}
    assert keras.models.load_model(tmp_path / "birds.keras").count_params() == model.count_params()
    with pytest.raises(OptionError, match=r"birds.h5 is no archive .* name it ….keras"):
        nbkeras.save_model(model, tmp_path / "birds.h5")


def test_what_saves_the_part_of_a_model_as_the_model_is_refused(spark, tmp_path):
    df = spark.createDataFrame([("S", 1.0)], "word string, y double")
    saves = keras.callbacks.ModelCheckpoint(tmp_path / "model.keras", save_freq=1)

    with pytest.raises(OptionError, match=r"ModelCheckpoint saves within an epoch .* save_freq='epoch'"):
        nbkeras.fit(by_word(), df, "y", callbacks=[saves], spark=spark, verbose=0)


@pytest.mark.usefixtures("any_backend")
def test_a_normalization_within_the_network_stays_as_keras_makes_it(spark):
    df = spark.createDataFrame([(float(one),) * 2 for one in range(8)], "x double, y double")
    model = keras.Sequential(
        [keras.Input((1,)), layers.Rescaling(2.0), layers.Normalization(), layers.Dense(1)]
    )
    model.compile("sgd", "mse")

    run = nbkeras.fit(model, df, "y", workers=1, spark=spark, verbose=0)

    assert run.notes == []
    assert value(model.layers[1].adapt_mean).tolist() == [0.0]


def test_a_word_with_a_line_break_is_refused_since_keras_would_save_it_as_two(spark):
    df = spark.createDataFrame([("two\nlines",), ("one",)], "word string")

    with pytest.raises(DataError, match=r"'word' holds 1 words with a line break.*replace these by a space"):
        nbkeras.adapt({"word": layers.StringLookup()}, df)
    with pytest.raises(DataError, match=r"'word' holds an empty word.*mask_token=''"):
        nbkeras.adapt({"word": layers.StringLookup()}, df.selectExpr("'' AS word"))


def test_what_cannot_learn_is_refused_with_what_to_give():
    df = pd.DataFrame({"word": ["a"]})

    with pytest.raises(OptionError, match=r"does not say which columns it takes: give a dict"):
        nbkeras.adapt(layers.StringLookup(), df)
    with pytest.raises(OptionError, match=r"Dense of 'word' learns nothing from data"):
        nbkeras.adapt({"word": layers.Dense(1)}, df)
    with pytest.raises(OptionError, match=r"was made with what it would learn: leave out 'word'"):
        nbkeras.adapt({"word": layers.StringLookup(vocabulary=["a"])}, df)
    with pytest.raises(OptionError, match=r"0 columns .* its own layer"):
        nbkeras.adapt({}, df)
    with pytest.raises(ModelError, match=r"cuts sentences by functions of its own, or into n-grams"):
        nbkeras.adapt({"word": layers.TextVectorization(ngrams=2)}, df)


# -- classes and gaps ------------------------------------------------------------------------------------


def net():
    """A compiled model of two columns and three classes."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((2,)), layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


@pytest.mark.usefixtures("any_backend")
def test_classes_weigh_alike_where_balanced_is_asked_for(spark):
    kinds = ["owl"] * 9 + ["cat"] * 2 + ["émeu"]
    x = np.random.default_rng(1).normal(size=(12, 2)).astype("float32")
    df = spark.createDataFrame(pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "kind": kinds})).coalesce(1)
    order = sorted(set(kinds))
    weights = {order.index(one): 12 / (3 * kinds.count(one)) for one in order}
    theirs, ours, named = net(), net(), net()
    options = {"shuffle": False, "verbose": 0}

    eagerly(theirs).fit(x, np.array([order.index(one) for one in kinds]), class_weight=weights, **options)
    where = {"spark": spark, "workers": 1, **options}
    nbkeras.fit(ours, df, "kind", class_weight="balanced", **where)
    by_word = {word: weights[number] for number, word in enumerate(order)}
    nbkeras.fit(named, df, "kind", class_weight=by_word, **where)

    for one, other, third in zip(ours.weights, theirs.weights, named.weights, strict=True):
        np.testing.assert_allclose(value(one), value(other), 1e-5, 1e-6)
        np.testing.assert_array_equal(value(one), value(third))


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"nulls": "meen"}, OptionError, ["nulls='meen'", "'mean'"]),
        ({"nulls": {"c": 1}}, OptionError, ["names 'c'", "'a', 'b'"]),
        ({"nulls": {"a": "many"}}, DataError, ["'a' by 'many'", "a number"]),
        ({"nulls": {"a": [1.0]}}, DataError, ["'a' by [1.0]", "a number"]),
        ({"nulls": {"a": float("nan")}}, DataError, ["'a' by nan", "a number"]),
        ({"nulls": np.array(["mean"])}, OptionError, ["nulls=array(['mean']"]),
        ({"class_weight": {"owl": "much"}}, OptionError, ["'much'", "a number for each class"]),
        ({"class_weight": {"cow": 1.0}}, OptionError, ["'cow'", "no class of label 'kind'"]),
        ({"class_weight": "even"}, OptionError, ["class_weight='even'", "'balanced'"]),
        ({"y": "a", "features": ["a", "b"], "class_weight": "balanced"}, DataError, ["no class"]),
    ],
)
def test_what_is_wrong_with_classes_and_gaps_is_said_in_one_line(spark, options, kind, words):
    df = spark.createDataFrame([(1.5, 2.0, "owl"), (2.5, None, "cat")], "a double, b double, kind string")
    before = len(registry.runs)

    with pytest.raises(kind) as caught:
        nbkeras.fit(
            net(), df, **{"y": "kind", "features": ["a", "b"], "verbose": 0, "spark": spark, **options}
        )

    message = str(caught.value)
    assert "\n" not in message
    assert [word for word in words if word not in message] == [], message
    assert len(registry.runs) - before in (0, 1)


@pytest.mark.parametrize("loss", ["categorical_crossentropy", keras.losses.BinaryCrossentropy(), "mse"])
def test_a_loss_that_takes_no_numbers_of_classes_is_refused_with_the_one_that_does(spark, loss):
    df = spark.createDataFrame([(1.0, 2.0, one) for one in "abc"], "a double, b double, kind string")
    model = net()
    model.compile("sgd", loss)

    with pytest.raises(OptionError, match=r"compile with loss='sparse_categorical_crossentropy'"):
        nbkeras.fit(model, df, "kind", spark=spark, verbose=0)


@pytest.mark.usefixtures("any_backend")
def test_classes_keep_their_numbers_in_a_second_training_and_an_evaluation(spark):
    columns = "a double, b double, kind string, other string"
    rows = [(1.0, 2.0, "cat", "owl"), (2.0, 1.0, "emu", "emu"), (0.5, 0.0, "owl", "owl")]
    df = spark.createDataFrame(rows, columns).coalesce(1)
    where = {"features": ["a", "b"], "spark": spark}
    model, untrained = net(), net()
    nbkeras.fit(model, df, "kind", workers=1, verbose=0, **where)
    run = nbkeras.fit(model, df.filter("kind != 'cat'"), "kind", workers=1, verbose=0, **where)

    assert run.schema.labels[0].classes == ("cat", "emu", "owl")
    x, y = np.array([row[:2] for row in rows], "float32"), np.array([2, 1, 2])
    expected = keras.Model.evaluate(model, x, y, verbose=0)
    assert nbkeras.evaluate(model, df, "other", **where)["loss"] == pytest.approx(expected, rel=1e-5)
    with pytest.raises(OptionError, match=r"not trained on words in this notebook.*load_model"):
        nbkeras.evaluate(untrained, df, "kind", **where)
    numbered = df.selectExpr("a", "b", "1 AS kind")
    with pytest.raises(DataError, match=r"'kind' of validation_data is numbers, to train on it is words"):
        nbkeras.fit(model, df, "kind", validation_data=numbered, verbose=0, **where)


def test_who_predicts_classes_without_a_training_on_words_is_told_to_name_them(spark):
    df = spark.createDataFrame([(1.0, 2.0)], "a double, b double")

    with pytest.raises(OptionError, match=r"classes=\['…', '…'\]"):
        nbkeras.predict(net(), df, classes=True, spark=spark)
    with pytest.raises(DataError, match=r"there are 2 classes .* has 3 numbers"):
        nbkeras.predict(net(), df, classes=["a", "b"], spark=spark)
    with pytest.raises(OptionError, match=r"classes=\[7\]: use words"):
        nbkeras.predict(net(), df, classes=[7], spark=spark)


@pytest.mark.usefixtures("any_backend")
def test_what_is_proposed_for_a_table_is_keras_code_whose_model_trains(spark, table):
    found = nbkeras.features(table, "kind", spark=spark)

    assert dict(zip(found.table["column"], found.table["proposed"], strict=True)) == {
        "port": "category: one place for each of 6",
        "age": "number, normalized; gaps: the mean, and whether there is one",
        "cabin": "category: one place for each of 9",
        "alone": "0 and 1",
        "sold": "time: days, month, weekday, hour",
        "story": "category: 57 values, embedded in 15 numbers",
    }
    assert "number, normalized; gaps: the mean, and whether there is one" in found.table._repr_html_()
    assert "number, normalized; gaps: the mean, and whether there is one" in repr(found.table)
    assert found.nulls == {"port": "unknown", "age": "mean"}
    for name, one in exec_alone(found.code).items():
        assert one.shape == found.inputs[name].shape, name
    model = keras.Model(found.inputs, layers.Dense(3, activation="softmax")(found.features))
    model.compile("sgd", "sparse_categorical_crossentropy")
    run = nbkeras.fit(model, table, "kind", nulls=found.nulls, workers=1, spark=spark, verbose=0)
    assert np.isfinite(run.history["loss"][0])


def test_a_proposal_names_any_column_and_makes_no_input_twice(spark):
    columns = '`a😀` double, `q"u` double, age double, age_missing int, `x/y` double, t date, t_month int'
    df = spark.createDataFrame([(1.0, 2.0, None, 1, 1.0, None, 2)], columns)
    df = df.selectExpr("*", "DATE'2024-01-01' AS u", "3 AS u_month").fillna(1.0, ["age"])

    found = nbkeras.features(df, spark=spark)

    assert {"a😀", 'q"u', "age", "age_missing", "u_days", "u_month"} <= set(found.inputs)
    assert keras.Model(found.inputs, found.features).count_params() >= 0
    said = dict(zip(found.table["column"], found.table["proposed"], strict=True))
    assert said["x/y"].startswith("left out: ")
    assert said["u"] == "time: days, weekday"


def exec_alone(code):
    """The inputs that code makes where nothing else is known."""
    names = {}
    exec(code, names)  # noqa: S102
    return names["inputs"]


@pytest.mark.usefixtures("any_backend")
def test_a_feature_space_trains_as_its_guide_shows(spark, table):
    space = SPACE({"cabin": "integer_categorical", "alone": "float"}, output_mode="concat")
    nbkeras.adapt(space, table, spark=spark)
    model = keras.Model(space.get_inputs(), layers.Dense(1)(space.get_encoded_features()))
    model.compile("sgd", "mse")

    run = nbkeras.fit(model, table.selectExpr("*", "1.0 AS y"), "y", workers=1, spark=spark, verbose=0)

    assert np.isfinite(run.history["loss"][0])


def test_an_input_is_named_after_a_part_of_a_date(spark):
    df = spark.createDataFrame([("2024-02-29",)], "sold string").selectExpr("DATE(sold) AS sold")
    model = keras.Sequential([keras.Input((1,), name="sold"), layers.Dense(1)])

    with pytest.raises(DataError, match=r"column 'sold' is date, of which .* name='sold_month'"):
        nbkeras.predict(model, df, spark=spark)
