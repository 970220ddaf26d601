"""Run the fork server: one process per executor and backend that has Keras loaded and forks trainers.

The backend's collective runtime can be set up once in a process, so each
training needs a fresh one; importing Keras takes seconds, a fork milliseconds.
Spark ends a Python worker after an idle minute, and with it what it started, so
the server is detached. It ends ten idle minutes after its last trainer, or when
the daemon that starts Spark's Python workers ends: with the executor, or with
``spark.stop()``.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

IDLE_SECONDS = 600
#: What Keras and TensorFlow import for wrappers and pictures that no trainer makes. Where all are there,
#: they are two fifths of the time that the import takes, and a fifth of its memory.
_FOR_NOTEBOOKS = ("jax", "matplotlib", "sklearn")
#: Ends the name of a trainer's folder.
_FILES = "-files"
#: Descriptors of one message of a request: Linux passes no more. It says how many there are in all.
_DESCRIPTORS, _NUMBER = 250, struct.Struct("<i")
#: Bytes of a path that a socket's address takes on every system.
_LONGEST_ADDRESS = 103
#: Seconds within which a task that has connected must have sent its request.
_REQUEST_SECONDS = 5.0
#: What a server writes on the lifeline of a trainer that has ended.
_STATUS = struct.Struct("<i")


def hire(backend: str, files: list[int], log: int) -> tuple[Connection, socket.socket]:
    """A fresh trainer: the pipe to it and its lifeline; it ends when these are closed.

    Args:
        backend: Keras backend of the trainer.
        files: descriptors of the spools' files.
        log: descriptor of the file that takes what the trainer prints.
    """
    ours, theirs = socket.socketpair()
    life, line = socket.socketpair()
    with theirs, line, _address(backend) as path, _connect(path, backend, log) as server:
        _send(server, [theirs.fileno(), line.fileno(), log, *files])
    return Connection(ours.detach()), life


def begin(backend: str) -> None:
    """Start a server unless there is one; trainers that are hired meanwhile wait for it.

    Args:
        backend: Keras backend of the trainers.
    """
    # What it prints where it cannot load is printed again by the one that a trainer starts.
    with _address(backend) as path, _connect(path, backend, subprocess.DEVNULL):
        pass


def end(life: socket.socket) -> int | None:
    """How a trainer has ended whose pipe is closed, as :func:`os.waitpid` tells it; None where nobody knows.

    Args:
        life: its lifeline.
    """
    life.settimeout(_REQUEST_SECONDS)
    try:
        status = life.recv(_STATUS.size)
    except OSError:
        return None
    return int(_STATUS.unpack(status)[0]) if len(status) == _STATUS.size else None


def _live_by(line: int) -> None:
    """Have the kernel kill this process when the other end of a socket is closed.

    A thread that waits for the end of the pipe is not enough: a backend may wait
    for other workers with Python's lock held, and a process that was stopped runs no thread.
    """
    if sys.platform == "linux":
        fcntl.fcntl(line, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(line, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(line, fcntl.F_SETFL, os.O_ASYNC)


@contextlib.contextmanager
def _address(backend: str) -> Iterator[Path]:
    """The socket's path, held against other tasks that start or end a server."""
    directory = private_directory()
    with _locked(directory):
        yield directory / f"{_keeper()}-{backend}.sock"


def _keeper() -> int:
    """The process that a server does not outlive: Spark's daemon, whose fork this worker is.

    The daemon leads the group of its workers. Of one that was killed they are left, in Spark's
    use still, but as children of a process that may run for ever: such a worker is its own keeper.
    """
    return os.getppid() if _alive(os.getpgrp()) else os.getpid()


def _keeper_of(path: Path) -> int | None:
    """The keeper that a socket's name tells; None where the name is not that of a server's socket."""
    keeper = path.name.split("-")[0]
    return int(keeper) if keeper.isdecimal() else None


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
        raise PermissionError(
            f"{directory} is not a folder that only this user may enter: remove it, or set another TMPDIR"
        )
    return directory


