"""The architecture of a model: two models that compute the same are equal, and a difference has its place."""

import json

import keras
import numpy as np
import pytest
from keras import layers

from nbkeras.model import architecture


def of(made):
    return json.loads(json.dumps(architecture.of(made)))  # as a checkpoint holds it


def branched(first="a", rate=0.1, add=False):
    data = keras.Input((8,), name="data")
    left, right = layers.Dense(4, name=first)(data), layers.Dense(4)(data)
    joined = (
        layers.Add()([left, right]) if add else layers.Concatenate()([left, left if rate > 0.5 else right])
    )
    return keras.Model(data, layers.Dense(1)(layers.Dropout(rate)(joined)))


def augmented():
    made = [
        layers.RandomCrop(4, 4),
        layers.RandomFlip(),
        layers.RandomRotation(0.1),
        layers.RandomContrast(0.2),
    ]
    return keras.Sequential([keras.Input((6, 6, 3)), *made, layers.GaussianDropout(0.1), layers.Flatten()])


def recurrent(units=3, policy=None):
    inner = layers.Bidirectional(layers.LSTM(units, return_sequences=True, dtype=policy))
    steps = layers.TimeDistributed(layers.Dense(2, activation="softmax"))
    return keras.Sequential([keras.Input((None, 4)), inner, steps])


def nested(activation="relu"):
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation=activation)])
    return keras.Sequential([keras.Input((4,)), inner, layers.Lambda(lambda x: x * 2), layers.Dense(1)])


class Own(keras.layers.Layer):
    def __init__(self, part):
        super().__init__()
        self.part = part

    def get_config(self):
        raise NotImplementedError


@pytest.mark.parametrize("make", [branched, augmented, recurrent, nested])
def test_a_model_that_is_built_again_is_the_same_whatever_its_layers_are_named(make):
    assert architecture.difference(of(make()), of(make())) == ""


@pytest.mark.parametrize(
    ("make", "dtype", "rows"),
    [
        (layers.StringLookup, "string", ["a", "b"]),
        (layers.TextVectorization, "string", ["a b", "b"]),
        (lambda: layers.Discretization(num_bins=2), "float32", [1.0, 2.0, 3.0]),
        (layers.Normalization, "float32", [[1.0], [2.0]]),
    ],
)
def test_what_a_layer_has_learned_by_adapt_does_not_count(make, dtype, rows):
    def made(*, learns):
        layer = make()
        if learns:
            layer.adapt(np.array(rows))
        return keras.Sequential([keras.Input((1,), dtype=dtype), layer])

    assert architecture.difference(of(made(learns=True)), of(made(learns=False))) == ""


def test_names_and_initializers_do_not_count():
    def made(name, start):
        return keras.Sequential([keras.Input((2,)), layers.Dense(1, name=name, kernel_initializer=start)])

    assert architecture.difference(of(made("a", "zeros")), of(made("b", "ones"))) == ""


@pytest.mark.parametrize(
    ("there", "here", "said"),
    [
        (nested(), nested("tanh"), "layer 3, Dense: activation='tanh' here, activation='relu' there"),
        (branched(), branched(rate=0.2), "layer 5, Dropout: rate=0.2 here, rate=0.1 there"),
        (branched(), branched(add=True), "layer 4, Add here, Concatenate there"),
        (branched(rate=0.6), branched(), "6 layers here, 5 there"),
        (recurrent(), recurrent(units=5), "units=5"),
        (recurrent(), recurrent(policy="float16"), "float16"),
        (nested(), recurrent(), "layers here"),
    ],
)
def test_the_first_difference_is_named(there, here, said):
    assert said in architecture.difference(of(there), of(here))


def test_the_same_layers_in_another_order_are_another_model():
    def made(swapped):
        one, other = keras.Input((2,), name="one"), keras.Input((2,), name="other")
        first, second = layers.Dense(2)(one), layers.Dense(2)(other)
        joined = layers.Subtract()([second, first] if swapped else [first, second])
        return keras.Model([one, other], joined)

    assert "connected in another way" in architecture.difference(of(made(False)), of(made(True)))


def test_of_a_layer_that_tells_nothing_the_class_is_known():
    def made(part):
        return keras.Sequential([keras.Input((2,)), Own(part), layers.Dense(1)])

    assert architecture.difference(of(made(1)), of(made(2))) == ""
