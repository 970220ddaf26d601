"""Structures of labels and sample weights: several outputs, outputs without a loss, models without labels."""

from __future__ import annotations

import keras
import numpy as np
import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from twins import eagerly

import nbkeras
from nbkeras.errors import DataError, ModelError, OptionError

pytestmark = pytest.mark.usefixtures("any_backend", "as_in_a_notebook", "predicts_on_spark")
ROWS = 30
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(ROWS, 3)).astype("float32")
NAMES = st.lists(st.sampled_from("abcdef"), min_size=2, max_size=3, unique=True)
#: Whether an output has a loss, in a dict, list or tuple of outputs, one of which has one.
STRUCTURES = st.one_of(
    NAMES.flatmap(lambda names: st.fixed_dictionaries(dict.fromkeys(names, st.booleans()))),
    st.lists(st.booleans(), min_size=2, max_size=3),
    st.tuples(st.booleans(), st.booleans()),
).filter(lambda structure: any(keras.tree.flatten(structure)))


def several(structure):
    """A compiled model with such outputs, always with the same weights."""
    keras.utils.set_random_seed(3)
    x = keras.Input((3,), name="x")
    names = iter("abc")
    outputs = keras.tree.map_structure(lambda _: keras.layers.Dense(1, name=next(names))(x), structure)
    model = keras.Model(x, outputs)
    model.compile(
        keras.optimizers.SGD(0.1), keras.tree.map_structure(lambda one: "mse" if one else None, structure)
    )
    return model


def trained(make, x, y, weights, workers, spark):
    """Losses of plain Keras and of Spark, with validation and evaluation on the same arrays."""
    how = {"epochs": 2, "batch_size": 8, "shuffle": False, "verbose": 0}
    validation = (x, y) if weights is None else (x, y, weights)
    plain, ours = make(), make()
    theirs = plain.fit(x, y, sample_weight=weights, validation_data=validation, **how).history
    how |= {"workers": workers, "backend": "tensorflow", "spark": spark}
    run = nbkeras.fit(ours, x, y, sample_weight=weights, validation_data=validation, **how)
    evaluated = nbkeras.evaluate(ours, x, y, sample_weight=weights, spark=spark)
    return (
        theirs,
        run.history,
        plain.evaluate(x, y, sample_weight=weights, verbose=0, return_dict=True),
        evaluated,
    )


@pytest.mark.filterwarnings("ignore:Gradients do not exist")  # those of an output without a loss
@settings(max_examples=settings.default.max_examples // 33, phases=(Phase.explicit, Phase.generate))
@given(
    structure=STRUCTURES, weighted=st.sampled_from(["no", "rows", "outputs"]), workers=st.sampled_from([1, 2])
)
def test_labels_and_weights_in_the_models_own_structure_train_as_in_keras(
    spark, structure, weighted, workers
):
    def arrays(make):
        return keras.tree.map_structure(lambda one: make() if one else None, structure)

    y = arrays(lambda: RANDOM.normal(size=(ROWS, 1)).astype("float32"))
    weights = {"no": lambda: None, "rows": lambda: np.linspace(0.2, 2, ROWS, dtype="float32")}.get(
        weighted, lambda: arrays(lambda: RANDOM.uniform(0.2, 2, ROWS).astype("float32"))
    )()

    theirs, ours, expected, evaluated = trained(lambda: several(structure), X, y, weights, workers, spark)

    assert ours.keys() == theirs.keys()
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, 1e-4, err_msg=name)
    assert evaluated == pytest.approx(expected, rel=1e-4)


def table(spark, **columns):
    """A DataFrame of one partition with these columns, in the arrays' order."""
    rows = [tuple(np.asarray(one).tolist() for one in row) for row in zip(*columns.values(), strict=True)]
    types = ["float", "array<float>", "array<array<float>>"]
    types = [types[np.ndim(values) - 1] for values in columns.values()]
    schema = ", ".join(f"{name} {kind}" for name, kind in zip(columns, types, strict=True))
    return spark.createDataFrame(rows, schema).coalesce(1)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_columns_are_labels_and_weights_of_each_output_and_an_output_may_have_none(spark):
    price, weight = RANDOM.normal(size=ROWS).astype("float32"), np.linspace(0.2, 2, ROWS, dtype="float32")
    df = table(spark, x=X, price=price, importance=weight)
    how = {"shuffle": False, "verbose": 0, "batch_size": 8}
    right = several([True, False]).fit(X, [price, None], sample_weight=[weight, None], **how).history

    how |= {"sample_weight": ["importance", None], "validation_data": df, "workers": 1, "spark": spark}
    run = nbkeras.fit(several([True, False]), df, ["price", None], **how)

    np.testing.assert_allclose(run.history["loss"], right["loss"], 1e-5)


#: How rows come, and to how many workers: each of both in every run.
COMES = pytest.mark.parametrize(
    ("how", "workers"),
    [
        ("arrays", 2),
        ("columns", 1),
        *(pytest.param(*more, marks=pytest.mark.soak) for more in (("arrays", 1), ("columns", 2))),
    ],
)


