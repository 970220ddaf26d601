"""Reading: the numbers of one image, from whatever a column holds of it."""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from nbkeras.data import filesystems
from nbkeras.data.images.decoding import Unreadable, decoded, of_spark
from nbkeras.data.images.resizing import resized
from nbkeras.errors import one_line
from nbkeras.schema import Field


def is_one(data: Any) -> bool:
    """Whether this is one image: Pillow's, as ``keras.utils.load_img`` gives it, a file or its path."""
    return isinstance(data, (str, bytes, os.PathLike)) or type(data).__module__.startswith("PIL.")


def size(field: Field) -> tuple[int, int, int]:
    """Return height, width and channels of a field of images."""
    assert field.shape is not None
    assert field.image is not None
    if field.image.channels_first:
        channels, height, width = field.shape
    else:
        height, width, channels = field.shape
    return height, width, channels


def numbers(value: Any, field: Field) -> npt.NDArray[Any]:
    """Read one image.

    Args:
        value: the bytes of a file, its path, or a row of Spark's ``image`` source.
        field: that it feeds.

    Returns:
        An array of the field's shape, in the type in which it is kept.

    Raises:
        Unreadable: it is no image.
    """
    if isinstance(value, str):
        value = content(value)
    channels = size(field)[2]
    return shaped(of_spark(value, channels) if isinstance(value, dict) else decoded(value, channels), field)


def shaped(pixels: npt.NDArray[np.uint8], field: Field) -> npt.NDArray[Any]:
    """Return an image in the size and the type of a field.

    Args:
        pixels: of shape (height, width, channels), with the channels of the field.
        field: that they feed.
    """
    assert field.image is not None
    height, width, _ = size(field)
    made = resized(pixels, height, width, field.image)
    kept = kept_type(field)
    # Keras cuts fractions off where a model takes whole numbers; else they are rounded to be kept.
    made = np.rint(made) if kept == "uint8" and field.dtype != "uint8" else made
    made = made.astype(kept, copy=False)
    return made.transpose(2, 0, 1) if field.image.channels_first else made


def kept_type(field: Field) -> str:
    """Return the type in which the numbers of a field's images are kept."""
    assert field.image is not None
    assert field.dtype is not None
    return field.image.dtype if "float" in field.dtype else field.dtype


def content(path: str) -> bytes:
    """Read a file.

    Args:
        path: of it, as Spark writes it too, or a URI.

    Raises:
        Unreadable: it cannot be opened.
    """
    try:
        folder, _, name = path.rpartition("/")
        files, inner = _file_system(folder)
        with files.open_input_stream(f"{inner}/{name}") as stream:
            return bytes(stream.read())
    except Exception as error:  # each package of fsspec has errors of its own
        raise Unreadable(one_line(error)) from error


@functools.lru_cache(maxsize=256)
def _file_system(folder: str) -> tuple[Any, str]:
    return filesystems.opened(folder, "path")
