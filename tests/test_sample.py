"""Some rows of the data, by which a model is built and looked at, here from a list in place of Spark."""

from __future__ import annotations

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from nbkeras.data.rows import Rows
from nbkeras.data.sample import build, build_metrics, first_batch
from nbkeras.errors import DataError, ModelError
from nbkeras.schema import Field, Schema

NUMBER = Field("x0", ("a",), "model input 'x'", "float32", (1,))
LABEL = Field("y0", ("label",), "label 'label'", "int64")


def rows(*found, fields=(NUMBER, LABEL)):
    """Rows as Spark gives them, a dict for each."""
    chosen = SimpleNamespace(take=lambda number: list(found[:number]))
    return Rows(SimpleNamespace(select=lambda *_: chosen, isStreaming=False), Schema(fields))


def row(x=1.0, y=0):
    return {"x0": x, "y0": y}


def test_as_many_rows_as_are_asked_for_are_one_batch():
    x, y = first_batch(rows(row(1.0, 1), row(2.0, 2), row(3.0, 3)), 2)
    assert x.tolist() == [[1.0], [2.0]]
    assert y.tolist() == [1, 2]


def test_of_rows_of_different_shapes_it_is_the_first_alone():
    ragged = Field("x0", ("a",), "model input 'x'", "float32", None)
    x, y = first_batch(rows(row([1.0, 2.0]), row([1.0]), fields=(ragged, LABEL)), 2)
    assert x.tolist() == [[1.0, 2.0]]
    assert y.tolist() == [0]


def test_bytes_are_the_numbers_that_they_hold():
    raw = Field("x0", ("a",), "model input 'x'", "float32", (2,), "raw")
    x, _ = first_batch(rows(row(np.array([1, 2], "float32").tobytes()), fields=(raw, LABEL)))
    assert x.tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize(
    ("found", "number", "words"),
    [
        ([], 1, r"^the DataFrame has no rows: see which filter or join has removed them$"),
        (
            [row(None)],
            1,
            r"^column 'a' holds a null in its first row: drop such rows \(dropna, drop_nulls\)$",
        ),
        (
            [row(), row(None)],
            4,
            r"^column 'a' holds a null in its first 2 rows: drop such rows \(dropna",
        ),
    ],
)
def test_rows_that_are_missing_or_have_nulls_are_reported(found, number, words):
    with pytest.raises(DataError, match=words):
        first_batch(rows(*found), number)


class Refuses(keras.Model):
    def call(self, x):
        raise ValueError("only\nof two axes")


class Late(keras.Model):
    """Makes its layers when it is built, and draws in every call."""

    def build(self, shape):
        self.inner, self.generator = keras.layers.Dense(2), keras.random.SeedGenerator(5)

    def call(self, x):
        noise = keras.random.uniform((), seed=self.generator) + keras.random.uniform(())
        return self.inner(keras.layers.RandomFlip(seed=3)(keras.ops.zeros((1, 4, 4, 1)))[:, 0, 0] + x + noise)


def test_a_build_uses_up_no_random_number():
    model, everyones = Late(), keras.src.random.seed_generator.global_seed_generator()
    model.compile("sgd", "mse")
    before = everyones.state.value.numpy().tolist()

    build(model, rows(row()))

    assert everyones.state.value.numpy().tolist() == before
    assert [model.generator.next().numpy().tolist() for _ in range(2)] == [[5, 0], [5, 1]]


class Early(keras.Model):
    """Says that it is built while one of its layers is not."""

    def __init__(self):
        super().__init__()
        self.inner, self.built = keras.layers.Dense(2), True

    def call(self, x):
        return self.inner(x)


def test_a_model_is_built_until_all_of_its_layers_are():
    model = Early()
    model.compile("sgd", "mse")
    build(model, rows(row()))
    assert [one.shape for one in model.weights] == [(1, 2), (2,)]


def refuse(y, predicted):
    raise ValueError("of two classes alone")


def test_a_model_that_fails_on_a_row_is_one_line():
    model = Refuses()
    model.compile("sgd", "mse")
    with pytest.raises(ModelError, match=r"^the model fails on one row of the data: .*only of two axes"):
        build(model, rows(row()))


@pytest.mark.parametrize(
    ("given", "words"),
    [({"loss": refuse}, "the loss"), ({"loss": "mse", "metrics": [refuse]}, "a metric")],
    ids=["loss", "metric"],
)
def test_a_loss_or_metric_that_fails_on_a_row_is_one_line(given, words):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", **given)
    with pytest.raises(ModelError, match=f"^{words} fails on one row of the data: .*of two classes alone"):
        build_metrics(model, rows(row()))
