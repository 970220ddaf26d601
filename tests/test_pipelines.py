"""Pipelines: Keras models as stages of Spark ML, and plain Keras' result comes out."""

from __future__ import annotations

import threading

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.evaluation import (
    BinaryClassificationEvaluator,
    MulticlassClassificationEvaluator,
    RegressionEvaluator,
)
from pyspark.ml.feature import HashingTF, IndexToString, StringIndexer, Tokenizer, VectorAssembler
from pyspark.ml.linalg import Vectors
from pyspark.ml.tuning import (
    CrossValidator,
    CrossValidatorModel,
    ParamGridBuilder,
    TrainValidationSplit,
    TrainValidationSplitModel,
)
from pyspark.sql import functions as F
from tables import Table
from twins import assert_same_history, assert_same_model, columns, define, eagerly, value

import nbkeras.api
from nbkeras.driver import inference
from nbkeras.errors import DataError, ModelError, OptionError
from nbkeras.ml import KerasClassificationModel, KerasClassifier, KerasRegressionModel, KerasRegressor

pytestmark = [
    pytest.mark.usefixtures("any_backend"),
    # Spark's tuning leaves its pools of threads to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed running multiprocessing pool:ResourceWarning"),
]

ROWS, WORDS = 48, ["owl", "Cat", "émeu"]
RANDOM = np.random.default_rng(0)
TABLE = pd.DataFrame(
    {
        "age": RANDOM.normal(size=ROWS),
        "height": RANDOM.normal(size=ROWS),
        "story": RANDOM.choice(["a small bird", "it flies", "it sleeps a lot"], ROWS),
        "kind": [*RANDOM.choice(WORDS, ROWS - 9, p=[0.6, 0.3, 0.1]), *WORDS * 3],
        "weight": RANDOM.uniform(0.5, 2, ROWS),
        "held": RANDOM.random(ROWS) < 0.3,
        "fold": np.arange(ROWS) % 2,
    }
)
HOW = {"epochs": 2, "batch_size": 8, "shuffle": False, "verbose": 0}
PARAMS = {"epochs": 2, "batchSize": 8, "shuffle": False, "verbose": 0}


@pytest.fixture(scope="module")
def df(spark):
    return spark.createDataFrame(TABLE).coalesce(1).cache()


def net(units=1, activation=None, loss="mse", inputs=2):
    """A compiled model, always with the same weights."""
    keras.utils.set_random_seed(3)
    hidden, last = layers.Dense(5, activation="tanh"), layers.Dense(units, activation=activation)
    model = keras.Sequential([keras.Input((inputs,)), hidden, last])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss, metrics=[])
    return model


def softmax(inputs=2):
    return net(3, "softmax", "sparse_categorical_crossentropy", inputs)


def sigmoid():
    return net(1, "sigmoid", "binary_crossentropy")


def assert_same_weights(one, other):
    for this, that in zip(one.model.get_weights(), other.model.get_weights(), strict=True):
        np.testing.assert_array_equal(this, that)


def log_loss(labels, probabilities):
    return -np.mean(np.log(probabilities[np.arange(len(labels)), labels.astype(int)]))


@pytest.mark.smoke("oldest", "connect")
@pytest.mark.on("local", "connect")  # whose server is in front of a cluster
def test_a_pipeline_of_words_gives_what_keras_gives_before_and_after_it_was_saved(df, tmp_path):
    model = softmax()
    before = model.get_weights()
    stages = [
        StringIndexer(inputCol="kind", outputCol="label"),
        VectorAssembler(inputCols=["age", "height"], outputCol="features"),
        KerasClassifier(model=model, **PARAMS),
        IndexToString(inputCol="prediction", outputCol="likeliest"),
    ]

    fitted = Pipeline(stages=stages).fit(df)
    found = fitted.transform(df).cache()
    ours, path = fitted.stages[2], str(tmp_path / "kept")
    ours.save(path)
    ours.write().overwrite().save(path)
    fitted.write().overwrite().save(path)
    loaded = PipelineModel.load(path)

    x, y = columns(found, "features", "label")
    theirs = eagerly(softmax())
    history = theirs.fit(x, y, **HOW).history
    assert_same_model(ours.model, theirs)
    assert_same_history(ours.history, history)
    expected = theirs.predict(x, verbose=0)
    raw, probability, prediction = columns(found, "rawPrediction", "probability", "prediction")
    np.testing.assert_allclose(probability, expected, 1e-5, 1e-6)
    np.testing.assert_array_equal(raw, probability)
    np.testing.assert_array_equal(prediction, expected.argmax(axis=1))
    names = fitted.stages[0].labels
    assert columns(found, "likeliest")[0].tolist() == [names[int(one)] for one in prediction]
    assert found.columns[: len(df.columns)] == df.columns
    evaluator = MulticlassClassificationEvaluator(metricName="logLoss")
    assert evaluator.evaluate(found) == pytest.approx(log_loss(y, expected), rel=1e-5)
    assert loaded.transform(df).collect() == found.collect()
    again = loaded.stages[2]
    assert (again.labels, again.numClasses, again.numFeatures) == (tuple(names), 3, 2)
    assert (again.history, again.uid) == (ours.history, ours.uid)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.soak  # below, trials of a split run beside each other
