"""Schema: what a task's file may hold, as JSON Schema, for editors."""

from __future__ import annotations

import json
from pathlib import Path

from nbkeras.tasks.task import Task

#: The file that is kept beside this module.
FILE = Path(__file__).with_name("task.schema.json")


def schema() -> str:
    """Write the JSON Schema of a task.

    Example:
        >>> import json
        >>> json.loads(schema())["required"]
        ['data', 'model']
    """
    made = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Task.model_json_schema()}
    made["description"] = "A training with its data, model and results, for nbkeras run."
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"
