"""Resizing: an image in the size that a model takes, to the pixel as Keras' own loader makes it."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from nbkeras.schema import ImageOptions

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[Any]
Places = npt.NDArray[np.intp]
#: Rows of the result at a time. What they need stays in the processor's cache; larger arrays would go back to
#: the system each time, which takes longer than to fill them.
_PIECE = 32


def resized(pixels: npt.NDArray[np.uint8], height: int, width: int, options: ImageOptions) -> Pixels:
    """Resize an image as ``keras.utils.image_dataset_from_directory`` does.

    Args:
        pixels: of shape (height, width, channels).
        height, width: wanted.
        options: how.

    Returns:
        An array of shape (height, width, channels): floats from 0 to 255, or whole numbers where nothing lies
        between these.

    Example:
        >>> import numpy as np
        >>> from nbkeras.schema import ImageOptions
        >>> resized(np.array([[[0], [100]]], np.uint8), 1, 4, ImageOptions())[0, :, 0].tolist()
        [0.0, 25.0, 75.0, 100.0]
    """
    if options.aspect == "crop":
        pixels = _cropped(pixels, height, width)
    if options.aspect == "pad":
        return _padded(pixels, height, width, options)
    return _stretched(pixels, height, width, options)


def _stretched(pixels: npt.NDArray[np.uint8], height: int, width: int, options: ImageOptions) -> Pixels:
    if pixels.shape[:2] == (height, width):
        return pixels
    if options.antialias:
        from PIL import Image

        bands = [Image.fromarray(np.ascontiguousarray(pixels[..., n])) for n in range(pixels.shape[2])]
        sized = [one.resize((width, height), Image.Resampling.BILINEAR) for one in bands]
        return np.stack([np.asarray(one) for one in sized], axis=-1)
    if options.interpolation == "nearest":
        return pixels[_nearest(pixels.shape[0], height)][:, _nearest(pixels.shape[1], width)]
    return _bilinear(pixels, height, width)


def _bilinear(pixels: npt.NDArray[np.uint8], height: int, width: int) -> Floats:
    """Interpolate between the four nearest centres of pixels, in the order in which TensorFlow does.

    Each row of the image is interpolated once for a piece of the result, though two rows of it may need it.
    """
    channels = pixels.shape[2]
    left, right, across = _columns(pixels.shape[1], width, channels)
    flat = pixels.reshape(len(pixels), -1)
    made = np.empty((height, width * channels), np.float32)
    for begins, needed, top, bottom, down in _pieces(pixels.shape[0], height):
        # All indices are valid: to clip them is quicker than to check them.
        rows = flat.take(needed, 0, mode="clip")
        before = rows.take(left, 1, mode="clip").astype(np.float32)
        behind = rows.take(right, 1, mode="clip").astype(np.float32)
        both = _mixed(before, behind, across)
        piece = _mixed(both.take(top, 0, mode="clip"), both.take(bottom, 0, mode="clip"), down)
        made[begins : begins + _PIECE] = piece
    return made.reshape(height, width, channels)


# Photos of a folder often have one size.
@functools.lru_cache(maxsize=64)
def _pieces(size: int, wanted: int) -> list[tuple[int, Places, Places, Places, Floats]]:
    """For each piece of the result: its first row, the rows of the image that it needs, and how.

    That is: among these the rows before and after each row of the piece, and the part of the way between.
    """
    before, behind, part = _between(size, wanted)
    found = []
    for begins in range(0, wanted, _PIECE):
        top, bottom, down = before[begins:][:_PIECE], behind[begins:][:_PIECE], part[begins:][:_PIECE]
        needed, place = np.unique(np.concatenate([top, bottom]), return_inverse=True)
        found.append((begins, needed, place[: len(top)], place[len(top) :], down[:, np.newaxis]))
    return found


@functools.lru_cache(maxsize=64)
def _columns(size: int, wanted: int, channels: int) -> tuple[Places, Places, Floats]:
    """The numbers of a row before and after each number of the result's, and the part of the way between."""
    left, right, across = _between(size, wanted)
    inner = np.arange(channels)
    first, second = ((one[:, np.newaxis] * channels + inner).reshape(-1) for one in (left, right))
    return first, second, np.repeat(across, channels)


def _mixed(begin: Floats, end: Floats, part: Floats) -> Floats:
    """Go a part of the way from begin to end; end is overwritten."""
    end -= begin
    end *= part
    end += begin
    return end


def _between(size: int, wanted: int) -> tuple[Places, Places, Floats]:
    """The pixels before and after each centre of the result, and the part of the way between them."""
    scale = np.float32(size) / np.float32(wanted)
    centres = (np.arange(wanted, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5)
    below = np.floor(centres)
    before = np.maximum(below.astype(np.intp), 0)
    return before, np.minimum(np.ceil(centres).astype(np.intp), size - 1), centres - below


def _nearest(size: int, wanted: int) -> Places:
    scale = np.float32(size) / np.float32(wanted)
    centres = (np.arange(wanted, dtype=np.float32) + np.float32(0.5)) * scale
    nearest: Places = np.minimum(np.floor(centres).astype(np.intp), size - 1)
    return nearest


def _cropped(pixels: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """The largest part in the middle that has the wanted aspect, in the arithmetic of Keras' smart_resize."""
    rows, columns = pixels.shape[:2]
    tall = max(min(rows, int(np.float32(columns * height) / np.float32(width))), 1)
    wide = max(min(columns, int(np.float32(rows * width) / np.float32(height))), 1)
    top, left = (rows - tall) // 2, (columns - wide) // 2
    return pixels[top : top + tall, left : left + wide]


def _padded(pixels: npt.NDArray[np.uint8], height: int, width: int, options: ImageOptions) -> Pixels:
    """The whole image with black bars, in the arithmetic of ``tf.image.resize_with_pad``."""
    sizes, wanted = np.array(pixels.shape[:2], np.float32), np.array((height, width), np.float32)
    inside = sizes / (sizes / wanted).max()
    tall, wide = np.maximum(np.floor(inside).astype(int), 1)
    top, left = np.maximum(np.floor((wanted - inside) / 2).astype(int), 0)
    inner = _stretched(pixels, tall, wide, options)
    made = np.zeros((height, width, pixels.shape[2]), inner.dtype)
    made[top : top + tall, left : left + wide] = inner
    return made
