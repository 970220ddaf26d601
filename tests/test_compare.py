"""Models of Keras and of MLlib side by side: on which rows, by which figures, and what is said of them."""

from __future__ import annotations

import contextlib
import ctypes
import datetime as dt
import json
import math
from types import SimpleNamespace

import IPython.display
import keras
import numpy as np
import pandas as pd
import pytest
from pyspark.ml import Pipeline
from pyspark.ml.classification import LinearSVC, LogisticRegression
from pyspark.ml.evaluation import MulticlassClassificationEvaluator
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.regression import LinearRegression
from pyspark.sql import functions as F

import nbkeras
from nbkeras import api
from nbkeras.data.source import data_frame
from nbkeras.errors import Aborted, DataError, ModelError, OptionError
from nbkeras.metrics.figures import Figures
from nbkeras.model import renewal
from nbkeras.notebook import hosts
from nbkeras.notebook.hosts.slot import Slot, is_shown
from nbkeras.notebook.leaderboards.leaderboard import Leaderboard
from nbkeras.notebook.magic import compare as typed
from nbkeras.notebook.words import speaking
from nbkeras.run import registry
from nbkeras.run.run import Run
from nbkeras.selection import compare as comparison
from nbkeras.selection import features, race, splits, target
from nbkeras.selection.contestants import OfKeras, Setting
from nbkeras.selection.entry import Entry, verdict
from nbkeras.selection.lineup import task_of
from nbkeras.spark import blas

pytestmark = pytest.mark.usefixtures("any_backend")

RANDOM = np.random.default_rng(3)
ROWS = 400
A, B = RANDOM.normal(size=(2, ROWS)).round(3)
CITY = RANDOM.choice(["Rome", "Oslo", "Bonn"], ROWS)
CLOSE = "Their difference is smaller than its spread over the folds."
SAID = np.where(A * B + (CITY == "Oslo") > 0.3, "yes", "no")


@pytest.fixture(scope="module")
def df(spark):
    return spark.createDataFrame(pd.DataFrame({"a": A, "b": B, "city": CITY, "bought": SAID}))


def net(inputs=2, **compiled):
    keras.utils.set_random_seed(5)
    layers = [keras.layers.Dense(8, "tanh"), keras.layers.Dense(1, "sigmoid")]
    model = keras.Sequential([keras.Input((inputs,)), *layers], name="small")
    model.compile(**{"optimizer": keras.optimizers.SGD(0.3), "loss": "binary_crossentropy", **compiled})
    return model


def broken():
    raise ValueError("no such layer")


TRAINED = {"epochs": 3, "seed": 7, "verbose": 0, "workers": 1}


@pytest.fixture(scope="module")
def board(df):
    """One comparison with something of each kind in it."""
    models = {"own": net(), "trees": "forest", "broken": broken, "margins": LinearSVC(maxIter=5)}
    return nbkeras.compare(df, "bought", models, features=["a", "b"], **TRAINED)


@pytest.fixture
def fitted(monkeypatch):
    """The models that a comparison gives to fit, which does not train them."""
    seen = []
    monkeypatch.setattr(
        api, "fit", lambda model, *_, **__: seen.append(model) or SimpleNamespace(status="done")
    )
    return seen


@pytest.fixture(scope="module")
def parts(df):
    """The rows to train on, and those to score on."""
    rows, (part,) = splits.parted(df, 0.2, None, 7)
    return [
        rows.filter(one).drop(splits.PART) for one in (F.col(splits.PART) != part, F.col(splits.PART) == part)
    ]


