"""What ``nbkeras zeppelin`` says and writes is what a real Zeppelin needs and takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nbkeras.cli import main

NOTES = Path(__file__).parents[2] / "notebooks" / "zeppelin"


@pytest.fixture
def address(zeppelin):
    return f"http://127.0.0.1:{zeppelin.port}"


@pytest.mark.parametrize(
    ("name", "heading"), [("quickstart.zpln", "watch it learn"), ("quickstart_zh.zpln", "实时观察")]
)
def test_the_quickstart_is_imported_and_every_paragraph_of_it_runs(zeppelin, name, heading):
    note = zeppelin.import_note((NOTES / name).read_text())
    paragraphs = note.stored()["paragraphs"]
    assert heading in json.dumps(paragraphs, ensure_ascii=False)
    code = [number for number, one in enumerate(paragraphs) if one["text"].startswith("%python.ipython")]
    assert len(code) >= 4
    kinds = []
    for number in code:
        result = note.run(number)
        assert result["code"] == "SUCCESS", result
        kinds += [one["type"] for one in result["msg"]]
    assert {"HTML", "TABLE"} <= set(kinds)


def test_a_server_that_is_set_up_is_told_to_be(address, capsys):
    assert main(["zeppelin", "--server", address]) == 0
    assert "%load_ext nbkeras" in capsys.readouterr().out


def test_what_is_wrong_with_a_server_is_named_and_the_written_file_mends_it(
    zeppelin, address, tmp_path, capsys
):
    name, kept = "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "zeppelin.python.maxResult"
    before = {key: one["value"] for key, one in zeppelin.setting("python")["properties"].items()}
    try:
        zeppelin.configure("python", {name: "upb", kept: "77"})
        assert main(["zeppelin", "--server", address]) == 1
        assert name in capsys.readouterr().out

        assert main(["zeppelin", "--server", address, "--write", str(tmp_path)]) == 0
        body = json.loads((tmp_path / "python.json").read_text())
        zeppelin.call("PUT", "/interpreter/setting/python", body)
        assert main(["zeppelin", "--server", address]) == 0
        assert zeppelin.setting("python")["properties"][kept]["value"] == "77"
    finally:
        zeppelin.configure("python", before)
