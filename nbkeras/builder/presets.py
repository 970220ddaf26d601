"""Networks to start from, for an input of some size and what is to be learnt."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from nbkeras.builder.layers import Layer
from nbkeras.builder.network import Network, Shape
from nbkeras.builder.table import Task

#: The last layer's activation for each task.
_LAST: dict[Task, str | None] = {
    "binary": "sigmoid",
    "classes": "softmax",
    "regression": None,
    "input": None,
}


def last(task: Task, outputs: int) -> Layer:
    """The layer that answers.

    Example:
        >>> last("classes", 3).code()
        'keras.layers.Dense(3, activation="softmax")'
    """
    return Layer("Dense", {"units": outputs, "activation": _LAST[task]})


def mlp(shape: Shape, answer: Layer, units: tuple[int, ...] = (64, 32)) -> Network:
    """Dense layers."""
    flat = () if len(shape) == 1 else (Layer("Flatten"),)
    hidden = (Layer("Dense", {"units": one, "activation": "relu"}) for one in units)
    return Network(shape, (*flat, *hidden, answer))


def cnn(shape: Shape, answer: Layer) -> Network:
    """Convolutions over the image that the numbers are, by their count or shape, else over a line of them."""
    wanted = image(shape) or _lines(shape)
    dimensions = len(wanted) - 1
    small = min(wanted[:-1]) < (16 if dimensions == 1 else 6)
    block = [
        Layer(
            f"Conv{dimensions}D",
            {"filters": 32, "kernel_size": 3, "padding": "same", "activation": "relu"},
        ),
        *([] if small else [Layer(f"MaxPooling{dimensions}D")]),
    ]
    deeper = Layer(
        f"Conv{dimensions}D", {"filters": 64, "kernel_size": 3, "padding": "same", "activation": "relu"}
    )
    ending = [Layer("Flatten"), Layer("Dropout", {"rate": 0.5}), answer]
    return Network(shape, (*_reshaped(shape, wanted), *block, deeper, *ending))


def lstm(shape: Shape, answer: Layer) -> Network:
    """The numbers one after the other, the lines of an image if they are one."""
    return Network(shape, (*_reshaped(shape, _lines(shape)), Layer("LSTM", {"units": 64}), answer))


def autoencoder(shape: Shape, answer: Layer) -> Network:
    """Through a bottle neck, and back where it answers with its input."""
    width = math.prod(shape)
    narrow = max(1, min(16, width // 4))
    wide = max(narrow, min(64, width))
    return mlp(shape, answer, (wide, narrow, wide))


def text(shape: Shape, answer: Layer) -> Network:
    """Sentences: each word becomes some numbers, their mean is what Dense layers take.

    Example:
        >>> [one.kind for one in text((1,), last("binary", 1)).layers][:3]
        ['TextVectorization', 'Embedding', 'GlobalAveragePooling1D']
    """
    from nbkeras.driver.columns.encoding import sentences

    reading = (Layer(step.kind, step.arguments) for step in sentences(length=200, width=64))
    hidden = Layer("Dense", {"units": 64, "activation": "relu"})
    return Network(shape, (*reading, hidden, Layer("Dropout", {"rate": 0.5}), answer), "string")


def photo(shape: Shape, answer: Layer) -> Network:
    """Images, changed at random in training: convolutions, as long as there is something to pool."""
    layers = [
        Layer("Rescaling", {"scale": 1 / 255}),
        Layer("RandomFlip", {"mode": "horizontal"}),
        Layer("RandomRotation", {"factor": 0.1}),
    ]
    side = min(shape[:2])
    for filters in (32, 64, 128):
        arguments = {"filters": filters, "kernel_size": 3, "padding": "same", "activation": "relu"}
        layers.append(Layer("Conv2D", arguments))
        if (side := side // 2) > 1:
            layers.append(Layer("MaxPooling2D"))
    ending = [Layer("GlobalAveragePooling2D"), Layer("Dropout", {"rate": 0.5}), answer]
    return Network(shape, (*layers, *ending))


#: The preset that learns its input.
OWN = "autoencoder"
#: The preset that gives each column an input, and layers by what it holds.
MIXED = "mixed"
PRESETS: dict[str, Callable[[Shape, Layer], Network]] = {
    "MLP": mlp,
    "CNN": cnn,
    "LSTM": lstm,
    OWN: autoencoder,
    "text": text,
    "image": photo,
    MIXED: mlp,
}
#: What a preset takes: ``numbers`` alone, one column of ``words``, one of ``images``, or any ``columns``.
TAKES: dict[str, Literal["numbers", "words", "images", "columns"]] = {
    **dict.fromkeys(PRESETS, "numbers"),
    "text": "words",
    "image": "images",
    MIXED: "columns",
}


def image(shape: Shape) -> Shape | None:
    """Lines, columns and channels of the image that numbers are, a square one without channels; None if none.

    Example:
        >>> image((64,)), image((3072,)), image((28, 28)), image((28, 20, 3))
        ((8, 8, 1), (32, 32, 3), (28, 28, 1), (28, 20, 3))
        >>> image((13,)), image((100, 3))
        (None, None)
    """
    if len(shape) == 3:
        return shape
    if len(shape) == 2:
        return (*shape, 1) if shape[0] == shape[1] else None
    width = math.prod(shape)
    for channels in (1, 3):
        side = math.isqrt(width // channels)
        if side > 1 and side * side * channels == width:
            return side, side, channels
    return None


def _lines(shape: Shape) -> Shape:
    """Steps, with the numbers of each: the lines of an image, else one number a step."""
    if len(shape) == 2:
        return shape
    found = image(shape)
    return (math.prod(shape), 1) if found is None else (found[0], found[1] * found[2])


def _reshaped(shape: Shape, wanted: Shape) -> tuple[Layer, ...]:
    return () if shape == wanted else (Layer("Reshape", {"target_shape": wanted}),)
