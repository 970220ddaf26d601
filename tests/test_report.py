"""Reports on Spark: of models and of columns of predictions, equal to scikit-learn and to Keras' evaluate."""

from __future__ import annotations

import base64
import io

import keras
import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from keras import layers
from PIL import Image
from pyspark.ml import Pipeline
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import StringIndexer, VectorAssembler
from pyspark.sql import functions as F
from sklearn import metrics

import nbkeras
from nbkeras.errors import DataError, OptionError
from nbkeras.notebook.magic import magics

pytestmark = pytest.mark.usefixtures("any_backend")

ROWS, KINDS = 600, ("cat", "dog", "owl")
COLUMNS = ["a", "b", "c"]


def made(units=3, activation="softmax", loss="sparse_categorical_crossentropy"):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), layers.Dense(units, activation)])
    model.compile("sgd", loss, weighted_metrics=["accuracy"] if activation else ["mae"])
    return model


@pytest.fixture(scope="module")
def table():
    random = np.random.default_rng(0)
    x = random.normal(size=(ROWS, 3)).astype("float32")
    rows = pd.DataFrame(x, columns=COLUMNS)
    rows["kind"] = (x @ random.normal(size=(3, 3))).argmax(axis=1)
    rows["word"] = [KINDS[one] for one in rows["kind"]]
    rows["land"] = random.choice(["x", "y", None], ROWS)
    rows["weight"] = random.random(ROWS)
    return rows


@pytest.fixture(scope="module")
def df(spark, table):
    return spark.createDataFrame(table).repartition(3).persist()


def test_a_model_of_classes_has_the_figures_of_scikit_learn_and_of_its_own_evaluate(df, table, spark):
    model, x = made(), table[COLUMNS].to_numpy()
    found = nbkeras.report(
        model, df, "kind", features=COLUMNS, sample_weight="weight", by="land", worst=5, classes=KINDS
    )
    kinds, weights = table["kind"].to_numpy(), table["weight"].to_numpy()
    chances = model.predict(x, verbose=0)
    exact = chances.astype(float)
    said, how = chances.argmax(axis=1), {"sample_weight": weights}
    assert found.figures["accuracy"] == pytest.approx(metrics.accuracy_score(kinds, said, **how), abs=1e-6)
    assert found.figures["log loss"] == pytest.approx(
        metrics.log_loss(kinds, exact / exact.sum(axis=1, keepdims=True), **how), abs=1e-6
    )
    for place, name in enumerate(KINDS):
        area = metrics.roc_auc_score(kinds == place, chances[:, place], **how)
        assert found.per_class.loc[name, "roc auc"] == pytest.approx(area, abs=1e-6)
    top = metrics.top_k_accuracy_score(kinds, chances, k=2, **how)
    assert found.top[2] == pytest.approx(top, abs=1e-6)
    own = model.evaluate(x, kinds, sample_weight=weights, verbose=0, return_dict=True)
    assert found.metrics == pytest.approx(own, abs=1e-5)
    # Once more: what a report has counted is not counted again.
    again = nbkeras.report(model, df, "kind", features=COLUMNS, sample_weight="weight")
    assert again.metrics == pytest.approx(own, abs=1e-5)

    land = table["land"].fillna("(null)")
    assert found.slices["rows"].to_dict() == land.value_counts().to_dict()
    here = (land == "x").to_numpy()
    accuracy = metrics.accuracy_score(kinds[here], said[here], sample_weight=weights[here])
    assert found.slices.loc["x", "accuracy"] == pytest.approx(accuracy, abs=1e-6)

    losses = -np.log(chances[np.arange(ROWS), kinds])
    worst = np.argsort(-losses)[:5]
    np.testing.assert_allclose(found.worst["a"], table["a"].to_numpy()[worst], rtol=1e-6)
    assert found.worst["_actual"].tolist() == [KINDS[one] for one in kinds[worst]]
    assert found.worst["_predicted"].tolist() == [KINDS[one] for one in said[worst]]
    assert not found.worst["_loss"].is_monotonic_increasing
    assert nbkeras.runs.others[-2:] == [found, again]


def begun(spark):
    """How many jobs Spark has begun."""
    return spark.sparkContext._jsc.sc().dagScheduler().nextJobId()