def test_each_model_is_trained_on_the_same_rows_and_scored_on_the_others(board, parts):
    train, test = parts
    rows = test.toPandas()
    again = net()
    nbkeras.fit(again, train, "bought", features=["a", "b"], **TRAINED)
    own = board.models["own"]
    for ours, theirs in zip(own.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    chances = again.predict(rows[["a", "b"]].to_numpy("float32"), verbose=0)[:, 0]
    right = ((chances > 0.5) == (rows["bought"] == "yes")).mean()
    assert board.table.loc["own", "accuracy"] == pytest.approx(right)
    assert board.reports["own"][0].rows == board.reports["trees"][0].rows == len(rows)

    most = train.groupBy("bought").count().orderBy(F.desc("count")).first()["bought"]
    assert board.table.loc["baseline", "accuracy"] == pytest.approx((rows["bought"] == most).mean())


def test_mllibs_own_evaluator_gives_the_same_figure(board, parts):
    for name in ("trees", "margins"):
        predicted = board.models[name].transform(board.prepared(parts[1]))
        numbered = predicted.withColumn("label", (F.col("bought") == "yes").cast("double"))
        accuracy = MulticlassClassificationEvaluator(metricName="accuracy").evaluate(numbered)
        assert board.table.loc[name, "accuracy"] == pytest.approx(accuracy)
    # It gives no probabilities, and so has no such figures.
    assert math.isnan(board.table.loc["margins", "log loss"])


def test_a_model_that_fails_says_why_and_the_others_go_on(board):
    assert {one.name: one.status for one in board.entries} == {
        **dict.fromkeys(("baseline", "own", "trees", "margins"), "done"),
        "broken": "failed",
    }
    assert board.table.loc["broken", "note"] == "ValueError: no such layer"
    assert board.ranking[-1].name == "broken"
    assert board.best is board.ranking[0]


def test_a_board_shows_a_table_a_picture_and_what_won(board):
    shown = board.bundle()
    assert sorted(shown) == ["image/png", "text/html", "text/plain"]
    assert board.sentence.startswith(f"{board.best.name} won: accuracy 0.")
    assert board.sentence in shown["text/html"]
    with speaking("zh"):
        assert "胜出" in board.sentence
    assert "20 trees" in repr(board)
    assert "41 weights" not in repr(board)
    assert "33 weights" in repr(board)  # (2 + 1) x 8 + (8 + 1) x 1


def test_a_board_is_saved_whole_and_kept_with_the_run_of_its_keras_model(board, tmp_path):
    board.save(tmp_path / "all")
    assert sorted(one.name for one in (tmp_path / "all").iterdir()) == [
        f"comparison.{form}" for form in ("csv", "html", "json", "png", "txt")
    ]
    held = json.loads((tmp_path / "all/comparison.json").read_text())
    assert held["sentence"] == board.sentence
    assert held["reports"]["own"][0]["figures"]["accuracy"] == board.table.loc["own", "accuracy"]
    read = pd.read_csv(tmp_path / "all/comparison.csv", index_col="model")
    np.testing.assert_allclose(read["accuracy"], board.table["accuracy"])
    with pytest.raises(
        OptionError, match=r"^'a.xls' ends in '.xls': name it .csv, .html, .json, .png, .txt, or"
    ):
        board.save(tmp_path / "a.xls")
    single = Leaderboard(board.entries[:1], board.task, board.metric, 1, ())
    with pytest.raises(OptionError, match=r"^this comparison has no picture"):
        single.save(tmp_path / "a.png")

    assert any(one is board for one in nbkeras.runs.reports)
    (run,) = [run for run in nbkeras.runs if run.knows(board.models["own"])]
    assert list(run.reports) == [board]


def test_a_trained_model_is_trained_again_from_new_weights(df):
    layers = [
        keras.layers.Normalization(mean=[5.0, 0.0], variance=[4.0, 1.0]),
        keras.layers.Dense(4, trainable=False),
    ]
    inner = keras.Sequential([keras.layers.Dense(3, "relu"), keras.layers.BatchNormalization()])
    model = keras.Sequential([keras.Input((2,)), *layers, inner, keras.layers.Dense(1)])
    model.compile("adam", "mse")
    assert not renewal.is_trained(model)
    model.fit(RANDOM.normal(size=(64, 2)), RANDOM.normal(size=64), epochs=2, verbose=0)
    assert renewal.is_trained(model)

    before, fresh = model.get_weights(), renewal.renewed(model)

    kept = [np.array_equal(ours, theirs) for ours, theirs in zip(before, fresh.get_weights(), strict=True)]
    named = {one.path: same for one, same in zip(model.weights, kept, strict=True)}
    assert all(same for path, same in named.items() if path.startswith(model.layers[1].name))
    assert not any(
        same for path, same in named.items() if "kernel" in path and model.layers[1].name not in path
    )
    assert not any(same for path, same in named.items() if "moving" in path)
    assert not renewal.is_trained(fresh)
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("how", ["compiled again", "known to a run", "given by a function"])
def test_weights_that_have_learned_are_drawn_again_however_they_came(spark, df, monkeypatch, fitted, how):
    model = net()
    model.fit(np.ones((4, 2)), np.ones(4), verbose=0)
    if how != "given by a function":
        model.compile("sgd", "binary_crossentropy")  # its new optimizer has not stepped
    if how == "known to a run":
        run = Run("before", model, 1, workers=1)
        run.end("finished")
        monkeypatch.setattr(registry, "runs", [run])
    setting = Setting(spark, target.target(spark, df, "bought", None))
    taken = OfKeras.of((lambda: model) if how == "given by a function" else model, None, {})
    before = model.get_weights()
    for _ in range(2):
        taken.train(setting, df)
    first, second = fitted
    assert first is not model
    assert first is not second
    assert not np.array_equal(first.get_weights()[0], before[0])
    assert all(map(np.array_equal, before, model.get_weights()))


def test_a_trained_model_begins_again_at_the_learning_rate_of_its_run(spark, df, monkeypatch, fitted):
    model = net()
    model.fit(np.ones((4, 2)), np.ones(4), verbose=0)
    model.optimizer.learning_rate = 0.001  # as a callback leaves it
    run = Run("before", model, 1, workers=1)
    run.settings = {"learning_rate": 0.3}
    run.end("finished")
    monkeypatch.setattr(registry, "runs", [run])
    setting = Setting(spark, target.target(spark, df, "bought", None))
    OfKeras.of(model, None, {}).train(setting, df)
    assert float(fitted[0].optimizer.learning_rate) == pytest.approx(0.3)


def test_rows_that_become_windows_are_not_split(spark, df):
    series = nbkeras.timeseries(df, "a", 3, spark=spark)
    with pytest.raises(
        DataError, match=r"^the rows become windows .* \(nbkeras.timeseries\), which no split"
    ):
        nbkeras.compare(series, "bought", ["logistic"], spark=spark)


def test_all_models_take_the_columns_that_a_keras_model_has_inputs_for(df, monkeypatch):
    given = {}

    def race(setting, course, contestants, tell):
        given.update(contestants)
        return []

    monkeypatch.setattr(comparison, "race", race)
    inputs = keras.Input((1,), name="b")
    model = keras.Model(inputs, keras.layers.Dense(1, "sigmoid")(inputs))
    model.compile("sgd", "binary_crossentropy")
    nbkeras.compare(df, "bought", [model, "logistic"], verbose=0)
    assert given["logistic"].features.prepared(df).columns == [*df.columns, "nbkeras_0"]
    assert given[model.name].features == ["b"]


def test_an_estimator_of_amounts_is_no_contestant_for_classes(df):
    with pytest.raises(
        ModelError, match=r"^LinearRegression predicts amounts, and 'bought' is taken for class"
    ):
        nbkeras.compare(df, "bought", [LinearRegression()])


def test_labels_that_training_has_not_seen_are_named_before_anything_is_trained(spark, df):
    strange = df.limit(3).withColumn("bought", F.lit("perhaps"))
    with pytest.raises(DataError, match=r"^label column 'bought' of test= is 'perhaps' in 3 rows, which the"):
        nbkeras.compare(df, "bought", ["logistic"], test=strange)
    with pytest.raises(
        DataError, match=r"^test= lacks what the models are trained on: feature column 'city'"
    ):
        nbkeras.compare(df, "bought", ["logistic"], test=df.limit(9).drop("city"))


def test_rows_that_a_model_would_break_at_are_named_before_anything_is_trained(df):
    large = df.withColumn("a", F.when(F.col("a") > 2, float("inf")).otherwise(F.col("a")))
    with pytest.raises(
        DataError, match=r"^feature column 'a' is infinite in \d+ rows, which MLlib's models do"
    ):
        nbkeras.compare(large, "bought", ["logistic"])
    weighted = df.withColumn("w", F.when(F.col("a") > 2, -1.0).when(F.col("a") < 0, 1.0))
    with pytest.raises(
        DataError, match=r"^weight column 'w' is null, negative or no finite number in \d+ rows"
    ):
        nbkeras.compare(weighted, "bought", ["logistic"], sample_weight="w")


@pytest.mark.parametrize("there", [True, False])
def test_mllib_looks_for_no_library_that_is_not_there(spark, monkeypatch, there):
    def load(name):
        if not there:
            raise OSError(name)

    properties, name = spark._jvm.java.lang.System, "dev.ludovic.netlib.blas.allowNative"
    before = properties.getProperty(name)
    properties.clearProperty(name)
    monkeypatch.setattr(ctypes, "CDLL", load)
    blas.settle(spark)
    assert properties.getProperty(name) == (None if there else "false")
    if before is not None:
        properties.setProperty(name, before)


def test_a_board_prepares_any_frame_whose_columns_its_models_do_not_add(board):
    rows = pd.DataFrame({"a": A[:3], "b": B[:3], "city": CITY[:3]})
    assert board.models["trees"].transform(board.prepared(rows)).select("prediction").count() == 3
    with pytest.raises(
        DataError, match=r"^MLlib's models add a column 'prediction', and there is one: rename"
    ):
        board.prepared(rows.assign(prediction=0))


def test_what_the_user_has_cached_stays_cached(df):
    train, test = df.limit(60).cache(), df.limit(40).cache()
    nbkeras.compare(train, "bought", [LogisticRegression(maxIter=1)], features=["a"], test=test, verbose=0)
    assert train.storageLevel.useMemory
    assert test.storageLevel.useMemory


def report(**figures):
    return Figures("regression", 10, figures)


class Told:
    """A contestant that does as it is told."""

    kind, note = "MLlib", ""

    def __init__(self, does):
        self._does = does

    def train(self, setting, rows):
        return self._does()


def test_an_interrupt_keeps_those_that_have_ended(spark, df):
    class Done:
        model, size = None, ""

        def report(self, rows):
            return report(rmse=1.0)

        def predicted(self, rows):
            return rows

    def stopped():
        raise Aborted("it was stopped")

    told, shown = {"a": Told(Done), "b": Told(stopped), "c": Told(Done)}, []
    course = race.Course(df.limit(3), (0,), df.limit(3))
    setting = race.Setting(spark, target.Target("bought", "regression"))

    found = race.race(setting, course, told, shown.append)

    assert [one.status for one in found] == ["done", "stopped", "stopped"]
    assert [one.status for one in shown[0]] == ["waiting"] * 3
    assert shown[-1] == found
    board = Leaderboard(tuple(found), "regression", "rmse", 1, ())
    assert board.sentence == "a alone has ended: rmse 1.0000."


def test_a_table_is_replaced_in_place_and_says_alone_what_is_waited_for(monkeypatch):
    shown = []

    def display(bundle, **how):
        assert how == {"raw": True, "display_id": True}
        shown.append(bundle)
        return SimpleNamespace(update=lambda bundle, **_: shown.append(bundle))

    monkeypatch.setattr(IPython.display, "display", display)
    first, last = (Leaderboard((one,), "regression", "rmse", 1, ()) for one in (entry("a"), entry("a", 1.0)))
    with Slot(kernel=True, line=str) as slot:
        assert not isinstance(hosts.waiting("report"), contextlib.nullcontext)
        slot.show(first)
        assert isinstance(hosts.waiting("report"), contextlib.nullcontext)
        slot.end(last)
        assert is_shown(last)
        assert not is_shown(first)
        assert last._repr_mimebundle_() == {"text/plain": last.sentence}
    assert not isinstance(hosts.waiting("report"), contextlib.nullcontext)
    assert [one["text/plain"] for one in shown] == [repr(first), repr(last)]


def entry(name, *values, kind="MLlib"):
    return Entry(name, kind, "done", tuple(report(rmse=value) for value in values))


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([entry("a", 2.0), entry("b", 1.5)], "b won: rmse 1.5000, 0.5000 better than a (2.0000)."),
        ([entry("a", 2.0), entry("b", 2.0)], "a and b are level: rmse 2.0000."),
        (
            [entry("a", 1.0, 3.0), entry("b", 2.0, 1.5)],
            "b won 1 of 2 folds: rmse 1.7500 ± 0.3536, 0.2500 better than a. " + CLOSE,
        ),
        (
            [entry("baseline", 1.0, kind="baseline"), entry("b", 2.0)],
            "No model is better than one that knows no features: rmse 1.0000.",
        ),
        ([Entry("a", "MLlib", "failed")], "No model has ended."),
        ([entry("a", math.nan)], "No model has the figure rmse."),
        ([entry("a", 1.0), Entry("b", "MLlib", "training")], "1 of 2 models have ended."),
    ],
)
def test_a_sentence_says_what_won_and_by_how_much(entries, said):
    folds = max(len(one.reports) for one in entries) or 1
    assert Leaderboard(tuple(entries), "regression", "rmse", folds, ()).sentence == said


