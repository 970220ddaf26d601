"""Every error that the package can raise, read from its source, as a page with an anchor for each message.

A message is found where an error of ``nbkeras/errors.py`` is made: its words are the literals of the first
argument, and ``…`` stands for what is filled in. ``errors.toml`` holds what the manual adds: to each class of
errors, to each room of the package, and to some messages. Needs neither Sphinx nor the package's imports.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2]
PACKAGE = DOCS.parent / "nbkeras"
#: Stands for a value in a message.
GAP = "…"
#: As many words of a message are in its anchor.
WORDS = 12
#: What else makes errors of a class, and at which argument the words are: faults of tasks.
MAKERS = {"fault": ("TaskError", 1), "Wrong": ("TaskError", 1)}


@dataclass(frozen=True)
class Message:
    """What an error says.

    Attributes:
        kind: class of the error.
        text: with a gap for each value.
        module: where it is raised, as a path within the package.
    """

    kind: str
    text: str
    module: str = field(compare=False)

    @property
    def anchor(self) -> str:
        """Its place on the page. It depends on the message alone, not on other messages or on lines.

        Example:
            >>> Message("DataError", "column '…' is missing: name one of …", "data/columns.py").anchor
            'dataerror-column-is-missing-name-one-of'
        """
        words = re.findall(r"[a-z0-9]+", self.text.replace("'", "").lower())
        return "-".join([self.kind.lower(), *words[:WORDS]])

    @property
    def room(self) -> str:
        """The part of the package that raises it."""
        return self.module.partition("/")[0].removesuffix(".py")

    @property
    def advice(self) -> str:
        """What it says is to be done: what stands behind its last colon or semicolon."""
        found = re.search(r"(?:: |; )(?!.*(?:: |; ))(.+)$", self.text)
        return found[1] if found and found[1] != GAP else ""

    @property
    def is_helpful(self) -> bool:
        """Whether it says what to do, or may: in what is filled in at its end."""
        return bool(self.advice) or self.text.rstrip(")").endswith(GAP)


def kinds() -> list[str]:
    """The classes of errors, in the order of ``errors.py``."""
    found = ["NbkerasError"]
    for node in ast.parse((PACKAGE / "errors.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and any(ast.unparse(one) in found for one in node.bases):
            found.append(node.name)
    return found


@cache
def collected() -> tuple[tuple[Message, ...], tuple[str, ...]]:
    """Every message, each once; and the places where an error passes on words that are made elsewhere."""
    package = _Package()
    known = set(kinds())
    messages: dict[Message, None] = {}
    elsewhere: dict[str, None] = {}
    for module, tree in package.trees.items():
        if module == "errors.py":
            continue
        for function, call in _calls(tree):
            maker = ast.unparse(call.func).rpartition(".")[2]
            kind, place = MAKERS.get(maker, (maker, 0))
            if kind not in known or len(call.args) <= place:
                continue
            texts = list(package.texts(call.args[place], module, function))
            if not (whole := [one for one in map(_printed, texts) if re.search(r"[a-z]{2}.* ", one)]):
                name = f"{module}: {kind}({ast.unparse(call.args[place])})"
                elsewhere[name] = None
                whole = added()["elsewhere"].get(name, [])
            messages |= dict.fromkeys(Message(kind, one, module) for one in whole)
    return tuple(messages), tuple(elsewhere)


def _printed(text: str) -> str:
    """A message in one line."""
    return text.replace("\r", "\\r").replace("\n", "\\n").replace("\t", "\\t")


def _calls(tree: ast.AST, function: ast.AST | None = None) -> Iterator[tuple[ast.AST | None, ast.Call]]:
    """Each call, with the innermost function around it."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Call):
            yield function, node
        inner = node if isinstance(node, ast.FunctionDef) else function
        yield from _calls(node, inner)


