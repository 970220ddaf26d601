"""Part: the base of all parts of a task, with the short forms that stand for some, and its paths."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    SerializationInfo,
    ValidationInfo,
    model_validator,
)

from nbkeras.data import filesystems


def text(value: Any) -> Any:
    """Return a path as a word, anything else as it is."""
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _absolute(value: str, info: ValidationInfo) -> str:
    if not value.strip():
        raise ValueError("got an empty path: write one, or leave the key out")
    if filesystems.is_uri(value):
        return value
    folder = (info.context or {}).get("folder", ".")
    try:
        own = Path(filesystems.plain(value)).expanduser()
    except RuntimeError as error:
        raise ValueError(f"got {value}, whose home is unknown ({error}): write the whole path") from error
    return os.path.abspath(Path(folder, own))  # noqa: PTH100  # links stay as they are


def _relative(value: str, info: SerializationInfo) -> str:
    folder = (info.context or {}).get("folder")
    if folder is None or filesystems.is_uri(value) or not Path(value).is_relative_to(folder):
        return value
    return str(Path(value).relative_to(folder))


def _from_file(value: str, info: ValidationInfo) -> str:
    path, _, name = value.rpartition(":")
    return f"{_absolute(path, info)}:{name}" if path.endswith(".py") else value


def _to_file(value: str, info: SerializationInfo) -> str:
    path, _, name = value.rpartition(":")
    return f"{_relative(path, info)}:{name}" if path.endswith(".py") else value


#: A path, relative to the task's file, or a URI; a task holds it absolute.
FilePath = Annotated[
    str, BeforeValidator(text), AfterValidator(_absolute), PlainSerializer(_relative, return_type=str)
]

#: A function of a file or of a module.
Function = Annotated[str, AfterValidator(_from_file), PlainSerializer(_to_file, return_type=str)]


def or_word(schema: dict[str, Any]) -> None:
    """Say in the JSON Schema that a word may stand for the whole part."""
    whole = dict(schema)
    schema.clear()
    schema["anyOf"] = [{"type": "string"}, whole]


def or_number(schema: dict[str, Any]) -> None:
    """Say in the JSON Schema that a word or a part of 1 may stand for the whole part."""
    or_word(schema)
    schema["anyOf"].insert(0, {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1})


class Part(BaseModel):
    """Base of all parts: frozen, and it takes no key that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _from_short(cls, value: Any) -> Any:
        return cls.widened(value)

    @classmethod
    def widened(cls, value: Any) -> Any:
        """Return the keys that a short form stands for; anything else as it is.

        Args:
            value: as it was given.

        Example:
            >>> from nbkeras.tasks.parts import Model, Validation
            >>> Model.widened("model.py:build"), Validation.widened(0.2), Validation.widened("a.csv")
            ({'function': 'model.py:build'}, {'fraction': 0.2}, {'path': 'a.csv'})
        """
        return value


class Short(Part):
    """Base of the parts for which a path may stand."""

    model_config = ConfigDict(json_schema_extra=or_word)

    @classmethod
    def widened(cls, value: Any) -> Any:
        """See :class:`Part`."""
        value = text(value)
        return {"path": value} if isinstance(value, str) else value