def test_nothing_is_won_where_nothing_has_ended():
    assert verdict([Entry("a", "MLlib")], "rmse") is None


def test_a_row_is_in_the_same_part_however_spark_reads_it_and_beside_its_equals(df):
    twice = df.union(df.orderBy("b")).repartition(5)
    for test, folds in ((0.3, None), (0.2, 4)):
        once = {tuple(row[:-1]): row[-1] for row in splits.parted(df, test, folds, 1)[0].collect()}
        again = {tuple(row) for row in splits.parted(twice, test, folds, 1)[0].distinct().collect()}
        assert {(*key, value) for key, value in once.items()} == again
    part = np.mean(list(once.values()) == np.int64(0))
    assert 0.1 < part < 0.4
    other = {tuple(row[:-1]): row[-1] for row in splits.parted(df, 0.2, 4, 2)[0].collect()}
    assert other != once


def test_features_of_all_kinds_become_one_vector(spark):
    rows = pd.DataFrame(
        {
            "n.1": [1.0, None, 3.0, float("nan")],
            "yes": [True, False, True, True],
            "word": ["x", "y", None, "x"],
            "day": [dt.date(2024, 5, one) for one in (1, 2, 3, 4)],
            "when": pd.to_datetime(["2024-05-01 13:00"] * 4),
            "list": [[1.0, 2.0]] * 4,
            "deep": [[[1, 2], [3, 4]]] * 4,
            "empty": [None] * 4,
            "raw": [b"x"] * 4,
        }
    )
    types = (
        *("`n.1` double", "yes boolean", "word string", "day date", "when timestamp"),
        *("list array<double>", "deep array<array<bigint>>", "empty string", "raw binary"),
    )
    df = spark.createDataFrame(rows.astype({"empty": "object"}), ", ".join(types))
    df = VectorAssembler(inputCols=["list_0"], outputCol="vector").transform(
        df.withColumn("list_0", F.col("list")[0])
    )
    df = df.drop("list_0")

    found = features.features(spark, df, df.columns)
    prepared = found.prepared(df)
    row = Pipeline(stages=list(found.stages)).fit(prepared).transform(prepared).first()

    assert row[features.FEATURES].toArray().tolist() == [
        1.0,  # the second row has the mean, below
        *(1.0,),
        *(1.0, 0.0),
        *(19844.0, 5.0, 2.0),
        *(pytest.approx(19844 + 13 / 24), 5.0, 2.0, 13.0),
        *(1.0, 2.0),
        *(1.0, 2.0, 3.0, 4.0),
        1.0,
    ]
    assert found.left == ("empty (it has no value)", "raw (MLlib takes no binary)")
    second = Pipeline(stages=list(found.stages)).fit(prepared).transform(prepared).collect()[1]
    assert second[features.FEATURES][0] == 2.0


