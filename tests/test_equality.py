from __future__ import annotations

import keras
import numpy as np
import pandas as pd
import pytest
from pyspark.sql import functions as F
from twins import assert_same_history, assert_same_model, columns, define, eagerly, twins, value

import nbkeras

pytestmark = pytest.mark.usefixtures("any_backend")

SHAPE, CLASSES = 5, 3
#: The first value is for a local Spark.
ELSEWHERE = pytest.mark.smoke("oldest", "connect")


def noisy(rows, seed=0):
    """Rows that no model separates: features, class, weight, and a number."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, SHAPE)).astype("float32")
    kind = (x @ random.normal(size=(SHAPE, CLASSES)) + 2 * random.normal(size=(rows, CLASSES))).argmax(axis=1)
    weight = random.uniform(0.25, 2, rows)
    number = x.sum(axis=1) + random.normal(size=rows)
    return x, kind, weight, number


def frame(spark, rows, seed=0):
    x, kind, weight, number = noisy(rows, seed)
    return spark.createDataFrame(
        pd.DataFrame(
            {
                "features": list(x),
                "kind": kind,
                "one_hot": list(np.eye(CLASSES, dtype="float32")[kind]),
                "weight": weight,
                "number": number,
                "even": (kind == 0).astype("int64"),
            }
        )
    )


@pytest.fixture(scope="module")
def train(spark):
    return frame(spark, 101).cache()


@pytest.fixture(scope="module")
def held_out(spark):
    return frame(spark, 37, seed=5).cache()


def adam():
    return keras.optimizers.Adam(0.01)


def momentum():
    return keras.optimizers.SGD(0.05, momentum=0.9)


def classifier(optimizer=adam, **compiled):
    model = keras.Sequential(
        [
            keras.Input((SHAPE,)),
            keras.layers.Dense(8, activation="tanh", kernel_regularizer=keras.regularizers.L2(0.01)),
            keras.layers.Dense(CLASSES, activation="softmax"),
        ]
    )
    model.compile(optimizer(), "categorical_crossentropy", **compiled)
    return model


def regressor(optimizer=adam, **compiled):
    model = keras.Sequential([keras.Input((SHAPE,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(1)])
    model.compile(optimizer(), "mse", **{"metrics": ["mae"], **compiled})
    return model


def some_metrics():
    return ["accuracy", keras.metrics.F1Score(average=None, name="f1")]


def more_metrics():
    return [*some_metrics(), keras.metrics.AUC(name="auc")]


def every_metric():
    return [
        *more_metrics(),
        keras.metrics.Precision(name="precision"),
        keras.metrics.Recall(name="recall"),
    ]


def squares():
    return keras.metrics.MeanSquaredError(name="squares")


@pytest.mark.parametrize(
    ("workers", "optimizer", "metrics", "backend"),
    [
        pytest.param(3, adam, more_metrics, "tensorflow", id="3-adam"),
        pytest.param(3, adam, some_metrics, "auto", id="3-adam on any backend", marks=ELSEWHERE),
        *(
            pytest.param(*more, every_metric, "tensorflow", id=name, marks=pytest.mark.soak)
            for name, more in {
                "1-adam": (1, adam),
                "1-momentum": (1, momentum),
                "2-adam": (2, adam),
                "2-momentum": (2, momentum),
                "3-momentum": (3, momentum),
                "3-adam and every metric": (3, adam),
            }.items()
        ),
    ],
)
def test_weights_optimizer_and_every_metric_are_those_of_one_process(
    spark, train, held_out, workers, optimizer, metrics, backend
):
    ours, theirs = twins(lambda: classifier(optimizer, metrics=metrics(), weighted_metrics=[squares()]))

    run = nbkeras.fit(
        ours,
        train,
        "one_hot",
        features=["features"],
        sample_weight="weight",
        validation_data=held_out,
        validation_batch_size=16,
        epochs=3,
        shuffle=False,
        workers=workers,
        backend=backend,
        spark=spark,
    )

    x, y, weight = columns(train, "features", "one_hot", "weight")
    done = eagerly(theirs).fit(
        x,
        y,
        sample_weight=weight,
        validation_data=tuple(columns(held_out, "features", "one_hot", "weight")),
        validation_batch_size=16,
        epochs=3,
        shuffle=False,
        verbose=0,
    )
    assert_same_history(run.history, done.history)
    assert_same_model(ours, theirs)
    curves = run.snapshot().curves
    per_class = {f"f1[{index}]" for index in range(CLASSES)}
    assert per_class <= set(curves)
    assert "f1" not in curves
    assert curves["val_f1[2]"] == [epoch[2] for epoch in run.history["val_f1"]]


@pytest.mark.parametrize(
    ("rows", "batch_size", "workers"),
    [
        pytest.param(1, 1, 2, id="one row and a worker without any"),
        pytest.param(11, 2, 3, id="steps with fewer rows than workers", marks=pytest.mark.soak),
        pytest.param(2, 32, 3, id="a worker without any row", marks=pytest.mark.soak),
        pytest.param(64, 32, 3, id="whole batches that do not divide", marks=pytest.mark.soak),
    ],
)
def test_sizes_that_do_not_divide_change_nothing(spark, rows, batch_size, workers):
    df = frame(spark, rows)
    ours, theirs = twins(lambda: classifier(metrics=some_metrics()))

    run = nbkeras.fit(
        ours,
        df,
        "one_hot",
        features="features",
        epochs=2,
        batch_size=batch_size,
        shuffle=False,
        workers=workers,
        backend="tensorflow",
        spark=spark,
    )

    x, y = columns(df, "features", "one_hot")
    done = eagerly(theirs).fit(x, y, epochs=2, batch_size=batch_size, shuffle=False, verbose=0)
    assert_same_history(run.history, done.history)
    assert_same_model(ours, theirs)


def test_an_empty_partition_and_fewer_validation_rows_than_workers_change_nothing(spark):
    df = spark.range(0, 90, 1, 3).selectExpr(
        "id",
        "array(sin(id), cos(3 * id), sin(7 * id), cos(id * id), 1) AS features",
        "sin(id) + cos(5 * id) AS number",
    )
    df = df.where("id < 30 OR id >= 60").drop("id")
    sizes = df.groupBy(F.spark_partition_id()).count().collect()
    assert sorted(map(tuple, sizes)) == [(0, 30), (2, 30)]
    few = df.orderBy("number").limit(2)
    ours, theirs = twins(regressor)

    run = nbkeras.fit(
        ours, df, "number", validation_data=few, epochs=2, shuffle=False, workers=3, spark=spark
    )

    x, y = columns(df, "features", "number")
    pair = tuple(columns(few, "features", "number"))
    done = eagerly(theirs).fit(x, y, validation_data=pair, epochs=2, shuffle=False, verbose=0)
    assert_same_history(run.history, done.history)
    assert_same_model(ours, theirs)


NOTEBOOK = """
import keras
from keras import ops

