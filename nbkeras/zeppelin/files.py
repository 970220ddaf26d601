"""The files that set Zeppelin up: the interpreters' settings, and notes to import."""

from __future__ import annotations

import json
import shlex
import urllib.parse
from pathlib import Path
from typing import Any

import nbkeras
from nbkeras.errors import ZeppelinError
from nbkeras.zeppelin.server import Interpreter, Server
from nbkeras.zeppelin.settings import GROUPS, Setting

NOTES = ("quickstart.zpln", "quickstart_zh.zpln")


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
    files: dict[str, tuple[bytes, str]] = {}
    for group in GROUPS:
        interpreter = server.interpreters.get(group) if server else None
        if server is None or interpreter:
            body = request_body([s for s in wanted if s.group == group], interpreter)
            text = json.dumps(body, indent=2, ensure_ascii=False) + "\n"
            files[f"{group}.json"] = (text.encode(), _what_to_do(folder, group, server, interpreter))
    for name in NOTES:
        files[name] = (note(name).read_bytes(), "in Zeppelin: Import note, Select JSON File")
    lines = []
    complete = True
    if server:
        absent = [group for group in GROUPS if group not in server.interpreters]
        lines += [f"Without {group}.json: this Zeppelin has no interpreter of that group" for group in absent]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, (content, todo) in files.items():
            path = folder / name
            if path.exists() and path.read_bytes() != content:
                complete = False
                lines.append(f"Kept {path}\n    it differs; remove it, or name another folder")
            else:
                path.write_bytes(content)
                lines.append(f"Wrote {path}\n    {todo}")
    except OSError as error:
        raise ZeppelinError(f"{folder} cannot be written: {error}; name another folder") from None
    return lines, complete


def request_body(wanted: list[Setting], interpreter: Interpreter | None = None) -> dict[str, Any]:
    """What Zeppelin takes as an interpreter's new settings, for one group of them.

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
    rest = interpreter.rest if interpreter else {"option": {"remote": True}, "dependencies": []}
    return {"properties": properties, **rest}


def note(name: str) -> Path:
    """Where a note for Zeppelin lies, in an installed package or in a checkout.

    Example:
        >>> note("quickstart.zpln").exists()
        True
    """
    package = Path(nbkeras.__file__).parent
    places = (root / "notebooks" / "zeppelin" / name for root in (package, package.parent))
    return next(place for place in places if place.exists())


def _what_to_do(folder: Path, group: str, server: Server | None, interpreter: Interpreter | None) -> str:
    clicks = f"in Zeppelin: menu Interpreter, {group}, edit, one row for each property in it, Save"
    if server is None or interpreter is None:
        return (
            f"{clicks}; or let `nbkeras zeppelin --write DIR --server URL` write what can be sent to a server"
        )
    url = f"{server.address}/api/interpreter/setting/{urllib.parse.quote(interpreter.id)}"
    path = shlex.quote(f"@{folder / f'{group}.json'}")
    send = f"curl -X PUT -H 'Content-Type: application/json' -d {path} {shlex.quote(url)}"
    return f"{clicks}; or, which restarts the interpreter:\n    {send}"
