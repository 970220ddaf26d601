"""What Spark is told to authenticate and encrypt is kept, in a real Spark that is told so."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import kernel
import pytest

from nbkeras.engine.spark import protection
from nbkeras.engine.transport import tls
from nbkeras.errors import ClusterError
from nbkeras.plan import Plan, Structure

# Each starts a Spark, and some executors, that load TensorFlow anew.
pytestmark = pytest.mark.timeout(900)
ROOT = Path(__file__).parents[1]
ENCRYPTING = [
    "spark.ssl.enabled",
    "spark.ssl.rpc.enabled",
    "spark.network.crypto.enabled",
    "spark.authenticate.enableSaslEncryption",
]


def session(**settings):
    """Something that answers for its settings as a session does."""
    return SimpleNamespace(conf={key.replace("_", "."): value for key, value in settings.items()})


def plan(workers, backend="tensorflow", gpus=None):
    return Plan(Structure((), ()), workers=workers, backend=backend, gpus=gpus)


@pytest.mark.parametrize("key", ENCRYPTING)
def test_several_workers_need_a_trusted_network_where_spark_protects_it(key):
    spark = session(**{key: "true"})
    with pytest.raises(ClusterError, match=rf"^{key} is true, but 2 workers .* --trusted-network \(trusted_"):
        protection.require_trust(spark, plan(2), trusted=False)
    protection.require_trust(spark, plan(2), trusted=True)
    protection.require_trust(spark, plan(1), trusted=False)


def test_workers_with_gpus_of_their_own_sum_over_ports_that_ask_nobody():
    spark = session(spark_authenticate="true")
    with pytest.raises(ClusterError, match="ask nobody who he is: use --backend torch or jax"):
        protection.require_trust(spark, plan(2, gpus=1), trusted=False)
    protection.require_trust(spark, plan(2, "torch", gpus=1), trusted=False)
    protection.require_trust(spark, plan(2, gpus=1), trusted=True)
    each = session(spark_authenticate="true", spark_task_resource_gpu_amount="1")
    with pytest.raises(ClusterError, match="ask nobody"):
        protection.require_trust(each, plan(2), trusted=False)


@pytest.mark.parametrize("backend", ["tensorflow", "torch", "jax"])
def test_workers_that_prove_a_secret_need_it_only_where_spark_encrypts(backend):
    protection.require_trust(session(spark_authenticate="true"), plan(2, backend), trusted=False)
    with pytest.raises(ClusterError, match="not encrypted"):
        protection.require_trust(session(spark_ssl_enabled="true"), plan(2, backend), trusted=False)


def test_several_workers_need_nothing_where_spark_protects_nothing():
    protection.require_trust(session(spark_authenticate="false"), plan(2), trusted=False)


@pytest.mark.parametrize("key", ENCRYPTING)
def test_whatever_tells_spark_to_encrypt_the_network_tells_us(key):
    assert protection.encrypts_network(session(**{key: "TRUE"})) == key
    assert protection.encrypts_network(session(**{key: "false"})) is None


def test_a_missing_package_for_certificates_is_told_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(ClusterError, match=r"^spark\.ssl\.enabled is true, .* pip install 'nbkeras\[tls\]'"):
        tls.certificate("spark.ssl.enabled")


# -- in a Spark that is told so ----------------------------------------------------------------------------

_NOTEBOOK = """
import base64, json, os, sys, time
import keras, numpy as np, psutil, nbkeras
from pyspark.sql import SparkSession
from nbkeras import java
from nbkeras.engine.spark import cluster
from nbkeras.engine.transport import events
from nbkeras.engine.submission import Submission

settings, how, marker = json.loads(sys.argv[1]), json.loads(sys.argv[2]), bytes.fromhex(sys.argv[3])
java.ensure()
os.environ["PYSPARK_PYTHON"] = sys.executable
builder = SparkSession.builder
for key, value in settings.items():
    builder = builder.config(key, value)
spark = builder.getOrCreate()
while cluster.slots(spark) < 2:
    time.sleep(0.1)  # executors come when they have started
told = {"tls": [], "clear": [], "memory": [], "leaks": [], "described": False, "looked": 0}
secrets = []

start = events.Server.__init__
def watch(self, host, secret, handle, blob_limit=0, context=None):
    told["tls"].append(context is not None)
    secrets.extend([secret, secret.hex().encode(), base64.b64encode(secret)])
    start(self, host, secret, handle, blob_limit, context)
events.Server.__init__ = watch

def holds(path):
    try:
        with open(path, "rb") as file:
            return marker in file.read()
    except OSError:
        return False

def look():
    "Files on a disk, with and without a name, that hold the rows' bytes, or lie in memory and do."
    for place in {settings["spark.local.dir"], os.environ["TMPDIR"]}:
        for folder, _, names in os.walk(place):
            told["clear"] += [name for name in names if holds(os.path.join(folder, name))]
    for process in psutil.process_iter():
        for what in ("cmdline", "environ"):
            try:
                with open(f"/proc/{process.pid}/{what}", "rb") as file:
                    words = file.read()
            except OSError:
                continue
            told["looked"] += b"nbkeras" in words
            told["leaks"] += [what for secret in secrets if secret in words]
        try:
            files = os.listdir(f"/proc/{process.pid}/fd")
        except OSError:
            continue
        for one in files:
            path = f"/proc/{process.pid}/fd/{one}"
            try:
                target = os.readlink(path)
            except OSError:
                continue
            if target.startswith("/memfd:nbkeras"):
                told["memory"] += [target] if holds(path) else []
            elif target.startswith("/") and target.endswith("(deleted)") and "/dev/" not in target:
                told["clear"] += [target] if holds(path) else []

