"""Check that what came as a JSON object is the message that it has to be."""

from __future__ import annotations

import functools
from types import UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from nbkeras.transport import wire

_Message = TypeVar("_Message")


def checked(message: wire.Event, kind: type[_Message]) -> _Message:
    """A message of a known kind, such as an answer, checked.

    Raises:
        ProtocolError: a field is missing or has another type.

    Example:
        >>> from nbkeras.transport.checking import checked
        >>> from nbkeras.transport.messages import PortsFree
        >>> checked({"free": True}, PortsFree)["free"]
        True
    """
    return cast("_Message", _fitting(message, kind))


@functools.cache
def _fields(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _fitting(message: wire.Event, kind: Any) -> wire.Event:
    for field, hint in _fields(kind).items():
        name = message.get("type", kind.__name__)
        if field not in message:
            if field in kind.__required_keys__:
                raise wire.ProtocolError(f"{name}: {field} is missing")
        elif not _fits(message[field], hint):
            wanted = hint.__name__ if isinstance(hint, type) else hint
            raise wire.ProtocolError(f"{name}: {field} is {str(message[field])[:80]}, not a {wanted}")
    return message


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value out of JSON has a type; a float may come as a whole number."""
    kind, arguments = get_origin(hint) or hint, get_args(hint)
    if kind is Any:
        return True
    if kind is Literal:
        return value in arguments
    if kind in (Union, UnionType):
        return any(_fits(value, one) for one in arguments)
    if kind in (list, dict):
        content = value.values() if isinstance(value, dict) else value
        return isinstance(value, kind) and all(_fits(one, arguments[-1]) for one in content)
    if kind is float:
        return type(value) in (int, float)
    return type(value) is kind
