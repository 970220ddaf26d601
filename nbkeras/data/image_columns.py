"""Columns of images: which columns hold some, and how a model takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from nbkeras.data import marks, parts
from nbkeras.data.images.decoding import MODES
from nbkeras.data.kinds.images import Images, is_of_source
from nbkeras.data.names import listed
from nbkeras.data.signature import Input
from nbkeras.errors import DataError
from nbkeras.schema import WORDS, Field, ImageOptions

#: What the marks of a column call its options.
IMAGES = "images"
#: The column that names the files, as Spark's ``binaryFile`` source calls it.
PATH = "path"


def takes(df: DataFrame, name: str, taken: Input) -> bool:
    """Whether a column holds images, or the paths of their files, for an input of a model.

    Args:
        df: the user's DataFrame.
        name: of the column.
        taken: the input; one of unknown shape may take images.
    """
    if taken.dtype == WORDS or (taken.axes is not None and len(taken.axes) != len("hwc")):
        return False
    dtype = parts.type_of(df, name)
    is_path = isinstance(dtype, T.StringType) and (taken.axes is not None or IMAGES in marks.of(df, name))
    return is_path or Images().holds(dtype)


def chosen(df: DataFrame, names: Sequence[str], taken: Input) -> list[str]:
    """Return the one column of images among some, for a model's only input; all of them if there is none.

    A column that is marked goes before one of files. Words are paths if there is nothing else.

    Raises:
        DataError: there are several.
    """
    found = [name for name in names if takes(df, name, taken)]
    marked = [name for name in found if IMAGES in marks.of(df, name)]
    files = [name for name in found if Images().holds(parts.type_of(df, name))]
    # An array may be the image as well.
    arrays = [name for name in names if isinstance(parts.type_of(df, name), T.ArrayType)]
    images = marked or ([] if arrays else files)
    if len(images) > 1:
        raise DataError(
            f"the model takes {taken}, and {len(images)} columns may hold its images ({listed(images)}): "
            "name one, features=['…']"
        )
    return images or list(names)


def field(df: DataFrame, name: str, source: str, title: str, taken: Input) -> Field:
    """Make the field of a column of images.

    Args:
        df: the user's DataFrame.
        name: of the field.
        source: the column.
        title: of the field.
        taken: the input of the model.

    Raises:
        DataError: neither the model nor the column says of which size they are, or they contradict.
    """
    return _field(taken, name, source, title, marks.of(df, source).get(IMAGES, {}))


def plain_field(taken: Input, size: tuple[int, int]) -> Field:
    """Make a field for one image of no column, which is read as Keras' loader reads it.

    Args:
        taken: the input of the model.
        size: height and width of the image, for a model of images of any size.
    """
    axes = taken.axes or (None, None, None)
    first = _channels_first()
    open_, known = (None in (axes[1:] if first else axes[:2])), {"size": size}
    return _field(taken, "x0", "image", f"model input '{taken.name}'", known if open_ else {})


def _channels_first() -> bool:
    import keras

    return bool(keras.config.image_data_format() == "channels_first")


def _field(taken: Input, name: str, source: str, title: str, own: dict[str, Any]) -> Field:
    first = _channels_first()
    axes = taken.axes or (None, None, None)
    channels, *sizes = axes if first else (axes[2], axes[0], axes[1])
    height, width = _size(title, source, sizes, own.get("size"))
    depth = _channels(title, source, channels, own.get("channels"))
    options = {key: value for key, value in own.items() if key not in ("size", "channels")}
    image = ImageOptions(**options, channels_first=first)
    shape = (depth, height, width) if first else (height, width, depth)
    return Field(name, (source,), title, taken.dtype, shape, Images.name, image=image)


def _size(title: str, source: str, known: Sequence[int | None], wanted: Any) -> tuple[int, int]:
    height, width = (one or other for one, other in zip(known, wanted or (None, None), strict=True))
    if height is None or width is None:
        raise DataError(
            f"{title} takes images of any size, and column '{source}' holds some: say which, with "
            "keras.Input((180, 180, 3)) or nbkeras.images(…, image_size=(180, 180))"
        )
    if wanted and (height, width) != tuple(wanted):
        raise DataError(
            f"{title} takes images of {height} x {width}, and column '{source}' is marked with "
            f"image_size={tuple(wanted)}: leave out image_size"
        )
    return height, width


def _channels(title: str, source: str, known: int | None, wanted: Any) -> int:
    channels: int = known or wanted or 3
    if wanted and channels != wanted:
        raise DataError(
            f"{title} takes images of {channels} channels, and column '{source}' is marked with a color_mode "
            f"of {wanted}: leave out color_mode"
        )
    if channels not in MODES:
        raise DataError(
            f"{title} takes images of {channels} channels: column '{source}' gives 1 (grey), 3 (RGB) or 4 "
            "(RGBA)"
        )
    return channels


def expression(df: DataFrame, one: Field) -> Column:
    """Return the column of a field of images, with the name of each for messages."""
    (source,) = one.sources
    value, dtype = parts.column(df, source), parts.type_of(df, source)
    name = F.lit(None).cast("string")
    if isinstance(dtype, T.StringType):
        name = value
    elif is_of_source(dtype):
        name = value["origin"]
    elif df.columns.count(PATH) == 1 and isinstance(df.schema[PATH].dataType, T.StringType):
        name = F.col(PATH)
    return F.struct(name.alias("name"), value.alias("value")).alias(one.name)


def notes(df: DataFrame, fields: Sequence[Field]) -> list[str]:
    """Sentences about what becomes of the images of some fields.

    Args:
        df: with a column for each field.
        fields: of a DataFrame.
    """
    sentences = []
    for one in fields:
        if one.image is None or one.shape is None:
            continue
        if (
            "float" in (one.dtype or "")
            and one.image.dtype == "uint8"
            and one.image.interpolation == "bilinear"
        ):
            sides = one.shape[1:] if one.image.channels_first else one.shape[:2]
            sentences.append(
                f"if an image is not {sides[0]} x {sides[1]}, it is resized, and its pixels are rounded to "
                "whole numbers: nbkeras.images(…, dtype='float32') keeps fractions"
            )
        struct: Any = df.schema[one.name].dataType
        if is_of_source(struct["value"].dataType):
            sentences.append(
                "Spark's image source takes the rest of a broken JPEG file for grey: read files with "
                "nbkeras.images(folder), or spark.read.format('binaryFile')"
            )
    return sentences


def known(df: DataFrame, one: Field, before: ImageOptions | None) -> Field:
    """Return a field whose images are read as a training has read them; files may be left out as now.

    Args:
        df: the user's DataFrame.
        one: the field.
        before: how the training has read its images.

    Raises:
        DataError: the column is marked to be read otherwise.
    """
    if one.image is None or before is None:
        return one
    asked = {
        key: value for key, value in marks.of(df, one.sources[0]).get(IMAGES, {}).items() if key in _READ
    }
    if other := [key for key, value in asked.items() if getattr(before, key) != value]:
        raise DataError(
            f"column '{one.sources[0]}' is marked to be read with {_named(one.image, other)}, and the model "
            f"was trained with {_named(before, other)}: leave these options of nbkeras.images out"
        )
    return replace(one, image=replace(before, invalid=one.image.invalid))


#: What makes other numbers of the same files.
_READ = ("interpolation", "aspect", "antialias", "dtype")


def _named(image: ImageOptions, options: Sequence[str]) -> str:
    return ", ".join(f"{one}={getattr(image, one)!r}" for one in options)
