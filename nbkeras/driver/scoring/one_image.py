"""One image: what a model predicts for it, shown with it."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import numpy.typing as npt

from nbkeras.data import image_columns
from nbkeras.data.images import decoding, reading
from nbkeras.data.signature import Input, signature
from nbkeras.driver import inference
from nbkeras.driver.columns import class_names
from nbkeras.errors import DataError, OptionError
from nbkeras.run import registry
from nbkeras.schema import Field, Schema

if TYPE_CHECKING:
    from PIL import Image

#: Classes that are shown.
_TOP = 5
#: Width and height of the image at most, in CSS pixels.
_SHOWN = 240
#: Of a bar, in CSS pixels.
_BAR = 160


@dataclass(frozen=True, repr=False)
class PredictedImage:
    """What a model predicts for one image.

    Attributes:
        image: as it was given, before it was resized.
        outputs: of the model, as ``predict`` gives them for one row.
        top: the most probable classes and their probabilities; empty where the model gives no classes.
    """

    image: Image.Image
    outputs: Any
    top: tuple[tuple[str, float], ...] = ()

    def __repr__(self) -> str:
        if not self.top:
            return str(keras.tree.map_structure(lambda one: one.tolist(), self.outputs))
        return ", ".join(f"{name} {probability:.3f}" for name, probability in self.top)

    def _repr_html_(self) -> str:
        small = self.image.convert("RGB")
        small.thumbnail((_SHOWN, _SHOWN))
        file = io.BytesIO()
        small.save(file, "PNG")
        data = base64.b64encode(file.getvalue()).decode()
        said = escape(repr(self))
        image = f'<img alt="{said}" src="data:image/png;base64,{data}">'
        if not self.top:
            return f"<div>{image}<pre>{said}</pre></div>"
        rows = "".join(
            f"<tr><th>{escape(name)}</th><td>{probability:.1%}</td><td>"
            f'<div style="height:10px;width:{max(1, round(_BAR * probability))}px;background:#1f77b4"></div>'
            "</td></tr>"
            for name, probability in self.top
        )
        return f"<div>{image}<table>{rows}</table></div>"


def predicted(model: Any, data: Any, features: Any, classes: bool | Sequence[str]) -> PredictedImage:
    """Compute the model's outputs for one image, in this process.

    Args:
        model: that takes one image.
        data: an image of Pillow; or the path, the URI or the bytes of a file.
        features: as in :func:`nbkeras.predict`; an image has none.
        classes: names of the classes in order; True or False for those of the training.

    Raises:
        DataError: it is no image, or the model takes none.
        OptionError: features are named, or classes of another number than the outputs'.
    """
    if features is not None:
        raise OptionError(f"features={features!r} names columns of a DataFrame: leave it out for an image")
    taken = _input(model)
    image, content = _opened(data)
    field = _trained(model) or image_columns.plain_field(taken, (image.height, image.width))
    channels = reading.size(field)[2]
    try:
        pixels = (
            decoding.of_picture(image, channels) if content is None else decoding.decoded(content, channels)
        )
    except decoding.Unreadable as error:
        raise _unreadable(data, error) from error
    x = reading.shaped(pixels, field).astype(field.dtype)[np.newaxis]
    nested = signature(model).nested
    inputs = Schema((field,), nested).inputs([x]) if isinstance(nested, dict) else x
    found = inference.here(model).predict(inputs, verbose=0)
    outputs = keras.tree.map_structure(lambda one: np.asarray(one)[0], found)
    return PredictedImage(image, outputs, _top(model, keras.tree.flatten(outputs), classes))


def _opened(data: Any) -> tuple[Image.Image, bytes | None]:
    """An image of Pillow, and the bytes of its file where it is given by that.

    Raises:
        DataError: it is no image.
    """
    if not isinstance(data, (str, bytes, os.PathLike)):
        return data, None
    if not isinstance(data, bytes) and Path(data).is_dir():
        name = os.fspath(data)
        raise DataError(f"{name!r} is a folder: give nbkeras.images({name!r}), a DataFrame of its images")
    try:
        content = data if isinstance(data, bytes) else reading.content(os.fspath(data))
        return decoding.opened(content), content
    except decoding.Unreadable as error:
        raise _unreadable(data, error) from error


def _unreadable(data: Any, error: Exception) -> DataError:
    name = repr(os.fspath(data)) if isinstance(data, (str, os.PathLike)) else "the data"
    return DataError(f"{name} cannot be read as an image: {error}")


def _trained(model: Any) -> Field | None:
    """How a training has read the model's images; None where there was none."""
    schema = registry.schema(model)
    trained = schema.features if schema is not None else ()
    return trained[0] if len(trained) == 1 and trained[0].image is not None else None


def _input(model: Any) -> Input:
    """The only input of a model of images.

    Raises:
        DataError: the model takes something else.
    """
    whole = signature(model)
    (only, *more) = whole.inputs
    if more or (only.axes is None and _trained(model) is None) or len(only.axes or "hwc") != len("hwc"):
        raise DataError(f"the data is one image, and {whole}: give a DataFrame of Spark or pandas, or arrays")
    return only


def _top(model: Any, outputs: list[Any], classes: Any) -> tuple[tuple[str, float], ...]:
    """The most probable classes of the first output that gives some.

    Raises:
        OptionError: classes are named, and no output gives so many.
    """
    named = isinstance(classes, (list, tuple))
    for place, one in enumerate(outputs):
        words = tuple(classes) if named else class_names.of_output(model, registry.schema(model), place)
        values = _probabilities(one, logits=class_names.gives_logits(model, place), alone=bool(words))
        if values is None or (words and len(words) != len(values)):
            continue
        best = np.argsort(-values, kind="stable")[:_TOP]
        return tuple((words[at] if words else f"class {at}", float(values[at])) for at in best)
    if named:
        sizes = ", ".join(str(one.shape) for one in outputs)
        raise OptionError(
            f"there are {len(classes)} classes, and no output of the model gives so many probabilities for "
            f"an image (their shapes are {sizes}): give as many names"
        )
    return ()


def _probabilities(output: npt.NDArray[Any], *, logits: bool, alone: bool) -> npt.NDArray[np.float64] | None:
    """The probability of each class, of an output for one row; None where it gives none.

    Args:
        output: for one row.
        logits: whether the loss takes logits.
        alone: whether a single number is the probability of the second of two classes.
    """
    values = output.astype(np.float64).reshape(-1)
    if output.ndim > 1 or (len(values) == 1 and not alone):
        return None
    if len(values) == 1:
        values = np.array([-values[0] / 2, values[0] / 2]) if logits else np.array([1 - values[0], values[0]])
    if logits:
        values = np.exp(values - values.max())
        values = values / values.sum()
    return values if values.min() >= 0 and np.isclose(values.sum(), 1, atol=1e-2) else None
