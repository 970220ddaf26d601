"""The files that set Zeppelin up: the interpreters' settings, and notes to import."""

from __future__ import annotations

import json
import shlex
import urllib.parse
from pathlib import Path
from typing import Any

from nbkeras import bundled
from nbkeras.errors import ZeppelinError
from nbkeras.zeppelin.server import INTERPRETERS, OTHER_PARTS, Interpreter, Server
from nbkeras.zeppelin.settings import GROUPS, Setting

NOTES = tuple(
    f"{name}{language}.zpln" for name in ("quickstart", "tables", "builder") for language in ("", "_zh")
)


def write(folder: Path, wanted: list[Setting], server: Server | None = None) -> tuple[list[str], bool]:
    """Write the settings and the notes into a folder.

    A file that is already there and differs is left as it is.

    Args:
        folder: made when it does not exist.
        wanted: the settings.
        server: whose other properties go into the files too, so that they can be sent to it.

    Returns:
        Lines that say what was written and what to do with it, and whether all was written.

    Raises:
        ZeppelinError: the folder cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     lines, complete = write(Path(folder), [])
        >>> lines[0].splitlines()[0], complete
        ('Wrote ...python.json', True)
    """
    groups = [group for group in GROUPS if server is None or group in server.interpreters]
    absent = [group for group in GROUPS if group not in groups]
    lines = [f"Without {group}.json: this Zeppelin has no interpreter of that group" for group in absent]
    complete = True
    for name, (content, todo) in _contents(folder, groups, wanted, server).items():
        path = folder / name
        if _put(path, content):
            lines.append(f"Wrote {path}\n    {todo}")
        else:
            complete = False
            lines.append(f"Kept {path}\n    it differs; remove it, or name another folder")
    return lines, complete


def request_body(wanted: list[Setting], interpreter: Interpreter | None = None) -> dict[str, Any]:
    """The new settings of one group of interpreters, in Zeppelin's format.

    Zeppelin drops every property that is not in it, so those that the interpreter already has are repeated.

    Args:
        wanted: settings of one group.
        interpreter: as the server has it; None gives the wanted settings alone.

    Example:
        >>> request_body([Setting("python", "A", "1", "")])["properties"]
        {'A': {'name': 'A', 'value': '1', 'type': 'string'}}
    """
    properties = {name: dict(entry) for name, entry in interpreter.properties.items()} if interpreter else {}
    for setting in wanted:
        entry = properties.setdefault(setting.name, {"name": setting.name})
        entry["value"] = setting.applied(str(entry.get("value") or ""))
        entry.setdefault("type", "checkbox" if isinstance(entry["value"], bool) else "string")
    rest = interpreter.rest if interpreter else OTHER_PARTS
    return {"properties": properties, **rest}


def note(name: str) -> Path:
    """The path of a note for Zeppelin, in an installed package or in a checkout.

    Example:
        >>> note("quickstart.zpln").exists()
        True
    """
    return bundled.notebook(f"zeppelin/{name}")


def _contents(
    folder: Path, groups: list[str], wanted: list[Setting], server: Server | None
) -> dict[str, tuple[bytes, str]]:
    """By the name of each file, its content and how to use it."""
    contents = {}
    for group in groups:
        interpreter = server.interpreters[group] if server else None
        body = request_body([s for s in wanted if s.group == group], interpreter)
        name = f"{group}.json"
        text = json.dumps(body, indent=2, ensure_ascii=False) + "\n"
        contents[name] = (text.encode(), _what_to_do(folder / name, group, server))
    for name in NOTES:
        contents[name] = (note(name).read_bytes(), "in Zeppelin: Import note, Select JSON File")
    return contents


def _put(path: Path, content: bytes) -> bool:
    """Write a file unless there is another one; return whether it has this content now."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            return path.read_bytes() == content
        path.write_bytes(content)
    except OSError as error:
        raise ZeppelinError(f"{path.parent} cannot be written: {error}; name another folder") from None
    return True


def _what_to_do(path: Path, group: str, server: Server | None) -> str:
    clicks = f"in Zeppelin: menu Interpreter, {group}, edit, one row for each property in it, Save"
    if server is None:
        other = "`nbkeras zeppelin --write DIR --server URL` write what can be sent to a server"
        return f"{clicks}; or let {other}"
    url = f"{server.address}{INTERPRETERS}/{urllib.parse.quote(server.interpreters[group].id)}"
    data = shlex.quote(f"@{path}")
    send = f"curl -X PUT -H 'Content-Type: application/json' -d {data} {shlex.quote(url)}"
    return f"{clicks}; or, which restarts the interpreter:\n    {send}"
