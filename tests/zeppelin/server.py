"""A Zeppelin server on this machine, and what a page of it would ask and hear."""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import websocket
from jvm import SHORT_LIVED
from waiting import LIMIT, wait_for

HERE = Path(__file__).parent
#: How a paragraph can end.
ENDED = {"FINISHED", "ERROR", "ABORT"}
#: How it has ended, by what it gave.
_BY_CODE = {"SUCCESS": "FINISHED", "ERROR": "ERROR"}
#: The first port that Linux gives to whoever asks for any; other systems begin higher.
FIRST_GIVEN = 32_768
# What would make the kernels other than people's: warnings that are errors, coverage, a foreign Zeppelin.
OURS = ("PYTHON", "PYTEST", "COV", "ZEPPELIN")


class Zeppelin:
    """A Zeppelin server with folders of its own."""

    def __init__(self, home: Path, root: Path) -> None:
        self.home, self.root = home, root
        self.pid = 0
        self.port = _unused_port()

    @contextlib.contextmanager
    def served(self) -> Iterator[Zeppelin]:
        java = Path(os.environ["JAVA_HOME"], "bin", "java")
        options = [
            *SHORT_LIVED,
            "-Dfile.encoding=UTF-8",
            f"-Djava.io.tmpdir={self._folder('tmp')}",
            f"-Dlog4j.configuration=file://{HERE / 'log4j.properties'}",
            f"-Dzeppelin.log.file={self._folder('logs') / 'server.log'}",
            f"-Dzeppelin.war.tempdir={self._folder('pages')}",
        ]
        command = [java, *options, "-cp", f"{self.home}/lib/*", "org.apache.zeppelin.server.ZeppelinServer"]
        # It waits for a key and then ends with all that it started: also when these tests were killed.
        with (self.root / "logs" / "server.out").open("w") as out:
            server = subprocess.Popen(
                command,
                cwd=self._folder("work"),
                env=self._environment(),
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
            )
            self.pid = server.pid
            try:
                wait_for(lambda: server.poll() is not None or self._answers(), "Zeppelin to start")
                assert server.poll() is None, self.log("server.out") + self.log("server.log")
                yield self
            finally:
                self._stop(server)

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Ask the server for what a page or a script would ask."""
        while True:
            status, content = self._asked(method, path, body)
            # Zeppelin reads a note without a lock while a paragraph writes to it.
            if method != "GET" or "ConcurrentModificationException" not in content:
                assert status < 300, f"{method} {path}: {status} {content[:2000]}"
                return json.loads(content).get("body")

    def _asked(self, method: str, path: str, body: object) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
        with contextlib.closing(connection):
            text = body if body is None or isinstance(body, str) else json.dumps(body)
            sent = None if text is None else text.encode()
            connection.request(method, f"/api{path}", sent, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def note(self, *texts: str, group: str = "python") -> Note:
        """A new note of these paragraphs."""
        path = _unused_path()
        # Zeppelin 0.10 calls the path name.
        body = {
            "notePath": path,
            "name": path,
            "defaultInterpreterGroup": group,
            "paragraphs": [{"title": "", "text": text} for text in texts],
        }
        return Note(self, self.call("POST", "/notebook", body))

    def import_note(self, text: str) -> Note:
        """A new note from the text of a file."""
        return Note(self, self.call("POST", f"/notebook/import?notePath={_unused_path()}", text))

    def setting(self, name: str) -> dict[str, Any]:
        """What is set for an interpreter."""
        return next(one for one in self.call("GET", "/interpreter/setting") if one["name"] == name)

    def configure(self, name: str, properties: dict[str, object]) -> None:
        """Change properties of an interpreter, which ends its process; all others stay."""
        setting = self.setting(name)
        merged = setting["properties"] | _typed(properties)
        body = {"properties": merged, "option": setting["option"], "dependencies": []}
        self.call("PUT", f"/interpreter/setting/{setting['id']}", body)
        self._until_ready(name)

    def add_interpreter(self, name: str, like: str, properties: dict[str, object]) -> None:
        """Another interpreter like one that is there, with a process of its own."""
        setting = self.setting(like)
        merged = setting["properties"] | _typed(properties)
        body = setting | {"name": name, "properties": merged, "dependencies": []}
        del body["id"], body["status"]
        self.call("POST", "/interpreter/setting", body)
        self._until_ready(name)

    def restart(self, name: str) -> None:
        """End an interpreter's process; the next paragraph starts one."""
        self.call("PUT", f"/interpreter/setting/restart/{self.setting(name)['id']}")

    @contextlib.contextmanager
    def listen(self, note: Note) -> Iterator[Heard]:
        """Hear all that a page with this note is told."""
        origin = f"http://localhost:{self.port}"
        page = websocket.create_connection(f"ws://127.0.0.1:{self.port}/ws", origin=origin)
        heard = Heard(page)
        thread = threading.Thread(target=heard.listen, daemon=True)
        thread.start()
        try:
            heard.ask("GET_NOTE", id=note.id)
            wait_for(lambda: heard.of("NOTE"), "the note to be shown")
            yield heard
        finally:
            page.send_close()  # the server answers, which ends the listening
            thread.join(LIMIT)
            page.shutdown()

    def processes(self) -> list[psutil.Process]:
        """What the server has started, and what that has started."""
        return psutil.Process(self.pid).children(recursive=True)

    def log(self, name: str) -> str:
        """The end of a log, which explains a failure."""
        file = self.root / "logs" / name
        return file.read_text()[-4000:] if file.exists() else ""

    def _folder(self, name: str) -> Path:
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _environment(self) -> dict[str, str]:
        people = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        ours = {
            "ZEPPELIN_HOME": self.home,
            "ZEPPELIN_ADDR": "127.0.0.1",
            "ZEPPELIN_PORT": self.port,
            "ZEPPELIN_LOCAL_IP": "127.0.0.1",
            "ZEPPELIN_CONF_DIR": self._folder("conf"),
            "ZEPPELIN_LOG_DIR": self._folder("logs"),
            "ZEPPELIN_NOTEBOOK_DIR": self._folder("notes"),
            "ZEPPELIN_NOTEBOOK_STORAGE": "org.apache.zeppelin.notebook.repo.VFSNotebookRepo",
            "ZEPPELIN_INTERPRETER_LOCALREPO": self._folder("jars"),
            "ZEPPELIN_DEP_LOCALREPO": self._folder("jars"),
            "ZEPPELIN_INTERPRETER_REMOTE_RUNNER": HERE / "interpreter.sh",
            "ZEPPELIN_INTERPRETER_CONNECT_TIMEOUT": round(1000 * LIMIT),
            "ZEPPELIN_RUN_MODE": "local",
            "ZEPPELIN_SEARCH_ENABLE": "false",
            "ZEPPELIN_WAR": self._war("zeppelin-web"),
            "ZEPPELIN_ANGULAR_WAR": self._war("zeppelin-web-angular"),
            "IPYTHONDIR": self._folder("ipython"),
            "JUPYTER_CONFIG_DIR": self._folder("jupyter/config"),
            "JUPYTER_DATA_DIR": self._folder("jupyter/data"),
            "JUPYTER_RUNTIME_DIR": self._folder("jupyter/runtime"),
            "INTERPRETER_JAVA_OPTS": " ".join(SHORT_LIVED),
            "TMPDIR": self._folder("tmp"),
        }
        return people | {name: str(value) for name, value in ours.items()}

    def _war(self, name: str) -> Path:
        # A page of our own stands in where Maven Central has no front ends.
        war = self.home / "wars" / f"{name}.war"
        return war if war.exists() else HERE / "page"

    def _answers(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException, AssertionError):
            self.call("GET", "/version")
            return True
        return False

    def _until_ready(self, name: str) -> None:
        wait_for(lambda: self.setting(name)["status"] == "READY", f"the interpreter {name} to be ready")

    def _stop(self, server: subprocess.Popen) -> None:
        started = self.processes() if server.poll() is None else []
        server.stdin.close()
        try:
            server.wait(LIMIT)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        for one in psutil.wait_procs(started, timeout=LIMIT)[1]:
            one.kill()


