from __future__ import annotations

import datetime as dt
import os
import signal

import keras
import numpy as np
import pandas as pd
import pytest
from pyspark.ml.linalg import Vectors
from pyspark.sql import functions as F
from pyspark.sql import types as T
from twins import columns, define

import nbkeras
from nbkeras.driver import inference
from nbkeras.errors import DataError, WorkerLost
from nbkeras.spark import cluster

pytestmark = pytest.mark.usefixtures("any_backend", "as_in_a_notebook", "predicts_on_spark")
NOTEBOOK = os.getpid()

ROWS, SHAPE, CLASSES = 70, 4, 3


@pytest.fixture(scope="module")
def arrays():
    random = np.random.default_rng(4)
    x = random.normal(size=(ROWS, SHAPE)).astype("float32")
    kind = (x @ random.normal(size=(SHAPE, CLASSES)) + random.normal(size=(ROWS, CLASSES))).argmax(axis=1)
    return x, kind, random.uniform(0.5, 2, ROWS).astype("float32")


@pytest.fixture(scope="module")
def df(spark, arrays):
    x, kind, weight = arrays
    one_hot = list(np.eye(CLASSES, dtype="float32")[kind])
    table = pd.DataFrame({"features": list(x), "kind": kind, "one_hot": one_hot, "weight": weight})
    return spark.createDataFrame(table).repartition(4).cache()


def dense(units, activation=None, seed=1):
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((SHAPE,)), keras.layers.Dense(units, activation=activation)])


@pytest.fixture(scope="module")
def classifier():
    model = dense(CLASSES, "softmax")
    metrics = ["accuracy", keras.metrics.AUC(), keras.metrics.F1Score(average=None)]
    weighted = [keras.metrics.CategoricalAccuracy(name="weighted")]
    model.compile("adam", "categorical_crossentropy", metrics=metrics, weighted_metrics=weighted)
    return model


@pytest.fixture(scope="module")
def regressor():
    model = dense(1)
    model.compile("adam", "mse")
    return model


#: The first value is for a local Spark.
ELSEWHERE = pytest.mark.smoke("oldest", "connect")


def assert_same_results(ours, theirs):
    assert sorted(ours) == sorted(theirs)
    for name, result in theirs.items():
        np.testing.assert_allclose(ours[name], result, 1e-5, 1e-6, err_msg=name)


@pytest.mark.parametrize(
    ("weight", "backend"),
    [
        pytest.param(None, keras.config.backend(), id="plain", marks=pytest.mark.soak),
        pytest.param("weight", keras.config.backend(), id="weights"),
        pytest.param("weight", "auto", id="weights on any backend", marks=ELSEWHERE),
    ],
)
def test_evaluate_of_a_dataframe_is_keras_own_over_all_rows(spark, df, classifier, weight, backend):
    how = {"sample_weight": weight, "batch_size": 16, "backend": backend}
    ours = nbkeras.evaluate(classifier, df, "one_hot", features="features", spark=spark, **how)

    x, y = columns(df, "features", "one_hot")
    weights = columns(df, weight)[0] if weight else None
    theirs = classifier.evaluate(x, y, sample_weight=weights, batch_size=16, verbose=0, return_dict=True)
    assert_same_results(ours, theirs)
    assert ours["f1_score"].shape == (CLASSES,)


@pytest.mark.parametrize("rows", [2, pytest.param(ROWS, marks=pytest.mark.soak)])
def test_evaluate_of_arrays_and_of_fewer_rows_than_slots_is_keras_own(spark, arrays, classifier, rows):
    x, kind, weight = arrays
    y = np.eye(CLASSES)[kind]
    given = x[:rows], y[:rows]

    ours = nbkeras.evaluate(classifier, *given, sample_weight=weight[:rows], spark=spark)

    theirs = classifier.evaluate(*given, sample_weight=weight[:rows], verbose=0, return_dict=True)
    assert_same_results(ours, theirs)


