"""The warm server: one process per executor that has Keras loaded and forks trainers.

The backend's collective runtime can be set up once in a process, so each
training needs a fresh one; importing Keras takes seconds, a fork milliseconds.
Spark ends a Python worker after an idle minute, and with it what it started, so
the server is detached. It ends ten idle minutes after its last trainer, or when
the process that starts Spark's Python workers ends: with the executor, or with
``spark.stop()``.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

IDLE_SECONDS = 600
#: Descriptors that may come with one request: Linux passes no more at once.
_DESCRIPTORS = 250


def hire(backend: str, files: list[int], log: int) -> Connection:
    """A fresh trainer, and the pipe that it lives by: it ends when the pipe is closed.

    Args:
        backend: Keras backend of the trainer.
        files: descriptors of the spools' files, at most 248.
        log: descriptor of the file that takes what the trainer prints.
    """
    ours, theirs = socket.socketpair()
    with theirs, _address(backend) as path, _connect(path, backend, log) as server:
        socket.send_fds(server, [b"t"], [theirs.fileno(), log, *files])
    return Connection(ours.detach())


@contextlib.contextmanager
def _address(backend: str) -> Iterator[Path]:
    """The socket's path, held against other tasks that start or end a server."""
    directory = private_directory()
    with _locked(directory):
        # Spark's worker is forked from a daemon that lives as long as its executor.
        yield directory / f"{os.getppid()}-{backend}.sock"


@contextlib.contextmanager
def _locked(directory: Path, flags: int = fcntl.LOCK_EX) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, flags)
        yield
    finally:
        os.close(descriptor)


def private_directory() -> Path:
    """The folder of the servers' sockets, which only this user may enter.

    Raises:
        PermissionError: somebody else owns it, or others may enter it.
    """
    directory = Path(tempfile.gettempdir()) / f"nbkeras-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    status = directory.lstat()
    if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode) or status.st_mode & 0o077:
        raise PermissionError(f"{directory} is not a folder that only this user may enter: remove it")
    return directory


def _connect(path: Path, backend: str, log: int) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    try:
        client.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        path.unlink(missing_ok=True)
        _start(path, backend, log)
        client.connect(str(path))
    return client


def _start(path: Path, backend: str, log: int) -> None:
    # The socket listens before the server has loaded anything: requests wait in it.
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(64)
        environment = {
            **os.environ,
            "KERAS_BACKEND": backend,
            "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
            "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2"),
        }
        subprocess.Popen(
            [sys.executable, "-m", __name__, str(listener.fileno()), str(path), str(os.getppid())],
            pass_fds=[listener.fileno()],
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
        )


def serve(listener: socket.socket, path: Path, daemon: int) -> None:
    """Fork a trainer for each request until the server is idle for long or the executor ends."""
    from nbkeras.engine import trainer

    trainers: set[int] = set()
    last = time.monotonic()
    while _alive(daemon):
        if select.select([listener], [], [], 0.5)[0]:
            connection, _ = listener.accept()
            with connection:
                _, descriptors, _, _ = socket.recv_fds(connection, 1, _DESCRIPTORS)
            if descriptors:
                if not (child := os.fork()):
                    listener.close()
                    pipe, log, *files = descriptors
                    trainer.main(pipe, log, files)
                trainers.add(child)
            for descriptor in descriptors:
                os.close(descriptor)
        trainers = {child for child in trainers if os.waitpid(child, os.WNOHANG) == (0, 0)}
        if trainers:
            last = time.monotonic()
        elif time.monotonic() - last > IDLE_SECONDS and _retire(listener, path):
            return
    path.unlink(missing_ok=True)


def _retire(listener: socket.socket, path: Path) -> bool:
    """Take the socket away unless a task is about to use it."""
    try:
        with _locked(path.parent, fcntl.LOCK_EX | fcntl.LOCK_NB):
            if select.select([listener], [], [], 0)[0]:
                return False
            path.unlink(missing_ok=True)
            return True
    except BlockingIOError:
        return False


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3]))