class Note:
    """A note; its paragraphs are known by their numbers, from 0."""

    def __init__(self, zeppelin: Zeppelin, name: str) -> None:
        self.zeppelin, self.id = zeppelin, name

    @functools.cached_property
    def paragraphs(self) -> list[str]:
        """The ids of the paragraphs, without the empty one that Zeppelin adds at the end."""
        return [one["id"] for one in self.stored()["paragraphs"] if one.get("text")]

    def stored(self) -> dict[str, Any]:
        """The note as a page is given it."""
        return self.zeppelin.call("GET", f"/notebook/{self.id}")

    def exported(self) -> str:
        """The text of its file, which can be imported."""
        return self.zeppelin.call("GET", f"/notebook/export/{self.id}")

    def result(self, number: int) -> dict[str, Any]:
        """What is saved below a paragraph: its code, and its outputs as type and data."""
        return self._stored(number).get("results", {})

    def set_text(self, number: int, text: str) -> None:
        self.zeppelin.call("PUT", f"/notebook/{self.id}/paragraph/{self._id(number)}", {"text": text})

    def run(self, number: int, params: dict[str, object] | None = None) -> dict[str, Any]:
        """Run a paragraph to its end, with the fields of its form filled in; its code and its outputs."""
        self.start(number, params)
        self.wait(number)
        return self.result(number)

    def start(self, number: int, params: dict[str, object] | None = None) -> None:
        """Run a paragraph and come back at once."""
        self.zeppelin.call("POST", f"/notebook/job/{self._path(number)}", {"params": params or {}})

    def cancel(self, number: int) -> None:
        self.zeppelin.call("DELETE", f"/notebook/job/{self._path(number)}")

    def status(self, number: int) -> str:
        return self._job(number)["status"]

    def progress(self, number: int) -> int:
        return int(self._job(number)["progress"])

    def wait(self, number: int) -> str:
        """How a paragraph ended, once it has."""
        wait_for(lambda: self._has_ended(number), f"paragraph {number} to end")
        status = self.status(number)
        return status if status in ENDED else _BY_CODE[self.result(number)["code"]]

    def _has_ended(self, number: int) -> bool:
        """Whether Zeppelin says so; what looks now and then whether a paragraph runs may say it too late."""
        job = self._job(number)
        if job["status"] == "RUNNING" and job.get("finished"):  # if not this time, then the time before
            one = self._stored(number)
            return one["dateStarted"] < one["dateFinished"]
        return job["status"] in ENDED

    def _job(self, number: int) -> dict[str, str]:
        return self.zeppelin.call("GET", f"/notebook/job/{self._path(number)}")

    def _stored(self, number: int) -> dict[str, Any]:
        return next(one for one in self.stored()["paragraphs"] if one["id"] == self._id(number))

    def _id(self, number: int) -> str:
        return self.paragraphs[number]

    def _path(self, number: int) -> str:
        return f"{self.id}/{self._id(number)}"


