"""The whole path: train, report, compare, save in a pipeline, load, predict in SQL and on a stream."""

from __future__ import annotations

import keras
import numpy as np
import pandas as pd
import pytest
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import StringIndexer, VectorAssembler

import nbkeras
from nbkeras.ml import KerasClassifier

pytestmark = [
    pytest.mark.smoke,
    pytest.mark.on("standalone", "connect"),
    pytest.mark.usefixtures("any_backend"),
]

ROWS, KINDS = 200, np.array(["emu", "owl", "rhea"])
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(ROWS, 2)).astype("float32")
Y = (X @ RANDOM.normal(size=(2, 3))).argmax(axis=1)
HOW = {"epochs": 6, "batch_size": 16, "seed": 1, "verbose": 0, "workers": 1}


def net():
    keras.utils.set_random_seed(2)
    layers = [keras.layers.Dense(8, "tanh"), keras.layers.Dense(3, "softmax")]
    model = keras.Sequential([keras.Input((2,)), *layers], name="net")
    model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy")
    return model


@pytest.fixture
def later(spark, spark_master):
    """A new session, as that of another notebook."""
    session = spark.newSession()
    yield session
    if spark_master == "connect":  # else it would stop the context too
        session.stop()


def test_what_is_trained_is_reported_compared_saved_and_predicts_in_sql_and_on_a_stream(
    spark, later, spark_master, monkeypatch, tmp_path
):
    rows, kept = str(tmp_path / "rows"), str(tmp_path / "kept")
    table = pd.DataFrame({"id": range(ROWS), "a": X[:, 0], "b": X[:, 1], "kind": KINDS[Y]})
    spark.createDataFrame(table).repartition(3).write.parquet(rows)
    df, model = spark.read.parquet(rows), net()

    nbkeras.fit(model, df, "kind", features=["a", "b"], spark=spark, **HOW)
    report = nbkeras.report(model, df, spark=spark)
    models = {"net": model, "logistic": LogisticRegression(maxIter=5)}
    board = nbkeras.compare(df, "kind", models, spark=spark, **HOW)
    stages = [
        StringIndexer(inputCol="kind", outputCol="label", stringOrderType="alphabetAsc"),
        VectorAssembler(inputCols=["a", "b"], outputCol="features"),
        KerasClassifier(model=model, seed=1, verbose=0),
    ]
    Pipeline(stages=stages).fit(df).write().overwrite().save(kept)

    right = model.predict(X, verbose=0).argmax(axis=1) == Y
    assert report.figures["accuracy"] == pytest.approx(right.mean())
    assert report.classes == tuple(KINDS)
    assert {one.name: one.status for one in board.entries} == dict.fromkeys(
        ("baseline", "net", "logistic"), "done"
    )
    assert board.best.kind != "baseline"

    if spark_master == "connect":
        # What reads models asks for the session of its thread, which another notebook has for itself.
        monkeypatch.setattr(type(later)._active_session, "session", later)
    loaded, read = PipelineModel.load(kept), later.read.parquet(rows)
    own = loaded.stages[-1].model
    expected = own.predict(X, verbose=0)
    said = pd.DataFrame([row.asDict() for row in loaded.transform(read).collect()]).sort_values("id")
    np.testing.assert_allclose(
        np.stack(said["probability"].map(lambda one: one.toArray())), expected, atol=1e-6
    )
    np.testing.assert_array_equal(said["prediction"], expected.argmax(axis=1))

    nbkeras.function(own, "likely", spark=later)
    read.createOrReplaceTempView("t")
    in_sql = later.sql("SELECT id, likely(array(a, b)) AS p FROM t ORDER BY id").toPandas()
    np.testing.assert_allclose(np.stack(in_sql["p"]), expected, atol=1e-6)

    stream = later.readStream.schema(read.schema).parquet(rows)
    scored = nbkeras.predict(model, stream, features=["a", "b"], classes=True, spark=later)
    query = scored.writeStream.format("memory").queryName("scored").trigger(availableNow=True).start()
    assert query.awaitTermination(300)
    found = later.table("scored").orderBy("id").toPandas()
    assert list(found["prediction_class"]) == list(KINDS[model.predict(X, verbose=0).argmax(axis=1)])
