"""Rooms: which part of the package may import which, read from the imports themselves."""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import nbkeras

#: From the ground up: a room imports only from those before it.
ROOMS = (
    *("errors", "wait", "devices", "requirements", "backend", "bundled", "schema", "plan"),
    *("metrics", "transport", "model", "run", "options", "spark", "data", "job", "worker", "driver"),
    *("patch", "api", "selection", "builder", "notebook", "ml", "tasks"),
    *("doctor", "demo", "zeppelin", "cli", "__init__"),
)
PACKAGE = Path(nbkeras.__file__).parent


def modules():
    """The file of each module, by its name within the package."""
    for file in PACKAGE.rglob("*.py"):
        yield ".".join(file.relative_to(PACKAGE).with_suffix("").parts), file


def statements(file):
    """What a file imports, also within functions and for types alone: the module, and a name of it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield "." * node.level + (node.module or ""), alias.name
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, ""


def imports(file, names):
    """The modules of the package that a file imports."""
    for module, name in statements(file):
        if module.split(".")[0] == "nbkeras":
            whole = f"{module}.{name}".removeprefix("nbkeras.").rstrip(".")
            yield next(one for one in (whole, f"{whole}.__init__", *parents(whole)) if one in names)


def parents(whole):
    above = whole.rpartition(".")[0]
    return (above, f"{above}.__init__") if above else ("__init__",)


NAMES = dict(modules())
ARROWS = {name: set(imports(file, NAMES)) - {name} for name, file in NAMES.items()}


def test_every_module_stands_in_a_room():
    assert {name.split(".")[0] for name in NAMES} - {"__init__"} == set(ROOMS) - {"__init__"}


def test_arrows_run_down():
    def floor(name):
        return ROOMS.index(name.split(".")[0])

    up = [f"{one} -> {other}" for one in ARROWS for other in ARROWS[one] if floor(other) > floor(one)]

    assert up == []


def test_nothing_is_imported_in_a_way_that_this_test_does_not_see():
    relative = [
        f"{name}: {module}"
        for name, file in NAMES.items()
        for module, _ in statements(file)
        if module[:1] == "."
    ]
    calls = {
        name
        for name, file in NAMES.items()
        if re.search(r"import_module|__import__", file.read_text("utf-8"))
    }

    assert relative == []
    # Public names when they are asked for, the backend's module by its name, and packages of others.
    assert calls == {
        "__init__",
        "worker.backends.__init__",
        "model.portable.__init__",
        "job.archive",
        "data.filesystems",
    }


def test_backends_are_imported_by_their_own_modules_alone():
    kinds = {"tensorflow", "torch", "jax"}
    found = {
        name
        for name, file in NAMES.items()
        for module, _ in statements(file)
        if module.split(".")[0] in kinds
    }

    assert {name.rpartition(".")[0] for name in found} == {"worker.backends", "model.portable"}


def test_pillow_is_imported_where_images_are_read_and_by_no_module_as_it_loads():
    # An executor that trains on numbers needs none.
    worker = {name: file for name, file in NAMES.items() if name.split(".")[0] in {"data", "job", "worker"}}
    loaded = {
        name
        for name, file in worker.items()
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, (ast.Import, ast.ImportFrom)) and "PIL" in ast.unparse(node)
    }
    users = {name for name, file in worker.items() if "from PIL" in file.read_text(encoding="utf-8")}

    assert loaded == set()
    assert users == {"data.images.decoding", "data.images.resizing"}


def test_no_modules_import_each_other():
    TopologicalSorter(ARROWS).prepare()  # raises where they do, and names them


def test_no_rooms_within_a_room_import_each_other():
    def within(name):
        return ".".join(name.split(".")[:2])

    between = {within(name): set() for name in ARROWS}
    for one, others in ARROWS.items():
        between[within(one)] |= {within(other) for other in others} - {within(one)}

    TopologicalSorter(between).prepare()


def test_the_page_for_contributors_names_every_room_and_files_that_are_there():
    page = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w/]+(?:\.py|\.js|/))`", page))

    assert len(named) > 40
    assert {
        name for name in named if not any((root / name).exists() for root in (PACKAGE, PACKAGE.parent))
    } == set()
    rooms = set(ROOMS) - {"__init__"}
    assert {room for room in rooms if not re.search(rf"\b{room}(/|\.py)", page)} == set()
    drawing = re.search(r"```\n(what people see.*?)```", page, re.DOTALL)[1].splitlines()
    drawn = [re.findall(r"(\w+)(?:/|\.py)", line) for line in reversed(drawing)]
    assert [name for line in drawn for name in line] == [name for name in ROOMS if name != "__init__"]
    pairs = re.findall(r"`([\w/]+\.(?:py|js))`\s+`(?:\w+\.)?(\w+)`", page)
    assert len(pairs) > 15
    assert [pair for pair in pairs if pair[1] not in (PACKAGE / pair[0]).read_text(encoding="utf-8")] == []
