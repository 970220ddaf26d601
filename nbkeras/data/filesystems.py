"""File systems: open a path or a URI where Python runs."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

from nbkeras.errors import OptionError, one_line

#: A scheme, as Databricks writes it too (``dbfs:/rows``); a drive of Windows has one letter.
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/(?!/)|[A-Za-z][A-Za-z0-9+.-]*://")


def is_uri(path: str) -> bool:
    """Whether this names a place in a file system by its scheme, and is no path of this machine.

    Example:
        >>> [is_uri(one) for one in ("s3://bucket/a", "dbfs:/a", "file:/a", "/a", "a:b", "rows.parquet")]
        [True, True, False, False, False, False]
    """
    return _URI.match(path) is not None and not re.match("file:/(?!//)", path)


def absolute(uri: str) -> str:
    """Return a relative path made absolute, since workers run elsewhere, and a URI as it is.

    Example:
        >>> from nbkeras.data.filesystems import absolute
        >>> absolute("s3://bucket/run")
        's3://bucket/run'
    """
    return uri if is_uri(uri) else str(Path(plain(uri)).expanduser().absolute())


def plain(path: str) -> str:
    """Return a path of this machine without the scheme that Spark and Java write before it.

    Example:
        >>> plain("file:/rows"), plain("rows")
        ('/rows', 'rows')
    """
    return path.removeprefix("file:") if path.startswith("file:/") else path


def unglobbed(path: str) -> str:
    r"""Return a path whose letters mean nothing to Hadoop but themselves.

    Example:
        >>> print(unglobbed("rows[1].parquet"))
        rows\[1\].parquet
    """
    return re.sub(r"([\\{}\[\]*?^,])", r"\\\1", path)


def literal(path: str) -> str:
    """Return a path as Spark reads the file or folder of this machine that has this very name.

    Args:
        path: one that names nothing on this machine stays as it is: it may stand for several.
    """
    is_there = not is_uri(path) and any(one in path for one in "{}[]*?\\") and Path(path).exists()
    return unglobbed(path) if is_there else path


def opened(uri: str, name: str) -> tuple[Any, str]:
    """Return the file system of PyArrow that a path or URI lies in, and the path in it.

    Args:
        uri: a path, or anything that PyArrow or fsspec opens.
        name: of the argument, for errors.

    Raises:
        OptionError: no library opens it.
    """
    from pyarrow import fs

    if not is_uri(uri):
        return fs.LocalFileSystem(), absolute(uri)
    try:
        files, path = fs.FileSystem.from_uri(uri)
    except (ValueError, OSError) as error:
        try:
            found, path = importlib.import_module("fsspec").core.url_to_fs(uri)
        except Exception as other:
            raise OptionError(
                f"{name}={uri!r}: PyArrow cannot open it ({one_line(error)}), nor can fsspec "
                f"({one_line(other)}): give a path, or pip install fsspec and its package for such a URI"
            ) from other
        files = fs.PyFileSystem(fs.FSSpecHandler(found))
    return files, path.rstrip("/")
