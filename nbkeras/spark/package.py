"""Package: this nbkeras as a zip file for the executors, and functions that bring it along themselves."""

from __future__ import annotations

import functools
import io
import py_compile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import cloudpickle

#: Parts of this package that no worker imports.
_NOT_ON_WORKERS = ("builder", "ml", "notebook", "selection", "tasks", "zeppelin")


def write(archive: Path) -> None:
    """Write this package into a zip file, with bytecode, so that not every process compiles it again.

    Args:
        archive: its path.
    """
    how = py_compile.PycInvalidationMode.UNCHECKED_HASH
    with zipfile.ZipFile(archive, "w") as bundle, tempfile.TemporaryDirectory(prefix="nbkeras-") as folder:
        compiled = Path(folder) / "module.pyc"
        for name, source in _sources():
            bundle.write(source, name)
            if name.parts[1] not in _NOT_ON_WORKERS:
                # Another Python version takes the source. Tracebacks name the archive in both cases.
                shown = f"{archive.name}/{name.as_posix()}"
                py_compile.compile(str(source), str(compiled), shown, doraise=True, invalidation_mode=how)
                bundle.write(compiled, name.with_suffix(".pyc"))


def carried(work: Callable[..., Any]) -> Callable[..., Any]:
    """A function that unpickles where this package is not: it brings along what a worker needs of it.

    Args:
        work: a function of one argument, with hints of types.

    Example:
        >>> import cloudpickle
        >>> def half(batches: float) -> float:
        ...     return batches / 2
        >>> cloudpickle.loads(cloudpickle.dumps(carried(half)))(3)
        1.5
    """
    held = _Carried(work)

    def call(batches: Any) -> Any:
        return held(batches)

    # What refers to no name of this module is pickled by value.
    call.__annotations__ = get_type_hints(work)
    return call


class _Carried:
    """Stands for a function until it is unpickled, where the function itself takes its place."""

    def __init__(self, work: Callable[..., Any]) -> None:
        self._work = work

    def __call__(self, batches: Any) -> Any:
        return self._work(batches)

    def __reduce__(self) -> tuple[Any, tuple[bytes, bytes]]:
        return _unpacked, (_archive(), cloudpickle.dumps(self._work))


def _unpacked(archive: bytes, work: bytes) -> Any:
    """What a worker of Spark does: it finds the package, or unpacks it for as long as it lives."""
    import importlib.util
    import os
    import pickle
    import sys
    import tempfile
    from pathlib import Path

    found = importlib.util.find_spec("nbkeras")
    if found is None or found.origin is None:  # any folder of that name is found, too
        # Spark removes its own folders in the end.
        place = os.environ.get("SPARK_LOCAL_DIRS", "").split(",")[0] or None
        path = Path(tempfile.mkdtemp(prefix="nbkeras-", dir=place), "nbkeras.zip")
        path.write_bytes(archive)
        sys.path.insert(0, str(path))
    return pickle.loads(work)  # noqa: S301  # as Spark has unpickled what calls this


# Otherwise it would be looked for in this package, which it is there to bring.
_unpacked.__module__ = "__main__"


@functools.cache
def _archive() -> bytes:
    """What workers need of this package, without bytecode, which would be most of it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, source in _sources():
            if name.parts[1] not in _NOT_ON_WORKERS:
                bundle.write(source, name)
    return buffer.getvalue()


def _sources() -> list[tuple[Path, Path]]:
    """The modules of this package: the names in an archive, and the files."""
    root = Path(__file__).parents[1]
    return [(source.relative_to(root.parent), source) for source in sorted(root.rglob("*.py"))]