@COMES
def test_weights_of_time_steps_come_from_arrays_and_from_columns(spark, how, workers):
    def make():
        keras.utils.set_random_seed(3)
        model = keras.Sequential([keras.Input((4, 1)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(0.1), "mse", weighted_metrics=["mae"])
        return model

    x, y = (RANDOM.normal(size=(ROWS, 4, 1)).astype("float32") for _ in range(2))
    weights = RANDOM.uniform(0, 2, (ROWS, 4)).astype("float32")
    options = {"shuffle": False, "verbose": 0, "batch_size": 8}
    right = eagerly(make()).fit(x, y, sample_weight=weights, **options).history
    data = x, y
    if how == "columns":
        data, weights = (table(spark, x=x, y=y, w=weights), "y"), "w"

    run = nbkeras.fit(make(), *data, sample_weight=weights, workers=workers, spark=spark, **options)

    for name, values in right.items():
        np.testing.assert_allclose(run.history[name], values, 1e-4)


class Reconstruct(keras.Model):
    """A model with steps of its own, which take x alone, not in a tuple."""

    def __init__(self):
        super().__init__()
        keras.utils.set_random_seed(3)
        self.dense, self.mean = keras.layers.Dense(3), 0.5

    def call(self, x):
        return self.dense(x)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean(keras.ops.square(x - y_pred))

    def test_step(self, *arguments):  # on JAX the state comes before the data
        x = arguments[-1]
        logs = {"error": keras.ops.mean(keras.ops.square(x - self.mean)), "rank": 1.0 * len(x.shape)}
        return (logs, arguments[0]) if len(arguments) > 1 else logs

    def predict_step(self, x):
        return {"twice": 2 * self(x)}


def reconstruct():
    model = Reconstruct()
    model.compile(keras.optimizers.SGD(0.1))
    return model


@COMES
def test_a_model_that_needs_no_labels_takes_none(spark, how, workers):
    plain, ours = eagerly(reconstruct()), reconstruct()
    options = {"epochs": 2, "batch_size": 8, "shuffle": False, "verbose": 0}
    right = plain.fit(X, **options).history
    expected = plain.evaluate(X, batch_size=8, verbose=0, return_dict=True)
    data = X if how == "arrays" else table(spark, x=X)

    options |= {"workers": workers, "backend": "tensorflow", "spark": spark}
    run = nbkeras.fit(ours, data, validation_data=data, **options)

    np.testing.assert_allclose(run.history["loss"], right["loss"], 1e-5)
    assert run.history["val_rank"] == [2.0, 2.0]
    assert nbkeras.evaluate(ours, data, batch_size=8, spark=spark) == pytest.approx(expected, rel=1e-5)
    if how == "arrays":
        np.testing.assert_allclose(nbkeras.predict(ours, X, spark=spark)["twice"], 2 * plain(X), 1e-4, 1e-5)


@pytest.mark.parametrize("backend", ["torch", pytest.param("jax", marks=pytest.mark.soak)])
def test_a_step_gets_x_alone_on_every_backend(spark, backend):
    model = reconstruct()
    model.jit_compile = False

    run = nbkeras.fit(
        model, X, validation_data=(X,), batch_size=8, workers=1, backend=backend, verbose=0, spark=spark
    )

    assert run.history["val_rank"] == [2.0]


def test_an_autoencoder_takes_the_column_that_is_its_label_too(spark):
    def make(name):
        keras.utils.set_random_seed(3)
        model = keras.Sequential([keras.Input((3,), name=name), keras.layers.Dense(3)])
        model.compile(keras.optimizers.SGD(0.1), "mse")
        return model

    how = {"batch_size": 8, "shuffle": False, "verbose": 0}
    right = eagerly(make("picture")).fit(X, X, **how).history["loss"]
    alone, beside = table(spark, picture=X), table(spark, picture=X, id=np.arange(ROWS, dtype="float32"))

    for model, data in ((make("any"), alone), (make("picture"), beside)):
        ours = nbkeras.fit(model, data, "picture", workers=1, spark=spark, **how).history["loss"]
        np.testing.assert_allclose(ours, right, 1e-5)


def test_labels_that_a_model_needs_are_asked_for(spark):
    model = several({"a": True, "b": True})

    for data in (X, table(spark, x=X)):
        with pytest.raises(DataError, match=r"^y is missing"):
            nbkeras.fit(model, data, workers=1, spark=spark)
    y = {"a": X[:, :1], "b": X[:, :1]}
    with pytest.raises(DataError, match=r"^validation_data has no label"):
        nbkeras.fit(model, X, y, validation_data=(X,), workers=1, spark=spark)
    with pytest.raises(DataError, match=r"^y of validation_data is nested otherwise than y"):
        nbkeras.fit(model, X, y, validation_data=(X, [X[:, :1], X[:, :1]]), workers=1, spark=spark)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_weights_are_nested_as_the_labels_and_a_split_leaves_outputs_without_labels_alone(spark):
    y, how = [X[:, :1], None], {"workers": 1, "verbose": 0, "shuffle": False, "spark": spark}
    for data, labels, weight in (
        (X, {"a": y[0], "b": y[0]}, X[:, 0]),
        (table(spark, x=X, y=X[:, 0], w=X[:, 0]), {"a": "y", "b": "y"}, "w"),
    ):
        with pytest.raises(
            DataError, match=r"^sample_weight is nested otherwise than y \(got 'a' beside 'a', 'b'\)"
        ):
            nbkeras.fit(several({"a": True, "b": True}), data, labels, sample_weight={"a": weight}, **how)

    right = several([True, False]).fit(X, y, validation_split=0.2, verbose=0, shuffle=False).history
    run = nbkeras.fit(several([True, False]), X, y, validation_split=0.2, **how)

    np.testing.assert_allclose(run.history["val_loss"], right["val_loss"], 1e-5)


def test_class_weights_are_for_one_label_without_sample_weights(spark):
    y = X[:, :1]
    how = {"class_weight": {0: 2.0}, "spark": spark}
    with pytest.raises(OptionError, match=r"^class_weight and sample_weight exclude each other"):
        nbkeras.fit(several([True, True]), X, [y, y], sample_weight=np.ones(ROWS), **how)
    with pytest.raises(OptionError, match=r"^class_weight is for one label per row, and there are 2"):
        nbkeras.fit(several([True, True]), X, [y, y], **how)


def test_a_frame_of_polars_is_taken_by_its_columns_or_as_an_array(spark):
    def make():
        keras.utils.set_random_seed(3)
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(0.1), "mse")
        return model

    frame = pl.DataFrame({"a": X[:, 0], "b": X[:, 1], "y": X[:, 2]})
    features, label = frame.select("a", "b"), frame["y"]
    how = {"batch_size": 8, "shuffle": False, "verbose": 0}
    right = eagerly(make()).fit(X[:, :2], X[:, 2], **how).history["loss"]

    model = make()
    by_name = nbkeras.fit(model, frame, "y", workers=1, spark=spark, **how).history["loss"]
    arrays = nbkeras.fit(make(), features, label, workers=1, spark=spark, **how).history["loss"]

    np.testing.assert_allclose([by_name, arrays], [right, right], 1e-5)
    found = nbkeras.predict(model, features, spark=spark)
    assert found.columns == ["a", "b", "prediction"]
    np.testing.assert_allclose(found["prediction"], model.predict(X[:, :2], verbose=0)[:, 0], 1e-4, 1e-5)


def test_a_model_of_a_fixed_batch_with_a_state_trains_evaluates_and_predicts_in_keras_own_batches(
    spark, capsys
):
    def make():
        keras.utils.set_random_seed(3)
        layers = [keras.layers.LSTM(3, stateful=True, name="memory"), keras.layers.Dense(1)]
        model = keras.Sequential([keras.Input(batch_shape=(4, 5, 2)), *layers])
        model.compile(keras.optimizers.SGD(0.1), "mse")
        return model

    x, y = RANDOM.normal(size=(16, 5, 2)).astype("float32"), RANDOM.normal(size=(16, 1)).astype("float32")
    plain, ours = make(), make()
    how = {"batch_size": 4, "epochs": 2, "shuffle": False, "verbose": 0}
    right = plain.fit(x, y, **how).history["loss"]

    run = nbkeras.fit(ours, x, y, workers=1, backend="tensorflow", spark=spark, **how)

    np.testing.assert_allclose(run.history["loss"], right, 1e-5)
    for found, expected in zip(ours.layers[0].states, plain.layers[0].states, strict=True):
        np.testing.assert_allclose(found, expected, 1e-4, 1e-6)
    expected = plain.evaluate(x, y, batch_size=4, verbose=0)
    assert nbkeras.evaluate(ours, x, y, batch_size=4, spark=spark)["loss"] == pytest.approx(
        expected, rel=1e-4
    )
    assert "on one worker: layer 'memory' keeps its state from batch to batch" in capsys.readouterr().out
    ours.layers[0].reset_state()
    plain.layers[0].reset_state()
    predicted = nbkeras.predict(ours, x, batch_size=4, spark=spark)
    np.testing.assert_allclose(predicted, plain.predict(x, batch_size=4, verbose=0), 1e-4, 1e-6)
    with pytest.raises(
        ModelError, match=r"keeps its state .* predict arrays, model\.predict\(x, batch_size=…\)$"
    ):
        nbkeras.predict(
            ours, spark.createDataFrame([([[0.0] * 2] * 5,)], "x array<array<float>>"), spark=spark
        )
    with pytest.raises(ModelError, match=r"keeps its state from batch to batch: use --workers 1"):
        nbkeras.fit(make(), x, y, workers=2, spark=spark, **how)
