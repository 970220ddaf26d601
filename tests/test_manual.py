"""The manual is right: its code runs, its commands exist, and it lists all that there is."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import nbkeras
from nbkeras import cli, ml
from nbkeras.errors import OptionError
from nbkeras.notebook.magic import magics
from nbkeras.notebook.magic.parser import Parser

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
READMES = ("README.md", "README.zh-CN.md")
sys.path.insert(0, str(DOCS / "_ext"))

import manual  # noqa: E402  # after its path
from manual import keys, magic, messages  # noqa: E402  # the same

PAGES = {
    file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8")
    for file in (*sorted(DOCS.rglob("*.md")), *(ROOT / name for name in READMES))
}
#: Pages of one language say what the other says, with the same code.
CHINESE = {name: name.replace("/zh", "") for name in PAGES if name.startswith("docs/zh/")} | {
    "docs/zh/data.md": "docs/data/index.md",
    "README.zh-CN.md": "README.md",
}
#: What comes before the first cell of pages that go on from another one.
BEFORE = """
import keras, nbkeras
model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, activation="sigmoid")])
model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
"""
GO_ON = ("docs/magic.md", "docs/python.md", "README.md")
#: What they show has tests of its own in every run; they run in the soak.
DEAR = (
    "docs/data/images.md",
    "docs/data/sequences.md",
    "docs/data/streams.md",
    "docs/data/tables.md",
    "docs/data/text.md",
    "docs/pipelines.md",
)


@dataclass(frozen=True)
class Block:
    """A block of code of a page, and what stands above it: a mark of ours, or nothing."""

    language: str
    code: str
    mark: str


def blocks(page: str) -> list[Block]:
    """The blocks of a page; lines that begin with % are comments of Markdown."""
    found = re.findall(r"^(?:% (soak|printed)\n)?```(\w*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [Block(language, code, mark) for mark, language, code in found]


RUN = [name for name, page in PAGES.items() if name not in CHINESE and "```python\n" in page]


@pytest.fixture(scope="module")
def shell(spark, any_backend):
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(config=config)
    yield shell
    magics.unregister(shell)
    InteractiveShell.clear_instance()


@pytest.mark.filterwarnings("ignore:.*was passed, but will be ignored")
@pytest.mark.parametrize(
    ("name", "dear"),
    [
        pytest.param(
            name, dear, marks=pytest.mark.soak if dear or name in DEAR else [], id=name + " all" * dear
        )
        for name in RUN
        for dear in ((False, True) if "% soak\n" in PAGES[name] else (False,))
    ],
)
def test_every_cell_of_a_page_runs(shell, tmp_path, monkeypatch, capsys, name, dear):
    monkeypatch.chdir(tmp_path)
    shell.reset(new_session=False)
    shell.extension_manager.loaded.discard("nbkeras")  # as in a new notebook
    if name in GO_ON:
        first = next(one for one in blocks(PAGES["docs/start.md"]) if one.language == "python")
        shell.run_cell(first.code + BEFORE).raise_error()
    printed = ""
    for block in blocks(PAGES[name]):
        if block.language == "python" and (dear or block.mark != "soak"):
            capsys.readouterr()
            shell.run_cell(block.code).raise_error()
            printed = capsys.readouterr().out
        elif block.mark == "printed":
            assert block.code.strip() in printed


@pytest.mark.parametrize("name", CHINESE)
def test_a_chinese_page_has_the_code_of_the_english_one(name):
    english = {one.code for one in blocks(PAGES[CHINESE[name]])}

    assert [one.code for one in blocks(PAGES[name]) if one.language and one.code not in english] == []


def commands():
    """Each command of a block of shell, without what stands behind # and >."""
    others = {
        name: (ROOT / name).read_text(encoding="utf-8") for name in ("CONTRIBUTING.md", "tests/README.md")
    }
    for name, page in (PAGES | others).items():
        for block in blocks(page):
            if block.language == "sh":
                for line in block.code.splitlines():
                    for part in re.split(r" && ", re.sub(r"\s+[#>].*", "", line)):
                        yield name, part.strip()


COMMANDS = [*dict.fromkeys(one for _, one in commands() if one)]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_and_its_options_exist(command):
    program, *words = shlex.split(command)
    program = Path(program).name
    known = {
        "nbkeras": require_options,
        "nox": require_session,
        "pip": require_extras,
        "pytest": require_files,
    }
    if program == "python3":
        assert words == ["-m", "venv", ".venv"]
    else:
        known[program](words)


def require_options(words):
    cli._parser().parse_args(words)


def require_session(words):
    sessions = re.findall(r"^def ([a-z]\w*)\(session", (ROOT / "noxfile.py").read_text(), re.MULTILINE)
    assert set(words[words.index("-s") + 1 :][:1] if "-s" in words else []) <= set(sessions)


def require_extras(words):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    asked = [one for word in words for found in re.findall(r"\[(.+)\]", word) for one in found.split(",")]
    assert words[0] == "install"
    assert set(asked) <= {*extras, "uv"}


def require_files(words):
    assert all((ROOT / word).exists() for word in words if word.endswith(".py"))


