"""The keys of a task, as a table in Markdown: from the schema that ``nbkeras run --schema`` prints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SCHEMA = Path(__file__).parents[3] / "nbkeras" / "tasks" / "task.schema.json"
#: Keys that take what ``data.training`` takes.
ROWS = ("data.validation", "data.test", "data.predict")


def table() -> str:
    """A line for each key: its name with those above it, what it is, its default and an example."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    rows = ["| Key | | Default | Example |", "|---|---|---|---|"]
    for name, about, one in _keys(schema, schema, ""):
        default, examples = one.get("default"), one.get("examples", [])
        cells = [about, "" if default is None or isinstance(default, dict) else _code(default)]
        cells.append(_code(examples[0]) if examples else "")
        rows.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(rows)


def _keys(
    schema: dict[str, Any], part: dict[str, Any], above: str
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name, one in part.get("properties", {}).items():
        parts = _parts(schema, one)
        about = one.get("description") or next((inner.get("description", "") for inner in parts), "")
        yield f"{above}{name}", " ".join(about.split()), one
        # What rows are is said once, at those to train on.
        if f"{above}{name}" not in ROWS:
            for inner in parts:
                yield from _keys(schema, inner, f"{above}{name}.")


def _parts(schema: dict[str, Any], one: dict[str, Any]) -> list[dict[str, Any]]:
    """The groups of keys that a value may be."""
    if "$ref" in one:
        return _parts(schema, schema["$defs"][one["$ref"].rpartition("/")[2]])
    inner = [part for choice in one.get("anyOf", ()) for part in _parts(schema, choice)]
    return [one, *inner] if "properties" in one else inner


def _code(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "`" + " ".join(text.split()).replace("|", "\\|") + "`"