@pytest.mark.parametrize(
    ("values", "dtype", "task", "found"),
    [
        (["b", "a", "b"], "string", None, ("classification", ("a", "b"))),
        ([True, False, True], "boolean", None, ("classification", ("False", "True"))),
        ([3, 1, 3], "int", None, ("classification", ("1", "3"))),
        ([3, 1, 3], "int", "regression", ("regression", ())),
        ([0.5, 1.0, 2.0], "float", None, ("regression", ())),
        ([0.0, 1.0, 1.0], "double", "classification", ("classification", ("0.0", "1.0"))),
        (list(range(30)), "bigint", None, ("regression", ())),
    ],
)
def test_the_label_says_whether_classes_or_amounts_are_predicted(spark, values, dtype, task, found):
    df = spark.createDataFrame([(one,) for one in values], f"y {dtype}")
    what = target.target(spark, df, "y", task)
    assert (what.task, what.classes) == found
    numbers = [row[0] for row in df.select(what.number(df)).collect()]
    assert numbers == [
        float(what.classes.index(str(one))) if what.classes else pytest.approx(float(one)) for one in values
    ]


def build():
    return net()


def test_models_say_what_whole_numbers_are(spark):
    for models, task in (
        ([build], "classification"),
        ([keras.Sequential(), "logistic"], "classification"),
        (["forest", "linear"], "regression"),
        (["forest", broken, LogisticRegression()], None),
    ):
        assert task_of(models) == task
    for values, likely, task in (
        ([0.0, 1.0], "classification", "classification"),
        ([0.0, 1.0], None, "regression"),
        ([0.0, 0.5], "classification", "regression"),
        ([0, 1], "regression", "regression"),
    ):
        dtype = "int" if likely == "regression" else "double"
        df = spark.createDataFrame([(one,) for one in values], f"y {dtype}")
        what = target.target(spark, df, "y", None, lambda likely=likely: likely)
        assert (what.task, what.guessed) == (task, likely is None)


