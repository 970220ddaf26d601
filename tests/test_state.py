"""What is looked up in a model and in what it is given, of whatever make they are."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from nbkeras.data import sample
from nbkeras.errors import ModelError
from nbkeras.model import additivity, state
from nbkeras.worker import draws
from nbkeras.worker.backends import tensorflow_gradients


def test_optimizers_in_a_tuple_of_the_model_are_found():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.both = (keras.optimizers.SGD(), keras.optimizers.Adam())

    assert [type(one).__name__ for one in state.optimizers(model)] == ["SGD", "Adam"]


def test_text_is_drawn_for_as_numbers_are():
    assert draws._symbol(3, np.array([[b"a"]], object)).dtype == "string"


class Positions(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.word, self.place = keras.layers.Embedding(9, 2), keras.layers.Embedding(9, 2)

    def call(self, words):
        return self.word(words) + self.place(ops.arange(ops.shape(words)[1]))


def test_look_ups_by_places_of_steps_are_not_taken_for_look_ups_by_rows():
    layer, found = Positions(), []
    layer(np.ones((1, 3)))

    @tf.function(input_signature=[tf.TensorSpec((None, None), tf.int64)])
    def step(words):
        with tf.GradientTape() as tape:
            loss = ops.sum(layer(words))
        found.extend(map(tensorflow_gradients.of_rows, tape.gradient(loss, layer.trainable_weights)))

    step.get_concrete_function()
    assert found == [True, False]


class Apart(keras.Model):
    """Its step calls it with all parts of a batch; with the first one it fails."""

    def __init__(self, *layers):
        super().__init__()
        self.network = keras.Sequential(layers)

    def call(self, parts):
        one, other = parts
        return self.network(one) - self.network(other)

    def train_step(self, data):
        return {"loss": ops.mean(self(data))}


class Rows:
    """Data of which nothing but one row is asked."""


@pytest.fixture
def one_row(monkeypatch):
    monkeypatch.setattr(sample, "first_batch", lambda *_: (np.ones((1, 2)),))
    return Rows()


def test_a_model_whose_step_calls_it_with_other_parts_of_a_batch_need_not_take_a_row(one_row):
    model = Apart(keras.Input((2,)), keras.layers.Dense(1))
    model.compile("sgd")

    sample.build(model, one_row)

    unbuilt = Apart(keras.layers.Dense(1))
    unbuilt.compile("sgd")
    with pytest.raises(ModelError, match="fails on one row"):
        sample.build(unbuilt, one_row)


class OfWords(keras.losses.Loss):
    def call(self, y_true, y_pred):
        losses = keras.losses.sparse_categorical_crossentropy(y_true, y_pred)
        mask = ops.cast(y_true > 0, losses.dtype)
        return ops.sum(losses * mask) / ops.sum(mask)


def test_a_loss_is_judged_by_predictions_that_differ_though_those_of_a_new_model_do_not():
    model = keras.Sequential(
        [
            keras.Input((3,), dtype="int32"),
            keras.layers.Embedding(5, 4),
            keras.layers.Dense(5, "softmax", kernel_initializer="zeros"),
        ]
    )
    model.compile("sgd", OfWords())
    words = np.array([[1, 2, 3], [4, 0, 0], [2, 3, 0], [1, 0, 0]])

    assert not additivity.is_mean(model, ops.convert_to_tensor(words), ops.convert_to_tensor(words), None)
