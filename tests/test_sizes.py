"""Sizes: a function fits on a screen, a module is read in one go."""

from __future__ import annotations

import ast
from pathlib import Path

import tree_sitter_javascript
from tree_sitter import Language, Parser

import nbkeras

MAX_FUNCTION = 60  # lines, without the docstring
MAX_MODULE = 350
#: Begins a line in the head of a module that is longer, with the reason.
EXCUSE = "Long because"
PACKAGE = Path(nbkeras.__file__).parent
JAVASCRIPT = Parser(Language(tree_sitter_javascript.language()))
#: The kinds of nodes that are functions in tree-sitter's grammar of JavaScript.
FUNCTIONS = {
    "arrow_function",
    "function_declaration",
    "function_expression",
    "generator_function",
    "generator_function_declaration",
    "method_definition",
}


def sources(*endings):
    """The text of each module with one of some endings, by its path within the package."""
    files = sorted(file for ending in endings for file in PACKAGE.rglob(f"*.{ending}"))
    return {file.relative_to(PACKAGE).as_posix(): file.read_text(encoding="utf-8") for file in files}


def python_functions(source):
    """The name and the length of each function; decorators do not count, and neither does the docstring."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = node.end_lineno - node.lineno + 1
            if ast.get_docstring(node) is not None:
                docstring = node.body[0]
                length -= docstring.end_lineno - docstring.lineno + 1
            yield node.name, length


def javascript_functions(source):
    """The name, or where it has none the line, and the length of each function."""
    tree = JAVASCRIPT.parse(source.encode())
    assert not tree.root_node.has_error
    nodes = [tree.root_node]
    while nodes:
        node = nodes.pop()
        nodes += node.children
        if node.type in FUNCTIONS:
            first, last = node.start_point.row + 1, node.end_point.row + 1
            name = node.child_by_field_name("name")
            yield name.text.decode() if name else f"line {first}", last - first + 1


def head(name, source):
    """The module's docstring, or the comment at its top."""
    if name.endswith(".py"):
        return ast.get_docstring(ast.parse(source)) or ""
    first = JAVASCRIPT.parse(source.encode()).root_node.children
    comments = []
    for node in first:
        if node.type != "comment":
            break
        comments += [line.strip("/* ") for line in node.text.decode().splitlines()]
    return "\n".join(comments)


def excused(name, source):
    return any(line.startswith(EXCUSE) for line in head(name, source).splitlines())


def too_long(functions, found):
    """Each function that is too long, with its length, by its module and name."""
    return {
        f"{module} {name}": length
        for module, source in found.items()
        for name, length in functions(source)
        if length > MAX_FUNCTION
    }


def test_every_python_function_fits_on_a_screen():
    assert too_long(python_functions, sources("py")) == {}


def test_every_javascript_function_fits_on_a_screen():
    assert too_long(javascript_functions, sources("js")) == {}


def test_every_module_is_short_or_says_why_it_is_long():
    lengths = {
        name: len(source.splitlines())
        for name, source in sources("py", "js").items()
        if not excused(name, source)
    }
    assert {name: length for name, length in lengths.items() if length > MAX_MODULE} == {}


def test_a_function_in_another_one_counts_in_both_and_a_docstring_in_none():
    python = """def outer():
    '''One sentence.

    Another one.
    '''
    def inner():
        return 1
    return inner
"""
    assert list(python_functions(python)) == [("outer", 4), ("inner", 2)]
    javascript = "function outer() {\n  const inner = () => {\n    return 1;\n  };\n  return inner;\n}\n"
    assert list(javascript_functions(javascript)) == [("outer", 6), ("line 2", 3)]


def test_the_head_of_a_module_may_say_why_it_is_long():
    assert excused("a.py", '"""What it is.\n\nLong because a table has as many lines as rows.\n"""\n')
    assert excused("a.js", "// What it is.\n// Long because a table has as many lines as rows.\n\nlet a;\n")
    assert not excused("a.py", "#: Long because nobody has read it.\nx = 1\n")
    assert not excused("a.js", "let a;\n// Long because nobody has read it.\n")
