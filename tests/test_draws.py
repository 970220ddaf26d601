"""Workers that draw for the whole batch and cut, here one after the other, against one that has all rows."""

from __future__ import annotations

import inspect

import keras
import numpy as np
import pytest
from keras import layers, ops
from keras.src import backend

from nbkeras.worker.draws import Draws
from nbkeras.worker.schedule import Steps, dealt
from nbkeras.worker.together import Together

ROWS = 7
IMAGE, SEQUENCE, PLAIN = (8, 8, 3), (5, 4), (6,)
RANGE = {"value_range": (0, 1)}
COLORS = ["brightness_factor", "contrast_factor", "saturation_factor", "hue_factor"]


class Itself(layers.Layer):
    """Attends to its own input."""

    def __init__(self, kind, *, listed=False):
        super().__init__()
        self.kind, self.listed = kind, listed

    def call(self, x, training=None):
        return self.kind([x, x], training=training) if self.listed else self.kind(x, x, training=training)


class Folded(layers.Layer):
    """Has several numbers of each row along the first axis."""

    def __init__(self):
        super().__init__()
        self.dropout = layers.Dropout(0.5)

    def call(self, x, training=None):
        flat = self.dropout(ops.reshape(x, (-1, 4)), training=training)
        return ops.reshape(flat, (-1, 5, 4))


class Turned(layers.Layer):
    """Has the rows along the second axis."""

    def __init__(self):
        super().__init__()
        self.dropout = layers.Dropout(0.5, seed=1)

    def call(self, x, training=None):
        return ops.swapaxes(self.dropout(ops.swapaxes(x, 0, 1), training=training), 0, 1)


class Unseeded(layers.Layer):
    """Draws from Keras' global generator, and by seeds that stay as they are."""

    def call(self, x):
        shared = keras.random.uniform(PLAIN, seed=7) + ops.cast(keras.random.randint((1,), 0, 9), x.dtype)
        own = keras.random.truncated_normal(ops.shape(x), seed=7) + keras.random.gamma(ops.shape(x), 2.0)
        return x + shared + own + keras.random.normal(ops.shape(x))


#: All of Keras' layers that draw, and how others may draw.
LAYERS = {
    "AdditiveAttention": (lambda: Itself(layers.AdditiveAttention(dropout=0.5), listed=True), SEQUENCE),
    "AlphaDropout": (lambda: layers.AlphaDropout(0.5), PLAIN),
    "Attention": (lambda: Itself(layers.Attention(dropout=0.5), listed=True), SEQUENCE),
    "AugMix": (lambda: layers.AugMix(**RANGE), IMAGE),
    "ConvLSTM1D": (lambda: layers.ConvLSTM1D(2, 2, dropout=0.5, recurrent_dropout=0.5), (3, 8, 2)),
    "ConvLSTM2D": (lambda: layers.ConvLSTM2D(2, 2, dropout=0.5), (2, 4, 4, 2)),
    "ConvLSTM3D": (lambda: layers.ConvLSTM3D(2, 2, dropout=0.5), (2, 3, 3, 3, 1)),
    "CutMix": (layers.CutMix, IMAGE),
    "Dropout": (lambda: layers.Dropout(0.5), PLAIN),
    "GRU": (lambda: layers.GRU(3, dropout=0.5, recurrent_dropout=0.5), SEQUENCE),
    "GRUCell": (lambda: layers.RNN([layers.GRUCell(3, dropout=0.5)]), SEQUENCE),
    "GaussianDropout": (lambda: layers.GaussianDropout(0.5), PLAIN),
    "GaussianNoise": (lambda: layers.GaussianNoise(0.5), PLAIN),
    "GroupQueryAttention": (lambda: Itself(layers.GroupQueryAttention(3, 2, 1, dropout=0.5)), SEQUENCE),
    "LSTM": (lambda: layers.Bidirectional(layers.LSTM(3, dropout=0.5, recurrent_dropout=0.5)), SEQUENCE),
    "LSTMCell": (lambda: layers.RNN([layers.LSTMCell(3, recurrent_dropout=0.5)]), SEQUENCE),
    "MixUp": (layers.MixUp, IMAGE),
    "MultiHeadAttention": (lambda: Itself(layers.MultiHeadAttention(2, 3, dropout=0.5)), SEQUENCE),
    "Pipeline": (lambda: layers.Pipeline([layers.RandomFlip(), layers.RandomRotation(0.2)]), IMAGE),
    "RandAugment": (lambda: layers.RandAugment(**RANGE), IMAGE),
    "RandomBrightness": (lambda: layers.RandomBrightness(0.5, **RANGE), IMAGE),
    "RandomColorDegeneration": (lambda: layers.RandomColorDegeneration(0.5, **RANGE), IMAGE),
    "RandomColorJitter": (
        lambda: layers.RandomColorJitter(**dict.fromkeys(COLORS, 0.5), **RANGE),
        IMAGE,
    ),
    "RandomContrast": (lambda: layers.RandomContrast(0.5, **RANGE), IMAGE),
    "RandomCrop": (lambda: layers.RandomCrop(4, 4), IMAGE),
    "RandomElasticTransform": (lambda: layers.RandomElasticTransform(1.0, **RANGE), IMAGE),
    "RandomErasing": (lambda: layers.RandomErasing(1.0, **RANGE), IMAGE),
    "RandomFlip": (layers.RandomFlip, IMAGE),
    "RandomGaussianBlur": (lambda: layers.RandomGaussianBlur(1.0, **RANGE), IMAGE),
    "RandomGrayscale": (layers.RandomGrayscale, IMAGE),
    "RandomHue": (lambda: layers.RandomHue(0.5, **RANGE), IMAGE),
    "RandomInvert": (lambda: layers.RandomInvert(1.0, **RANGE), IMAGE),
    "RandomPerspective": (lambda: layers.RandomPerspective(1.0), IMAGE),
    "RandomPosterization": (lambda: layers.RandomPosterization(4, **RANGE), IMAGE),
    "RandomRotation": (lambda: layers.RandomRotation(0.3), IMAGE),
    "RandomSaturation": (lambda: layers.RandomSaturation(0.5, **RANGE), IMAGE),
    "RandomSharpness": (lambda: layers.RandomSharpness(0.5, **RANGE), IMAGE),
    "RandomShear": (lambda: layers.RandomShear(0.5, 0.5), IMAGE),
    "RandomTranslation": (lambda: layers.RandomTranslation(0.3, 0.3), IMAGE),
    "RandomZoom": (lambda: layers.RandomZoom(0.3), IMAGE),
    "SimpleRNN": (lambda: layers.SimpleRNN(3, dropout=0.5, recurrent_dropout=0.5), SEQUENCE),
    "SimpleRNNCell": (lambda: layers.RNN([layers.SimpleRNNCell(3, dropout=0.5)]), SEQUENCE),
    "Solarization": (lambda: layers.Solarization(0.5, 0.5, **RANGE), IMAGE),
    "SpatialDropout1D": (lambda: layers.SpatialDropout1D(0.5), SEQUENCE),
    "SpatialDropout2D": (lambda: layers.SpatialDropout2D(0.5), IMAGE),
    "SpatialDropout3D": (lambda: layers.SpatialDropout3D(0.5), (2, 2, 2, 3)),
    "TimeDistributed": (lambda: layers.TimeDistributed(layers.Dropout(0.5)), SEQUENCE),
    "one mask for all rows": (lambda: layers.Dropout(0.5, noise_shape=(1, 5, 4)), SEQUENCE),
    "one mask for some axes": (lambda: layers.Dropout(0.5, noise_shape=(None, 1, 4)), SEQUENCE),
    "several numbers of a row": (Folded, SEQUENCE),
    "no generator": (Unseeded, PLAIN),
    "rows behind": (Turned, SEQUENCE),
}
#: Those for which each worker draws numbers of its own, and what is said of them.
APART = {"rows behind": "Dropout"} | {
    name: name for name in ("AugMix", "CutMix", "MixUp", "RandomElasticTransform")
}
#: Those that compute a row from the other rows, whatever they draw.
MIXING = ("RandAugment",)
#: Those that take long to draw as others do.
RARELY = (
    "ConvLSTM1D",
    "ConvLSTM3D",
    "GRU",
    "GRUCell",
    "RandomElasticTransform",
    "SimpleRNN",
    "SimpleRNNCell",
)