def test_a_report_is_one_pass_and_one_more_where_it_is_sliced(df, spark):
    model = made()
    model.predict(np.zeros((1, 3)), verbose=0)
    before = begun(spark)
    nbkeras.report(model, df, "kind", features=COLUMNS, worst=3)
    whole = begun(spark) - before
    nbkeras.report(model, df, "kind", features=COLUMNS, by="land")
    assert whole <= 2  # a second one looks at the first row, where metrics are not built yet
    assert begun(spark) - before - whole <= 3


@pytest.mark.parametrize("activation", ["sigmoid", None], ids=["probabilities", "logits"])
def test_one_output_answers_yes_or_no(df, table, activation):
    loss = keras.losses.BinaryCrossentropy(from_logits=activation is None)
    model, yes = made(1, activation, loss), (table["kind"] > 0).to_numpy()
    found = nbkeras.report(model, df.withColumn("yes", F.col("kind") > 0), "yes", features=COLUMNS)
    score = model.predict(table[COLUMNS].to_numpy(), verbose=0)[:, 0].astype(float)
    chance = score if activation else 1 / (1 + np.exp(-score))
    assert found.figures["accuracy"] == pytest.approx(metrics.accuracy_score(yes, chance > 0.5), abs=1e-6)
    assert found.figures["roc auc"] == pytest.approx(metrics.roc_auc_score(yes, chance), abs=1e-6)
    assert found.figures["brier"] == pytest.approx(metrics.brier_score_loss(yes, chance), abs=1e-6)
    assert [*found.roc] == ["1"]


def test_amounts_and_several_labels_are_reported_of_arrays_too(table, spark):
    x = table[COLUMNS].to_numpy()
    model, y = made(1, None, "mse"), x[:, :1] + 1
    found = nbkeras.report(model, x, y, spark=spark)
    predicted = model.predict(x, verbose=0)
    assert found.figures["r2"] == pytest.approx(metrics.r2_score(y, predicted), abs=1e-6)
    own = model.evaluate(x, y, verbose=0, return_dict=True)
    assert found.metrics == pytest.approx(own, abs=1e-5)
    assert len(found.sample) == ROWS

    model, y = made(3, "sigmoid", "binary_crossentropy"), (x > 0).astype("int64")
    found = nbkeras.report(model, x, y, classes=["u", "v", "w"], spark=spark)
    said = model.predict(x, verbose=0) > 0.5
    theirs = metrics.classification_report(y, said, target_names=["u", "v", "w"], zero_division=0)
    assert repr(found).startswith(theirs)


def test_what_mllib_predicts_is_reported_with_the_names_of_its_classes(df):
    stages = [
        StringIndexer(inputCol="word", outputCol="label"),
        VectorAssembler(inputCols=COLUMNS, outputCol="features"),
        LogisticRegression(maxIter=5),
    ]
    predicted = Pipeline(stages=stages).fit(df).transform(df)
    found = nbkeras.report(predicted, "label", worst=1)
    rows = predicted.select("label", "prediction", "probability").toPandas()
    assert found.figures["accuracy"] == pytest.approx((rows["label"] == rows["prediction"]).mean(), abs=1e-6)
    chances = np.stack(rows["probability"])
    assert found.figures["log loss"] == pytest.approx(metrics.log_loss(rows["label"], chances), abs=1e-6)
    assert set(found.classes) == set(KINDS)
    assert found.worst["word"][0] == found.worst["_actual"][0]
    # Classes alone, without their probabilities.
    alone = nbkeras.report(predicted, "label", prediction="prediction")
    assert alone.figures["accuracy"] == found.figures["accuracy"]
    assert not alone.roc


