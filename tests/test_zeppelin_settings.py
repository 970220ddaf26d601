from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
from pathlib import Path

import mistune
import pytest

from nbkeras.cli import main
from nbkeras.errors import ZeppelinError
from nbkeras.spark import java
from nbkeras.zeppelin import comparison, files, settings
from nbkeras.zeppelin.server import Interpreter, Server, ask
from nbkeras.zeppelin.settings import Setting

HERE = Path(sys.executable)
PYTHON = Setting("python", "zeppelin.python", sys.executable, "it has Keras")
PRECODE = Setting("python", "zeppelin.IPythonInterpreter.precode", "%load_ext nbkeras", "known", needed=False)
VERSION = {"/api/version": (200, {"status": "OK", "body": {"version": "0.12.1"}})}


@pytest.fixture(autouse=True)
def _a_java(monkeypatch):
    # Looking for one takes a while, and its answer is for the Spark that is really installed.
    monkeypatch.setattr(java, "find", lambda: java.Java(Path("/opt/jdk-17"), "17.0.9", complete=True))


@pytest.fixture
def serve():
    """Starts a server that gives a status and JSON for each path, and returns its address."""
    servers = []

    def start(answers: dict[str, tuple[int, object]]) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = answers.get(self.path, (404, {"status": "NOT_FOUND"}))
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", str(body))
                self.end_headers()
                self.wfile.write((body if isinstance(body, str) else json.dumps(body)).encode())

            def log_message(self, *_args: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def setting(name: str, group: str = "python") -> Setting | None:
    return next((s for s in settings.settings() if (s.group, s.name) == (group, name)), None)


def interpreter(group: str = "python", **values: object) -> Interpreter:
    named = {name.replace("__", "."): value for name, value in values.items()}
    properties = {name: {"name": name, "value": v, "type": "string"} for name, v in named.items()}
    return Interpreter(group, group, properties, {"option": {"remote": True}, "dependencies": []})


def check(wanted: Setting, **values: object):
    server = Server("http://127.0.0.1:8080", "0.12.1", {wanted.group: interpreter(wanted.group, **values)})
    return next(c for c in comparison.compare(server, [wanted]) if c.name == f"{wanted.group}: {wanted.name}")


def listing(*groups: str) -> dict[str, tuple[int, object]]:
    found = [{"id": g, "name": g, "group": g, "properties": {}, "option": {}} for g in groups]
    return VERSION | {"/api/interpreter/setting": (200, {"status": "OK", "body": found})}


def test_paragraphs_of_both_groups_run_in_this_environment():
    assert setting("zeppelin.python").value == sys.executable
    assert setting("PYSPARK_DRIVER_PYTHON", "spark").value == sys.executable
    assert setting("PYSPARK_PYTHON", "spark").value == sys.executable
    assert setting("zeppelin.python", "spark") is None


def test_the_extension_is_loaded_before_the_first_paragraph_of_either():
    assert setting("zeppelin.IPythonInterpreter.precode").value == "%load_ext nbkeras"
    assert setting("zeppelin.IPySparkInterpreter.precode", "spark").value == "%load_ext nbkeras"


@pytest.mark.parametrize(("version", "needed"), [("3.20.3", False), ("4.25.8", True), ("7.36.2", True)])
def test_protobuf_is_told_to_be_slow_only_where_zeppelins_code_is_too_old_for_it(versions, version, needed):
    versions["protobuf"] = version

    for group in settings.GROUPS:
        assert (setting("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", group) is not None) == needed


@pytest.mark.parametrize(("version", "refused"), [("3.5.9", False), ("4.0.5", False), ("4.1.0", True)])
def test_the_check_of_sparks_version_is_off_only_for_a_spark_that_zeppelin_refuses(
    versions, version, refused
):
    versions["pyspark"] = version

    found = setting("zeppelin.spark.enableSupportedVersionCheck", "spark")

    assert (found and found.value) == ("false" if refused else None)


def test_spark_home_is_the_installed_one():
    assert (Path(setting("SPARK_HOME", "spark").value) / "bin" / "spark-submit").exists()


def test_without_pyspark_nothing_is_said_of_a_spark(monkeypatch):
    monkeypatch.setattr(settings.importlib.util, "find_spec", lambda _name: None)

    assert setting("SPARK_HOME", "spark") is None
    assert setting("zeppelin.spark.enableSupportedVersionCheck", "spark") is None


def test_spark_4_gets_a_java_that_it_can_run_on(versions):
    versions["pyspark"] = "4.0.5"
    assert setting("JAVA_HOME", "spark").value == "/opt/jdk-17"

    versions["pyspark"] = "3.5.9"
    assert setting("JAVA_HOME", "spark") is None


def test_every_setting_says_why_in_one_line():
    assert [s.name for s in settings.settings() if not s.why or "\n" in s.why] == []


@pytest.mark.parametrize("more", [[], ["--write", "new"]], ids=["printed", "written"])
def test_missing_packages_are_named_with_what_to_type(versions, capsys, tmp_path, monkeypatch, more):
    versions |= {"grpcio": None, "jupyter_client": None}
    monkeypatch.chdir(tmp_path)

    assert main(["zeppelin", *more]) == 0

    last = capsys.readouterr().out.splitlines()[-1]
    assert last.endswith(f"{sys.executable} -m pip install jupyter_client grpcio")


def test_an_environment_without_pip_gets_it_first():
    command = settings.install_command(["grpcio", "pip"])

    assert command == f"{sys.executable} -m ensurepip && {sys.executable} -m pip install grpcio"
    assert settings.install_command(["pip"]) == f"{sys.executable} -m ensurepip"


def test_the_command_prints_every_setting_with_its_reason(capsys):
    assert main(["zeppelin"]) == 0

    said = capsys.readouterr().out
    for wanted in settings.settings():
        assert f"  {wanted.name} = {wanted.value}\n      {wanted.why}\n" in said


def test_what_is_sent_keeps_the_properties_that_are_there():
    before = interpreter(zeppelin__python="python", zeppelin__python__maxResult="1000")
    before.properties["zeppelin.python"]["description"] = "The python command"

    body = files.request_body([PYTHON], before)

    assert body == {
        "properties": {
            "zeppelin.python": {
                "name": "zeppelin.python",
                "value": sys.executable,
                "type": "string",
                "description": "The python command",
            },
            "zeppelin.python.maxResult": {
                "name": "zeppelin.python.maxResult",
                "value": "1000",
                "type": "string",
            },
        },
        "option": {"remote": True},
        "dependencies": [],
    }
    assert before.value("zeppelin.python") == "python"


def test_code_that_runs_before_the_first_paragraph_is_added_to():
    name = PRECODE.name
    before = interpreter(**{name: "import os"})
    body = files.request_body([PRECODE], before)
    assert body["properties"][name]["value"] == "import os\n%load_ext nbkeras"

    again = files.request_body([PRECODE], interpreter(**{name: body["properties"][name]["value"]}))
    assert again["properties"] == body["properties"]


def test_a_checkbox_is_sent_as_one():
    wanted = Setting("spark", "zeppelin.spark.enableSupportedVersionCheck", "false", "")

    body = files.request_body([wanted])

    assert body["properties"][wanted.name] == {"name": wanted.name, "value": False, "type": "checkbox"}


def test_files_are_written_with_what_to_do_with_each(tmp_path, capsys):
    folder = tmp_path / "somewhere" / "new"

    assert main(["zeppelin", "--write", str(folder)]) == 0

    said = capsys.readouterr().out
    names = {"python.json", "spark.json", *files.NOTES}
    assert {path.name for path in folder.iterdir()} == names
    assert [name for name in names if f"Wrote {folder / name}\n    in Zeppelin: " not in said] == []
    body = json.loads((folder / "python.json").read_text())
    assert body["properties"]["zeppelin.python"]["value"] == sys.executable
    assert (folder / "quickstart.zpln").read_bytes() == files.note("quickstart.zpln").read_bytes()


def test_a_file_that_somebody_changed_is_kept_and_said(tmp_path, capsys):
    main(["zeppelin", "--write", str(tmp_path)])
    (tmp_path / "quickstart.zpln").write_text("my own")
    capsys.readouterr()

    assert main(["zeppelin", "--write", str(tmp_path)]) == 1

    assert (tmp_path / "quickstart.zpln").read_text() == "my own"
    said = capsys.readouterr().out
    assert f"Kept {tmp_path / 'quickstart.zpln'}\n    it differs" in said
    assert said.count("Kept") == 1


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")

    assert main(["zeppelin", "--write", str(tmp_path / "file" / "new")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_files_for_a_server_can_be_sent_to_it_and_lack_what_it_has_not(serve, tmp_path, capsys):
    address = serve(listing("python"))

    assert main(["zeppelin", "--write", str(tmp_path), "--server", address]) == 0

    said = capsys.readouterr().out
    assert "Without spark.json" in said
    assert f"-d @{tmp_path}/python.json {address}/api/interpreter/setting/python\n" in said
    assert not (tmp_path / "spark.json").exists()


def test_what_agrees_is_ok():
    assert check(PYTHON, zeppelin__python=sys.executable).problem == ""
    assert check(PRECODE, **{PRECODE.name: "import os\n%load_ext nbkeras"}).problem == ""
    unchecked = Setting("spark", "zeppelin.spark.enableSupportedVersionCheck", "false", "")
    assert check(unchecked, zeppelin__spark__enableSupportedVersionCheck=False).problem == ""


def test_the_same_python_under_another_of_its_names_agrees():
    others = [p for p in HERE.parent.glob("python*") if p.resolve() == HERE.resolve()]

    assert {check(PYTHON, zeppelin__python=str(other)).problem for other in others} == {""}


def test_another_environment_is_said_and_no_error():
    found = check(PYTHON, zeppelin__python="/opt/conda/bin/python")

    assert found.problem == "another environment: Keras and nbkeras must be installed there"
    assert (found.needed, found.remedy) == (False, "")


def test_a_python_without_a_folder_is_wrong():
    found = check(PYTHON, zeppelin__python="python")

    assert found.problem == "whichever comes first on the server's PATH"
    assert (found.needed, found.remedy) == (True, sys.executable)


def test_another_spark_is_said_and_no_error_and_needs_no_version_check():
    home = Setting("spark", "SPARK_HOME", "/opt/env/pyspark", "")
    version = Setting("spark", "zeppelin.spark.enableSupportedVersionCheck", "false", "")

    found = [check(one, SPARK_HOME="/opt/spark") for one in (home, version)]

    assert [one.needed for one in found] == [False, False]
    assert found[0].problem.startswith("another Spark")


def test_what_is_not_set_is_said_with_its_reason_and_what_to_type():
    variable = Setting("python", "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python", "nothing starts")

    found = check(variable)

    assert (found.version, found.remedy, found.needed) == ("not set", "python", True)
    assert found.problem == "needed: nothing starts (if conf/zeppelin-env.sh does not set it)"


def test_an_old_zeppelin_is_said_and_no_error():
    server = Server("http://127.0.0.1:8080", "0.10.0", {})

    found = comparison.compare(server, [])[0]

    assert (found.version, found.needed) == ("0.10.0", False)
    assert "before 0.12" in found.problem


def test_the_interpreter_that_bears_the_groups_name_is_taken_before_others(serve):
    answers = listing("python")
    answers["/api/interpreter/setting"][1]["body"].insert(0, {"id": "2X", "name": "mine", "group": "python"})

    assert ask(serve(answers)).interpreters["python"].id == "python"


def test_a_server_that_lacks_one_group_is_compared_by_the_other(serve, versions, capsys):
    versions |= {"pip": "25.0"}  # an environment need not have it
    answers = listing("python")
    wanted = [s for s in settings.settings() if s.group == "python"]
    body = answers["/api/interpreter/setting"][1]["body"]
    body[0]["properties"] = files.request_body(wanted)["properties"]

    assert main(["zeppelin", "--server", serve(answers)]) == 0

    last = capsys.readouterr().out.splitlines()[-1]
    assert last.split()[:2] == ["spark", "missing"]


def test_a_server_that_nobody_set_up_exits_1_and_says_each_property(serve, capsys):
    assert main(["zeppelin", "--server", serve(listing("python", "spark"))]) == 1

    said = capsys.readouterr().out
    assert [s.name for s in settings.settings() if f"{s.group}: {s.name}" not in said] == []
    assert f"type: {sys.executable}" in said


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (listing("md", "sh"), "no interpreter of the group python or spark"),
        (VERSION | {"/api/interpreter/setting": (401, {})}, "wants a login"),
        (VERSION | {"/api/interpreter/setting": (403, {})}, "wants a login"),
        (
            VERSION
            | {
                "/api/interpreter/setting": (302, "/api/login;JSESSIONID=1"),
                "/api/login;JSESSIONID=1": (405, {}),
            },
            "wants a login",
        ),
        ({}, "is no Zeppelin: /api/version gives 404"),
        ({"/api/version": (200, "<html>")}, "is no Zeppelin: /api/version gives something else"),
        ({"/api/version": (200, {"body": 3})}, "is no Zeppelin: it tells no version"),
        (VERSION | {"/api/interpreter/setting": (200, {"body": {}})}, "it lists no interpreters"),
    ],
    ids=["no group", "401", "403", "sent to the login", "404", "no JSON", "other JSON", "no list"],
)
def test_what_is_no_zeppelin_to_compare_with_is_one_line_and_exits_1(serve, capsys, answers, message):
    assert main(["zeppelin", "--server", serve(answers)]) == 1

    said = capsys.readouterr()
    assert message in said.err
    assert (said.out, said.err.count("\n")) == ("", 1)


def test_a_server_that_is_not_there_is_one_line_and_exits_1(serve, capsys):
    address = serve({})
    with pytest.raises(ZeppelinError, match="is no Zeppelin"):
        ask(address)

    assert main(["zeppelin", "--server", "http://127.0.0.1:1"]) == 1

    said = capsys.readouterr().err
    assert said.startswith("nbkeras: no Zeppelin can be reached at http://127.0.0.1:1: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize("address", ["", "ftp://host", "http://", "http://host:port", "file:///etc/passwd"])
def test_an_address_that_can_be_none_is_said(address):
    with pytest.raises(ZeppelinError, match="is no address of a Zeppelin"):
        ask(address)


@pytest.mark.parametrize("end", ["", "/", "/#/notebook/2NAUN3F93", "/classic/#/", "/api/", "/next"])
def test_the_address_may_be_what_the_browser_shows(serve, end):
    address = serve(listing("python"))

    assert ask(address + end).address == address


def test_it_imports_nothing_heavy():
    heavy = "{'tensorflow', 'keras', 'pyspark', 'pandas'}"
    use = "from nbkeras.zeppelin import settings; settings.settings()"
    code = f"{use}; import sys; print({heavy} & {{*sys.modules}})"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "set()\n"


@pytest.fixture(params=files.NOTES)
def paragraphs(request) -> list[dict[str, object]]:
    return json.loads(files.note(request.param).read_text(encoding="utf-8"))["paragraphs"]


def test_a_notes_paragraphs_name_their_interpreter_and_then_the_cell_magic(paragraphs):
    firsts = [p["text"].splitlines()[0] for p in paragraphs]
    trains = [p["text"].splitlines() for p in paragraphs if "\n%%keras_spark\n" in p["text"]]

    assert set(firsts) == {"%md", "%python.ipython"}
    assert {lines[1] for lines in trains} == {"%%keras_spark"}


def test_a_notes_code_loads_the_extension_and_holds_nothing_that_zeppelin_replaces(paragraphs):
    code = [p["text"] for p in paragraphs if not p["text"].startswith("%md")]

    assert code[0] == "%python.ipython\n%load_ext nbkeras"
    assert [text for text in code if "${" in text] == []


def test_a_notes_text_is_shown_as_it_is_written_before_anything_ran(paragraphs):
    for paragraph in paragraphs:
        interpreter_line, _, text = paragraph["text"].partition("\n")
        if interpreter_line == "%md":
            shown = f'<div class="markdown-body">\n{mistune.html(text).strip()}\n</div>'
            assert paragraph["results"]["msg"] == [{"type": "HTML", "data": shown}]
        else:
            assert "results" not in paragraph


def test_the_notes_in_both_languages_run_the_same_code():
    def code(name: str) -> list[str]:
        found = json.loads(files.note(name).read_text(encoding="utf-8"))["paragraphs"]
        texts = [p["text"] for p in found if not p["text"].startswith("%md")]
        return ["\n".join(line for line in t.splitlines() if "print(" not in line) for t in texts]

    for english, chinese in zip(files.NOTES[::2], files.NOTES[1::2], strict=True):
        assert code(english) == code(chinese)
