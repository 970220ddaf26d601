"""Decoding: the pixels of an image file, as TensorFlow gives them to Keras."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

# Executors that read no images need no Pillow: it is imported where it is used.
if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from PIL.ImageFile import ImageFile

#: Pillow's modes by the number of channels.
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
#: Parts in 32,768 that red, green and blue are of a grey: libpng's, which TensorFlow reads PNG files with.
_GREY = (9797, 19234, 3737)
#: What Spark's ``image`` source says of its data: OpenCV's types of 8 bits.
_SPARK_CHANNELS = {0: 1, 16: 3, 24: 4}


class Unreadable(Exception):
    """A file is no image, or not a whole one; the text says why."""


def decoded(content: bytes, channels: int) -> npt.NDArray[np.uint8]:
    """Decode the first frame of an image file.

    Pixels are those of ``tf.image.decode_image``, but for JPEG files, which differ by some grey levels (5 of
    255, and 12 where they are of inks): two decoders round differently. An orientation that a camera has
    noted is ignored, as there. A palette counts in BMP files too, and what has no opacity is opaque.

    Args:
        content: of a BMP, GIF, JPEG or PNG file, or of another one that Pillow opens.
        channels: 1 for grey, 3 for red, green and blue, 4 for these and opacity.

    Returns:
        An array of shape (height, width, channels).

    Raises:
        Unreadable: it is none, or not whole.

    Example:
        >>> import io
        >>> from PIL import Image
        >>> file = io.BytesIO()
        >>> Image.new("RGB", (3, 2), (255, 0, 0)).save(file, "PNG")
        >>> decoded(file.getvalue(), 3).shape
        (2, 3, 3)
    """
    try:
        with opened(content) as image:
            if channels == 1 and image.format == "JPEG":
                image.draft("L", image.size)  # the file's own brightness, not one of its colours
            # A first frame may be a part of a GIF file's canvas: TensorFlow gives that part.
            frame = image.tile[0][1] if image.format == "GIF" and image.tile else None
            pixels = of_picture(image, channels)
    except Unreadable:
        raise
    except Exception as error:
        # Pillow's decoders raise whatever a broken file leads them to.
        raise Unreadable(_reason(error)) from error
    if frame is None:
        return pixels
    left, top, right, bottom = frame
    return pixels[top:bottom, left:right]


def opened(content: bytes) -> ImageFile:
    """Open an image file, of which Pillow reads no pixel yet.

    Raises:
        Unreadable: it is none.
    """
    from PIL import Image

    if not content:
        raise Unreadable("the file is empty")
    try:
        return Image.open(io.BytesIO(content))
    except Exception as error:
        raise Unreadable(_reason(error)) from error


def of_picture(image: Picture, channels: int) -> npt.NDArray[np.uint8]:
    """Return the pixels of Pillow's own picture; see :func:`decoded`."""
    from PIL import Image

    if image.mode.startswith("I"):
        # Of 16 bits; Pillow's own conversion would cut them off at 255.
        image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    if channels == 3 and image.format == "GIF" and "transparency" in image.info:
        # TensorFlow leaves black where a first frame is transparent.
        pixels = np.array(image.convert("RGBA"))
        return pixels[..., :3] * (pixels[..., 3:] > 0)
    if channels == 1 and image.mode not in ("1", "L", "LA"):
        return _grey(np.asarray(image.convert("RGB")))
    wanted = MODES[channels]
    pixels = np.asarray(image if image.mode == wanted else image.convert(wanted))
    return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]


def of_spark(image: dict[str, Any], channels: int) -> npt.NDArray[np.uint8]:
    """Return the pixels of an image that Spark's ``image`` source has decoded: it has blue first.

    Raises:
        Unreadable: the source could not read the file.
    """
    from PIL import Image

    held = _SPARK_CHANNELS.get(image["mode"])
    if held is None or image["height"] < 1:
        raise Unreadable("Spark's image source could not read it")
    raw = np.frombuffer(image["data"], np.uint8).reshape(image["height"], image["width"], held)
    picture = Image.fromarray(raw[..., 0] if held == 1 else raw[..., [2, 1, 0, 3][:held]])
    return of_picture(picture, channels)


def _grey(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    grey = pixels.astype(np.int32) @ np.array(_GREY, np.int32)
    return (grey >> 15).astype(np.uint8)[..., np.newaxis]


def _reason(error: Exception) -> str:
    """Why a file cannot be decoded, without the address of a buffer in it."""
    said = str(error).split("<")[0].strip() or type(error).__name__
    return "this is no image file that Pillow knows" if said.startswith("cannot identify") else said