def test_classes_that_have_an_order_keep_it(spark):
    df = data_frame(
        spark, pd.DataFrame({"y": pd.Categorical(["b", "a"], categories=["b", "c", "a"], ordered=True)})
    )
    assert target.target(spark, df, "y", None).classes == ("b", "c", "a")


@pytest.mark.parametrize(
    ("values", "dtype", "task", "message"),
    [
        (["a", None], "string", None, "label column 'y' has nulls: drop these rows, df.dropna(subset=['y'])"),
        ([1.0, float("nan")], "double", None, "label column 'y' is null, NaN or infinite in 1 rows"),
        ([1, 1], "int", None, "label column 'y' is 1 in all rows: there is nothing to predict"),
        (["a", "a"], "string", None, "label column 'y' is 'a' in all rows: there is nothing to tell apart"),
        ([], "string", None, "the DataFrame has no rows to compare on"),
        ([None], "void", None, "label column 'y' holds nothing: there are no rows"),
        (["a", "b"], "string", "regression", "label column 'y' is string, and no amount"),
        (
            [[1.0], [2.0]],
            "array<double>",
            None,
            "label column 'y' is array<double>: MLlib's models predict one",
        ),
        ([*range(1001)], "int", "classification", "label column 'y' has more than 1,000 different values"),
    ],
)
def test_labels_that_cannot_be_predicted_are_refused(spark, values, dtype, task, message):
    df = spark.createDataFrame([(one,) for one in values], f"y {dtype}")
    with pytest.raises(DataError) as refused:
        target.target(spark, df, "y", task)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"test": 2}, OptionError, "test=2: use a part of the rows above 0 and below 1"),
        ({"folds": 1}, OptionError, "folds=1: use a number of folds from 2 to 20"),
        ({"metric": "acuracy"}, OptionError, "metric='acuracy': use one of 'accuracy'"),
        ({"epoch": 3}, OptionError, "compare takes no argument epoch=; did you mean epochs?"),
        ({"y": "bougth"}, DataError, "label column 'bougth'"),
        ({"models": ["tree"]}, OptionError, "there is no model 'tree' for classification: use 'logistic'"),
        ({"models": ["linear"]}, OptionError, "there is no model 'linear' for classification: use"),
        ({"seed": 1 << 80}, OptionError, "seed=1208925819614629174706176: use a whole number from 0 to"),
        ({"sample_weight": "city"}, DataError, "weight column 'city' is string: name a column of numbers"),
        ({"models": [3]}, OptionError, "models=[…] has a int: give a compiled Keras model"),
        ({"models": 3}, OptionError, "models=3: give a list of models"),
        ({"models": [Pipeline(stages=[])]}, ModelError, "Pipeline does not take a column of features"),
        ({"models": [keras.Sequential()]}, ModelError, "the model is not compiled"),
        ({"models": [net()], "features": ["a", "z"]}, DataError, "feature column 'z'"),
        (
            {"data": np.ones((3, 2))},
            DataError,
            "the rows must be a DataFrame of Spark, pandas, polars or Arrow, and are a ndarray",
        ),
        ({"models": {"a": 3}}, OptionError, "models=[…] has a int: give a compiled Keras model"),
        ({"features": ["a", "bought"]}, OptionError, "features= holds the label 'bought': leave it out"),
        ({"sample_weight": "a_missing"}, DataError, "weight column 'a_missing' is a part of another column"),
        ({"y": "a_missing"}, DataError, "label column 'a_missing' is a part of another column"),
        ({"test": 0.00001}, OptionError, "400 rows are too few, or too many are equal: part 1 has 0"),
        ({"test": pd.DataFrame({"a": [1.0]})}, DataError, "label column 'bought' is not in the DataFrame"),
        ({"task": "labels"}, OptionError, "task='labels': use 'classification' or 'regression'"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_trained(df, given, error, message):
    asked = {"data": df, "y": "bought", "models": ["logistic"], **given}
    with pytest.raises(error) as refused:
        nbkeras.compare(**asked)
    assert str(refused.value).startswith(message)


def test_the_magic_takes_the_one_model_that_there_is_and_names_choices():
    model = net()
    assert typed.models_for({"model": model, "x": 1}, None, None) == {"model": model}
    assert typed.models_for({}, None, broken) == {"builder": broken}
    assert typed.models_for({"m": model}, ["m", "forest"], None) == {"m": model, "forest": "forest"}
    with pytest.raises(OptionError, match=r"^compare: which models\? Add --models, some of: a, b$"):
        typed.models_for({"a": model, "b": net()}, None, None)
    with pytest.raises(
        OptionError, match=r"^--models forrest: there is no compiled model .* did you mean forest"
    ):
        typed.models_for({}, ["forrest"], None)
    with pytest.raises(
        OptionError, match=r"^compare: which is the label\? Type %keras_spark compare NAME LABEL"
    ):
        typed.asked("df")
    assert typed.asked("df y --weight w --test held")["sample_weight"] == "w"
    assert typed.held_out({"held": [1]}, "held") == [1]


def test_weights_and_folds_count_for_every_model(spark, df):
    # Rows without weight do not count: with all others of one class, the baseline is always right.
    weighted = df.withColumn("w", (F.col("bought") == "yes").cast("int"))
    model = LogisticRegression(maxIter=2)
    found = nbkeras.compare(weighted, "bought", [model], features=["a"], sample_weight="w", folds=2)
    assert found.table["accuracy"].tolist() == [1.0, 1.0]
    assert found.table["accuracy spread"].tolist() == [0.0, 0.0]
    assert [len(reports) for reports in found.reports.values()] == [2, 2]
    assert found.sentence == "No model is better than one that knows no features: accuracy 1.0000 ± 0.0000."
    assert sum(one.rows for one in found.reports["baseline"]) == ROWS