SCALE = 0.5

def halved(x):
    return SCALE * x

class Gate(keras.layers.Layer):
    def __init__(self, start):
        super().__init__()
        self.start = start

    def build(self, shape):
        self.gate = self.add_weight(shape=(shape[-1],), initializer=keras.initializers.Constant(self.start))

    def call(self, x):
        return halved(x) * ops.sigmoid(self.gate)

def huberish(y, predicted):
    error = ops.abs(y - predicted)
    return ops.mean(ops.where(error < 1, error * error, error), axis=-1)

class Quartic(keras.losses.Loss):
    def call(self, y, predicted):
        return ops.mean(SCALE * (y - predicted) ** 4, axis=-1)

class Near(keras.metrics.Metric):
    def __init__(self, within, **kwargs):
        super().__init__(**kwargs)
        self.within = within
        self.hits = self.add_weight(initializer="zeros", name="hits")
        self.rows = self.add_weight(initializer="zeros", name="rows")

    def update_state(self, y, predicted, sample_weight=None):
        near = ops.cast(ops.abs(y - predicted) < self.within, "float32")
        self.hits.assign_add(ops.sum(near))
        self.rows.assign_add(ops.cast(ops.size(near), "float32"))

    def result(self):
        return self.hits / self.rows

def bias(y, predicted):
    return ops.mean(predicted - y, axis=-1)

def make(loss):
    model = keras.Sequential([
        keras.Input((5,)), keras.layers.Dense(4), Gate(0.3), keras.layers.Dense(1, activation=halved)
    ])
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=[Near(0.5, name="near"), bias])
    return model