def anchors(page):
    """What a link may lead to within a page: its headings, and its own labels."""
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", one.lower()).strip().replace(" ", "-") for one in headings]
    return {*plain, *re.findall(r"^\(([\w-]+)\)=$", page, re.MULTILINE)}


def test_every_link_of_a_page_leads_to_a_page_and_a_heading_of_it():
    broken = []
    for name, page in PAGES.items():
        for path, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", page):
            target = (ROOT / name).parent / path if path else ROOT / name
            text = manual.inserted(PAGES.get(target.resolve().relative_to(ROOT).as_posix(), ""))
            if not target.exists() or (anchor and anchor not in anchors(text)):
                broken.append(f"{name}: {path}#{anchor}")

    assert broken == []


def test_every_page_is_in_the_table_of_contents():
    listed = set(re.findall(r"^([\w/]+)$", PAGES["docs/index.md"], re.MULTILINE))
    pages = {file.relative_to(DOCS).with_suffix("").as_posix() for file in DOCS.rglob("*.md")}

    assert pages - listed == {"index"}


def options_of_commands(parser):
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield from options_of_commands(one)


def test_every_option_and_word_that_a_page_names_exists():
    options = {*Parser().option_names(), *options_of_commands(cli._parser())}
    # Of `report` and `compare`, which read their own.
    options |= set(re.findall(r"--[\w-]+", magic.words()))
    code = [one for page in PAGES.values() for one in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", page)]

    named = {found for one in code for found in re.findall(r"(?:^|\s)(--[a-z][\w-]+)", one)}
    words = {found for one in code for found in re.findall(r"(?<!%)%keras_spark (\w+)", one)}
    programs = {found for one in code for found in re.findall(r"^nbkeras (\w+)", one)}

    assert named - options == set()
    assert words - set(magics._WORDS) == set()
    assert programs - set(re.findall(r"\w+", cli.__doc__)) == set()
    assert len(named) > 10


def test_the_reference_of_the_magic_lists_every_option_and_every_word():
    table = magic.options() + magic.data()
    listed = re.findall(r"%keras_spark (\w+)", magic.words())

    assert [one for one in Parser().option_names() if f"`{one}" not in table] == []
    assert set(magics._WORDS) == set(listed)


def test_the_chinese_reference_lists_every_option_and_every_word():
    page = PAGES["docs/zh/magic.md"]

    assert [one for one in Parser().option_names() if f"`{one}" not in page] == []
    assert [one for one in magics._WORDS if f"%keras_spark {one}" not in page] == []


def test_the_reference_of_python_has_every_public_name():
    page = PAGES["docs/python.md"]
    public = {f"nbkeras.{name}" for name in nbkeras.__all__} | {f"nbkeras.ml.{name}" for name in ml.__all__}

    documented = set(re.findall(r"^\.\. auto\w+:: (nbkeras[\w.]+)", page, re.MULTILINE))

    assert public - documented == set()


def test_the_table_of_tasks_has_the_keys_of_its_parts():
    table = keys.table()

    assert [
        key for key in ("data.training.path", "spark.workers", "out.report.worst") if key not in table
    ] == []


def test_every_class_of_errors_has_an_entry():
    assert set(messages.added()["kinds"]) == set(messages.kinds())
    assert all({"meaning", "why", "todo"} == set(one) for one in messages.added()["kinds"].values())


def test_every_message_is_found_in_the_package_or_written_down():
    found, elsewhere = messages.collected()

    assert len(found) > 500
    assert set(elsewhere) == set(messages.added()["elsewhere"])
    assert {one.room for one in found} == set(messages.added()["rooms"])


def test_what_the_manual_adds_to_a_message_is_added_to_one_that_is_raised():
    found, _ = messages.collected()

    assert set(messages.added()["messages"]) - {one.anchor for one in found} == set()


def test_what_to_do_is_in_each_message():
    found, _ = messages.collected()

    assert [one.text for one in found if not one.is_helpful] == []


def test_an_anchor_depends_on_the_words_of_a_message_alone():
    one = messages.Message("DataError", "column '…' is missing: name one of …", "data/columns.py")
    elsewhere = messages.Message("DataError", "column '…' is missing: name one of …", "api.py")

    assert one.anchor == elsewhere.anchor == "dataerror-column-is-missing-name-one-of"
    assert one.advice == "name one of …"


def test_an_error_that_was_raised_leads_to_its_anchor():
    with pytest.raises(OptionError) as raised:
        Parser().parse("--epochs 3")
    said = str(raised.value)
    words = "needs-a-dataframe-to-train-on-add-data-name"

    assert messages.anchor("OptionError", said) == f"optionerror-{words}"
    assert messages.anchor("OptionError", "said by nobody") is None


@pytest.mark.parametrize("name", READMES)
def test_a_readme_is_short_and_has_the_commands(name):
    page = PAGES[name]

    assert len(page.splitlines()) <= 120
    assert 'python3 -m venv .venv && .venv/bin/pip install ".[demo]" && .venv/bin/nbkeras demo\n' in page
    assert 'python3 -m venv .venv && .venv/bin/pip install "nox[uv]" && .venv/bin/nox\n' in page
