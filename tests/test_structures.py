"""Structures of inputs: dicts, lists and tuples of arrays train, evaluate and predict as in Keras."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twins import eagerly

import nbkeras
from nbkeras.errors import DataError

pytestmark = pytest.mark.usefixtures("any_backend", "as_in_a_notebook", "predicts_on_spark")
ROWS = 12
RANDOM = np.random.default_rng(0)
Y = RANDOM.normal(size=(ROWS, 1)).astype("float32")
NAMES = st.lists(st.sampled_from("abcdef"), min_size=2, max_size=3, unique=True)


def containers(inner):
    """A dict, list or tuple of two or three parts."""
    return st.one_of(
        NAMES.flatmap(lambda names: st.fixed_dictionaries(dict.fromkeys(names, inner))),
        st.lists(inner, min_size=2, max_size=3),
        st.tuples(inner, inner),
    )


#: How an input is made, in structures two deep at most: with a name of its own or without one.
STRUCTURES = containers(st.booleans() | containers(st.booleans()))


def functional(structure, named):
    """A compiled model of such a structure, always with the same weights."""
    keras.utils.set_random_seed(3)
    names = iter(range(100))
    made = keras.tree.map_structure(
        lambda own: keras.Input((2,), name=f"own_{next(names)}" if own and named else None), structure
    )
    parts = [keras.layers.Dense(1)(one) for one in keras.tree.flatten(made)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that keys are not the Inputs' names
        model = keras.Model(made, keras.layers.add(parts))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


class Own(keras.Model):
    """A subclassed model, which takes any structure."""

    def __init__(self):
        super().__init__()
        keras.utils.set_random_seed(3)
        self.dense = keras.layers.Dense(1)

    def call(self, inputs):
        return self.dense(keras.ops.concatenate(keras.tree.flatten(inputs), axis=-1))


def own():
    model = Own()
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


def same(make, x, spark, **how):
    """The same numbers as Keras' own, from a training, an evaluation and a prediction."""
    plain, ours = eagerly(make()), make()
    history = plain.fit(x, Y, epochs=2, batch_size=5, shuffle=False, verbose=0).history
    how |= {"epochs": 2, "batch_size": 5, "shuffle": False, "verbose": 0, "workers": 1}
    run = nbkeras.fit(ours, x, Y, validation_data=(x, Y), spark=spark, **how)

    np.testing.assert_allclose(run.history["loss"], history["loss"], 1e-5)
    found = nbkeras.evaluate(ours, x, Y, spark=spark)["loss"]
    assert found == pytest.approx(plain.evaluate(x, Y, verbose=0), rel=1e-5)
    assert found == pytest.approx(run.history["val_loss"][-1], rel=1e-5)
    predicted = plain.predict(x, verbose=0)
    np.testing.assert_allclose(nbkeras.predict(ours, x, spark=spark), predicted, 1e-5, 1e-6)


@settings(max_examples=4)
@given(structure=STRUCTURES, named=st.booleans())
def test_arrays_in_the_models_own_structure_train_as_in_keras(spark, structure, named):
    x = keras.tree.map_structure(lambda _: RANDOM.normal(size=(ROWS, 2)).astype("float32"), structure)

    same(lambda: functional(structure, named), x, spark)


@pytest.mark.parametrize(
    "kind", [*(pytest.param(one, marks=pytest.mark.soak) for one in ("dict", "list")), "nested"]
)
def test_a_model_with_a_call_of_its_own_takes_any_structure(spark, kind):
    a, b = (RANDOM.normal(size=(ROWS, 2)).astype("float32") for _ in range(2))

    x = {"dict": {"left": a, "right": b}, "list": [a, b], "nested": [{"a": a}, (b, a)]}[kind]
    same(own, x, spark, backend="tensorflow")


def test_a_dict_comes_to_a_models_call_in_the_order_in_which_it_was_given(spark):
    class Ordered(Own):
        def call(self, inputs):
            first, second = inputs.values()
            return self.dense(first - 2 * second)

    def make():
        model = Ordered()
        model.compile(keras.optimizers.SGD(0.1), "mse")
        return model

    right, left = (RANDOM.normal(size=(ROWS, 2)).astype("float32") for _ in range(2))

    same(make, {"right": right, "left": left}, spark)


