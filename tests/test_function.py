"""A model as a function of columns: in SQL, for DataFrames and in streams, with Keras' own results."""

from __future__ import annotations

import os
from decimal import Decimal

import keras
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from keras import layers
from pyspark.sql import functions as F
from twins import define

import nbkeras
from nbkeras.data.arguments import Arguments
from nbkeras.driver.scoring import scored
from nbkeras.errors import DataError, ModelError, OptionError
from nbkeras.run import registry
from nbkeras.schema import Field, Padding, Schema, Windows
from nbkeras.worker.slots import Slot

pytestmark = pytest.mark.usefixtures("any_backend", "as_in_a_notebook")

ROWS = 40
X = np.random.default_rng(3).normal(size=(ROWS, 3)).astype("float32")


def dense(units=1, activation=None):
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input((3,), name="x"), layers.Dense(units, activation=activation)])


@pytest.fixture(scope="module")
def df(spark):
    table = pd.DataFrame(X, columns=list("abc")).assign(
        id=range(ROWS), x=list(X), word=["S", "Q"] * (ROWS // 2)
    )
    return spark.createDataFrame(table).repartition(3).cache()


def results(df, column):
    """The values of a column in the order of the rows."""
    found = sorted(df.select("id", column).collect())
    return np.array([one[1] for one in found])


@pytest.mark.parametrize(
    "arrow",
    [
        pytest.param(True, id="as arrow", marks=pytest.mark.smoke),
        # The oldest Spark has no other way for both.
        pytest.param(False, id="as pandas", marks=pytest.mark.smoke("local", "connect")),
    ],
)
def test_a_function_gives_in_sql_and_for_dataframes_what_keras_gives(spark, df, monkeypatch, arrow):
    if not arrow:
        monkeypatch.setattr(scored, "takes_arrow", lambda _: False)
    one, many = dense(), dense(2)
    score = nbkeras.function(one, "score", spark=spark)
    nbkeras.function(many, "scores", batch_size=7, spark=spark)
    df.createOrReplaceTempView("t")

    in_sql = spark.sql(
        "SELECT id, score(x) AS p, scores(transform(x, one -> double(one))) AS q FROM t "
        "WHERE id % 2 = 0 ORDER BY id"
    ).toPandas()
    of_numbers = df.withColumn("p", score("a", F.col("b").cast("double"), "c"))

    expected = one.predict(X, verbose=0)[:, 0]
    np.testing.assert_allclose(results(of_numbers, "p"), expected, 1e-5, 1e-6)
    np.testing.assert_allclose(in_sql["p"], expected[::2], 1e-5, 1e-6)
    np.testing.assert_allclose(np.stack(in_sql["q"]), many.predict(X, verbose=0)[::2], 1e-5, 1e-6)
    assert of_numbers.schema["p"].dataType.simpleString() == "float"


def table():
    """A model of words and numbers that was trained on words as labels."""
    keras.utils.set_random_seed(1)
    word, a = keras.Input((1,), dtype="string", name="word"), keras.Input((1,), name="a")
    known = layers.StringLookup(vocabulary=["Q", "S"], output_mode="one_hot")(word)
    made = keras.Model([word, a], layers.Dense(2, activation="softmax")(layers.Concatenate()([known, a])))
    fields = (
        Field("x0", ("word",), "model input 'word'", "string", (1,), "text"),
        Field("x1", ("a",), "model input 'a'", "float32", (1,), "number", fills=(0.5,)),
        Field("y0", ("kind",), "label 'kind'", "int64", None, "classes", ("cat", "owl")),
    )
    registry.remember(made, Schema(fields, ("x0", "x1")))
    return made


def test_a_function_gives_classes_of_words_and_fills_gaps_as_predict_does(spark, df):
    model = table()
    gaps = df.withColumn("a", F.when(F.col("id") > 5, F.col("a")))
    both = nbkeras.function(model, output="both", features=["a", "word"], spark=spark)
    found = gaps.withColumn("found", both("a", "word")).orderBy("id").toPandas()

    theirs = nbkeras.predict(model, gaps, classes=True, spark=spark).orderBy("id").toPandas()
    assert [one["class"] for one in found["found"]] == theirs["prediction_class"].tolist()
    assert set(theirs["prediction_class"]) == {"cat", "owl"}
    probabilities = [one["probability"] for one in found["found"]]
    np.testing.assert_allclose(probabilities, theirs["prediction_probability"], 1e-6)
    np.testing.assert_allclose(probabilities, np.stack(theirs["prediction"]).max(axis=1), 1e-6)


def test_several_outputs_are_a_struct_and_integers_and_wide_floats_stay_what_they_are(spark, df):
    x = keras.Input((3,), name="x")
    wide = layers.Lambda(lambda x: keras.ops.cast(x, "float64") * 1e300, (3,), dtype="float64", name="wide")(
        x
    )
    whole = layers.Lambda(
        lambda x: keras.ops.cast(x * 0 + 7, "int32")[:, :1], (1,), dtype="int32", name="whole"
    )(x)
    model = keras.Model(x, {"wide": wide, "whole": whole})
    score = nbkeras.function(model, spark=spark)
    kinds = {"prediction_wide": "array<double>", "prediction_whole": "int"}

    found = df.select(score("x").alias("p")).select("p.*")
    beside = nbkeras.predict(model, df.select("x"), spark=spark)

    for one in (found, beside.drop("x")):
        assert {field.name: field.dataType.simpleString() for field in one.schema} == kinds
        first = one.first()
        assert first["prediction_whole"] == 7
        assert max(map(abs, first["prediction_wide"])) > 1e290


def test_a_stream_is_scored_by_a_function_and_by_predict(spark, df, tmp_path):
    model = dense()
    df.select("id", "x").write.parquet(str(tmp_path / "rows"))
    stream = spark.readStream.schema("id long, x array<float>").parquet(str(tmp_path / "rows"))
    score = nbkeras.function(model, spark=spark)
    scored = nbkeras.predict(model, stream, features=["x"], spark=spark).withColumn("p", score("x"))

    query = scored.writeStream.format("memory").queryName("scored").trigger(availableNow=True).start()
    assert query.awaitTermination(120)

    found = spark.table("scored")
    for name in ("prediction", "p"):
        np.testing.assert_allclose(results(found, name), model.predict(X, verbose=0)[:, 0], 1e-5, 1e-6)


OWN = """
import os
import keras

class Noisy(keras.layers.Layer):
    'Counts its batches, draws numbers, and tells its process.'

    def build(self, shape):
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False)
        self.seed = keras.random.SeedGenerator(5)

    def call(self, x):
        if os.getpid() != NOTEBOOK:
            self.count.assign_add(1.0)
        noise = keras.random.normal(keras.ops.shape(x), seed=self.seed)
        process = keras.ops.zeros_like(x) + os.getpid()
        return keras.ops.concatenate([x * 0 + self.count, noise, process], axis=1)
"""


def test_a_trainer_stays_for_the_next_query_and_draws_what_it_has_drawn(spark):
    noisy = define(OWN.replace("NOTEBOOK", str(os.getpid())))["Noisy"]()
    model = keras.Sequential([keras.Input((1,)), noisy])
    one = spark.range(0, 3, 1, 1).selectExpr("float(id) AS x")

    scored, found = nbkeras.predict(model, one, features=["x"], spark=spark), []
    # Spark gives tasks to its idle Python workers in turn, and each keeps a trainer.
    while len({one[0, 2] for one in found}) == len(found):
        assert len(found) < 9
        found.append(np.array([row["prediction"] for row in scored.collect()]))

    assert len(set(found[0][:, 1])) == 3
    for other in found[1:]:
        np.testing.assert_array_equal(other[:, :2], found[0][:, :2])


def test_columns_that_are_only_kept_stay_in_java_and_each_row_is_computed_once(spark, df, capsys):
    scored = nbkeras.predict(dense(), df.select("id", "word", "x"), features=["x"], spark=spark)
    scored.filter("prediction > 0").filter("word = 'S'").select("prediction", "prediction", "id").explain()
    plan = capsys.readouterr().out
    (computed,) = [line for line in plan.splitlines() if "EvalPython" in line]
    assert "(x#" in computed
    assert "word" not in computed
    assert "MapInArrow" not in plan


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ({"name": "no name"}, OptionError, "^name='no name': use a name of letters"),
        ({"output": "words"}, OptionError, "^output='words': use one of 'prediction', 'class'"),
        ({"output": "class"}, OptionError, "was not trained on labels that are words"),
        ({"output": "class", "classes": ["a"]}, DataError, "there are 1 classes .* with 2 names"),
        ({"classes": ["a", "b"]}, OptionError, "names what output='class'"),
        ({"model": keras.Sequential([layers.Dense(1)])}, ModelError, "does not say which shapes it takes"),
        ({"model": "a model"}, ModelError, "function takes a keras.Model"),
        ({"model": "recurrent"}, ModelError, "keeps its state from batch to batch"),
        ({"windows": Windows("day", 3)}, ModelError, r"windows of rows .* use nbkeras.predict\(model, df\)"),
        ({"padding": Padding()}, ModelError, r"padded \('x'\), .* use nbkeras.predict\(model, df\)"),
    ],
)
def test_what_no_function_can_be_made_of_is_refused_in_one_line(spark, how, error, message):
    model = how.pop("model", None) or dense()
    if model == "recurrent":
        model = keras.Sequential([keras.Input((2, 1), batch_size=4), layers.LSTM(1, stateful=True)])
    windows, padding = how.pop("windows", None), how.pop("padding", None)
    if windows or padding:
        field = Field("x0", ("x",), "model input 'x'", "float32", (3,), padding=padding)
        registry.remember(model, Schema((field,), windows=windows))
    with pytest.raises(error, match=message) as caught:
        nbkeras.function(model, spark=spark, **how)
    assert len(str(caught.value).splitlines()) == 1


