from __future__ import annotations

import os
import queue
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import waiting
from jupyter_client.manager import start_new_kernel
from waking import woken

import nbkeras

#: Digits on a Spark with two slots, and a model that learns them.
SETUP = """
%load_ext nbkeras
import keras, pyspark
from sklearn.datasets import load_digits
from nbkeras.spark import java
java.ensure()
spark = (
    pyspark.sql.SparkSession.builder.master("local[2]")
    .config("spark.driver.bindAddress", "127.0.0.1")
    .config("spark.driver.host", "127.0.0.1")
    .config("spark.ui.enabled", "false")
    .config("spark.ui.showConsoleProgress", "false")
    .getOrCreate()
)
digits = load_digits()
df = spark.createDataFrame(
    [(row.tolist(), int(label)) for row, label in zip(digits.data / 16, digits.target)],
    "features array<double>, label int",
).cache()
train_df, test_df = df.randomSplit([0.8, 0.2], seed=1)

def make_model():
    keras.utils.set_random_seed(1)
    model = keras.Sequential([
        keras.Input((64,)),
        keras.layers.Dense(32, activation="relu"),
        keras.layers.Dense(10, activation="softmax"),
    ])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
"""


class Cell:
    """What one execution has sent so far."""

    def __init__(self, session: Session, message: str) -> None:
        self._session, self._message = session, message
        self.messages: list[dict] = []
        self.idle = False

    def read(self, seconds: float = 1) -> None:
        """Take one message from the kernel, of whatever parent."""
        try:
            message = self._session.client.get_iopub_msg(timeout=seconds)
        except queue.Empty:
            return
        self.messages.append(message | {"received": time.monotonic()})
        ours = message["parent_header"].get("msg_id") == self._message
        self.idle |= ours and message["content"].get("execution_state") == "idle"

    def until(self, condition) -> None:
        """Read until a condition holds."""
        try:
            waiting.wait_for(lambda: condition() or self.read(), "a cell")
        except TimeoutError as late:
            late.add_note(f"so far: {self.text()}")
            raise

    def done(self) -> Cell:
        """Read until the cell has ended."""
        self.until(lambda: self.idle)
        return self

    def of(self, *kinds: str) -> list[dict]:
        return [message["content"] for message in self.messages if message["msg_type"] in kinds]

    def text(self) -> str:
        """Everything that is shown as text."""
        parts = [content["text"] for content in self.of("stream")]
        shown = self.of("display_data", "execute_result", "update_display_data")
        parts += [content["data"].get("text/plain", "") for content in shown]
        parts += ["\n".join(content["traceback"]) for content in self.of("error")]
        return "\n".join(parts)

    def snapshots(self) -> list[dict]:
        """The states that the chart was given."""
        updates = [content["data"] for content in self.of("comm_open", "comm_msg")]
        return [data["state"]["state"] for data in updates if "state" in data.get("state", {})]

    @property
    def view(self) -> str:
        """The comm of the panel."""
        [opened] = [content for content in self.of("comm_open") if "_esm" in content["data"]["state"]]
        return opened["comm_id"]

    @property
    def epochs(self) -> int:
        """The epochs that the chart shows."""
        return max((state["logged"] for state in self.snapshots()), default=0)


class Session:
    """A kernel, with versions of packages that shadow the installed ones."""

    def __init__(self, *overlays: Path) -> None:
        path = os.pathsep.join(map(str, [*overlays, Path(nbkeras.__file__).parent.parent]))
        self.setup: Cell | None = None
        environment = os.environ | {"PYTHONPATH": path, "PYSPARK_PYTHON": sys.executable}
        self.manager, self.client = start_new_kernel(
            startup_timeout=waiting.LIMIT, kernel_name="python3", env=environment
        )

    def start(self, code: str) -> Cell:
        """Execute code and come back at once."""
        return Cell(self, self.client.execute(code))

    def run(self, code: str) -> Cell:
        """Execute code to its end."""
        return self.start(code).done()

    def value(self, expression: str) -> str:
        """The representation of an expression."""
        [content] = self.run(expression).of("execute_result")
        return content["data"]["text/plain"]

    def send(self, comm: str, content: dict) -> None:
        """Send what a widget in the page would send."""
        data = {"comm_id": comm, "data": {"method": "custom", "content": content}}
        self.client.shell_channel.send(self.client.session.msg("comm_msg", data))

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=False)


@pytest.fixture(scope="module")
def kernel(ipykernel) -> Iterator[Session]:
    version, *overlays = ipykernel
    kernel = Session(*overlays)
    try:
        with woken(lambda: [Path(kernel.manager.connection_file)]):
            assert kernel.value("__import__('ipykernel').__version__") == repr(version)
            yield kernel
    finally:
        kernel.close()


@pytest.fixture(scope="module")
def session(kernel) -> Session:
    """A kernel with Spark and the digits."""
    setup = kernel.run(SETUP)
    assert not setup.of("error"), setup.text()
    kernel.setup = setup
    return kernel


@pytest.fixture
def digits_in_spark() -> str:
    """A cell that makes the DataFrames and ``make_model``."""
    return SETUP