class Heard:
    """What a page was told, in order."""

    def __init__(self, page: websocket.WebSocket) -> None:
        self._page = page
        self.messages: list[dict[str, Any]] = []

    def ask(self, op: str, **data: object) -> None:
        """Say what a page would say."""
        who = {"principal": "anonymous", "ticket": "anonymous", "roles": ""}
        self._page.send(json.dumps({"op": op, "data": data} | who))

    def listen(self) -> None:
        while text := self._page.recv():
            self.messages.append(json.loads(text) | {"received": time.monotonic()})

    def of(self, *ops: str) -> list[dict[str, Any]]:
        """The data of all messages of these kinds, and when each was received."""
        chosen = [message for message in self.messages if message["op"] in ops]
        return [message["data"] | {"received": message["received"]} for message in chosen]

    def progress(self) -> list[int]:
        """What the progress bar showed, in order, while a paragraph's code ran."""
        shown = [one["progress"] for one in self.of("PROGRESS")]
        # What was set is gone when the code has ended; Zeppelin may ask once or twice more before it says so.
        for _ in range(2):
            if shown and shown[-1] < max(shown):
                shown.pop()
        return shown


def _unused_path() -> str:
    return f"/{time.time_ns()}"


def _typed(properties: dict[str, object]) -> dict[str, dict[str, object]]:
    return {name: {"name": name, "value": value, "type": "string"} for name, value in properties.items()}


def _unused_port() -> int:
    """One that nobody holds, and that the system gives to no connection before the server takes it."""
    for port in range(10_000 + os.getpid() % 10_000, FIRST_GIVEN):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError(f"no port below {FIRST_GIVEN} is free")