def test_validation_arrays_in_another_structure_are_refused(spark):
    a, b = (RANDOM.normal(size=(ROWS, 2)).astype("float32") for _ in range(2))

    with pytest.raises(DataError, match="nested otherwise than x: give both the same structure"):
        nbkeras.fit(own(), {"b": a, "a": b}, Y, validation_data=([a, b], Y), workers=1, spark=spark)


@pytest.mark.parametrize("features", [None, ["user", "item"], ["n1", "n2"], ["p", "q"]])
def test_columns_are_named_as_the_models_keys_or_inputs_or_given_in_their_order(spark, features):
    def make():
        keras.utils.set_random_seed(3)
        a, b = keras.Input((2,), name="n1"), keras.Input((2,), name="n2")
        # As Keras flattens a dict, item comes before user.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            added = keras.layers.Dense(1)(keras.layers.concatenate([a, b]))
            model = keras.Model({"user": a, "item": b}, added)
        model.compile(keras.optimizers.SGD(0.1), "mse")
        return model

    user, item = (RANDOM.normal(size=(ROWS, 2)).astype("float32") for _ in range(2))
    names = {None: ("user", "item"), "p": ("q", "p"), "n1": ("n1", "n2")}.get(
        features and features[0], ("user", "item")
    )
    rows = [(u.tolist(), i.tolist(), float(y)) for u, i, y in zip(user, item, Y[:, 0], strict=True)]
    schema = f"{names[0]} array<float>, {names[1]} array<float>, y float"
    df = spark.createDataFrame(rows, schema).coalesce(1)
    plain, ours = eagerly(make()), make()
    right = plain.fit({"user": user, "item": item}, Y, shuffle=False, verbose=0).history

    run = nbkeras.fit(ours, df, "y", features=features, shuffle=False, workers=1, verbose=0, spark=spark)

    np.testing.assert_allclose(run.history["loss"], right["loss"], 1e-5)


def test_columns_of_which_one_alone_has_an_inputs_name_are_refused(spark):
    a, b = keras.Input((1,), name="user"), keras.Input((1,), name="item")
    model = keras.Model([a, b], keras.layers.add([a, b]))
    model.compile("sgd", "mse")
    df = spark.createDataFrame([(1.0, 2.0, 3.0)], "item double, uid double, y double")

    with pytest.raises(DataError, match="the model takes 'user' of shape"):
        nbkeras.fit(model, df, "y", features=["item", "uid"], workers=1, spark=spark)


class Takes(keras.Model):
    """Its inputs are the numbers of rows of a table."""

    def __init__(self):
        super().__init__()
        keras.utils.set_random_seed(3)
        self.table = keras.ops.reshape(keras.ops.arange(20, dtype="float32"), (10, 2))
        self.dense = keras.layers.Dense(1)

    def call(self, places):
        return self.dense(keras.ops.take(self.table, keras.ops.reshape(places, (-1,)), axis=0))


def test_whole_numbers_stay_whole_where_a_model_of_ones_own_takes_them(spark):
    def make():
        model = Takes()
        model.compile(keras.optimizers.SGD(0.001), "mse")
        return model

    same(make, np.arange(ROWS) % 10, spark)


@pytest.mark.filterwarnings("ignore:The structure of")  # Keras' own, of a list for one input
@pytest.mark.parametrize(
    "wrap", [lambda x: [x], pytest.param(lambda x: (x,), marks=pytest.mark.soak), lambda x: x[..., None]]
)
def test_one_input_takes_a_list_of_one_array_and_a_last_axis_of_1(spark, wrap):
    def make():
        keras.utils.set_random_seed(3)
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(0.1), "mse")
        return model

    same(make, wrap(RANDOM.normal(size=(ROWS, 2)).astype("float32")), spark)


def test_a_dataframe_of_pandas_on_spark_is_the_one_of_spark_that_it_is(spark):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own import
        table = spark.createDataFrame(
            [(float(at), 1.0, float(at)) for at in range(8)], "a double, b double, y double"
        )
        data = table.pandas_api()

    def make():
        keras.utils.set_random_seed(3)
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        return model

    ours, series, theirs = (
        nbkeras.fit(make(), x, y, workers=1, seed=1, verbose=0, spark=spark).history
        for x, y in ((data, "y"), (data[["a", "b"]], data["y"]), (table, "y"))
    )

    assert ours == series == theirs
    other = table.pandas_api()["y"]
    with pytest.raises(DataError, match=r"y is a series of another DataFrame, .* make it a column, df"):
        nbkeras.fit(make(), data[["a", "b"]], other, workers=1, spark=spark)
