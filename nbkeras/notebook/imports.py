"""TensorFlow's import without what it says of the machine: a dozen lines that no notebook needs.

They come from C++, some before any level of logging is asked for, so they are taken from the
file descriptor. All else comes through when the import has ended, and all where it fails.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from nbkeras import wait

#: The level from which on TensorFlow's messages are shown: 0 for all of them.
_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
#: What a machine is and has not, as TensorFlow and XLA tell it, such as
#: ``I0000 00:00:1795667206.670876    2748 cudart_stub.cc:31] Could not find cuda drivers``.
_OF_THE_MACHINE = re.compile(
    r"WARNING: All log messages before absl::InitializeLog\(\) is called"
    r"|To enable the following instructions: "
    r"|.*\.cc:\d+\] (?:"
    r"Could not find cuda drivers on your machine"
    r"|This TensorFlow binary is optimized to use available CPU instructions"
    r"|oneDNN custom operations are on"
    r"|Unable to register cu\w+ factory"
    r"|computation placer already registered"
    r"|failed call to cuInit)"
)
#: Files of machines with a GPU: of NVIDIA's, of Windows' in its Linux, of AMD's.
_GPUS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


def without_words() -> None:
    """Have TensorFlow say nothing of the machine from now on, also when it is imported later.

    Who has set ``TF_CPP_MIN_LOG_LEVEL`` to 0 sees all.

    Example:
        >>> from nbkeras.notebook import imports
        >>> imports.without_words()
    """
    if os.environ.get(_LEVEL) == "0":
        return
    if "tensorflow" in sys.modules:
        _ask_for_devices(sys.modules["tensorflow"])
    elif not any(isinstance(one, _Finder) for one in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds Keras and TensorFlow where the others find them, and says that they are imported."""

    def __init__(self) -> None:
        self._asks = self._says = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in ("keras", "tensorflow") or self._asks or os.environ.get(_LEVEL) == "0":
            return None
        self._asks = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._asks = False
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        what: wait.What = "keras" if fullname == "keras" else "tensorflow"

        def quietly(module: ModuleType) -> None:
            with self._said(what):
                if what == "keras":
                    load(module)
                    return
                with contextlib.suppress(ValueError):  # another thread has
                    sys.meta_path.remove(self)
                with _filtered_errors():
                    load(module)
                _ask_for_devices(module)

        spec.loader.exec_module = quietly  # type: ignore[method-assign]  # of this module's loader alone
        return spec

    @contextlib.contextmanager
    def _said(self, what: wait.What) -> Iterator[None]:
        """Say what is imported, but for what is imported by it."""
        if self._says:
            yield
            return
        self._says = True
        try:
            with wait.shown(what):
                yield
        finally:
            self._says = False


def _ask_for_devices(tensorflow: ModuleType) -> None:
    """Ask for the devices, as the first computation does: without a GPU the answer is an error message.

    Where there may be one, a cell may still choose by ``CUDA_VISIBLE_DEVICES`` what is seen.
    """
    if sys.platform == "linux" and not any(Path(one).exists() for one in _GPUS):
        with contextlib.suppress(Exception), _filtered_errors():  # what is wrong with it, its first use tells
            tensorflow.config.list_physical_devices()


@contextlib.contextmanager
def _filtered_errors() -> Iterator[None]:
    """Capture the standard error of the block, then write it without the lines about the machine.

    If an exception leaves the block, write everything.
    """
    with tempfile.TemporaryFile() as said:
        errors = os.dup(2)
        os.dup2(said.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            os.dup2(errors, 2)
            os.close(errors)
            said.seek(0)
            lines = said.read().decode(errors="replace").splitlines(keepends=True)
            if rest := "".join(line for line in lines if failed or not _OF_THE_MACHINE.match(line)):
                sys.stderr.write(rest)
