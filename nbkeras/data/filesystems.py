"""File systems: open a path or a URI where Python runs."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from nbkeras.errors import OptionError, one_line


def absolute(uri: str) -> str:
    """Return a relative path made absolute, since workers run elsewhere, and a URI as it is.

    Example:
        >>> from nbkeras.data.filesystems import absolute
        >>> absolute("s3://bucket/run")
        's3://bucket/run'
    """
    if "://" in uri:
        return uri
    # Spark and Java write a local file so.
    return str(Path(uri.removeprefix("file:") if uri.startswith("file:/") else uri).expanduser().absolute())


def opened(uri: str, name: str) -> tuple[Any, str]:
    """Return the file system of PyArrow that a path or URI lies in, and the path in it.

    Args:
        uri: a path, or anything that PyArrow or fsspec opens.
        name: of the argument, for errors.

    Raises:
        OptionError: no library opens it.
    """
    from pyarrow import fs

    if "://" not in uri:
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
