"""Store: the folder in which a training keeps its checkpoints, one file per epoch.

A file is written under another name and renamed when it is whole, so a reader finds the old one or the
new one and never a part. The two newest stay: the older one is for the case that
the newer cannot be read.

A file's name tells its training, which keeps its files apart from those of
another one: of what lies in a folder a training takes, replaces and deletes
only its own. Two processes may write for one training, when a worker that was
given up is still at work.
"""

from __future__ import annotations

import re
import secrets
from contextlib import suppress
from pathlib import Path

import numpy as np

from nbkeras.data import filesystems
from nbkeras.errors import ClusterError, OptionError, one_line
from nbkeras.job import archive
from nbkeras.job.checkpoint import Checkpoint

_NAME = re.compile(r"epoch-(?P<epoch>\d+)(-(?P<training>[0-9a-f]+))?\.npz")
_PART = re.compile(_NAME.pattern + r"\.[0-9a-f]+\.part")
#: Files that stay.
_KEPT = 2


class Store:
    """The folder of one training's checkpoints, on any file system that PyArrow or fsspec opens.

    Args:
        uri: a path, or a URI such as ``s3://bucket/folder`` or ``hdfs://host/folder``.

    Raises:
        OptionError: no library opens it.

    Example:
        >>> import tempfile
        >>> from nbkeras.job.store import Store
        >>> print(Store(tempfile.mkdtemp()).latest())
        None
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._files, self._folder = filesystems.opened(uri, "checkpoint")

    def require_writable(self, who: str, training: str = "") -> None:
        """Write and delete a file as small as can be: an epoch must not be lost to a place that takes none.

        Args:
            who: writes here, as an error names it.
            training: whose checkpoints are to lie here.

        Raises:
            OptionError: it cannot, or another training keeps its checkpoints here.
        """
        # Named as a part: where it cannot be deleted now, the next write sweeps it away.
        part = f"{self._folder}/{_name(0, training)}.{secrets.token_hex(4)}.part"
        try:
            self._files.create_dir(self._folder, recursive=True)
            with self._files.open_output_stream(part) as stream:
                stream.write(b"0")  # Some file systems create no file for no bytes.
            self._files.delete_file(part)
            self._require_own(training)
        except OptionError:
            raise
        except Exception as error:  # each package of fsspec has errors of its own
            raise OptionError(
                f"checkpoint={self.uri!r}: {who} cannot write there ({one_line(error)}): name a folder, or a "
                "URI such as s3://bucket/folder, that it may write to"
            ) from error

    def write(self, one: Checkpoint) -> None:
        """Put a checkpoint beside the last one, and take older ones and torn parts away.

        Raises:
            ClusterError: it cannot be written, and no part of it stays.
            OptionError: another training keeps its checkpoints here.
        """
        name = _name(one.epoch + 1, one.training)
        part = f"{self._folder}/{name}.{secrets.token_hex(4)}.part"
        try:
            self._files.create_dir(self._folder, recursive=True)
            older = self._require_own(one.training)
            self._sweep(one)
            with self._files.open_output_stream(part) as stream:
                np.savez(stream, **archive.entries(one))  # type: ignore[arg-type]  # none is named so
            with suppress(FileNotFoundError):  # swept away by who writes a later epoch
                self._files.move(part, f"{self._folder}/{name}")
            for old in sorted({*older, name})[:-_KEPT]:
                self._delete(old)
        except OptionError:
            raise
        except Exception as error:  # each package of fsspec has errors of its own
            self._delete(Path(part).name)
            raise ClusterError(
                f"epoch {one.epoch + 1} cannot be kept in checkpoint={self.uri!r} ({one_line(error)})"
            ) from error

    def latest(self, training: str | None = None) -> Checkpoint | None:
        """The newest checkpoint that can be read, None where there is none.

        Args:
            training: whose; None for that of the one training which has some here.

        Raises:
            OptionError: it is no folder; or there are files in it, and none can be read, or they are of
                several trainings.
        """
        try:
            names = self._names()
        except Exception as error:  # each package of fsspec has errors of its own
            raise OptionError(
                f"checkpoint={self.uri!r} is no folder that can be looked into from here "
                f"({one_line(error)}): name a folder, also one that is not there yet"
            ) from error
        if training is None and len(several := {_training(name) for name in names}) > 1:
            raise OptionError(
                f"{self.uri} holds checkpoints of {len(several)} trainings, told apart by the end of their "
                "names: move those of one into a folder of their own, and name that"
            )
        wrong: Exception | None = None
        for name in reversed(names):
            if training not in (None, _training(name)):
                continue
            try:
                with self._files.open_input_file(f"{self._folder}/{name}") as file:
                    return archive.checkpoint(np.load(file, allow_pickle=False))
            except Exception as error:  # noqa: BLE001  # of a file that anybody may have written
                wrong = wrong or error
        if wrong is not None:
            raise OptionError(
                f"no checkpoint in {self.uri} can be read ({one_line(wrong)}): name another place"
            ) from wrong
        return None

    def _require_own(self, training: str) -> list[str]:
        """The names of a training's checkpoints.

        Raises:
            OptionError: there are none, but some of another training.
        """
        names = self._names()
        own = [name for name in names if _training(name) == training]
        if names and not own:
            raise OptionError(
                f"checkpoint={self.uri!r} is in use by another training, which has put {names[-1]} there: "
                "name another place"
            )
        return own

    def _sweep(self, one: Checkpoint) -> None:
        """Take away the parts of this epoch and of earlier ones, whose writers are gone or late."""
        for name in self._listed(_PART):
            found = _PART.fullmatch(name)
            assert found is not None
            if (found["training"] or "") == one.training and int(found["epoch"]) <= one.epoch + 1:
                self._delete(name)

    def _delete(self, name: str) -> None:
        # Somebody else may have deleted it; and where nothing can be deleted, nothing is lost by that.
        with suppress(Exception):
            self._files.delete_file(f"{self._folder}/{name}")

    def _names(self) -> list[str]:
        return self._listed(_NAME)

    def _listed(self, pattern: re.Pattern[str]) -> list[str]:
        """Names in the folder, in the order of the epochs."""
        from pyarrow.fs import FileSelector

        found = self._files.get_file_info(FileSelector(self._folder, allow_not_found=True))
        return sorted(info.base_name for info in found if pattern.fullmatch(info.base_name))


def _name(epoch: int, training: str) -> str:
    return f"epoch-{epoch:06d}-{training}.npz" if training else f"epoch-{epoch:06d}.npz"


def _training(name: str) -> str:
    found = _NAME.fullmatch(name)
    assert found is not None
    return found["training"] or ""


def absolute(uri: str) -> str:
    """A relative path made absolute, since workers run elsewhere; a URI as it is.

    Raises:
        OptionError: it is empty, which would be the notebook's own folder.

    Example:
        >>> from nbkeras.job.store import absolute
        >>> absolute("s3://bucket/run")
        's3://bucket/run'
    """
    if not uri.strip():
        raise OptionError(f"checkpoint={uri!r} names no place: give a folder, such as checkpoints/first")
    return filesystems.absolute(uri)