def test_what_a_function_cannot_take_is_said_with_what_to_type(spark, df):
    score = nbkeras.function(dense(), "score", spark=spark)
    with pytest.raises(
        OptionError, match=r"^score is given 2 arguments and takes 3: score\(x\), or one array of"
    ):
        score("a", "b")
    df.createOrReplaceTempView("t")
    df.filter("id < 9").coalesce(1).createOrReplaceTempView("few")
    for query, message in (
        ("SELECT score(a, b) FROM t", "score is given 2 arguments and takes 3"),
        (
            "SELECT score(word, word, word) FROM t",
            "score is given string for model input 'x', which takes numbers",
        ),
        ("SELECT score(if(id > 6, null, x)) FROM few", "column 'x' holds 2 nulls"),
        ("SELECT score(array(a, b)) FROM t", r"takes shape \(3,\), column 'x' holds arrays of shape \(2,\)"),
    ):
        with pytest.raises(Exception, match=message):
            spark.sql(query).collect()


# -- arguments, without Spark --------------------------------------------------------------------------

NUMBERS = Field("x0", ("a", "b"), "model input 'x'", "float32", (2,), "array", fills=(None, 0.5))
WHOLE = Field("x0", ("a",), "model input 'x'", "int64", (1,), "array")
TEXT = Field("x0", ("a",), "model input 'x'", "string", (1,), "text")