class Worker(Together):
    """A worker that has its rows of one batch, and nobody beside it."""

    def become(self, rank, size):
        self.rank, self.steps = rank, Steps(dealt(ROWS, size, ROWS), rank, dealt=True)

    def cut(self, draw, number, each):
        return ops.take(draw(ROWS * each), self.steps.places(self.rank, int(number), each), axis=0)


@pytest.fixture(autouse=True)
def _undo(monkeypatch):
    """Draws are changed in a worker's process for good."""
    for module in (backend.random, backend.image):
        for name, value in {**vars(module)}.items():
            if inspect.isfunction(value):
                monkeypatch.setattr(module, name, value)


def drawn(model, x):
    """What a model makes of rows in training, and where its generators stand then, from the same start."""
    keras.utils.set_random_seed(4)
    seeds = [one for one in model.variables if one.path.endswith("seed_generator_state")]
    for one in seeds:
        one.assign([5, 0])
    return ops.convert_to_numpy(model(x, training=True)), [
        ops.convert_to_numpy(one.value).tolist() for one in seeds
    ]


@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=pytest.mark.soak if one in RARELY else []) for one in LAYERS]
)
def test_workers_draw_what_one_draws_or_it_is_said(name):
    make, shape = LAYERS[name]
    model = keras.Sequential([keras.Input(shape), make()])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).random((ROWS, *shape), "float32")
    expected, after = drawn(model, x)
    assert expected.shape != x.shape or not np.allclose(expected, x)
    said, worker = [], Worker(0, 1)
    draws = Draws(worker, said.append)
    draws.install(model, x)
    for size in (2, 3):
        parts = np.zeros_like(expected)
        for rank in range(size):
            worker.become(rank, size)
            with draws.step():
                parts[rank::size], stand = drawn(model, x[rank::size])
            assert stand == after or name == "AugMix"  # which draws by chance
        if name not in APART and name not in MIXING:
            np.testing.assert_allclose(parts, expected, 1e-4, 1e-4)
    assert said == ([APART[name]] if name in APART else [])


def test_all_layers_of_keras_that_draw_are_tested():
    kinds = inspect.getmembers(layers, inspect.isclass)
    # Whether a JaxLayer draws is up to the function that it is made of.
    drawing = {name for name, kind in kinds if "SeedGenerator(" in inspect.getsource(kind)} - {"JaxLayer"}
    assert drawing <= {*LAYERS}
