"""A real Spark Connect server on this machine, in front of any master."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Self

import jvm
import psutil
import pyspark
from lifeline import ENDS_WITH_US
from waiting import wait_for

from nbkeras.spark import java


class ConnectServer:
    """A server on loopback, as long as a ``with`` block lasts.

    Args:
        folder: takes its log and its files.
        master: that it runs its jobs on.
        python: of the executors.
        settings: of Spark.

    Attributes:
        url: what a session gives as its remote.
        process: the server.
    """

    def __init__(self, folder: Path, master: str, python: str, **settings: str) -> None:
        self._folder, self._master, self._python, self._settings = folder, master, python, settings
        self.url = ""
        self.process: psutil.Popen

    def __enter__(self) -> Self:
        java.ensure()
        home = Path(pyspark.__file__).parent
        # Nothing of this process' own environment may help the executors to find modules.
        environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("PYTHON", "PYSPARK", "SPARK"))
        }
        environment |= {
            "SPARK_HOME": str(home),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_SUBMIT_OPTS": jvm.options(),
            "PYSPARK_PYTHON": self._python,
        }
        settings = {
            "spark.connect.grpc.binding.address": "127.0.0.1",
            "spark.connect.grpc.binding.port": "0",
            "spark.driver.host": "127.0.0.1",
            "spark.local.dir": str(self._folder),
            "spark.sql.shuffle.partitions": "3",
            "spark.sql.warehouse.dir": str(self._folder / "warehouse"),
            "spark.ui.enabled": "false",
            **self._settings,
        }
        command = [*ENDS_WITH_US, str(home / "bin" / "spark-submit"), "--master", self._master]
        command += [word for key, value in settings.items() for word in ("--conf", f"{key}={value}")]
        command += ["--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "spark-internal"]
        log = self._folder / "connect.log"
        with log.open("w") as file:
            self.process = psutil.Popen(
                command,
                cwd=self._folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        found: list[str] = []

        def said() -> bool:
            if self.process.poll() is not None:
                raise RuntimeError(f"the Connect server has ended: {log.read_text()[-2000:]}")
            found[:] = re.findall(r"server started at: 127\.0\.0\.1:(\d+)", log.read_text())
            return bool(found)

        wait_for(said, "the Connect server")
        self.url = f"sc://127.0.0.1:{found[0]}"
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except psutil.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it as a crash would."""
        for one in [*self.process.children(recursive=True), self.process]:
            with contextlib.suppress(psutil.NoSuchProcess):  # what it lived by has gone before it
                one.kill()
        self.process.wait(60)