def test_predictions_in_a_table_are_classes_probabilities_or_amounts(spark):
    def of(columns, **how):
        return nbkeras.report(pd.DataFrame(columns), "y", prediction="p", spark=spark, **how)

    words = of({"y": ["rose", "lily", "rose"], "p": ["rose", "rose", "rose"]})
    assert (words.task, words.classes) == ("classification", ("lily", "rose"))
    assert words.figures["accuracy"] == pytest.approx(2 / 3)
    numbers = of({"y": [3, 7, 11], "p": [3, 11, 11]})
    assert (numbers.task, numbers.classes) == ("classification", ("3", "7", "11"))
    assert of({"y": [1.5, 2.5], "p": [1.5, 3.5]}).figures["mae"] == 0.5
    flags = of({"y": [True, False, True], "p": [True, True, True]})
    assert (flags.classes, flags.figures["accuracy"]) == (("0", "1"), pytest.approx(2 / 3))
    mixed = of({"y": ["no", "yes", "yes"], "p": [0.0, 1.0, 0.0]}, classes=["no", "yes"])
    assert (mixed.classes, mixed.figures["accuracy"]) == (("no", "yes"), pytest.approx(2 / 3))
    yes = of({"y": [0, 1, 1], "p": [0.1, 0.9, 0.4]}, task="classification", classes=["no", "yes"])
    assert (yes.figures["accuracy"], yes.figures["roc auc"]) == (pytest.approx(2 / 3), 1.0)
    assert of({"y": [3, 7], "p": [3, 8]}, task="regression").figures["mae"] == 0.5