trained = Submission._on_ready
def ready(self, peer, event, blob, answer):
    look()  # all rows have arrived
    trained(self, peer, event, blob, answer)
Submission._on_ready = ready

x = np.frombuffer(marker * 16, dtype="<f4").reshape(64, -1)
y = np.arange(64, dtype="float32")
keras.utils.set_random_seed(0)
model = keras.Sequential([keras.Input((x.shape[1],)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
try:
    run = nbkeras.fit(model, x, y, epochs=2, verbose=0, **how)
    told |= {"status": run.status, "notes": run.notes, "loss": run.history["loss"]}
    told["evaluated"] = nbkeras.evaluate(model, x, y)["loss"]
    told["plain"] = float(np.mean((model(x)[:, 0] - y) ** 2))
    told["predicted"] = len(nbkeras.predict(model, x))
except nbkeras.errors.NbkerasError as error:
    told["error"] = f"{type(error).__name__}: {error}"
spark.stop()
for folder, _, names in os.walk(settings.get("spark.eventLog.dir", "")):
    for name in names:
        with open(os.path.join(folder, name), "rb") as file:
            words = file.read()
        told["described"] |= b"nbkeras: run 1" in words
        told["leaks"] += [name for secret in secrets if secret in words]
found = told
"""

#: Four numbers of a row: what may be found, and what is looked for.
MARKER = bytes.fromhex("3f12803f3f12803e3f12803d3f12803c") * 4


def train(tmp_path, master="local[2]", how=None, environment=None, **settings):
    """What a notebook with such a Spark tells of a training."""
    (tmp_path / "spark").mkdir()
    (tmp_path / "tmp").mkdir()
    settings = {
        "spark.master": master,
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.local.dir": str(tmp_path / "spark"),
        "spark.sql.warehouse.dir": str(tmp_path / "warehouse"),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        **{key.replace("_", "."): value for key, value in settings.items()},
    }
    found, _ = kernel.run(
        _NOTEBOOK,
        json.dumps(settings),
        json.dumps(how or {}),
        MARKER.hex(),
        timeout=840,
        environment={"TMPDIR": str(tmp_path / "tmp"), **(environment or {})},
    )
    return found


def is_right(told):
    assert told.get("error") is None
    assert told["status"] == "finished"
    assert told["evaluated"] == pytest.approx(told["plain"], rel=1e-4)
    assert told["predicted"] == 64


def test_the_secret_is_in_no_event_log_command_line_or_environment(tmp_path):
    log = tmp_path / "log"
    log.mkdir()
    settings = {"enabled": "true", "dir": str(log), "compress": "false"}
    told = train(tmp_path, **{f"spark_eventLog_{key}": value for key, value in settings.items()})
    is_right(told)
    assert told["described"]  # this is the log of what Spark's pages show
    assert told["looked"]
    assert told["leaks"] == []


def test_rows_lie_on_a_disk_where_nothing_is_said(tmp_path):
    told = train(tmp_path, how={"workers": 2})
    is_right(told)
    assert told["leaks"] == []
    assert told["clear"]  # so they would be found
    assert not told["memory"]
    assert told["tls"] == [False]


def test_no_row_lies_on_a_disk_where_spark_encrypts_its_files(tmp_path):
    told = train(tmp_path, how={"workers": 2}, spark_io_encryption_enabled="true")
    is_right(told)
    assert told["clear"] == []
    assert told["memory"]
    (note,) = told["notes"]
    assert note.startswith("spark.io.encryption.enabled is true: the rows lie in the memory of the workers")


def test_events_are_encrypted_where_spark_encrypts_the_network(tmp_path):
    # The file stores are for pages of Spark's own, which are off.
    told = train(tmp_path, how={"workers": 2, "trusted_network": True}, spark_ssl_enabled="true")
    is_right(told)
    assert told["tls"] == [True]


def test_several_workers_are_refused_where_spark_encrypts_the_network(tmp_path):
    told = train(tmp_path, how={"workers": 2}, spark_ssl_enabled="true")
    assert told["error"].startswith("ClusterError: spark.ssl.enabled is true, but 2 workers")


def test_several_workers_train_where_spark_authenticates(tmp_path):
    is_right(train(tmp_path, how={"workers": 2}, spark_authenticate="true"))


@pytest.mark.parametrize("how", [{"workers": 1}, {"workers": 2, "trusted_network": True}])
def test_executors_that_authenticate_and_encrypt_train(tmp_path, how):
    told = train(
        tmp_path,
        master="local-cluster[2,1,1024]",
        how=how,
        spark_authenticate="true",
        spark_authenticate_secret="only for this test",  # noqa: S106
        spark_network_crypto_enabled="true",
        spark_io_encryption_enabled="true",
    )
    is_right(told)
    assert told["tls"] == [True]
    assert told["clear"] == []
    assert told["memory"]
