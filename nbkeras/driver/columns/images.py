"""Folders and columns of images as DataFrames, by the rules of Keras' own loader."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from nbkeras.data import filesystems, image_columns, marks, parts
from nbkeras.data.columns import existing
from nbkeras.data.kinds.images import Images
from nbkeras.data.names import first, listed, quoted
from nbkeras.data.source import data_frame
from nbkeras.driver import inference
from nbkeras.errors import DataError, OptionError, one_line
from nbkeras.schema import ImageOptions
from nbkeras.spark.session import attached

#: The columns that a folder becomes, besides the path of each file.
IMAGE, LABEL = "image", "label"
#: The ends of the files that Keras' loader reads.
FORMATS = ("bmp", "gif", "jpeg", "jpg", "png")
#: Channels by Keras' names.
_MODES = {"grayscale": 1, "rgb": 3, "rgba": 4}


def images(spark: SparkSession | None, data: Any, column: str | None, **options: Any) -> DataFrame:
    """Make a DataFrame of images.

    Args:
        spark: the session; None for the active one, or a new local one.
        data: a folder, or a DataFrame with a column of images.
        column: the column of images; None for the only one.
        options: as in :func:`nbkeras.images`.

    Raises:
        DataError: there is no image.
        OptionError: an option is none.
    """
    labels, names = options.pop("labels"), options.pop("class_names")
    chosen = _options(**options)
    if not isinstance(data, (str, os.PathLike)):
        if names is not None or labels != "inferred":
            raise OptionError("labels and class_names are of a folder: leave them out for a DataFrame")
        return _column(attached(spark), data, column, chosen)
    if column is not None:
        raise OptionError(f"column={column!r} is of a DataFrame: leave it out for a folder")
    if labels not in ("inferred", None):
        raise OptionError(
            f"labels={labels!r}: use 'inferred' for the names of the folders, or None; labels of your own "
            "are a column, df.withColumn('label', …)"
        )
    if names is not None:
        names = _names(names)
        if labels is None:
            raise OptionError(f"class_names={names!r} needs labels='inferred': leave out labels=None")
    return _folder(attached(spark), os.fspath(data), names, chosen, labelled=labels is not None)


def _options(
    *,
    color_mode: str | None,
    image_size: Any,
    interpolation: str,
    crop_to_aspect_ratio: bool,
    pad_to_aspect_ratio: bool,
    antialias: bool,
    dtype: str,
    invalid: str,
) -> dict[str, Any]:
    """The options as a column's metadata holds them.

    Raises:
        OptionError: one is none.
    """
    _require("color_mode", color_mode, (None, *_MODES))
    _require("interpolation", interpolation, ("bilinear", "nearest"))
    _require("dtype", dtype, ("uint8", "float32"))
    _require("invalid", invalid, ("error", "skip"))
    for name, value in {
        "crop_to_aspect_ratio": crop_to_aspect_ratio,
        "pad_to_aspect_ratio": pad_to_aspect_ratio,
        "antialias": antialias,
    }.items():
        _require(name, value, (True, False))
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise OptionError("crop_to_aspect_ratio and pad_to_aspect_ratio are both True: use one of them")
    if antialias and interpolation != "bilinear":
        raise OptionError(f"antialias=True is of interpolation='bilinear', not {interpolation!r}")
    aspect = "crop" if crop_to_aspect_ratio else "pad" if pad_to_aspect_ratio else "stretch"
    whole = ImageOptions(interpolation, aspect, bool(antialias), dtype, invalid)
    # What nobody has asked for contradicts no training.
    chosen = {key: value for key, value in asdict(whole).items() if value != getattr(ImageOptions, key)}
    if image_size is not None:
        chosen["size"] = _size(image_size)
    if color_mode is not None:
        chosen["channels"] = _MODES[color_mode]
    return chosen


def _require(name: str, value: Any, known: Sequence[Any]) -> None:
    if value not in known:
        raise OptionError(f"{name}={value!r}: use {', '.join(map(repr, known))}")


def _size(given: Any) -> list[int]:
    given = given.tolist() if hasattr(given, "tolist") else given
    both = (given, given) if hasattr(given, "__index__") and not isinstance(given, bool) else given
    if (
        not isinstance(both, (tuple, list))
        or len(both) != len("hw")
        or not all(hasattr(one, "__index__") and one > 0 for one in both)
    ):
        raise OptionError(f"image_size={given!r}: use (height, width), such as (180, 180)")
    return [int(one) for one in both]


def _names(given: Any) -> list[str]:
    """The names of classes, each once."""
    names = [] if isinstance(given, str) else list(given)
    if not names or len(set(names)) < len(names) or not all(isinstance(one, str) for one in names):
        raise OptionError(f"class_names={given!r}: use a list of names of folders, each once")
    return names


def _column(spark: SparkSession, data: Any, column: str | None, options: dict[str, Any]) -> DataFrame:
    """A DataFrame whose column of images is marked."""
    df = data_frame(spark, data)
    if column is None:
        found = [one.name for one in df.schema.fields if Images().holds(one.dataType)]
        if len(found) != 1:
            raise DataError(
                f"the DataFrame has {len(found)} columns of images ({listed(found) or 'none'}): "
                "name the one with files or paths, nbkeras.images(df, column='…')"
            )
        (column,) = found
    dtype = parts.type_of(df, existing(df, column, "image"))
    if not Images().holds(dtype) and not isinstance(dtype, T.StringType):
        raise DataError(
            f"column '{column}' is {dtype.simpleString()}: name one that holds files (binary), their paths "
            "(string), or what Spark's image source gives"
        )
    return marks.added(df, column, {image_columns.IMAGES: options})


def _folder(
    spark: SparkSession, path: str, names: Any, options: dict[str, Any], *, labelled: bool
) -> DataFrame:
    """The files of a folder."""
    root = filesystems.absolute(path).rstrip("/") or "/"
    if not filesystems.is_uri(root):
        root = os.path.normpath(root)
    found = _listed(root)
    classes = _classes(found, path, names) if labelled else None
    if found is not None:
        _say_left_out(found, classes, path, options.get("invalid"))
    places = [root] if classes is None else [f"{root}/{name}" for name in classes]
    either = ",".join("".join(f"[{one}{one.upper()}]" for one in end) for end in FORMATS)
    files = (
        spark.read.format("binaryFile")
        .option("recursiveFileLookup", True)
        .option("pathGlobFilter", f"*.{{{either}}}")
    )
    try:
        df = files.load([filesystems.unglobbed(place) for place in places])
    except Exception as error:
        raise DataError(
            f"Spark cannot read {path!r} ({one_line(error)[:200]}): name a folder that it can"
        ) from error
    below = _below(root)
    if labelled and classes is None:
        # Files that lie in no folder are of no class.
        df = df.filter(F.locate("/", below) > 0)
    label = F.substring_index(below, "/", 1) if labelled else F.lit("")
    counts = inference.attended(
        spark, "read", lambda: {one[0]: one[1] for one in df.groupBy(label.alias("label")).count().collect()}
    )
    if not counts:
        raise DataError(f"{path!r} holds no images: files must end in {', '.join(FORMATS)}")
    total = sum(counts.values())
    df = df.select(
        image_columns.PATH, F.col("content").alias(IMAGE), *([label.alias(LABEL)] if labelled else [])
    )
    df = marks.added(df, IMAGE, {image_columns.IMAGES: options})
    if not labelled:
        print(f"Found {total:,} files.")  # noqa: T201  # as Keras does
        return df
    classes = sorted(counts) if classes is None else classes
    print(f"Found {total:,} files belonging to {len(classes):,} classes.")  # noqa: T201  # as Keras does
    return marks.added(df, LABEL, {"classes": list(classes)})


def _listed(root: str) -> list[Any] | None:
    """What lies in a folder and below; None where only Spark can look into it, if anybody can."""
    from pyarrow.fs import FileSelector

    try:
        files, inner = filesystems.opened(root, "data")
        below = files.get_file_info(FileSelector(inner, recursive=True))
    except (OptionError, OSError):
        return None
    return [(one.path.removeprefix(inner).strip("/"), one) for one in below]


def _classes(found: list[Any] | None, path: str, names: Any) -> list[str] | None:
    """The folders in a folder, which are the classes; None where they are not known.

    Raises:
        DataError: there are none.
        OptionError: some that are named are none.
    """
    from pyarrow.fs import FileType

    if found is None:
        return None if names is None else list(names)
    folders = sorted(
        name for name, one in found if one.type == FileType.Directory and "/" not in name and name[0] != "."
    )
    if not folders:
        raise DataError(
            f"{path!r} holds no folders, which would be the classes: put the images of each class into one, "
            "or give labels=None"
        )
    if names is None:
        return folders
    if strange := [name for name in names if name not in folders]:
        raise OptionError(f"class_names has {strange[0]!r}, and {path!r} holds {first(folders)}")
    return list(names)


def _say_left_out(found: list[Any], classes: list[str] | None, path: str, invalid: Any) -> None:
    """Name the files that Keras' loader would take, and that Spark does not give.

    Raises:
        DataError: files are empty, which is an error.
    """
    from pyarrow.fs import FileType

    files = [
        (name, one.size)
        for name, one in found
        if one.type == FileType.File
        and name.lower().endswith(tuple(f".{end}" for end in FORMATS))
        and (classes is None or name.split("/")[0] in classes)
    ]
    # The folder of a class is named to Spark, what lies below it is not.
    below = {name: name if classes is None else name.partition("/")[2] for name, _ in files}
    hidden = [name for name, inner in below.items() if any(one[0] in "_." for one in inner.split("/") if one)]
    if hidden:
        count = f"{len(hidden):,} file{'' if len(hidden) == 1 else 's'}"
        print(f"Left out {count} with a name that Spark hides: {first(hidden, 3)}.")  # noqa: T201  # no result shows it
    empty = [name for name, size in files if size == 0 and name not in hidden]
    if empty:
        said = f"{path!r} holds {len(empty):,} empty file{'' if len(empty) == 1 else 's'}: {first(empty, 3)}"
        if invalid != "skip":
            raise DataError(f"{said}; remove them, or leave them out with nbkeras.images(…, invalid='skip')")
        print(f"{said}; left out.")  # noqa: T201  # no result shows it


def _below(root: str) -> Column:
    """The path of a file below a folder: it begins with its class, however deep it lies."""
    # Spark names a file by its whole URI, whatever the folder was called.
    start = (urlsplit(root).path if filesystems.is_uri(root) else root).rstrip("/") + "/"
    path = F.col(quoted(image_columns.PATH))
    return path.substr(F.locate(start, path) + F.lit(len(start)), F.length(path))
