"""What a warm server and the tasks that hire trainers say to each other."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from nbkeras.worker import fork_server


@pytest.fixture
def listener(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener, fork_server._short(tmp_path / "socket") as address:
        listener.bind(address)
        listener.listen()
        yield listener


@pytest.fixture
def request_of(listener, tmp_path):
    """A connection to the server, as a task opens one."""
    with socket.socket(socket.AF_UNIX) as connection, fork_server._short(tmp_path / "socket") as address:
        connection.connect(address)
        yield connection


def descriptors():
    return len([*Path("/proc/self/fd").iterdir()])


def test_as_many_descriptors_arrive_as_a_model_has_inputs(listener, request_of):
    """Linux passes 253 with one message."""
    ends = [os.pipe() for _ in range(300)]
    given = [end for both in ends for end in both]
    sent = threading.Thread(target=fork_server._send, args=(request_of, given))
    sent.start()
    received = fork_server._received(listener)
    sent.join()
    try:
        assert [os.fstat(one).st_ino for one in received] == [os.fstat(one).st_ino for one in given]
    finally:
        for one in [*given, *received]:
            os.close(one)


def test_of_a_task_that_is_gone_within_its_request_nothing_is_kept(listener, request_of):
    before = descriptors()
    socket.send_fds(request_of, [fork_server._NUMBER.pack(3)], [0, 1])
    request_of.close()
    assert fork_server._received(listener) == []
    assert descriptors() == before - 1  # the connection's own


def test_a_task_learns_by_which_signal_its_trainer_has_ended(tmp_path, wait_for):
    life, line = socket.socketpair()
    trainer = subprocess.Popen(["sleep", "600"])
    trainers = {trainer.pid: line.detach()}
    trainer.send_signal(signal.SIGBUS)

    def buried():
        fork_server._bury(trainers, tmp_path / "socket")
        return not trainers

    with life:
        wait_for(buried, "the end of the trainer")
        trainer.returncode = 0  # the server has waited for it
        status = fork_server.end(life)
        assert os.WIFSIGNALED(status)
        assert os.WTERMSIG(status) == signal.SIGBUS
        assert fork_server.end(life) is None  # it is said once


def test_a_new_server_removes_the_sockets_of_servers_that_were_killed(tmp_path):
    ended = subprocess.Popen(["true"])
    ended.wait()
    sockets = [f"{keeper}-torch.sock" for keeper in (os.getpid(), ended.pid)]
    for name in [*sockets, "readme.sock"]:
        (tmp_path / name).touch()

    fork_server._sweep(tmp_path)

    assert {path.name for path in tmp_path.iterdir()} == {sockets[0], "readme.sock"}
