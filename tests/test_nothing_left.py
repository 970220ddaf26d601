"""What ends, in whatever way, leaves no process, port, thread or file behind, and the next fit works."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import keras
import numpy as np
import psutil
import pytest
from processes import family, is_alive, ports, servers, trainers, unnamed_files
from waiting import LIMIT

import nbkeras
from nbkeras.errors import Aborted, TrainingError
from nbkeras.transport import channel
from nbkeras.worker import fork_server

ROOT = Path(__file__).parents[1]
NOTEBOOK = os.getpid()
ROWS = 4000
X = np.random.default_rng(0).normal(size=(ROWS, 4)).astype("float32")
Y = X.sum(axis=1)


pytestmark = pytest.mark.usefixtures("any_backend", "as_in_a_notebook")


def net(*layers):
    model = keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def fit(model, spark, workers=1, **how):
    return nbkeras.fit(model, X, Y, **{"verbose": 0, "workers": workers, "spark": spark, **how})


def long(model, spark, workers=1):
    """A training that would go on for an hour, and that no worker of a busy machine is lost to."""
    how = {"epochs": 10_000, "batch_size": 4 * workers, "heartbeat": LIMIT}
    return fit(model, spark, workers, background=True, **how)


@pytest.fixture(autouse=True)
def _ended():
    """A training that a failed test has left at work would take the slots of all tests after it."""
    yield
    for run in nbkeras.runs:
        if not run.done.is_set():
            run.abort()


def named_files(spark):
    """What is named after us where Spark and Python keep temporary files, but for what may be there."""
    places = {Path(tempfile.gettempdir()), *map(Path, spark.conf.get("spark.local.dir").split(","))}
    found = set()
    for place in places:
        for path in place.rglob("*nbkeras*") if "spark" in place.name else place.glob("nbkeras*"):
            in_socket_folder = path == fork_server.private_directory()
            # In a folder of Spark's, which goes with it.
            shipped = path.name == "nbkeras.zip" and path.parent.name.startswith(
                ("userFiles", "spark", "pyspark")
            )
            if not (in_socket_folder or shipped):
                found.add(path)
    return found


@pytest.fixture(scope="module")
def settled(spark, any_backend, nothing_waits):
    """Spark after a first training: what Spark itself starts then is not ours."""
    # Spark keeps a parent of its Python workers for each environment that a test gave them, and each
    # has a server of its own: from here on one will do.
    for server in servers():
        server.kill()
    fit(net(), spark)
    return spark


@pytest.fixture
def leaves_nothing(settled, wait_for):
    """Afterwards everything is as before, and a training works."""
    threads, listening, files = set(threading.enumerate()), ports(psutil.Process()), named_files(settled)
    yield
    wait_for(lambda: not trainers(), "the trainers to end")
    wait_for(lambda: set(threading.enumerate()) <= threads, "the threads to end")
    assert ports(psutil.Process()) == listening
    assert named_files(settled) <= files
    (server,) = servers()
    own = unnamed_files(psutil.Process())
    assert len(unnamed_files(server) - own) <= 1  # what it prints itself
    # Spark keeps idle Python workers for the next task.
    for worker in filter(is_alive, family(os.getpid())):
        with contextlib.suppress(psutil.NoSuchProcess):  # Spark ends some at any time
            if any("pyspark" in word for word in worker.cmdline()):
                assert unnamed_files(worker) <= own
    model = net()
    before = model.get_weights()[0]
    run = nbkeras.fit(model, X[:64], Y[:64], workers=1, verbose=0, spark=settled)
    assert run.status == "finished"
    assert len(run.history["loss"]) == 1
    assert np.abs(model.get_weights()[0] - before).max() > 0


# -- how a training may end ----------------------------------------------------------------------------


def test_a_training_leaves_nothing_when_it_succeeds(settled, leaves_nothing):
    """Not a leftover either: the handler of SIGINT is the one from before. The server serves the next too."""
    before, (first,) = signal.getsignal(signal.SIGINT), servers()
    assert fit(net(), settled, workers=2, validation_split=0.25).status == "finished"
    assert signal.getsignal(signal.SIGINT) is before
    (second,) = servers()
    assert first.pid == second.pid


class FailsLater(keras.layers.Layer):
    """Raises on a worker in its second epoch."""

    def call(self, x):
        def check(x):
            self.seen = getattr(self, "seen", 0) + 1
            if self.seen > 5:
                raise ValueError("enough")
            return x

        if os.getpid() == NOTEBOOK:
            return x
        if keras.config.backend() != "tensorflow":
            return check(x)
        import tensorflow as tf

        y = tf.numpy_function(check, [x], tf.float32)
        return tf.ensure_shape(y, x.shape)


#: Workers of a training that ends in some way: two end each other too.
WORKERS = pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.soak), 2])


@WORKERS
def test_a_training_leaves_nothing_when_a_worker_raises(settled, leaves_nothing, workers):
    model = net(FailsLater())
    before = model.get_weights()[0]
    with pytest.raises(TrainingError, match=r"on worker [01] .*enough") as caught:
        fit(model, settled, workers, epochs=3, batch_size=500)
    assert "\n" not in str(caught.value)
    np.testing.assert_array_equal(model.get_weights()[0], before)


@WORKERS
def test_a_stop_in_an_epoch_keeps_history_and_weights_and_leaves_nothing(
    settled, leaves_nothing, wait_for, workers
):
    model = net()
    before = model.get_weights()[0]
    run = long(model, settled, workers)
    wait_for(lambda: run.epoch_numbers and run.snapshot().step > 0, "the middle of an epoch")
    run.stop()
    assert run.wait(LIMIT) is run
    assert run.status == "stopped"
    assert run.error is None
    assert run.epoch_numbers == list(range(len(run.history["loss"])))
    assert run.partial == run.epoch_numbers[-1] + 1
    assert np.abs(model.get_weights()[0] - before).max() > 0
    assert int(model.optimizer.iterations.value) > 0


class CountsTrainers(keras.Sequential):
    """Whose last worker to have trained says how many trainers there still are."""

    def fit(self, *args, **kwargs):
        history = super().fit(*args, **kwargs)
        if os.getpid() != NOTEBOOK:
            try:
                self.first.touch(exist_ok=False)
            except FileExistsError:
                time.sleep(1)  # time to leave, for the other; what nobody waits for shows in nothing else
                alive = [one for one in psutil.Process().parent().children() if one.status() != "zombie"]
                self.counted.write_text(str(len(alive)))
        return history


@pytest.mark.soak  # test_rendezvous.py tells when the workers are let go
def test_no_worker_leaves_before_all_have_trained(settled, leaves_nothing, tmp_path):
    model = CountsTrainers([keras.Input((4,)), keras.layers.Dense(1)])
    model.first, model.counted = tmp_path / "first", tmp_path / "counted"
    model.compile("sgd", "mse")
    assert fit(model, settled, workers=2).status == "finished"
    assert model.counted.read_text() == "2"


@pytest.mark.parametrize("phase", ["preparing", pytest.param("reading", marks=pytest.mark.soak), "starting"])
def test_a_stop_in_any_phase_is_a_stop(settled, leaves_nothing, wait_for, phase):
    run = long(net(), settled)
    before = ["preparing", "slots", "computing", "reading"]
    wait_for(lambda: run.phase == phase or run.phase not in before, phase)
    run.stop()
    run.wait(LIMIT)
    assert run.status == "stopped"
    assert run.error is None


@WORKERS
def test_an_abort_keeps_the_old_weights_and_leaves_nothing(settled, leaves_nothing, wait_for, workers):
    model = net()
    before = model.get_weights()[0]
    run = long(model, settled, workers)
    wait_for(lambda: run.epoch_numbers or run.snapshot().step > 0, "the first steps")
    run.abort()
    with pytest.raises(Aborted, match="the model is as it was before"):
        run.wait(LIMIT)
    assert len(run.epoch_numbers) < run.epochs  # an hour is left of it
    assert run.status == "aborted"
    np.testing.assert_array_equal(model.get_weights()[0], before)


def test_an_abort_before_the_first_step_leaves_nothing(settled, leaves_nothing):
    run = long(net(), settled)
    run.abort()
    with pytest.raises(Aborted):
        run.wait(LIMIT)


def test_a_killed_server_takes_no_training_with_it(settled, leaves_nothing, wait_for):
    (server,) = servers()
    server.kill()
    wait_for(lambda: not is_alive(server), "the server's end")
    assert fit(net(), settled).status == "finished"
    assert servers()[0].pid != server.pid


# -- the warm server ------------------------------------------------------------------------------------


class Writes(keras.layers.Layer):
    """Leaves a temporary file on a worker, as TensorFlow does where it rewrites a function."""

    def call(self, x):
        if os.getpid() != NOTEBOOK:
            tempfile.mkstemp(prefix="of-a-layer")
        return x


@pytest.mark.parametrize("how", ["finished", "killed"])
def test_temporary_files_of_a_trainer_go_with_it(settled, wait_for, how):
    def files():
        places = [Path(tempfile.gettempdir()), fork_server.private_directory()]
        found = {one for place in places for one in place.iterdir()}
        return {one for one in found if one.name.startswith("of-a-layer") or one.name.endswith("-files")}

    before = files()
    run = long(net(Writes()), settled)
    wait_for(lambda: run.snapshot().step, "a step")
    there = {one: [file.name for file in one.iterdir()] for one in files() - before}
    if how == "killed":
        run.abort()
        with contextlib.suppress(Aborted):
            run.wait(LIMIT)
    else:
        run.stop()
        run.wait(LIMIT)
    wait_for(lambda: files() <= before, "the end of the files")
    ((folder, names),) = there.items()
    assert folder.name.endswith("-files")
    assert any(name.startswith("of-a-layer") for name in names)


_NOTEBOOK = """
import sys, time
import keras, numpy as np, nbkeras