def test_evaluate_leaves_the_weights_and_works_before_and_after_keras_own(spark, arrays):
    x, kind, _ = arrays
    model = dense(CLASSES)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    before = model.get_weights()

    first = nbkeras.evaluate(model, x, kind, spark=spark)
    theirs = model.evaluate(x, kind, verbose=0, return_dict=True)
    again = nbkeras.evaluate(model, x, kind, spark=spark)

    assert_same_results(first, theirs)
    assert_same_results(again, theirs)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", [list, pytest.param(dict, marks=pytest.mark.soak)])
def test_evaluate_of_several_outputs_is_keras_own_before_keras_evaluated(spark, arrays, kind):
    x, labels, _ = arrays
    model = several_outputs(kind)
    losses, metrics = ["mse", "mae"], [["mae"], ["mse"]]
    y = [labels[:, None], np.repeat(x[:, :2, None], 3, axis=2)]
    if kind is dict:
        losses, metrics, y = (dict(zip(KEYS, one, strict=True)) for one in (losses, metrics, y))
    model.compile("adam", losses, metrics=metrics)

    # Keras averages the loss of one output over batches, whatever their size.
    ours = nbkeras.evaluate(model, x, y, batch_size=1, spark=spark)

    assert_same_results(ours, model.evaluate(x, y, batch_size=1, verbose=0, return_dict=True))
    with nbkeras.on_spark(spark=spark):
        listed = model.evaluate(x, y, batch_size=1)
    assert listed == pytest.approx(model.evaluate(x, y, batch_size=1, verbose=0), rel=1e-4)


def test_within_on_spark_evaluate_returns_what_keras_returns(spark, arrays, df, classifier, regressor):
    x, kind, _ = arrays
    y = np.eye(CLASSES)[kind]
    scalar = regressor.evaluate(x, kind, verbose=0)
    several = classifier.evaluate(x, y, verbose=0)
    named = regressor.evaluate(x, kind, verbose=0, return_dict=True)

    with nbkeras.on_spark(spark=spark):
        assert regressor.evaluate(x, kind) == pytest.approx(scalar, rel=1e-5)
        from_arrays = classifier.evaluate(x, y)
        from_dataframe = regressor.evaluate(df.select("features", "kind"), "kind")
        from_named = regressor.evaluate(x, kind, return_dict=True)

    assert isinstance(several, list)
    assert isinstance(from_arrays, list)
    for one, other in zip(from_arrays, several, strict=True):
        np.testing.assert_allclose(one, other, 1e-5)
    assert from_dataframe == pytest.approx(scalar, rel=1e-5)
    assert list(from_named) == list(named)
    assert_same_results(from_named, named)


CENTRED = """
import keras

class Centred(keras.layers.Layer):
    def call(self, x):
        return x - keras.ops.mean(x, axis=0, keepdims=True)
"""


def test_predictions_that_hang_on_other_rows_are_keras_own_for_arrays_and_named_for_a_dataframe(
    spark, arrays, df, capsys
):
    model = keras.Sequential([keras.Input((SHAPE,)), define(CENTRED)["Centred"](), keras.layers.Dense(1)])
    x = arrays[0]

    ours = nbkeras.predict(model, x, spark=spark)

    np.testing.assert_array_equal(ours, model.predict(x, verbose=0))
    reason = "the model's output for a row depends on the other rows of its batch"
    assert capsys.readouterr().out == f"Predicting in the notebook, in Keras' own batches: {reason}.\n"
    predicted = nbkeras.predict(model, df, features=["features"], spark=spark)
    assert capsys.readouterr().out == f"Predicting in batches as Spark makes them: {reason}.\n"
    assert predicted.columns == [*df.columns, "prediction"]
    # Without a row there is none to depend on.
    assert nbkeras.predict(model, df.limit(0), features=["features"], spark=spark).count() == 0
    assert capsys.readouterr().out == ""


