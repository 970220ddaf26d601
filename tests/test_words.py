"""What displays say, in English and in Chinese."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from nbkeras.notebook import frontend, words
from nbkeras.notebook.text import duration, sentence
from nbkeras.notebook.words import LANGUAGES, PANEL, Words, for_page, speaking
from nbkeras.run.run import Run

TABLES = {name: table for name, table in vars(words).items() if isinstance(table, Words)}
#: Names and formulas that are the same for everyone.
SAME = {"dashboard", "frame", "value", "best_of", "epochs_of", "unset", "kind_Keras", "kind_MLlib"}
FRONTEND = Path(frontend.__file__).parent


@pytest.mark.parametrize("table", TABLES)
def test_a_sentence_fills_in_the_same_in_each_language(table):
    for name in TABLES[table]:
        english, chinese = (said(TABLES[table], name, tongue) for tongue in LANGUAGES)
        assert sorted(re.findall(r"\{\w*\}", english)) == sorted(re.findall(r"\{\w*\}", chinese)), name
        assert re.search(r"[\u4e00-\u9fff]", chinese) or name in SAME, name
        assert not re.search(r"[\u4e00-\u9fff]", english), name


def said(table, name, tongue):
    with speaking(tongue):
        return table[name]


def test_every_word_that_a_script_asks_for_is_there_and_no_other():
    said = {
        "builder": words.BUILDER,
        "runs": {**words.RUNS, **words.REPORT, **words.LEADERBOARD},
        "report": words.REPORT,
        "board": words.LEADERBOARD,
    }
    for name, table in said.items():
        used = set(re.findall(r"\bwords\.(\w+)\b(?!\()", frontend.script(f"{name}.js")))
        unknown = used - set(table) - set(PANEL) - {"colours", "language", "marks", "limit"}
        assert not unknown, name
    everywhere = "".join(file.read_text() for file in FRONTEND.glob("*.js"))
    for name in words.BUILDER:
        family = re.match(r"(group|task|train|why)_", name)
        assert re.search(rf"\b{name}\b", everywhere) or f"words[`{family[0]}$" in everywhere, name


def test_the_environment_chooses_the_language():
    script = (
        "from nbkeras.notebook.text import duration\n"
        "from nbkeras.notebook.words import chosen\n"
        "print(chosen(), duration(75))"
    )
    for variable, expected in [
        ("zh_CN.UTF-8", "zh 1 分 15 秒"),
        ("en", "en 1 min 15 s"),
        ("fr", " 1 min 15 s"),
    ]:
        environment = {"NBKERAS_LANG": variable, "PYTHONIOENCODING": "utf-8", "PATH": ""}
        printed = subprocess.run(
            [sys.executable, "-c", script], env=environment, check=True, capture_output=True, encoding="utf-8"
        )
        assert printed.stdout == f"{expected}\n"


def test_a_page_gets_all_languages_and_chooses_where_the_environment_has_not(monkeypatch):
    monkeypatch.delenv("NBKERAS_LANG", raising=False)
    page = for_page(PANEL, colours=["red"])
    assert page["chosen"] == ""
    assert (page["en"]["stop"], page["zh"]["stop"]) == ("Stop", "停止")
    assert page["zh"]["colours"] == ["red"]
    monkeypatch.setenv("NBKERAS_LANG", "zh")
    assert for_page(PANEL)["chosen"] == "zh"


def test_how_a_run_ended_is_said_in_chinese():
    run = Run("digits", model=None, epochs=1, workers=1)
    run.record_epoch(0, {"loss": 0.5})
    run.end("finished")
    with speaking("zh"):
        assert re.fullmatch(r"digits 已完成 1 轮.用时 \d+\.\d 秒; loss 0\.5", sentence(run.snapshot()))
        assert duration(3700) == "1 小时 1 分"