def test_trials_in_threads_give_what_keras_gives_to_each_alone(spark, df, tmp_path, capsys):
    here, meet, seeding = threading.main_thread(), threading.Barrier(2), threading.Lock()

    def build(momentum):
        if threading.current_thread() is not here:
            meet.wait(300)  # so that two trials begin to train at once
        with seeding:  # Keras' seed is one for all threads
            model = sigmoid()
        model.compile(keras.optimizers.SGD(0.1, momentum=momentum), "binary_crossentropy")
        return model

    assembled = VectorAssembler(inputCols=["age", "height"], outputCol="features").transform(df)
    labelled = assembled.withColumn("label", F.when(F.col("kind") == "owl", 0.0).otherwise(1.0)).coalesce(1)
    key = "spark.sql.execution.arrow.maxRecordsPerBatch"
    limit = spark.conf.get(key)
    classifier = KerasClassifier(model=build, **PARAMS | {"verbose": 1})
    momenta, rates = [0.0, 0.9], [0.05]
    grid = ParamGridBuilder().addGrid(classifier.learningRate, rates)
    grid = grid.addGrid(classifier.modelArguments, [{"momentum": one} for one in momenta]).build()
    evaluator = MulticlassClassificationEvaluator(metricName="logLoss")

    fitted = CrossValidator(
        estimator=classifier,
        estimatorParamMaps=grid,
        evaluator=evaluator,
        numFolds=2,
        foldCol="fold",
        parallelism=2,
    ).fit(labelled)

    x, y = columns(labelled, "features", "label")

    def keras_alone(momentum, train, test):
        model = eagerly(sigmoid())
        model.compile(keras.optimizers.SGD(0.05, momentum=momentum), "binary_crossentropy", run_eagerly=True)
        model.fit(x[train], y[train], **HOW)
        high = model.predict(x[test], verbose=0).astype("float64")
        return model, log_loss(y[test], np.hstack([1 - high, high]))

    folds = TABLE["fold"].to_numpy()
    expected = [
        np.mean([keras_alone(one, folds != fold, folds == fold)[1] for fold in (0, 1)]) for one in momenta
    ]
    np.testing.assert_allclose(fitted.avgMetrics, expected, 1e-5)
    everything = np.full(ROWS, fill_value=True)
    best, _ = keras_alone(momenta[int(np.argmin(expected))], everything, everything)
    assert_same_model(fitted.bestModel.model, best)
    assert spark.conf.get(key) == limit
    told = [one for one in capsys.readouterr().out.splitlines() if "trains with" in one]
    assert len(told) == 4
    assert f"{classifier.uid} trains with epochs=2, batchSize=8, learningRate=0.05, shuffle=False" in told[0]
    area = BinaryClassificationEvaluator().evaluate(fitted.transform(labelled))
    assert area == pytest.approx(_area(y, best.predict(x, verbose=0)[:, 0]), abs=1e-6)

    fitted.save(str(tmp_path / "tuned"))
    loaded = CrossValidatorModel.load(str(tmp_path / "tuned"))
    assert_same_weights(loaded.bestModel, fitted.bestModel)
    with pytest.raises(ModelError, match=r"saved without its model, since a function is not saved: give it"):
        loaded.getEstimator().fit(labelled)


def _area(labels, scores):
    """The area under the ROC curve: how often a row of class 1 has the higher score."""
    ones, zeros = scores[labels == 1][:, None], scores[labels == 0][None]
    return np.mean((ones > zeros) + 0.5 * (ones == zeros))


