"""Files: a task as YAML 1.2, which editors read alike: read with the line of each value, and written."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.scalarstring import walk_tree

from nbkeras.errors import OptionError, TaskError
from nbkeras.tasks.part import Part
from nbkeras.tasks.places import Place, Places, dotted
from nbkeras.tasks.wording import class_at, holds_keys, takes_numbers

#: Tags of plain values, which YAML gives by itself.
_STANDARD = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


def read(
    path: str | os.PathLike[str], changes: Sequence[str], shape: type[Part]
) -> tuple[dict[str, Any], Places]:
    """Read a file, and apply changes to it.

    Args:
        path: of the file.
        changes: ``key=value`` for each, with the value in YAML.
        shape: the class of the whole, which tells keys from the names that some keys hold.

    Returns:
        What it says, and where its values stand.

    Raises:
        TaskError: it cannot be read, is no YAML, or a change cannot be made.
    """
    name = os.fspath(path)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise TaskError([f"{name}: there is no such file: name a task's file, such as task.yaml"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError([f"{name}: it cannot be read ({error}): name a text file in UTF-8"]) from error
    loaded = _loaded(text, name)
    lines: dict[Place, int] = {}
    try:
        _note_lines(loaded, (), lines)
    except RecursionError:
        raise TaskError([f"{name}: an alias stands for what it is in: write the values out"]) from None
    said: dict[Place, str] = {}
    places = Places(name, lines, said)
    if not isinstance(loaded, dict):
        raise places.fault((), "a task is keys and values: write data:, model: and what else it is to do")
    task: dict[str, Any] = _plain(loaded, (), places)
    for change in changes:
        place = _change(task, change, shape)
        said[place] = change
    return task, places


def _loaded(text: str, name: str) -> Any:
    try:
        return YAML(typ="rt", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = 1 if mark is None else mark.line + 1
        words = " ".join((error.problem or "it is no YAML").split())
        hint = ": indent by spaces" if "\\t" in words else ""
        raise TaskError([f"{name}:{line}: {words}{hint}"]) from error
    except (YAMLError, ValueError, RecursionError) as error:
        raise TaskError([f"{name}: it is no YAML: {' '.join(str(error).split())}"]) from error


def _note_lines(loaded: Any, place: Place, lines: dict[Place, int]) -> None:
    """Note the line of each value, from 1. Where an alias stands, lines are those of what it stands for."""
    if isinstance(loaded, dict):
        known: Any = getattr(loaded, "lc", None)
        for key, value in loaded.items():
            if known is not None and known.data and key in known.data:
                lines[*place, key] = known.key(key)[0] + 1
            _note_lines(value, (*place, key), lines)
    elif isinstance(loaded, list):
        known = getattr(loaded, "lc", None)
        for number, value in enumerate(loaded):
            if known is not None and known.data and number in known.data:
                lines[*place, number] = known.item(number)[0] + 1
            _note_lines(value, (*place, number), lines)


def _plain(loaded: Any, place: Place, places: Places) -> Any:
    """The values as Python's own, without what ruamel keeps to write them again."""
    tag = getattr(getattr(loaded, "tag", None), "value", None)
    if tag is not None and not str(tag).startswith(_STANDARD):
        raise places.fault(place, f"got the tag {tag}: remove it, a task is plain keys and values")
    if isinstance(loaded, dict):
        return {
            str(key) if isinstance(key, str) else key: _plain(value, (*place, key), places)
            for key, value in loaded.items()
        }
    if isinstance(loaded, list):
        return [_plain(value, (*place, number), places) for number, value in enumerate(loaded)]
    if loaded is None or isinstance(loaded, bool):
        return loaded
    for kind in (str, int, float):
        if isinstance(loaded, kind):
            return kind(loaded)
    kind_of = type(loaded).__name__
    raise places.fault(place, f"got {loaded}, which YAML takes for a {kind_of}: put it in quotes")


def _change(task: dict[str, Any], change: str, shape: type[Part]) -> Place:
    """Set one value, and return its place."""
    name, equals, text = change.partition("=")
    if not equals or not name.strip():
        raise TaskError([f"--set {change}: write a key and its value, such as --set epochs=3"])
    place = _keys(name.strip(), shape)
    try:
        value = _plain(YAML(typ="rt", pure=True).load(text), place, Places(changes={place: change}))
    except (YAMLError, ValueError):
        raise TaskError(
            [f"--set {change}: the value is no YAML: put it in quotes, --set {name}='\"…\"'"]
        ) from None
    within = task
    for number, key in enumerate(place[:-1], start=1):
        part = class_at(shape, place[:number])
        inner = within.get(key)
        inner = {} if inner is None else inner if part is None else part.widened(inner)
        within[key] = inner
        if not isinstance(inner, dict):
            above = dotted(place[:number])
            raise TaskError(
                [f"--set {change}: {above} is {inner!r} and has no keys: write --set {above}='{{…}}'"]
            )
        within = inner
    last = place[-1]
    own: Any = int(last) if last.isdecimal() and takes_numbers(shape, place[:-1]) else last
    within[own] = value
    return place


def _keys(name: str, shape: type[Part]) -> tuple[str, ...]:
    """The keys of a dotted name; names of values that are not keys again may have dots of their own."""
    words, keys = name.split("."), list[str]()
    while words and holds_keys(shape, tuple(keys)):
        keys.append(words.pop(0))
    return (*keys, ".".join(words)) if words else tuple(keys)


def written(task: dict[str, Any]) -> str:
    r"""Write a task as YAML.

    Example:
        >>> print(written({"epochs": 2, "model": {"code": "a = 1\nb = 2\n"}}), end="")
        epochs: 2
        model:
          code: |
            a = 1
            b = 2
    """
    yaml = YAML(typ="rt", pure=True)
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 110
    walk_tree(task)  # a text of several lines gets lines of its own
    text = io.StringIO()
    yaml.dump(task, text)
    return text.getvalue()


def save(path: str | os.PathLike[str], text: str, *, overwrite: bool) -> None:
    """Write a file.

    Raises:
        OptionError: it is there already, or cannot be written.
    """
    try:
        with Path(path).open("w" if overwrite else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise OptionError(f"{path} is there already: name another, or add overwrite=True") from None
    except OSError as error:
        raise OptionError(f"{path} cannot be written ({error.strerror}): name a file in a folder") from error