"""


@pytest.mark.parametrize("loss", [pytest.param("huberish", marks=pytest.mark.soak), "Quartic"])
def test_layers_losses_and_metrics_of_the_notebook_train_like_keras_own(spark, train, loss):
    notebook = define(NOTEBOOK)
    chosen = notebook["huberish"] if loss == "huberish" else notebook["Quartic"]()
    ours, theirs = twins(lambda: notebook["make"](chosen))
    df = train.select("features", train.number.alias("y")).selectExpr("features", "array(y) AS y")

    how = {"epochs": 2, "shuffle": False}
    run = nbkeras.fit(ours, df, "y", workers=2, backend="tensorflow", spark=spark, **how)

    done = eagerly(theirs).fit(*columns(df, "features", "y"), verbose=0, **how)
    assert_same_history(run.history, done.history)
    assert_same_model(ours, theirs)


def two_ended():
    left = keras.Input((SHAPE,), name="features")
    right = keras.Input((1,), name="weight")
    body = keras.layers.Dense(6, activation="tanh")(keras.layers.Concatenate()([left, right]))
    kind = keras.layers.Dense(CLASSES, activation="softmax", name="kind")(body)
    number = keras.layers.Dense(1, name="number")(body)
    model = keras.Model([left, right], {"kind": kind, "number": number})
    model.compile(
        adam(),
        {"kind": "sparse_categorical_crossentropy", "number": "mse"},
        loss_weights={"kind": 1.0, "number": 0.3},
        metrics={"kind": ["accuracy"], "number": ["mae"]},
    )
    return model


@pytest.mark.parametrize("rows", [pytest.param(96, marks=pytest.mark.soak), 101])
def test_several_inputs_and_outputs_train_like_keras_own(spark, held_out, rows):
    ours, theirs = twins(two_ended)
    df = frame(spark, rows)
    used = ["weight", "kind", "features", "number"]

    run = nbkeras.fit(
        ours,
        df.select(*used),
        {"kind": "kind", "number": "number"},
        validation_data=held_out,
        epochs=2,
        shuffle=False,
        workers=2,
        backend="tensorflow",
        spark=spark,
    )

    assert run.notes == []

    def arrays(df):
        features, weight, kind, number = columns(df, "features", "weight", "kind", "number")
        return {"features": features, "weight": weight.reshape(-1, 1)}, {"kind": kind, "number": number}

    done = eagerly(theirs).fit(
        *arrays(df), validation_data=arrays(held_out), epochs=2, shuffle=False, verbose=0
    )
    assert_same_model(ours, theirs)
    assert_same_history(run.history, done.history)


@pytest.mark.parametrize(("one_hot", "workers"), [(False, 2), (True, 1)])
def test_a_class_without_a_weight_weighs_one(spark, one_hot, workers):
    random = np.random.default_rng(3)
    x, kind = random.normal(size=(60, SHAPE)).astype("float32"), random.integers(0, CLASSES, 60)
    loss = "categorical_crossentropy" if one_hot else "sparse_categorical_crossentropy"

    def make():
        layers = [keras.Input((SHAPE,)), keras.layers.Dense(CLASSES, "softmax")]
        model = keras.Sequential(layers)
        model.compile("sgd", loss)
        return model

    ours, theirs = twins(make)
    y = np.eye(CLASSES, dtype="float32")[kind] if one_hot else kind
    options = {"class_weight": {0: 5.0}, "epochs": 2, "shuffle": False}
    run = nbkeras.fit(ours, x, y, workers=workers, spark=spark, **options)
    assert run.history["loss"] == pytest.approx(
        eagerly(theirs).fit(x, y, verbose=0, **options).history["loss"], rel=1e-5
    )
    assert_same_model(ours, theirs)


def test_class_weights_and_a_learning_rate_schedule_act_as_in_keras(spark, train, held_out):
    def make():
        decay = keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.7)
        model = keras.Sequential([keras.Input((SHAPE,)), keras.layers.Dense(CLASSES)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(decay, momentum=0.9), loss, metrics=["accuracy"])
        return model

    ours, theirs = twins(make)
    options = {"class_weight": {0: 0.3, 1: 1.0, 2: 2.5}, "epochs": 3, "shuffle": False}
    options["validation_freq"] = [2]

    run = nbkeras.fit(
        ours,
        train,
        "kind",
        features="features",
        validation_data=held_out,
        workers=2,
        spark=spark,
        **options,
    )

    pair = tuple(columns(held_out, "features", "kind"))
    done = eagerly(theirs).fit(
        *columns(train, "features", "kind"), validation_data=pair, verbose=0, **options
    )
    assert_same_history(run.history, done.history)
    assert_same_model(ours, theirs)


@pytest.mark.soak  # test_images.py and test_outputs.py have arrays of pictures, and labels as a list
@pytest.mark.parametrize("shape", [pytest.param((6, 3), id="3-D"), pytest.param((6, 6, 2), id="4-D")])
def test_nested_arrays_keep_their_shape_and_labels_as_a_list_go_to_the_outputs_in_their_order(spark, shape):
    random = np.random.default_rng(3)
    rows = [
        (one.tolist(), float(one[0].sum() + random.normal()), index % 2)
        for index, one in enumerate(random.normal(size=(45, *shape)))
    ]
    df = spark.createDataFrame(rows, ["x", "number", "even"])
    layer = keras.layers.Conv1D if len(shape) == 2 else keras.layers.Conv2D

    def make():
        inputs = keras.Input(shape)
        body = keras.layers.Flatten()(layer(3, 3, activation="tanh")(inputs))
        outputs = [keras.layers.Dense(1)(body), keras.layers.Dense(1, activation="sigmoid")(body)]
        model = keras.Model(inputs, outputs)
        model.compile(momentum(), ["mse", "binary_crossentropy"])
        return model

    ours, theirs = twins(make)

    run = nbkeras.fit(
        ours,
        df,
        ["number", "even"],
        features="x",
        epochs=2,
        batch_size=16,
        shuffle=False,
        workers=2,
        backend="tensorflow",
        spark=spark,
    )

    x, number, even = columns(df, "x", "number", "even")
    done = eagerly(theirs).fit(x, [number, even], epochs=2, batch_size=16, shuffle=False, verbose=0)
    # Unnamed outputs are numbered through all models of the process.
    ours_by_output, theirs_by_output = (list(history.values()) for history in (run.history, done.history))
    np.testing.assert_allclose(ours_by_output, theirs_by_output, 1e-5)
    assert_same_model(ours, theirs)


@pytest.mark.quick
def test_fit_again_continues_and_the_model_can_be_saved(spark, train, tmp_path):
    ours, theirs = twins(classifier)
    options = {"epochs": 2, "shuffle": False}
    how = {"features": "features", "backend": "tensorflow", "spark": spark, **options}

    runs = [nbkeras.fit(ours, train, "one_hot", workers=workers, **how) for workers in (2, 1)]

    x, y = columns(train, "features", "one_hot")
    for run in runs:
        assert_same_history(run.history, eagerly(theirs).fit(x, y, verbose=0, **options).history)
    assert_same_model(ours, theirs)
    ours.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), ours.predict(x, verbose=0))
    # And Keras itself goes on where Spark has ended.
    for model in (ours, theirs, loaded):
        model.fit(x, y, verbose=0, **options)
    assert_same_model(ours, theirs)
    assert_same_model(loaded, theirs)


SUBCLASSED = """
import keras