def test_a_regressor_behind_text_stages_weighs_and_validates_as_keras_does(df, tmp_path):
    text = [
        Tokenizer(inputCol="story", outputCol="words"),
        HashingTF(inputCol="words", outputCol="counts", numFeatures=8),
        VectorAssembler(inputCols=["age", "height", "counts"], outputCol="features"),
    ]
    regressor = KerasRegressor(
        model=net(inputs=10), weightCol="weight", validationIndicatorCol="held", **PARAMS
    )
    labelled = df.withColumn("label", F.col("age") * 2 + F.col("height"))

    pipeline = Pipeline(stages=[*text, regressor]).fit(labelled)
    found = pipeline.transform(labelled).cache()

    x, y = columns(found, "features", "label")
    weights, held = TABLE["weight"].to_numpy("float32"), TABLE["held"].to_numpy()
    theirs = eagerly(net(inputs=10))
    checked = x[held], y[held], weights[held]
    history = theirs.fit(x[~held], y[~held], sample_weight=weights[~held], validation_data=checked, **HOW)
    fitted = pipeline.stages[3]
    assert_same_model(fitted.model, theirs)
    assert_same_history(fitted.history, history.history)
    expected = theirs.predict(x, verbose=0)[:, 0]
    np.testing.assert_allclose(columns(found, "prediction")[0], expected, 1e-4, 1e-5)
    error = RegressionEvaluator(metricName="mse").evaluate(found)
    assert error == pytest.approx(np.mean((expected - y) ** 2), rel=1e-5)
    assert fitted.predict(Vectors.dense(x[0])) == pytest.approx(expected[0], rel=1e-4)
    fitted.save(str(tmp_path / "fitted"))
    loaded = KerasRegressionModel.load(str(tmp_path / "fitted"))
    assert_same_weights(loaded, fitted)
    assert loaded.copy({loaded.predictionCol: "guess"}).transform(found).columns[-1] == "guess"


def test_a_split_chooses_among_the_trials_of_a_pipeline_with_words(df, tmp_path):
    story = keras.Input((1,), dtype="string", name="story")
    age = keras.Input((1,), name="age")
    words = layers.Embedding(9, 2)(layers.TextVectorization(max_tokens=9, output_sequence_length=4)(story))
    words = layers.GlobalAveragePooling1D()(words)
    model = keras.Model([story, age], layers.Dense(1)(layers.Concatenate()([words, age])))
    model.compile("sgd", "mse")
    regressor = KerasRegressor(model=model, featuresCols=["story", "age"], labelCol="height", **PARAMS)
    grid = ParamGridBuilder().addGrid(regressor.learningRate, [1e-9, 0.05]).build()
    split = TrainValidationSplit(
        estimator=Pipeline(stages=[regressor]),
        estimatorParamMaps=grid,
        evaluator=RegressionEvaluator(labelCol="height"),
        parallelism=2,
        seed=1,
    )

    fitted = split.fit(df)

    (best,) = fitted.bestModel.stages
    chosen = grid[int(np.argmin(fitted.validationMetrics))][regressor.learningRate]
    assert float(value(best.model.optimizer.learning_rate)) == pytest.approx(chosen)
    assert np.isfinite(fitted.validationMetrics).all()
    fitted.save(str(tmp_path / "chosen"))
    loaded = TrainValidationSplitModel.load(str(tmp_path / "chosen"))
    assert_same_weights(loaded.bestModel.stages[0], best)
    again = loaded.getEstimator().getStages()[0]
    assert again.features() == ["story", "age"]
    with pytest.raises(ModelError, match=r"since Keras does not read .*Vectorization.* has not learned from"):
        again.model()


LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.mark.parametrize(
    ("make", "scores", "limits"),
    [
        (lambda: net(3, None, LOGITS), lambda z: (z, np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)), None),
        (softmax, lambda p: (p, p), [0.2, 0.9, 0.4]),
        (sigmoid, lambda p: (np.hstack([1 - p, p]), np.hstack([1 - p, p])), None),
        (
            lambda: net(1, None, keras.losses.BinaryCrossentropy(from_logits=True)),
            lambda z: (np.hstack([-z, z]), 1 / (1 + np.exp(np.hstack([z, -z])))),
            [0.3, 0.7],
        ),
    ],
    ids=["logits", "softmax and thresholds", "sigmoid", "one logit and thresholds"],
)
def test_scores_and_probabilities_are_what_the_models_outputs_mean(df, make, scores, limits):
    model = make()
    x = TABLE[["age", "height"]].to_numpy("float32")
    raw, probability = scores(model.predict(x, verbose=0).astype("float64"))
    columns_ = {"rawPredictionCol": "raw", "probabilityCol": "p", "predictionCol": "class"}
    stage = KerasClassificationModel(model, featuresCols=["age", "height"], thresholds=limits, **columns_)

    found = stage.transform(df)

    ours = columns(found, "raw", "p", "class")
    np.testing.assert_allclose(ours[0], raw, 1e-5, 1e-6)
    np.testing.assert_allclose(ours[1], probability, 1e-5, 1e-6)
    chosen = (probability / (limits or 1)).argmax(axis=1)
    np.testing.assert_array_equal(ours[2], chosen)
    one = Vectors.dense(x[0])
    np.testing.assert_allclose(stage.predictRaw(one).toArray(), raw[0], 1e-5, 1e-6)
    np.testing.assert_allclose(stage.predictProbability(one).toArray(), probability[0], 1e-5, 1e-6)
    assert stage.predict(one) == chosen[0]
    alone = stage.copy({stage.rawPredictionCol: "", stage.probabilityCol: ""}).transform(df)
    assert alone.columns == [*df.columns, "class"]


