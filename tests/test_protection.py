"""What Spark is told to authenticate and encrypt is kept, in a real Spark that is told so."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from types import SimpleNamespace

import jvm
import kernel
import pytest

from nbkeras.errors import ClusterError
from nbkeras.plan import Plan
from nbkeras.schema import Schema
from nbkeras.spark import protection
from nbkeras.transport import tls

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
    return Plan(Schema(), workers=workers, backend=backend, gpus=gpus)


@pytest.mark.parametrize("key", ENCRYPTING)
def test_several_workers_need_a_trusted_network_where_spark_protects_it(key):
    spark = session(**{key: "true"})
    with pytest.raises(ClusterError, match=rf"^{key} is true, but 2 workers .* --trusted-network \(trusted_"):
        protection.require_trust(spark, plan(2), trusted=False)
    protection.require_trust(spark, plan(2), trusted=True)
    protection.require_trust(spark, plan(1), trusted=False)


def test_workers_with_gpus_of_their_own_sum_over_ports_without_authentication():
    spark = session(spark_authenticate="true")
    with pytest.raises(ClusterError, match="accept unauthenticated connections: use --backend torch or jax"):
        protection.require_trust(spark, plan(2, gpus=1), trusted=False)
    protection.require_trust(spark, plan(2, "torch", gpus=1), trusted=False)
    protection.require_trust(spark, plan(2, gpus=1), trusted=True)
    each = session(spark_authenticate="true", spark_task_resource_gpu_amount="1")
    with pytest.raises(ClusterError, match="unauthenticated"):
        protection.require_trust(each, plan(2), trusted=False)


@pytest.mark.parametrize("backend", ["tensorflow", "torch", "jax"])
def test_workers_that_prove_a_secret_need_it_only_where_spark_encrypts(backend):
    protection.require_trust(session(spark_authenticate="true"), plan(2, backend), trusted=False)
    with pytest.raises(ClusterError, match="not encrypted"):
        protection.require_trust(session(spark_ssl_enabled="true"), plan(2, backend), trusted=False)


def test_several_workers_need_nothing_where_spark_protects_nothing():
    protection.require_trust(session(spark_authenticate="false"), plan(2), trusted=False)


def test_a_checkpoint_is_named_where_spark_encrypts_its_files():
    told = protection.notes(session(spark_io_encryption_enabled="true"), replace(plan(2), checkpoint="/mine"))
    assert told[1:] == ["the checkpoints in /mine are not encrypted by nbkeras"]


@pytest.mark.parametrize("key", ENCRYPTING)
def test_whatever_tells_spark_to_encrypt_the_network_tells_us(key):
    assert protection.encrypts_network(session(**{key: "TRUE"})) == key
    assert protection.encrypts_network(session(**{key: "false"})) is None


def test_a_missing_package_for_certificates_is_reported_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(ClusterError, match=r"^spark\.ssl\.enabled is true, .* pip install 'nbkeras\[tls\]'"):
        tls.certificate("spark.ssl.enabled")


# -- in a Spark that is told so ----------------------------------------------------------------------------

_NOTEBOOK = """
import base64, json, os, struct, sys, time
import keras, numpy as np, psutil, nbkeras
from pyspark.sql import SparkSession
from nbkeras.spark import cluster
from nbkeras.transport import events
from nbkeras.driver.training.inbox import Inbox

settings, calls, number = json.loads(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3])
# Four numbers that are in each row, and in those of no other training on this machine.
marker = struct.pack("<4f", 0.572, os.getpid() / 2**22, 0.14, number / 8) * 4
os.environ["PYSPARK_PYTHON"] = sys.executable
builder = SparkSession.builder
for key, value in settings.items():
    builder = builder.config(key, value)
spark = builder.getOrCreate()
while cluster.slots(spark) < 2:
    time.sleep(0.1)  # executors come when they have started
secrets = []

start = events.Server.__init__
def watch(self, host, secret, handle, blob_limit=0, context=None):
    told["tls"].append(context is not None)
    secrets.extend([secret, secret.hex().encode(), base64.b64encode(secret)])
    start(self, host, secret, handle, blob_limit, context)

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

trained = Inbox._on_ready
def ready(self, peer, event, blob, answer):
    look()  # all rows have arrived
    trained(self, peer, event, blob, answer)

x = np.frombuffer(marker * 16, dtype="<f4").reshape(64, -1)
y = np.arange(64, dtype="float32")

