"""Networks to start from, for an input of some size and what is to be learnt."""

from __future__ import annotations

import math
from collections.abc import Callable

from nbkeras.builder.layers import Layer
from nbkeras.builder.network import Network
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


def mlp(width: int, answer: Layer, units: tuple[int, ...] = (64, 32)) -> Network:
    """Dense layers."""
    hidden = (Layer("Dense", {"units": one, "activation": "relu"}) for one in units)
    return Network((width,), (*hidden, answer))


def cnn(width: int, answer: Layer) -> Network:
    """Convolutions over the image that the numbers are by their count, else over a line of them."""
    shape = image(width)
    dimensions = 1 if shape is None else 2
    small = width < 16 or (shape is not None and shape[0] < 6)
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
    reshaped = Layer("Reshape", {"target_shape": shape or (width, 1)})
    return Network((width,), (reshaped, *block, deeper, *ending))


def lstm(width: int, answer: Layer) -> Network:
    """The numbers one after the other, the lines of an image if they are one."""
    shape = image(width)
    steps = (width, 1) if shape is None else (shape[0], shape[1] * shape[2])
    return Network(
        (width,), (Layer("Reshape", {"target_shape": steps}), Layer("LSTM", {"units": 64}), answer)
    )


def autoencoder(width: int, answer: Layer) -> Network:
    """Through a bottle neck, and back where it answers with its input."""
    narrow = max(1, min(16, width // 4))
    wide = max(narrow, min(64, width))
    return mlp(width, answer, (wide, narrow, wide))


#: The preset that learns its input.
OWN = "autoencoder"
PRESETS: dict[str, Callable[[int, Layer], Network]] = {
    "MLP": mlp,
    "CNN": cnn,
    "LSTM": lstm,
    OWN: autoencoder,
}


def image(width: int) -> tuple[int, int, int] | None:
    """Lines, columns and channels of the square image that so many numbers are; None where they are none.

    Example:
        >>> image(64), image(3072), image(13)
        ((8, 8, 1), (32, 32, 3), None)
    """
    for channels in (1, 3):
        side = math.isqrt(width // channels)
        if side > 1 and side * side * channels == width:
            return side, side, channels
    return None
