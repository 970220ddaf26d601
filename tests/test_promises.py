"""Each promise of the manual and of SECURITY has its tests in every run."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NAMED = re.findall(r"`([\w/]+\.py)::(\w+)`", (HERE / "README.md").read_text())


def is_soak(node: ast.AST) -> bool:
    """Whether a mark, or one of a list of marks, is the soak's."""
    return any(isinstance(one, ast.Attribute) and one.attr == "soak" for one in ast.walk(node))


def left_to_the_soak(tree: ast.Module, test: ast.FunctionDef) -> bool:
    """Whether all of a test is; some of its values may be."""
    marks = [
        one.value
        for one in tree.body
        if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == "pytestmark"
    ]
    marks += [one for one in test.decorator_list if "parametrize" not in ast.unparse(one)]
    return any(map(is_soak, marks))


@pytest.mark.parametrize(("file", "name"), NAMED, ids=[name for _, name in NAMED])
def test_it_is_held_by_a_test_that_always_runs(file, name):
    tree = ast.parse((HERE / file).read_text())
    tests = [one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name == name]
    assert len(tests) == 1
    assert not left_to_the_soak(tree, tests[0])


def test_each_numbered_promise_is_there():
    page = HERE.parent / "docs" / "keras.md"
    promised = re.findall(r"^(\d)\. \*\*", page.read_text(), re.MULTILINE)
    assert promised == re.findall(r"^\| (\d)\. ", (HERE / "README.md").read_text(), re.MULTILINE)