def test_a_model_is_sent_again_to_predict_with_only_where_it_has_changed(spark, df, monkeypatch):
    """Spark keeps what it was sent as long as any DataFrame may need it: on a disk, and for ever."""
    sent, share = [], cluster.share
    monkeypatch.setattr(cluster, "share", lambda spark, data: sent.append(len(data)) or share(spark, data))
    model = keras.Sequential([keras.Input((SHAPE,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")

    for bias, expected in [(0.0, 1), (0.0, 1), (1.0, 2), (1.0, 2), (0.0, 3)]:
        model.layers[0].bias.assign([bias])
        nbkeras.predict(model, df.select("features"), spark=spark)
        assert len(sent) == expected


@pytest.mark.parametrize(
    "backend", [keras.config.backend(), pytest.param("auto", id="any backend", marks=ELSEWHERE)]
)
def test_predict_keeps_all_columns_of_a_dataframe(spark, arrays, regressor, backend):
    x, _, _ = arrays
    rows = [
        (
            f"row {index}",
            None if index % 2 else index,
            dt.date(2020, 1, 1) + dt.timedelta(index),
            one.tolist(),
            Vectors.dense(one.tolist()),
            {"key": index},
        )
        for index, one in enumerate(x)
    ]
    fields = [
        T.StructField("text", T.StringType()),
        T.StructField("maybe", T.IntegerType()),
        T.StructField("day", T.DateType()),
        T.StructField("features", T.ArrayType(T.DoubleType())),
        T.StructField("vector", type(Vectors.dense([1.0])).__UDT__),
        T.StructField("map", T.MapType(T.StringType(), T.IntegerType())),
    ]
    df = spark.createDataFrame(rows, T.StructType(fields)).repartition(5)

    for feature in ("features", "vector"):
        predicted = nbkeras.predict(regressor, df, features=[feature], backend=backend, spark=spark)

        assert predicted.schema.fields[:-1] == df.schema.fields
        assert predicted.schema["prediction"].dataType == T.FloatType()
        found = {row["text"]: row for row in predicted.collect()}
        expected = regressor.predict(x, verbose=0)
        assert len(found) == ROWS
        for index, row in enumerate(rows):
            assert tuple(found[row[0]])[:-1] == row
            assert found[row[0]]["prediction"] == pytest.approx(expected[index, 0], rel=1e-4, abs=1e-5)


def test_predict_keeps_columns_whatever_their_names(spark, arrays):
    x, _, _ = arrays
    names = ["a.b", "with space", "`ticks`", "Ünïcode 类别"]
    model = dense(1)
    df = spark.createDataFrame(pd.DataFrame(x, columns=names))

    predicted = nbkeras.predict(model, df, spark=spark)

    assert predicted.columns == [*names, "prediction"]
    rows = np.array(predicted.collect())
    np.testing.assert_allclose(rows[:, -1], model.predict(rows[:, :-1], verbose=0)[:, 0], 1e-4, 1e-5)


def test_predict_refuses_two_columns_of_one_name(spark, df, regressor):
    df = df.select("kind", "features")
    with pytest.raises(DataError, match=r"has a column 'prediction' already: rename it, .* output='…'"):
        nbkeras.predict(regressor, df.withColumn("prediction", F.lit(1)), features=["features"], spark=spark)
    with pytest.raises(DataError, match="column 'kind' is in the DataFrame 2 times: rename one"):
        nbkeras.predict(regressor, df.select("kind", "*"), features=["features"], spark=spark)


def test_columns_that_differ_in_case_alone_are_refused_unless_spark_tells_them_apart(spark):
    df = spark.range(8).selectExpr("double(id) a", "double(id) label").selectExpr("a as A", "a", "label")
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(DataError, match=r"^feature column 'A' is 'a' to Spark, which ignores case: rename"):
        nbkeras.evaluate(model, df, "label", features=["A"], spark=spark)
    spark.conf.set("spark.sql.caseSensitive", "true")
    try:
        assert nbkeras.evaluate(model, df, "label", features=["A"], spark=spark)["loss"] >= 0
    finally:
        spark.conf.unset("spark.sql.caseSensitive")


OWN = """
import keras

class Largest(keras.metrics.Metric):
    'The largest error: that of all rows is no sum of those of some.'

    def __init__(self, name="own", **kwargs):
        super().__init__(name=name, **kwargs)
        self.error = self.add_weight(name="error", initializer="zeros")

    def grown(self, errors):
        return keras.ops.maximum(self.error, keras.ops.max(errors))

    def update_state(self, y_true, y_pred, sample_weight=None):
        errors = keras.ops.reshape(y_pred, (-1,)) - keras.ops.reshape(y_true, (-1,))
        self.error.assign(self.grown(keras.ops.abs(errors)))

    def result(self):
        return self.error

class Sum(Largest):
    def grown(self, errors):
        return self.error + keras.ops.sum(errors)

class Rows(keras.layers.Layer):
    'Says how many rows are in its batch.'

    def call(self, inputs):
        return keras.ops.zeros_like(inputs[:, :1]) + keras.ops.cast(keras.ops.shape(inputs)[0], "float32")
"""


def test_the_columns_of_a_model_that_knows_none_are_named(spark, capsys):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    df = spark.createDataFrame([(1.0, 2.0, 0.0)], "a double, b double, label double")

    nbkeras.evaluate(model, df, "label", spark=spark)
    assert "takes the columns a, b, in this order: choose others with features=" in capsys.readouterr().out
    nbkeras.predict(model, df, features=["a", "b"], spark=spark)
    nbkeras.predict(model, df.select("b", "label"), spark=spark)
    assert [line for line in capsys.readouterr().out.splitlines() if "columns" in line] == [
        "The model takes the columns b, label, in this order: choose others with features=['…', …]."
    ]


@pytest.mark.parametrize(("metric", "alone"), [("Largest", True), ("Sum", False)])
def test_metrics_that_do_not_add_up_are_evaluated_on_one_worker(spark, df, arrays, capsys, metric, alone):
    x, _, weight = arrays
    model = dense(1)
    model.compile("adam", "mse", metrics=[define(OWN)[metric]()])
    ours = nbkeras.evaluate(model, df, "weight", features="features", spark=spark)
    assert_same_results(ours, model.evaluate(x, weight, verbose=0, return_dict=True))
    assert ("Evaluating on one worker: metric 'own'" in capsys.readouterr().out) == alone


def test_a_loss_of_whole_batches_is_evaluated_in_keras_own_batches(spark, capsys):
    x = np.random.default_rng(2).normal(size=(70, SHAPE)).astype("float32")
    y = x.sum(axis=1, keepdims=True)
    model = dense(1)
    model.compile("adam", keras.losses.MeanSquaredError(reduction="sum"), metrics=["mae"])
    ours = nbkeras.evaluate(model, x, y, batch_size=50, spark=spark)
    assert_same_results(ours, model.evaluate(x, y, batch_size=50, verbose=0, return_dict=True))
    assert "Evaluating on one worker: the loss" in capsys.readouterr().out


class Deadly(keras.layers.Layer):
    """Takes its process along, or stops it, on a worker, until there are so many marks in a folder."""

    def __init__(self, folder, times, how=signal.SIGKILL):
        super().__init__()
        self.folder, self.times, self.how = folder, times, how

    def call(self, x):
        marks = [*self.folder.iterdir()]
        if os.getpid() != NOTEBOOK and len(marks) < self.times:
            (self.folder / f"{len(marks)}-{os.getpid()}").touch()
            os.kill(os.getpid(), self.how)
        return x


@pytest.mark.parametrize("times", [1, 9])
def test_a_worker_that_is_lost_while_it_evaluates_costs_a_second_try(spark, arrays, tmp_path, capsys, times):
    x, kind, _ = arrays
    model = keras.Sequential([keras.Input((SHAPE,)), Deadly(tmp_path, times), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    how = {"batch_size": ROWS, "spark": spark}
    if times == 1:
        ours = nbkeras.evaluate(model, x, kind, **how)
        assert_same_results(ours, model.evaluate(x, kind, verbose=0, return_dict=True))
    else:
        with pytest.raises(WorkerLost, match="was killed by signal 9"):
            nbkeras.evaluate(model, x, kind, **how)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("Evaluating once more: worker ")


@pytest.mark.soak
def test_a_worker_that_is_stopped_while_it_evaluates_is_missed(spark, arrays, tmp_path, capsys):
    x, kind, _ = arrays
    deadly = Deadly(tmp_path, 1, signal.SIGSTOP)
    model = keras.Sequential([keras.Input((SHAPE,)), deadly, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    ours = nbkeras.evaluate(model, x, kind, batch_size=ROWS, spark=spark)
    assert_same_results(ours, model.evaluate(x, kind, verbose=0, return_dict=True))
    assert "has given no sign of life for 60 s" in capsys.readouterr().out


@pytest.mark.parametrize(("rows", "batch_size", "most"), [(200, 8, 8), (20_000, None, 1024)])
def test_rows_go_through_the_model_in_batches_when_it_predicts(spark, rows, batch_size, most):
    model = keras.Sequential([keras.Input((1,)), define(OWN)["Rows"]()])
    # Arrays would be predicted by Keras itself: what comes out depends on the batch.
    zeros = spark.range(0, rows, 1, 2).selectExpr("0.0 AS x")
    found = nbkeras.predict(model, zeros, features=["x"], batch_size=batch_size, spark=spark)
    assert tuple(found.agg(F.count("*"), F.max("prediction")).first()) == (rows, most)


def test_predict_gives_an_array_for_several_units(spark, df, classifier):
    predicted = nbkeras.predict(
        classifier, df.select("kind", "features"), features=["features"], output="chances", spark=spark
    )

    assert predicted.columns == ["kind", "features", "chances"]
    x, ours = columns(predicted, "features", "chances")
    np.testing.assert_allclose(ours, classifier.predict(x, verbose=0), 1e-5, 1e-6)


#: Of outputs in a dict, in another order than the alphabet's: they need not be called like their layers.
KEYS = ("price", "area")


def several_outputs(kind):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((SHAPE,), name="features")
    one = keras.layers.Dense(1, name="one")(inputs)
    many = keras.layers.Reshape((2, 3), name="many")(keras.layers.Dense(6)(inputs))
    return keras.Model(inputs, dict(zip(KEYS, (one, many), strict=True)) if kind is dict else [one, many])


@pytest.mark.parametrize("kind", [list, dict])
def test_predict_of_several_outputs(spark, df, arrays, kind):
    x, _, _ = arrays
    model = several_outputs(kind)

    predicted = nbkeras.predict(model, df.select("features"), spark=spark)
    ours = nbkeras.predict(model, x, spark=spark)

    theirs = model.predict(x, verbose=0)
    assert type(ours) is type(theirs) is kind
    keras.tree.map_structure(
        lambda one, other: np.testing.assert_allclose(one, other, 1e-4, 1e-5), ours, theirs
    )
    one, many = KEYS if kind is dict else ("one", "many")
    names = [f"prediction_{one}", f"prediction_{many}"]
    assert sorted(predicted.columns[1:]) == sorted(names)
    features, one, many = columns(predicted, "features", *names)
    again = model.predict(features, verbose=0)
    again = [again[key] for key in KEYS] if kind is dict else again
    np.testing.assert_allclose(one, again[0][:, 0], 1e-4, 1e-5)
    np.testing.assert_allclose(many, again[1], 1e-4, 1e-5)


def test_predict_of_arrays_gives_arrays_in_their_order(spark, arrays, regressor, classifier):
    x, _, _ = arrays

    for model in (regressor, classifier):
        ours = nbkeras.predict(model, x, spark=spark)

        theirs = model.predict(x, verbose=0)
        assert isinstance(ours, np.ndarray)
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        np.testing.assert_allclose(ours, theirs, 1e-4, 1e-5)


def test_predict_of_pandas_within_on_spark_gives_what_keras_gives(spark, arrays, regressor):
    table = pd.DataFrame(arrays[0], columns=list("abcd"))
    theirs = regressor.predict(table, verbose=0)

    with nbkeras.on_spark(spark=spark):
        ours = regressor.predict(table)

    assert isinstance(ours, np.ndarray)
    np.testing.assert_allclose(ours, theirs, 1e-4, 1e-5)


def test_predict_is_lazy(spark, df, regressor):
    for name in ("features", "kind"):
        late = F.when(F.col("kind") < 0, F.col(name)).otherwise(F.raise_error(F.lit("read too early")))
        df = df.withColumn(f"late_{name}", late)

    predicted = nbkeras.predict(regressor, df, features=["late_features"], spark=spark)

    with pytest.raises(Exception, match="read too early"):
        predicted.collect()


def test_features_are_remembered_by_name_when_columns_come_in_another_order(spark, arrays):
    x, kind, _ = arrays
    table = pd.DataFrame(x, columns=list("abcd"))
    trained_on = spark.createDataFrame(table.assign(label=kind))
    later = spark.createDataFrame(
        table[["d", "b", "a", "c"]].assign(name="row", label=kind, another=np.arange(ROWS))
    )
    model = dense(1)
    model.compile("adam", "mse")
    nbkeras.fit(model, trained_on, "label", workers=1, spark=spark)

    predicted = nbkeras.predict(model, later, spark=spark)
    result = nbkeras.evaluate(model, later, "label", spark=spark)

    assert predicted.columns == [*later.columns, "prediction"]
    ours = predicted.orderBy("another").toPandas().prediction
    np.testing.assert_allclose(ours, model.predict(x, verbose=0)[:, 0], 1e-4, 1e-5)
    assert result["loss"] == pytest.approx(model.evaluate(x, kind, verbose=0), rel=1e-5)


def test_features_are_found_in_a_checkpoint_by_a_model_that_goes_on_or_takes_its_weights(
    spark, arrays, tmp_path
):
    x, kind, _ = arrays
    table = pd.DataFrame(x, columns=list("abcd")).assign(label=kind)
    how = {"workers": 1, "spark": spark, "checkpoint": tmp_path / "kept", "seed": 1, "verbose": 0}
    model, again, other = dense(1), dense(1), dense(1)
    for one in (model, again):
        one.compile("adam", "mse")
    nbkeras.fit(model, spark.createDataFrame(table), "label", features=["b", "a", "d", "c"], **how)
    more = spark.createDataFrame(table.assign(another=1.0))

    run = nbkeras.fit(again, more, "label", epochs=2, resume=True, **how)
    nbkeras.runs.read(tmp_path / "kept").load_weights(other)
    predicted = [nbkeras.predict(one, more, spark=spark).toPandas().prediction for one in (again, other)]

    assert (run.schema.columns, len(run.epoch_numbers)) == (("b", "a", "d", "c"), 2)
    np.testing.assert_allclose(predicted[0], predicted[1], 1e-6, 1e-6)
    expected = again.predict(x[:, [1, 0, 3, 2]], verbose=0)[:, 0]
    np.testing.assert_allclose(np.sort(predicted[0]), np.sort(expected), 1e-4, 1e-5)


def test_a_few_rows_of_arrays_are_predicted_in_this_process_as_keras_predicts_them(spark, monkeypatch):
    monkeypatch.setattr(inference, "FEW", 4)
    monkeypatch.setattr(inference, "job_of", None)
    model = dense(2)
    x = np.ones((4, SHAPE), dtype="float32")

    np.testing.assert_array_equal(nbkeras.predict(model, x, spark=spark), model.predict(x, verbose=0))
    with pytest.raises(TypeError):  # a job
        nbkeras.predict(model, np.ones((5, SHAPE)), spark=spark)
    with pytest.raises(DataError, match=r"x has shape \(4, 9\)"):
        nbkeras.predict(model, np.ones((4, 9)), spark=spark)