def _connect(path: Path, backend: str, log: int) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    with _short(path) as address:
        try:
            client.connect(address)
        except (FileNotFoundError, ConnectionRefusedError):
            path.unlink(missing_ok=True)
            _start(path, backend, log)
            client.connect(address)
    return client


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """The address of a socket, which has room for fewer characters than a path may have: unix(7)."""
    if len(os.fsencode(path)) <= _LONGEST_ADDRESS or sys.platform != "linux":
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def _start(path: Path, backend: str, log: int) -> None:
    # The socket listens before the server has loaded anything: requests wait in it.
    with socket.socket(socket.AF_UNIX) as listener, _short(path) as address:
        listener.bind(address)
        listener.listen(64)
        environment = {
            **os.environ,
            "KERAS_BACKEND": backend,
            # By CUDA itself, the question whether there is a GPU would be the last one before a fork.
            "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
            "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
            "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2"),
        }
        subprocess.Popen(
            [sys.executable, "-m", __name__, str(listener.fileno()), str(path), str(_keeper_of(path))],
            pass_fds=[listener.fileno()],
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
        )


def serve(listener: socket.socket, path: Path, keeper: int) -> None:
    """Fork a trainer for each request until the server is idle for long or the executor ends.

    Each has a folder of its own for temporary files: TensorFlow writes some where it
    rewrites a function, and a process that is killed takes none away.
    """
    with _missing(name for name in _FOR_NOTEBOOKS if name != os.environ.get("KERAS_BACKEND")):
        from nbkeras.worker import backends, trainer

        backends.load()
    trainers: dict[int, int] = {}
    _sweep(path.parent)
    last = time.monotonic()
    while trainers or _alive(keeper):
        # Tasks wait for the word of how their trainers have ended.
        if select.select([listener], [], [], 0.1 if trainers else 0.5)[0]:
            descriptors = _received(listener)
            if descriptors:
                pipe, line, log, *files = descriptors
                if not (child := os.fork()):
                    listener.close()
                    for other in trainers.values():
                        os.close(other)
                    _live_by(line)
                    folder = _folder(path, os.getpid())
                    _make(folder)
                    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
                    trainer.main(pipe, log, files)
                trainers[child] = os.dup(line)
            for descriptor in descriptors:
                os.close(descriptor)
        _bury(trainers, path)
        if trainers:
            last = time.monotonic()
        elif time.monotonic() - last > IDLE_SECONDS and _retire(listener, path):
            return
    path.unlink(missing_ok=True)


def _make(folder: Path) -> None:
    """Make a folder that this process holds until it ends, however it does."""
    begun = folder.with_suffix(".new")
    begun.mkdir(mode=0o700)
    fcntl.flock(os.open(begun, os.O_RDONLY), fcntl.LOCK_EX)
    begun.rename(folder)


def _sweep(directory: Path) -> None:
    """Take away what servers have left that were killed: sockets, and folders of trainers."""
    for socket_file in directory.glob("*.sock"):
        keeper = _keeper_of(socket_file)
        if keeper is not None and not _alive(keeper):
            socket_file.unlink(missing_ok=True)  # only tasks of that daemon would look for it
    for folder in directory.glob(f"*{_FILES}"):
        with contextlib.suppress(OSError):  # it is held, or somebody else takes it away
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)


def _bury(trainers: dict[int, int], path: Path) -> None:
    """Tell the tasks of trainers that have ended how they have, and take away what is left of them.

    Args:
        trainers: the descriptors of their lifelines; those of the dead go.
        path: of the server's socket.
    """
    for child in list(trainers):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            with socket.socket(fileno=trainers.pop(child)) as line, contextlib.suppress(OSError):
                line.send(_STATUS.pack(status))
            shutil.rmtree(_folder(path, child), ignore_errors=True)


@contextlib.contextmanager
def _missing(packages: Iterable[str]) -> Iterator[None]:
    """Have imports take packages for missing, unless they are loaded, as long as a ``with`` block lasts."""
    hidden = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None stands for what is missing
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def _folder(path: Path, trainer: int) -> Path:
    """Where a trainer keeps temporary files, beside the server's socket."""
    return path.with_name(f"{trainer}{_FILES}")


def _send(server: socket.socket, descriptors: list[int]) -> None:
    number = _NUMBER.pack(len(descriptors))
    for begin in range(0, len(descriptors), _DESCRIPTORS):
        socket.send_fds(server, [number], descriptors[begin : begin + _DESCRIPTORS])


def _received(listener: socket.socket) -> list[int]:
    """The descriptors of a request; none from a task that hangs or is gone by now."""
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(_REQUEST_SECONDS)
        descriptors: list[int] = []
        number = 1
        try:
            while len(descriptors) < number:
                said, come, _, _ = socket.recv_fds(connection, _NUMBER.size, _DESCRIPTORS)
                descriptors += come
                (number,) = _NUMBER.unpack(said)  # which fails where the connection has ended
        except (OSError, struct.error):
            for one in descriptors:
                os.close(one)
            return []
        return descriptors


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
