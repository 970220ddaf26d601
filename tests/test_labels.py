"""Labels that are numbers of classes, against the outputs that stand for them."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import nbkeras
from nbkeras.errors import DataError
from nbkeras.model import labels
from nbkeras.schema import Field, Schema

SPARSE = "sparse_categorical_crossentropy"


class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.layer = keras.layers.Dense(3)

    def call(self, x):
        return self.layer(x)


def net(kind):
    if kind == "own":
        return Own()
    x = keras.Input((2,))
    one, three = keras.layers.Dense(1, name="one")(x), keras.layers.Dense(3, name="three")(x)
    return keras.Model(x, {"flat": three, "list": [one, three], "dict": {"z": one, "a": three}}[kind])


def checked(kind, loss, *columns, outputs=None):
    model = net(kind)
    model.compile("sgd", loss)
    arrays = {f"y{index}": np.asarray(one) for index, one in enumerate(columns)}
    fields = [Field("x0", ("x",), "x", "float32", (2,))]
    fields += [Field(name, (name,), name, "float32", ()) for name in arrays]
    return labels.check(
        model,
        Schema(tuple(fields), y=outputs and {name: f"y{at}" for at, name in enumerate(outputs)}),
        arrays,
        lambda: np.zeros((1, 2)),
    )


@pytest.mark.parametrize("kind", ["flat", "own"])
@pytest.mark.parametrize("loss", [SPARSE, keras.losses.SparseCategoricalCrossentropy(from_logits=True)])
def test_a_label_without_an_output_is_refused_with_the_classes_that_there_are(kind, loss):
    assert checked(kind, loss, [0, 1, 2]) == ""
    assert checked(kind, loss, [[0.0], [np.nan], [2.0]]) == ""
    with pytest.raises(DataError, match=r"^labels go up to 4, and the last .* 3 outputs, for .* 0 to 2:"):
        checked(kind, loss, [0, 4, 1])
    with pytest.raises(DataError, match=r"^labels go down to -1, "):
        checked(kind, loss, np.array([[0], [-1]]))


def test_a_class_that_is_left_out_of_the_loss_may_be_any_number():
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=-1)
    assert checked("flat", loss, [0, -1, 2]) == ""
    with pytest.raises(DataError, match="go up to 3,"):
        checked("flat", loss, [0, -1, 3])


def test_labels_between_two_classes_are_named():
    assert checked("flat", SPARSE, [0, 1.5]) == (
        "labels such as 1.5 are no whole numbers: Keras takes class 1"
    )


def test_other_losses_take_any_number():
    assert checked("flat", "mse", [0.5, 7]) == ""
    assert checked("flat", lambda _, p: keras.ops.mean(p), [0.5, 7]) == ""


@pytest.mark.parametrize(
    ("kind", "loss", "outputs"),
    [
        ("list", ["mse", SPARSE], None),
        ("list", {"one": "mse", "three": SPARSE}, ("one", "three")),
        ("dict", {"z": "mse", "a": SPARSE}, ("z", "a")),
    ],
)
def test_each_output_has_its_own_labels(kind, loss, outputs):
    assert checked(kind, loss, [9.5], [2], outputs=outputs) == ""
    with pytest.raises(DataError, match="go up to 3, and the last layer has 3 outputs"):
        checked(kind, loss, [9.5], [3], outputs=outputs)


def test_a_training_ends_with_that_line_on_whichever_worker_the_label_lies(spark):
    x, y = np.zeros((64, 2)), np.arange(64) % 3
    y[-1] = 4
    model = net("flat")
    model.compile("sgd", SPARSE)
    with pytest.raises(DataError, match=r"^labels go up to 4, and the last layer has 3 outputs, [^\n]+$"):
        nbkeras.fit(model, x, y, workers=2, spark=spark)
    run = nbkeras.fit(model, x[:-1], y[:-1] / 2, epochs=1, workers=1, spark=spark)
    assert run.notes == ["labels such as 0.5 are no whole numbers: Keras takes class 0"]