def test_an_estimator_is_saved_with_its_model_and_a_class_that_nobody_registered_is_named(tmp_path):
    classifier = KerasClassifier(model=softmax(), featuresCols=["age", "height"], seed=4)
    classifier.save(str(tmp_path / "kept"))
    loaded = KerasClassifier.load(str(tmp_path / "kept"))

    assert (loaded.uid, loaded.features(), loaded.getOrDefault("seed")) == (
        classifier.uid,
        ["age", "height"],
        4,
    )
    again = loaded.model()
    for one, other in zip(again.get_weights(), softmax().get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert again.loss == "sparse_categorical_crossentropy"
    assert again.optimizer.get_config() == {**softmax().optimizer.get_config(), "name": again.optimizer.name}
    with pytest.raises(OptionError, match=r"kept holds a KerasClassifier, no KerasRegressor: use KerasClass"):
        KerasRegressor.load(str(tmp_path / "kept"))
    twice = define("import keras\nclass Twice(keras.layers.Layer):\n    def call(self, x): return 2 * x")
    model = keras.Sequential([keras.Input((2,)), twice["Twice"](), layers.Dense(1)])
    KerasRegressionModel(model).save(str(tmp_path / "own"))
    with pytest.raises(OptionError, match=r"Twice.*import first what defines its layers .*register_keras"):
        KerasRegressionModel.load(str(tmp_path / "own"))


def uncompiled():
    return keras.Sequential([keras.Input((2,)), layers.Dense(1)])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: KerasClassifier(model=uncompiled()),
            ModelError,
            r"not compiled: call model.compile\(optimizer, loss\) before KerasClassifier",
        ),
        (
            lambda: KerasClassifier(model="m.keras"),
            ModelError,
            r"KerasClassifier takes a keras.Model, not ",
        ),
        (lambda: KerasClassifier(epoch=2), OptionError, r"has no param epoch: did you mean epochs\? it has "),
        (lambda: KerasClassifier(epochs="two"), TypeError, r'"epochs". Could not convert two to int'),
        (lambda: KerasRegressor(modelArguments=[1]), TypeError, r"use a dict of arguments by name, such as"),
        (
            lambda: KerasRegressor(modelArguments={"a": net}),
            TypeError,
            r"use numbers, words and lists",
        ),
        (
            lambda: KerasRegressionModel(softmax()),
            ModelError,
            r"gives one number .* gives 3 numbers: end ",
        ),
        (
            lambda: KerasClassificationModel(net(3, None, "sparse_categorical_crossentropy")),
            ModelError,
            r"neither probabilities nor logits.*: end it with Dense\(3, activation='softmax'\), or ",
        ),
        (
            lambda: KerasClassificationModel(net(3, "softmax", "categorical_crossentropy")),
            OptionError,
            r"categorical_crossentropy does not take numbers .* loss='sparse_categorical_crossentropy'",
        ),
        (
            lambda: KerasClassificationModel(net(1, "sigmoid", "sparse_categorical_crossentropy")),
            OptionError,
            r"beside 1 output: compile the model with loss='binary_crossentropy'",
        ),
        (
            lambda: KerasClassificationModel(net(3, "sigmoid", "sparse_categorical_crossentropy")),
            ModelError,
            r"gives 3 sigmoids, which are no probabilities of one class out of 3: end it with Dense\(3, ",
        ),
    ],
)
def test_a_stage_that_cannot_be_is_refused_where_it_is_made(make, error, message):
    with pytest.raises(error, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("columns_", "params", "error", "message"),
    [
        (
            "a double, label string",
            {},
            DataError,
            r"'label' is string, and KerasClassifier takes numbers: ",
        ),
        (
            "a double, label date",
            {},
            DataError,
            r"'label' is date, and KerasClassifier takes numbers: ",
        ),
        (
            "a double, b int",
            {},
            DataError,
            r"label column 'label' is not in the DataFrame: .*has a double",
        ),
        ("b double, label int", {}, DataError, r"feature column 'a' is not in the DataFrame"),
        ("a double, label int", {"weightCol": "w"}, DataError, r"weight column 'w' is not in the DataFrame"),
        ("a double, label int", {"modelArguments": {"units": 1}}, OptionError, r"are of a function that bu"),
        ("a double, label int", {"model": None}, ModelError, r"KerasClassifier has no model: give it one, "),
        ("a double, label int", {"model": lambda: 1}, ModelError, r"KerasClassifier\(model=build\) takes a "),
        (
            "a double, label int",
            {"learningRate": -1.0},
            OptionError,
            r"learning rate -1.0 is no positive",
        ),
    ],
)
def test_columns_and_params_that_do_not_fit_are_refused_before_any_job(columns_, params, error, message):
    given = {"model": softmax(inputs=1), "featuresCols": ["a"], **params}
    with pytest.raises(error, match=message) as caught:
        KerasClassifier(**given).fit(Table(columns_))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("age", r"'label' holds -?\d\S*, which is no class: KerasClassifier takes whole numbers from 0"),
        ("fold - 1", r"label column 'label' goes down to -1: number classes from 0"),
        ("fold + 2", r"has 4 classes, and the model tells 3 apart: give its last layer 4 units"),
        ("double(NULL)", r"label column 'label' holds no number"),
    ],
)
def test_labels_that_are_no_classes_of_the_model_are_refused_before_the_training(df, label, message):
    labelled = df.selectExpr("*", f"{label} AS label")
    with pytest.raises(DataError, match=message) as caught:
        KerasClassifier(model=softmax(), featuresCols=["age", "height"]).fit(labelled)
    assert "\n" not in str(caught.value)


