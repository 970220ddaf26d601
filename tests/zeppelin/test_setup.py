"""What ``nbkeras zeppelin`` says and writes is what a real Zeppelin needs and takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nbkeras.cli import main

NOTES = Path(__file__).parents[2] / "notebooks" / "zeppelin"


@pytest.mark.parametrize(
    ("name", "heading"),
    [
        pytest.param("quickstart.zpln", "watch it learn", marks=pytest.mark.soak),
        # The same code but for what it prints.
        pytest.param("quickstart_zh.zpln", "实时观察", marks=pytest.mark.soak),
        pytest.param("tables.zpln", "taxi rides", marks=pytest.mark.soak),
        pytest.param("tables_zh.zpln", "出租车", marks=pytest.mark.soak),
        pytest.param("builder.zpln", "by a form", marks=pytest.mark.soak),
        pytest.param("builder_zh.zpln", "用表单", marks=pytest.mark.soak),
    ],
)
def test_a_note_is_imported_and_every_paragraph_of_it_runs(zeppelin, name, heading):
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


def test_a_server_that_is_set_up_is_told_to_be(zeppelin, capsys):
    assert main(["zeppelin", "--server", f"http://127.0.0.1:{zeppelin.port}"]) == 0
    assert "%load_ext nbkeras" in capsys.readouterr().out