model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
x, y = np.ones((400, 2)), np.ones(400)
run = nbkeras.fit(model, x, y, epochs=10**6, batch_size=1, workers=1, background=True, verbose=0)
while not run.snapshot().step:
    time.sleep(0.02)
print("TRAINING", flush=True)
sys.stdin.readline()
"""


def started(script, **environment):
    """A notebook of its own, which says words and waits for lines."""
    return subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
    )


def said(process, word):
    for line in process.stdout:
        if line.strip() == word:
            return
    pytest.fail(f"ended before it said {word}")


_WITHOUT_DAEMON = """
import os, sys, time
import keras, numpy as np, nbkeras, psutil

def train():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    nbkeras.fit(model, np.ones((40, 2)), np.ones(40), workers=1, verbose=0)

nbkeras.local_spark()
train()
(java,) = psutil.Process().children()
(daemon,) = [one for one in java.children() if "python" in one.name()]
daemon.kill()
train()
print("TRAINED", flush=True)
sys.stdin.readline()
"""


@pytest.mark.soak
@pytest.mark.process
def test_no_server_outlives_a_worker_whose_daemon_was_killed(wait_for, tmp_path):
    def here():
        """Servers by their sockets' folder: an orphan's server has no relation to the notebook."""
        found = []
        for one in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                line = one.cmdline()  # once: it may end at any time
                found += (
                    [one] if "nbkeras.worker.fork_server" in line and str(tmp_path) in " ".join(line) else []
                )
        return found

    with started(_WITHOUT_DAEMON, TMPDIR=str(tmp_path)) as notebook:
        try:
            said(notebook, "TRAINED")
            assert here()
        finally:
            notebook.kill()
        wait_for(lambda: not here(), "the servers to end")


@pytest.mark.soak  # test_events.py and test_task.py tell how a worker leaves when nobody listens
def test_a_worker_without_its_daemon_does_not_outlive_the_notebook(wait_for):
    with started(_NOTEBOOK) as notebook:
        try:
            said(notebook, "TRAINING")
            (java,) = psutil.Process(notebook.pid).children()
            (daemon,) = [one for one in java.children() if "python" in one.name()]
            ours = daemon.children(recursive=True)
            assert len(ours) == 3  # a Spark worker, a warm server and its trainer
            daemon.kill()  # Spark goes on with the worker, which nothing ends any more
        finally:
            for one in psutil.Process(notebook.pid).children():
                one.kill()
            notebook.kill()
        wait_for(lambda: not any(map(is_alive, ours)), "all processes to end", limit=channel.OVER + LIMIT)


_SERVE = """
import socket, sys
from pathlib import Path
from nbkeras.worker import fork_server
fork_server.IDLE_SECONDS = 0.5
fork_server.serve(socket.socket(fileno=int(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3]))
"""


@pytest.mark.process
def test_an_idle_server_ends_and_takes_its_socket_along(tmp_path):
    path = tmp_path / "idle.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        arguments = [str(listener.fileno()), path, str(os.getpid())]
        server = subprocess.Popen(
            [sys.executable, "-c", _SERVE, *arguments], pass_fds=[listener.fileno()], cwd=ROOT
        )
    assert server.wait(LIMIT) == 0
    assert not path.exists()


@pytest.mark.soak  # test_interrupts.py has it where Spark ends, and where all is killed
@pytest.mark.process
def test_a_server_whose_executor_is_gone_ends(tmp_path):
    path = tmp_path / "orphan.sock"
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        arguments = [str(listener.fileno()), str(path), str(gone.pid)]
        server = subprocess.Popen(
            [sys.executable, "-m", fork_server.__name__, *arguments], pass_fds=[listener.fileno()], cwd=ROOT
        )
    assert server.wait(LIMIT) == 0
    assert not path.exists()


# -- the folder of the sockets ----------------------------------------------------------------------------


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"nbkeras-{os.getuid()}"


def test_only_this_user_may_enter_the_folder_of_the_sockets(temporary):
    assert fork_server.private_directory() == temporary
    assert temporary.stat().st_mode & 0o777 == 0o700
    assert fork_server.private_directory() == temporary


@pytest.mark.parametrize("mode", [0o777, 0o750, 0o701])
def test_a_folder_that_others_may_enter_is_refused(temporary, mode):
    temporary.mkdir()
    temporary.chmod(mode)
    with pytest.raises(PermissionError, match="only this user may enter: remove it"):
        fork_server.private_directory()


def test_a_link_to_a_folder_is_refused(temporary):
    (temporary.parent / "elsewhere").mkdir(mode=0o700)
    temporary.symlink_to("elsewhere")
    with pytest.raises(PermissionError, match="remove it"):
        fork_server.private_directory()


def test_a_file_in_place_of_the_folder_is_refused(temporary):
    temporary.touch(mode=0o600)
    with pytest.raises(PermissionError, match="remove it"):
        fork_server.private_directory()


def test_a_folder_of_somebody_else_is_refused(temporary, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(PermissionError, match=r"nbkeras-12345.*remove it"):
        fork_server.private_directory()


def test_a_running_server_listens_in_that_folder(settled):
    (server,) = servers()
    path = Path(server.cmdline()[-2])
    assert path.parent == fork_server.private_directory()
    assert path.is_socket()