def columns(field, *given):
    (found,) = Arguments("score", (field,), field.sources).columns(given)
    return found


def test_numbers_of_all_types_become_those_of_the_model_and_gaps_are_filled():
    whole, gaps = pa.array([1, 2, 1 << 24]), pa.array([None, Decimal("2.5"), Decimal("-1.0")])
    found = columns(NUMBERS, whole, gaps)
    assert found.type == pa.list_(pa.float32())
    assert found.to_pylist() == [[1, 0.5], [2, 2.5], [1 << 24, -1]]
    floats = pa.array([float("nan"), 1.0, 2.0])
    assert columns(NUMBERS, pa.array([True, False, True]), floats).to_pylist() == [[1, 0.5], [0, 1], [1, 2]]
    assert columns(WHOLE, pa.array([3.0, 4.0])).to_pylist() == [3, 4]
    assert columns(TEXT, pa.array(["a"], pa.large_string())).type == pa.string()
    nested = pa.array([[[1, 2]], [[3, 4]]])
    assert columns(WHOLE, nested).to_pylist() == nested.to_pylist()


@pytest.mark.parametrize(
    ("field", "given", "message"),
    [
        (WHOLE, pa.array([1.5]), r"is given double for model input 'x': Float value 1.5\d* was truncated"),
        (WHOLE, pa.array(["1"]), "is given string for model input 'x', which takes numbers"),
        (WHOLE, pa.array([pd.Timestamp("2026-01-01")]), "which takes numbers"),
        (TEXT, pa.array([1]), "is given int64 for model input 'x', which takes words"),
        (NUMBERS, pa.array([[1.0, 2.0]]), "has filled gaps of a, b by values of their own: give score"),
    ],
)
def test_arguments_of_another_kind_are_refused(field, given, message):
    with pytest.raises(DataError, match=message):
        columns(field, given)


def test_arrays_lie_where_two_processes_see_them_whatever_their_types_and_sizes(tmp_path):
    with (tmp_path / "slot").open("w+b") as file:
        ours, theirs = Slot(file.fileno()), Slot(file.fileno())
        for rows in (1, 5, 0, 3000, 2):
            written = [
                np.arange(rows * 3, dtype="float32").reshape(3, rows).T,
                np.full((rows, 1), 2, "uint8"),
                np.arange(rows) > 1,
            ]
            read = theirs.read(ours.write(written))
            for one, other in zip(read, written, strict=True):
                np.testing.assert_array_equal(one, other)
                assert one.dtype == other.dtype
                assert one.ctypes.data % 64 == 0 or not rows