def test_columns_that_a_fitted_model_cannot_take_or_add_are_refused(df):
    stage = KerasClassificationModel(softmax(), featuresCol="kind")

    with pytest.raises(DataError, match=r"column 'kind' is string, and the model takes numbers there"):
        stage.transform(df)
    with pytest.raises(DataError, match=r"has a column 'weight' already: rename it, or set another name"):
        stage.copy({stage.featuresCol: "age", stage.predictionCol: "weight"}).transform(
            df.withColumn("age", F.array("age", "height"))
        )
    with pytest.raises(OptionError, match=r"thresholds=\[0.5\]: give a number above 0 for each of the 3"):
        stage.setParams(thresholds=[0.5]).transform(df)


def test_more_classes_than_outputs_are_named_as_string_indexer_names_them_without_a_job(df, monkeypatch):
    names = {"type": "nominal", "vals": ["a", "b", "c", "d"]}
    labelled = df.select("age", F.col("fold").alias("label", metadata={"ml_attr": names}))
    monkeypatch.setattr(inference, "attended", None)

    with pytest.raises(
        DataError, match=r"4 classes \('a', 'b', 'c', 'd'\), and the model tells 3 apart: give"
    ):
        KerasClassifier(model=softmax(inputs=1), featuresCols=["age"]).fit(labelled)


def test_a_model_that_says_nothing_of_its_outputs_is_asked_for_one_row(df):
    model = define(
        """
import keras

class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.last = keras.layers.Dense(3, activation="softmax")

    def call(self, x):
        return self.last(x)
"""
    )["Net"]()
    model.compile("sgd", "sparse_categorical_crossentropy")
    labelled = df.withColumn("label", F.col("fold"))

    fitted = KerasClassifier(model=model, featuresCols=["age", "height"], **PARAMS).fit(labelled)

    x = TABLE[["age", "height"]].to_numpy("float32")
    assert (fitted.numClasses, model.built) == (3, False)
    found = columns(fitted.transform(labelled), "probability")[0]
    np.testing.assert_allclose(found, fitted.model(x), 1e-5, 1e-6)
    with pytest.raises(ModelError, match=r"does not say how many outputs it has: give them, .*outputs=…"):
        KerasClassificationModel(fitted.model)


def test_copies_of_a_stage_look_at_their_model_one_after_the_other(monkeypatch, df):
    looking, seen = threading.Semaphore(1), []

    def predict(*_, **__):
        alone = looking.acquire(blocking=False)
        seen.append(alone)
        both.wait(0.3)  # the other would have come by then
        looking.release()
        return df

    both, stage = threading.Event(), KerasRegressionModel(net())
    monkeypatch.setattr(nbkeras.api, "predict", predict)
    threads = [threading.Thread(target=one._predicted, args=(df,)) for one in (stage, stage.copy())]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    assert seen == [True, True]