class Recipe:
    def __init__(self, widths):
        self.widths = widths

class Stack(keras.Model):
    def __init__(self, recipe, activation):
        super().__init__()
        self.hidden = [keras.layers.Dense(width) for width in recipe.widths]
        self.named = {"last": keras.layers.Dense(1)}
        self.activation = activation

    def call(self, x, training=False):
        for layer in self.hidden:
            x = self.activation(layer(x))
        return self.named["last"](x)

def make():
    model = Stack(Recipe([4, 3]), lambda x: keras.ops.tanh(x))
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    return model
"""


def unbuilt():
    model = keras.Sequential([keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(1)])
    model.compile(adam(), "mse", metrics=["mae"])
    return model


@pytest.mark.parametrize("kind", ["subclassed", pytest.param("unbuilt", marks=pytest.mark.soak)])
def test_models_that_wait_for_their_first_batch_train_like_keras_own(spark, train, kind):
    ours, theirs = twins(define(SUBCLASSED)["make"] if kind == "subclassed" else unbuilt)

    how = {"epochs": 2, "shuffle": False}
    on_spark = {"workers": 1, "backend": "tensorflow", "spark": spark}

    run = nbkeras.fit(ours, train, "number", features="features", **on_spark, **how)

    x, y = columns(train, "features", "number")
    done = eagerly(theirs).fit(x, y, verbose=0, **how)
    assert_same_history(run.history, done.history)
    assert_same_model(ours, theirs)
    np.testing.assert_allclose(ours.predict(x, verbose=0), theirs.predict(x, verbose=0), 1e-4, 1e-5)


def test_arrays_with_weights_and_a_split_train_like_keras_own(spark):
    x, _, weight, number = noisy(75)
    ours, theirs = twins(regressor)
    options = {
        "sample_weight": weight,
        "validation_split": 0.3,
        "epochs": 2,
        "shuffle": False,
        "batch_size": 16,
    }

    run = nbkeras.fit(ours, x.astype("float64"), number, workers=2, spark=spark, **options)

    done = eagerly(theirs).fit(x, number, verbose=0, **options)
    assert_same_history(run.history, done.history)
    assert_same_model(ours, theirs)


def test_pandas_trains_like_keras_own_by_array_and_by_name(spark):
    x, _, _, number = noisy(50)
    table = pd.DataFrame(x, columns=list("abcde"))
    label = pd.Series(number, name="label")
    by_array, theirs = twins(regressor)
    by_name, _ = twins(regressor)
    options = {"epochs": 2, "shuffle": False}

    runs = [
        nbkeras.fit(by_array, table, label, workers=1, spark=spark, **options),
        nbkeras.fit(by_name, table.assign(label=label), "label", workers=1, spark=spark, **options),
    ]

    done = eagerly(theirs).fit(table, label, verbose=0, **options)
    for model, run in zip((by_array, by_name), runs, strict=True):
        assert_same_history(run.history, done.history)
        assert_same_model(model, theirs)


CENTRED = """
import keras

