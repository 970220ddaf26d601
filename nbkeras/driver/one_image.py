"""One image: what a model predicts for it, shown with it."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import numpy.typing as npt

from nbkeras.data.images import columns, reading
from nbkeras.data.signature import signature
from nbkeras.driver import class_names, inference
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
        data: an image of Pillow, or the path or URI of a file.
        features: as in :func:`nbkeras.predict`; an image has none.
        classes: names of the classes in order; True or False for those of the training.

    Raises:
        DataError: it is no image, or the model takes none.
        OptionError: features are named, or classes of another number than the outputs.
    """
    if features is not None:
        raise OptionError(f"features={features!r} names columns of a DataFrame: leave it out for an image")
    field = _field(model, data)
    image, pixels = _opened(data, field)
    x = reading.shaped(pixels, field).astype(field.dtype)[np.newaxis]
    nested = signature(model).nested
    inputs = Schema((field,), nested).inputs([x]) if isinstance(nested, dict) else x
    found = inference.here(model).predict(inputs, verbose=0)
    outputs = keras.tree.map_structure(lambda one: np.asarray(one)[0], found)
    return PredictedImage(image, outputs, _top(model, keras.tree.flatten(outputs), classes))


def _field(model: Any, data: Any) -> Field:
    """How the model takes images: as in its training, else as Keras' loader gives them."""
    schema = registry.schema(model)
    trained = schema.features if schema is not None else ()
    if len(trained) == 1 and trained[0].image is not None:
        return trained[0]
    (only, *more) = signature(model).inputs
    if more or only.axes is None or len(only.axes) != len("hwc"):
        shown = repr(data) if isinstance(data, str) else f"a {type(data).__name__}"
        raise DataError(
            f"the data is {shown}, one image, and {signature(model)}: give a DataFrame of Spark or pandas, "
            "or arrays"
        )
    return columns.plain_field(only)


def _opened(data: Any, field: Field) -> tuple[Image.Image, npt.NDArray[np.uint8]]:
    """An image of Pillow, and its pixels."""
    from PIL import Image

    from nbkeras.data.images.decoding import Unreadable, decoded, of_picture

    channels = reading.size(field)[2]
    if not isinstance(data, (str, os.PathLike)):
        return data, of_picture(data, channels)
    try:
        content = reading.content(os.fspath(data))
        pixels = decoded(content, channels)
    except Unreadable as error:
        raise DataError(f"{os.fspath(data)!r} cannot be read as an image: {error}") from error
    return Image.open(io.BytesIO(content)), pixels


def _top(model: Any, outputs: list[Any], classes: Any) -> tuple[tuple[str, float], ...]:
    """The most probable classes of the first output that gives some."""
    named = isinstance(classes, (list, tuple))
    for place, one in enumerate(outputs):
        words = tuple(classes) if named else class_names.of_output(model, registry.schema(model), place)
        units = one.size if one.ndim else 1
        if one.ndim > 1 or (not words and units == 1):
            continue
        if words and len(words) != max(units, 2):
            raise OptionError(
                f"there are {len(words)} classes, and the model gives {units} numbers for an image: give "
                f"classes=[…] with {max(units, 2)} names"
            )
        values = one.astype(np.float64).reshape(-1)
        logits = class_names.gives_logits(model, place)
        if units == 1:
            high = float(1 / (1 + np.exp(-values[0])) if logits else values[0])
            values = np.array([1 - high, high])
        elif logits:
            values = np.exp(values - values.max()) / np.exp(values - values.max()).sum()
        best = np.argsort(-values, kind="stable")[:_TOP]
        return tuple((words[at] if words else f"class {at}", float(values[at])) for at in best)
    return ()
