"""A real Spark cluster on this machine: a Master, Workers, and executors with a Python of their own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import urllib.request
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Self

import jvm
import psutil
import pyspark
from lifeline import ENDS_WITH_US
from waiting import wait_for

from nbkeras.spark import java

#: Of an application with two executors of two slots each, which leaves room for a second one.
SETTINGS = {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.executor.memory": "512m",
    "spark.executor.extraJavaOptions": jvm.options(),
    "spark.executor.cores": "2",
    "spark.cores.max": "4",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}


class Cluster:
    """A Master and its Workers on loopback, as long as a ``with`` block lasts.

    All its processes, executors and trainers too, have their working directory
    under the cluster's folder: so they are known, and nothing of them stays.

    Args:
        folder: empty; takes the servers' logs and the executors' directories.
        workers: number of Workers, each with room for two executors.
        settings: of the Workers.

    Attributes:
        url: what an application gives as its master.
    """

    def __init__(self, folder: Path, workers: int = 2, settings: Mapping[str, str] | None = None) -> None:
        self.folder, self._number = folder, workers
        lines = [f"{key} {value}\n" for key, value in (settings or {}).items()]
        self._properties = folder / "properties"
        self._properties.write_text("".join(lines))
        self.url = ""
        self.master: psutil.Popen
        self.workers: list[psutil.Popen] = []

    def __enter__(self) -> Self:
        java.ensure()
        self.master = self._start("master", "master.Master", "--port", "0")
        try:
            self.url = f"spark://127.0.0.1:{self._port('sparkMaster')}"
            for number in range(self._number):
                self.add_worker(f"worker-{number}")
            wait_for(lambda: self.alive() == self._number, "the Workers to register")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            # An application that has stopped takes its executors along, and they all that is ours.
            wait_for(lambda: not self.executors() and not self.pythons(), "the executors to leave nothing")
        except TimeoutError as error:
            left = "\n".join(str(_described(one)) for one in [*self.executors(), *self.pythons()])
            raise TimeoutError(f"{error}; still there:\n{left}") from None
        finally:
            self._end()

    def add_worker(self, name: str) -> psutil.Popen:
        """Start one more Worker."""
        options = ("--port", "0", "--cores", "4", "--memory", "1g", "-d", str(self.folder / name))
        worker = self._start(name, "worker.Worker", *options, self.url)
        self.workers.append(worker)
        return worker

    def processes(self) -> list[psutil.Process]:
        """All that lives of this cluster, its servers too."""
        return [one for one in psutil.process_iter() if self._is_ours(one)]

    def executors(self) -> list[psutil.Process]:
        """The executors' JVMs."""
        return [one for one in self.processes() if "CoarseGrainedExecutorBackend" in " ".join(_line(one))]

    def pythons(self) -> list[psutil.Process]:
        """The executors' Pythons: Spark's daemons and workers, warm servers and trainers."""
        return [one for one in self.processes() if "python" in Path((_line(one) or [""])[0]).name]

    def kill_executor(self, index: int = 0) -> psutil.Process:
        """End an executor as a lost machine would: without a word."""
        executor = self.executors()[index]
        executor.kill()
        executor.wait(60)
        return executor

    def kill_worker(self, index: int = 0) -> None:
        """End a Worker and its executors, without a word."""
        worker = self.workers.pop(index)
        for one in [*worker.children(recursive=True), worker]:
            one.kill()
        worker.wait(60)

    def _start(self, name: str, server: str, *options: str) -> psutil.Popen:
        home = Path(pyspark.__file__).parent
        # Nothing of this process' own environment may help the executors to find modules.
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PYSPARK"))
        }
        environment |= {
            "SPARK_HOME": str(home),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_DAEMON_MEMORY": "256m",
            "SPARK_DAEMON_JAVA_OPTS": jvm.options(),
            "SPARK_LOCAL_DIRS": str(self.folder / "local"),
        }
        command = [*ENDS_WITH_US, str(home / "bin" / "spark-class"), f"org.apache.spark.deploy.{server}"]
        with (self.folder / f"{name}.log").open("w") as log:
            return psutil.Popen(
                [
                    *command,
                    "--host",
                    "127.0.0.1",
                    "--webui-port",
                    "0",
                    "--properties-file",
                    self._properties,
                    *options,
                ],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _port(self, service: str) -> int:
        """The port that the Master has found for a service, once it has."""
        log = self.folder / "master.log"
        found: list[str] = []

        def said() -> bool:
            if self.master.poll() is not None:
                raise RuntimeError(f"the Master has ended: {log.read_text()[-2000:]}")
            found[:] = re.findall(rf"Successfully started service '{service}' on port (\d+)", log.read_text())
            return bool(found)

        wait_for(said, f"the Master's {service}")
        return int(found[0])

    def alive(self) -> int:
        """Workers that the Master counts on."""
        address = f"http://127.0.0.1:{self._port('MasterUI')}/json/"
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return sum(one["state"] == "ALIVE" for one in json.load(answer)["workers"])
        except (OSError, json.JSONDecodeError):
            # Its pages come a moment after its port, one by one; the first answers for all till then.
            return 0

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return (
                Path(process.cwd()).is_relative_to(self.folder) and process.status() != psutil.STATUS_ZOMBIE
            )
        except psutil.Error:
            return False

    def _end(self) -> None:
        for one in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):  # what it lived by has gone before it
                one.send_signal(signal.SIGKILL)
        for server in [self.master, *self.workers]:
            server.wait(60)


def environment(folder: Path, without: Collection[str] = ("nbkeras",)) -> Path:
    """The Python of a new virtual environment that holds what the running one holds, but for some packages.

    Nor does it know what is installed from a checkout, as nbkeras is.

    Args:
        folder: becomes the environment.
        without: names that the import packages and distributions left away begin with.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    place = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}))
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if entry.suffix != ".pth" and not entry.name.startswith(tuple(without)):
            (place / entry.name).symlink_to(entry)
    return python


def _described(process: psutil.Process) -> dict[str, object]:
    told = process.as_dict(["pid", "ppid", "status", "create_time", "cmdline"])
    return told | {"children": [one.pid for one in process.children()]}


def _line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