class _Package:
    """The source of the package, in which names of constants and of functions are followed."""

    def __init__(self) -> None:
        self.trees = {
            file.relative_to(PACKAGE).as_posix(): ast.parse(file.read_text(encoding="utf-8"))
            for file in sorted(PACKAGE.rglob("*.py"))
        }

    def texts(self, node: ast.AST, module: str, function: ast.AST | None, depth: int = 0) -> Iterator[str]:
        """The texts that an expression can be, with gaps; none where that is not known."""
        if depth > 4:
            return
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            parts = [one.value if isinstance(one, ast.Constant) else GAP for one in node.values]
            yield re.sub(f"{GAP}+", GAP, "".join(map(str, parts)))
        elif isinstance(node, ast.IfExp):
            yield from self.texts(node.body, module, function, depth)
            yield from self.texts(node.orelse, module, function, depth)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            left, right = (
                list(self.texts(one, module, function, depth)) or [GAP] for one in (node.left, node.right)
            )
            yield from (f"{one}{other}" for one in left for other in right)
        elif isinstance(node, (ast.List, ast.Tuple)):
            for one in node.elts:
                yield from self.texts(one, module, function, depth)
        elif isinstance(node, (ast.Name, ast.Attribute, ast.Call)):
            yield from self._named(node, module, function, depth)

    def _named(
        self, node: ast.Name | ast.Attribute | ast.Call, module: str, function: ast.AST | None, depth: int
    ) -> Iterator[str]:
        """Follow a name to what it is: a variable of the function, a constant, or what a function returns."""
        if isinstance(node, ast.Name) and function is not None:
            for value in _assigned(function, node.id):
                yield from self.texts(value, module, function, depth + 1)
        called = isinstance(node, ast.Call)
        target = node.func if isinstance(node, ast.Call) else node
        if called and isinstance(target, ast.Attribute) and target.attr == "format":
            yield from self.texts(target.value, module, function, depth)
            return
        for other, name in self._defined(target, module):
            for one in self.trees[other].body:
                if called and isinstance(one, ast.FunctionDef) and one.name == name:
                    for value in _returned(one):
                        yield from self.texts(value, other, one, depth + 1)
                elif not called and name in _targets(one):
                    yield from self.texts(one.value, other, None, depth + 1)  # type: ignore[attr-defined]

    def _defined(self, target: ast.expr, module: str) -> Iterator[tuple[str, str]]:
        """The module of the package, and the name there, of a name or of a module's attribute."""
        name = ast.unparse(target)
        yield module, name
        first, _, rest = name.partition(".")
        for home, imported in self._imported(module).get(first, ()):
            place = f"{home}/{imported}".strip("/") if rest else home
            for file in (f"{place}.py", f"{place}/__init__.py".removeprefix("/")):
                if file in self.trees:
                    yield file, rest or imported

    @cache  # noqa: B019  # one is made, for the page
    def _imported(self, module: str) -> dict[str, list[tuple[str, str]]]:
        """What a module imports of the package: by the name it has there, from where, and its own name."""
        found: dict[str, list[tuple[str, str]]] = {}
        for node in ast.walk(self.trees[module]):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nbkeras"):
                home = str(node.module).removeprefix("nbkeras").removeprefix(".").replace(".", "/")
                for alias in node.names:
                    found.setdefault(alias.asname or alias.name, []).append((home, alias.name))
        return found


def _targets(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Assign):
        return [ast.unparse(one) for one in node.targets]
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        return [ast.unparse(node.target)]
    return []


def _assigned(function: ast.AST, name: str) -> list[ast.AST]:
    return [node.value for node in ast.walk(function) if name in _targets(node)]  # type: ignore[attr-defined]


def _returned(function: ast.FunctionDef) -> list[ast.AST]:
    return [
        node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value is not None
    ]


def anchor(kind: str, said: str) -> str | None:
    """The anchor of a message as it was said, with its values; None for a message that is not known.

    Args:
        kind: class of the error.
        said: its text.
    """
    fitting = [
        one
        for one in collected()[0]
        if one.kind == kind and re.fullmatch(".*".join(map(re.escape, one.text.split(GAP))), said)
    ]
    # The one of which the most words are there.
    return max(fitting, key=lambda one: len(one.text)).anchor if fitting else None


@cache
def added() -> dict[str, Any]:
    """What the manual adds: ``kinds``, ``rooms`` and ``messages``."""
    return tomllib.loads((DOCS / "errors.toml").read_text(encoding="utf-8"))


def page() -> str:
    """The page of all errors, as Markdown."""
    messages, _ = collected()
    parts = []
    for kind in kinds():
        own = [one for one in messages if one.kind == kind]
        about = added()["kinds"][kind]
        parts += [
            f"({kind.lower()})=",
            f"## {kind}",
            f"**What it means.** {about['meaning']}",
            f"**Why.** {about['why']}",
            f"**What to do.** {about['todo']}",
            *_rooms(own),
        ]
    return "\n\n".join(parts)


def _rooms(messages: list[Message]) -> Iterator[str]:
    shown: set[str] = set()
    for room, about in added()["rooms"].items():
        own = sorted((one for one in messages if one.room == room), key=lambda one: one.anchor)
        if own:
            yield f"### {own[0].kind}: {about['title']}"
            yield about["when"]
            for one in own:
                # Messages that begin with the same words share an anchor.
                target = "" if one.anchor in shown else f"({one.anchor})=\n\n"
                shown.add(one.anchor)
                yield target + _entry(one)


def _entry(message: Message) -> str:
    end = "" if message.advice.endswith(("?", ".", "!")) else "."
    more = [f"What to do: {_plain(message.advice)}{end}" if message.advice else ""]
    more += [added()["messages"].get(message.anchor, ""), f"`{message.module}`"]
    return f"`` {message.text} ``\n: {' '.join(filter(None, more))}"


def _plain(text: str) -> str:
    """Text in which nothing is markup."""
    return re.sub(r"([*_<>\[\]$~|{}`\\])", r"\\\1", text)