def train(how):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((x.shape[1],)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    try:
        run = nbkeras.fit(model, x, y, epochs=2, verbose=0, **how)
        told.update(status=run.status, notes=run.notes, loss=run.history["loss"])
        if how == calls[-1] and "spark.io.encryption.enabled" in settings:
            backend = how["backend"]
            told["evaluated"] = nbkeras.evaluate(model, x, y, backend=backend)["loss"]
            told["plain"] = float(np.mean((model(x)[:, 0] - y) ** 2))
            told["predicted"] = len(nbkeras.predict(model, np.repeat(x, 1100, 0), backend=backend)) // 1100
    except nbkeras.errors.NbkerasError as error:
        told["error"] = f"{type(error).__name__}: {error}"

found = []
events.Server.__init__, Inbox._on_ready = watch, ready
for how in calls:
    told = {"tls": [], "clear": [], "memory": [], "leaks": [], "described": False, "looked": 0}
    found.append(told)
    train(how)
spark.stop()
events.Server.__init__, Inbox._on_ready = start, trained
for folder, _, names in os.walk(settings.get("spark.eventLog.dir", "")):
    for name in names:
        with open(os.path.join(folder, name), "rb") as file:
            words = file.read()
        told["described"] |= b"nbkeras: run " in words
        told["leaks"] += [name for secret in secrets if secret in words]
"""


@pytest.fixture(scope="module")
def protected(tmp_path_factory, pytestconfig):
    """Tell what trainings come to with such a Spark: one notebook for all, a Spark for each."""
    root = tmp_path_factory.mktemp("protected")
    (root / "tmp").mkdir()
    begun = []

    def train(*calls, master="local[2]", **settings):
        begun.append(root / str(len(begun)))
        log = begun[-1] / "log"
        log.mkdir(parents=True)
        settings = {
            "spark.master": master,
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            "spark.local.dir": str(begun[-1] / "spark"),
            "spark.sql.warehouse.dir": str(begun[-1] / "warehouse"),
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.eventLog.enabled": "true",
            "spark.eventLog.dir": str(log),
            "spark.eventLog.compress": "false",
            **{key.replace("_", "."): value for key, value in settings.items()},
        }
        told = [{"backend": pytestconfig.getoption("any_backend"), **one} for one in calls]
        return notebook.run(_NOTEBOOK, json.dumps(settings), json.dumps(told), len(begun))

    with kernel.Notebook({"TMPDIR": str(root / "tmp")}) as notebook:
        yield train


@pytest.fixture(scope="module")
def authenticating(protected):
    """What two workers tell where Spark authenticates and encrypts nothing, and logs what it does."""
    (told,) = protected({"workers": 2}, spark_authenticate="true")
    return told


#: Sparks that encrypt: executors of their own, which say and write everything encrypted; or the notebook's.
SPARKS = {
    "executors": {
        "master": "local-cluster[1,2,1024]",
        "spark_executor_extraJavaOptions": jvm.options(),
        "spark_authenticate": "true",
        "spark_authenticate_secret": "only for this test",
        "spark_network_crypto_enabled": "true",
    },
    # The file stores of ssl are for pages of Spark's own, which are off.
    "threads": {"spark_ssl_enabled": "true"},
}


@pytest.fixture(scope="module", params=["executors", pytest.param("threads", marks=pytest.mark.soak)])
def encrypting(request, protected):
    """What is told where Spark encrypts its files and the network: two workers refused, one, and two."""
    return protected(
        {"workers": 2},
        {"workers": 1},
        {"workers": 2, "trusted_network": True},
        spark_io_encryption_enabled="true",
        **SPARKS[request.param],
    )


def is_trained(told):
    assert told.get("error") is None
    assert told["status"] == "finished"
    assert all(0 < loss < 2000 for loss in told["loss"])


@pytest.mark.soak  # a Spark of its own; those that encrypt authenticate too
def test_several_workers_train_where_spark_authenticates(authenticating):
    is_trained(authenticating)
    assert authenticating["tls"] == [False]


def test_the_secret_is_in_no_event_log_command_line_or_environment(encrypting):
    assert encrypting[-1]["described"]  # this is the log of what Spark's pages show
    for told in encrypting[1:]:
        assert told["looked"]
        assert told["leaks"] == []


@pytest.mark.soak
def test_nor_is_it_where_spark_authenticates_alone(authenticating):
    assert authenticating["described"]
    assert authenticating["looked"]
    assert authenticating["leaks"] == []


@pytest.mark.soak  # that what is looked for would be found, the rows in memory show too
def test_rows_lie_on_a_disk_where_nothing_is_said_of_it(authenticating):
    assert authenticating["clear"]  # so they would be found
    assert not authenticating["memory"]


def test_no_row_lies_on_a_disk_where_spark_encrypts_its_files(encrypting):
    for told in encrypting[1:]:
        assert told["clear"] == []
        assert told["memory"]
        (note,) = told["notes"]
        assert note.startswith(
            "spark.io.encryption.enabled is true: the rows lie in the memory of the worker"
        )


def test_events_are_encrypted_where_spark_encrypts_the_network(encrypting):
    for told in encrypting[1:]:
        is_trained(told)
        assert told["tls"] == [True]


def test_rows_are_evaluated_and_predicted_where_spark_encrypts(encrypting):
    told = encrypting[-1]
    assert told["evaluated"] == pytest.approx(told["plain"], rel=1e-4)
    assert told["predicted"] == 64


def test_several_workers_are_refused_where_spark_encrypts_the_network(encrypting):
    refused = encrypting[0]
    assert re.match(r"ClusterError: spark\.\S+\.enabled is true, but 2 workers", refused["error"])
    assert refused["tls"] == []
    assert refused["looked"] == 0, "they are refused before a worker has begun"