class Centred(keras.layers.Layer):
    def call(self, x):
        return x - keras.ops.mean(x, axis=0, keepdims=True)
"""


def test_layers_that_couple_rows_train_and_are_named(spark, train):
    model = keras.Sequential(
        [
            keras.Input((SHAPE,)),
            define(CENTRED)["Centred"](),
            keras.layers.Dense(4),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(1),
        ]
    )
    model.compile(adam(), "mse")
    before = [value(one) for one in model.weights]

    run = nbkeras.fit(model, train, "number", features="features", epochs=2, workers=2, spark=spark)

    assert run.status == "finished"
    assert [note for note in run.notes if note.startswith("BatchNormalization: with 2 workers")]
    assert [
        note for note in run.notes if note.startswith("the model's output for a row depends on the other")
    ]
    moved = [not np.array_equal(one, value(new)) for one, new in zip(before, model.weights, strict=True)]
    assert all(moved)
    assert np.isfinite(run.history["loss"]).all()


MADE_LATE = """
import keras

class MadeLate(keras.Model):
    def build(self, shape):
        self.normal, self.last = keras.layers.BatchNormalization(), keras.layers.Dense(1)
        super().build(shape)

    def call(self, x):
        return self.last(self.normal(x))
"""


def test_layers_that_are_made_when_the_model_is_built_are_named_too(spark, train):
    model = define(MADE_LATE)["MadeLate"]()
    model.compile("sgd", "mse")
    run = nbkeras.fit(model, train, "number", features="features", workers=2, spark=spark)
    assert [note for note in run.notes if note.startswith("BatchNormalization: with 2 workers")]


def test_with_one_worker_nothing_is_noted_about_rows_that_are_coupled(spark, train):
    def make():
        model = keras.Sequential(
            [keras.Input((SHAPE,)), keras.layers.BatchNormalization(), keras.layers.Dense(1)]
        )
        model.compile(momentum(), "mse")
        return model

    ours, theirs = twins(make)

    how = {"epochs": 2, "shuffle": False}
    on_spark = {"workers": 1, "backend": "tensorflow", "spark": spark}

    run = nbkeras.fit(ours, train, "number", features="features", **on_spark, **how)

    done = eagerly(theirs).fit(*columns(train, "features", "number"), verbose=0, **how)
    assert run.notes == []
    assert_same_history(run.history, done.history)
    assert_same_model(ours, theirs)