SAID = pd.DataFrame({"y": ["yes", "no"], "p": [1.0, 0.0]})
CASES = {
    "a frame behind a frame": (lambda _, df: nbkeras.report(df, df, "kind"), "takes one DataFrame"),
    "no rows to predict": (lambda m, _: nbkeras.report(m, "kind"), "the rows are missing"),
    "words beside numbers": (
        lambda _, df: nbkeras.report(SAID, "y", "p", spark=df.sparkSession),
        r"label 'y' is string, prediction 'p' is double: give classes=\[…\]",
    ),
    "other classes": (
        lambda m, df: nbkeras.report(m, df, "kind", features=COLUMNS, classes=["a", "a", "b"]),
        "use a list of different words",
    ),
    "a weight below 0": (
        lambda m, df: nbkeras.report(m, df, "kind", features=COLUMNS, sample_weight="a"),
        r"sample_weight is -\d",
    ),
    "no weights": (
        lambda m, df: nbkeras.report(
            m, df.withColumn("w", F.lit(0.0)), "kind", features=COLUMNS, sample_weight="w"
        ),
        "all rows have the sample_weight 0",
    ),
    "a column of our own": (
        lambda m, df: nbkeras.report(m, df.withColumn("_loss", F.lit(1)), "kind", features=COLUMNS, worst=1),
        "would have '_loss' twice",
    ),
    "amounts of another number": (
        lambda m, df: nbkeras.report(m, df, "kind", features=COLUMNS, task="regression"),
        "has 1 numbers a row, the prediction 3",
    ),
    "an argument of a model": (
        lambda _, df: nbkeras.report(df, "kind", "kind", output="x"),
        "are of a model: leave them out",
    ),
    "no label": (
        lambda m, df: nbkeras.report(m, df, features=COLUMNS),
        r"y is missing: name the label column",
    ),
    "no such class": (
        lambda m, df: nbkeras.report(m, df.withColumn("kind", df.kind + 2), "kind", features=COLUMNS),
        r"label 'kind' is 3, 4 in .* rows, and the model has outputs for the classes 0 to 2",
    ),
    "a null": (
        lambda m, df: nbkeras.report(
            m, df.withColumn("kind", F.expr("nullif(kind, 1)")), "kind", features=COLUMNS
        ),
        r"column 'kind' holds \d+ nulls",
    ),
    "no rows": (
        lambda m, df: nbkeras.report(m, df.limit(0), "kind", features=COLUMNS),
        "the DataFrame has no rows",
    ),
    "other names": (
        lambda m, df: nbkeras.report(m, df, "kind", features=COLUMNS, classes=["a", "b"]),
        r"there are 2 classes \('a', 'b'\), and the predictions have 3 numbers a row",
    ),
    "no such slice": (
        lambda m, df: nbkeras.report(m, df, "kind", features=COLUMNS, by="lnd"),
        "by column 'lnd' is not in the DataFrame: did you mean 'land'?",
    ),
    "a score that is NaN": (
        lambda _, df: nbkeras.report(
            df.withColumn("p", F.expr("array(double('nan'), 0, 1)")), "kind", prediction="p"
        ),
        r"rows are predicted as NaN",
    ),
    "scores that are no probabilities": (
        lambda _, df: nbkeras.report(df.withColumn("p", F.expr("array(2.5D, 0, 1)")), "kind", prediction="p"),
        r"predictions go from 0 to 2.5, and are no probabilities",
    ),
    "a column of words": (
        lambda _, df: nbkeras.report(df, "a", prediction="word", task="regression"),
        "prediction 'word' is string, label 'a' float: that is no regression",
    ),
    "no column": (lambda _, df: nbkeras.report(df, "kind"), r"give the model, or the column of predictions"),
    "a strange task": (
        lambda m, df: nbkeras.report(m, df, "kind", features=COLUMNS, task="x"),
        "task='x': use",
    ),
    "too many rows": (
        lambda m, df: nbkeras.report(m, df, "kind", features=COLUMNS, worst=10**6),
        "worst=1000000",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_reported_is_said_in_one_line(df, case):
    ask, line = CASES[case]
    with pytest.raises((DataError, OptionError), match=line) as refused:
        ask(made(), df.coalesce(1))  # each part of the rows would take a trainer of its own
    assert "\n" not in str(refused.value)


def test_slices_whose_titles_are_alike_are_all_there(spark):
    rows = pd.DataFrame({"y": [0, 1, 1], "p": [0, 1, 0], "g": [None, "(null)", "(null)"]})
    found = nbkeras.report(rows, "y", "p", by="g", spark=spark)
    assert found.slices["rows"].tolist() == [2, 1]
    assert found.slices.index.tolist() == ["(null)", "(null)"]


def test_labels_of_one_class_have_no_area_under_a_curve(df):
    found = nbkeras.report(made(), df.where("kind = 1"), "kind", features=COLUMNS)
    assert np.isnan(found.figures["roc auc"])
    assert found.figures["balanced accuracy"] == found.figures["accuracy"]


def test_a_report_is_a_picture_tables_and_text_in_the_notebook(df):
    # Neither TeX nor HTML, and what matplotlib would leave out.
    names = [r"$\foo$", "<b>", "_c"]
    how = {"features": COLUMNS, "by": "land", "worst": 2, "classes": names}
    shown = nbkeras.report(made(), df, "kind", **how).bundle()
    assert "<th>&lt;b&gt;</th>" in shown["text/html"]
    assert shown["text/html"].count("<table") == 5
    assert "alt=" in shown["text/html"]
    assert "weighted avg" in shown["text/plain"]
    image = Image.open(io.BytesIO(base64.b64decode(shown["image/png"])))
    assert image.size[0] >= 600


def typed(line, names):
    """What ``%keras_spark report`` prints, typed in a shell with these names."""
    shell = InteractiveShell()
    magics.register(shell)
    shell.user_ns.update(names)
    with capture_output() as shown:
        shell.run_line_magic("keras_spark", f"report {line}")
    return shown.stdout


def test_a_line_reports_too(df, spark):
    names = {"spark": spark, "test_df": df, "model": made()}
    rows = df.select(*COLUMNS, "kind")
    whole = typed("rows kind --worst 2", {"rows": rows, **names})
    assert "weighted avg" in whole
    assert "_loss" in whole
    # The last DataFrame that a cell has made is not the first one.
    assert "accuracy" in typed("test_df kind --prediction kind", {"other": df.limit(1), **names})


@pytest.mark.parametrize(
    ("line", "names", "said"),
    [
        ("rows kind", {}, "report rows: there is no DataFrame of that name"),
        ("test_df", {}, "report: there is no model by now"),
        ("test_df kind", {"a": made, "b": made}, r"which model\? Add --model NAME, one of: a, b"),
        ("test_df kind --model c", {"a": made}, "--model c: there is no model of that name"),
        ("test_df kind --prediction kind --model a", {"a": made}, "leave out --model, or it"),
        ("test_df --prediction kind", {}, "which is the label"),
        ("test_df kind --wrost 3", {}, "report: unrecognized arguments: --wrost 3; type %keras_spark report"),
        ("test_df kind --worst many", {}, "report: --worst: invalid int value"),
    ],
)
def test_a_line_that_cannot_be_is_answered_in_one(df, line, names, said):
    with pytest.raises(OptionError, match=said):
        typed(line, {"test_df": df, **{name: make() for name, make in names.items()}})
