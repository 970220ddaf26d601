"""Wording: what pydantic finds wrong, as lines that say where, what was received and what to write."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from nbkeras.errors import TaskError
from nbkeras.tasks.part import Part
from nbkeras.tasks.parts import Rows
from nbkeras.tasks.places import Place, Places, dotted

#: What a value should be, by the type of pydantic's error.
_WANTED = {
    "bool_type": "true or false",
    "dict_type": "keys below it",
    "finite_number": "a number",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "list_type": "a list",
    "model_type": "keys below it",
    "string_type": "a word",
    "greater_than": "a number above {gt:.10g}",
    "greater_than_equal": "a number from {ge:.10g}",
    "less_than": "a number below {lt:.10g}",
    "less_than_equal": "a number up to {le:.10g}",
    "literal_error": "{expected}",
}
#: What a file can hold; a task that is made in Python may be given anything.
_PLAIN = (str, int, float, list, Mapping, type(None))
#: Older YAML takes these for true and false.
_ONLY_WORDS = {"yes", "no", "on", "off"}


def refused(error: ValidationError, shape: type[Part], given: Any, places: Places) -> TaskError:
    """Make one error of all that pydantic has found, a line for each fault.

    Args:
        error: of pydantic.
        shape: the class that was validated.
        given: what was validated.
        places: where its values stand.
    """
    found: dict[tuple[Place, str], list[Any]] = {}
    for one in error.errors(include_url=False):
        place = _place(given, one["loc"], one["type"])
        if one["type"] == "extra_forbidden":
            found[place, _unknown(shape, place)] = []
        elif one["type"] == "missing":
            found[place, f"is missing: write {_example(shape, place)}"] = []
        elif one["type"] == "value_error":
            wrong = one["ctx"]["error"]
            found[(*place, *getattr(wrong, "keys", ())), str(wrong)] = []
        else:
            # Of a value that may be this or that, there is an error for each.
            found.setdefault((place, ""), []).append(one)
    deep = {place for place, _ in found}
    faults = [
        (place, words or _words(errors, shape, place))
        for (place, words), errors in found.items()
        if words or not any(other[: len(place)] == place and other != place for other in deep)
    ]
    faults.sort(key=lambda one: places.line(one[0]))
    return TaskError(f"{places.named(place)}: {words}".removeprefix(": ") for place, words in faults)


def holds_keys(shape: type[Part], place: Place) -> bool:
    """Whether what stands at a place is a part, or a mapping whose values may have keys of their own.

    Args:
        shape: the class of the whole.
        place: keys.

    Example:
        >>> from nbkeras.tasks.declared import Declared
        >>> places = [("spark",), ("spark", "config"), ("callbacks",), ("callbacks", "EarlyStopping")]
        >>> [holds_keys(Declared, one) for one in places]
        [True, False, True, True]
    """
    if class_at(shape, place) is not None:
        return True
    annotation: Any = None
    for length in range(1, len(place) + 1):
        one = _field(shape, place[:length])
        annotation = one.annotation if one is not None else _values(annotation)
    return annotation is Any or any(_has_keys(one) for _, one in _mappings(annotation))


def takes_numbers(shape: type[Part], place: Place) -> bool:
    """Whether the keys of a mapping may be numbers, as those of classes are.

    Args:
        shape: the class of the whole.
        place: keys.
    """
    one = _field(shape, place)
    return one is not None and any(int in (key, *get_args(key)) for key, _ in _mappings(one.annotation))


def _mappings(annotation: Any) -> list[tuple[Any, Any]]:
    """The types of keys and values of the mappings that a value may be."""
    if get_origin(annotation) is dict:
        key, value = get_args(annotation)
        return [(key, value)]
    return [found for one in get_args(annotation) for found in _mappings(one)]


def _values(annotation: Any) -> Any:
    """The type of the values of a mapping."""
    return next((value for _, value in _mappings(annotation)), annotation)


def _has_keys(annotation: Any) -> bool:
    return annotation is Any or bool(_mappings(annotation))


def class_at(shape: type[Part], place: Place) -> type[Part] | None:
    """Return the part that stands at a place, None for a value.

    Args:
        shape: the class of the whole.
        place: keys.
    """
    found: type[Part] | None = shape
    for name in place:
        one = None if found is None else found.model_fields.get(str(name))
        found = None if one is None else _class(one.annotation)
    return found


def place_of(shape: type[Part], name: str) -> Place:
    """Return the place of a key by its last name; the whole where there is none, or several.

    Args:
        shape: the class of the whole.
        name: of the key.
    """
    found = [place for place in _keys(shape) if place[-1] == name]
    return found[0] if len(found) == 1 else ()


def _class(annotation: Any) -> type[Part] | None:
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return annotation
    return next(filter(None, map(_class, get_args(annotation))), None)


def _place(given: Any, loc: Sequence[str | int], kind: str) -> Place:
    """The place of an error: pydantic also names the branch of a type that it has tried."""
    place: list[str | int] = []
    for number, part in enumerate(loc):
        is_key = isinstance(given, Mapping) and part in given
        is_item = isinstance(given, list) and isinstance(part, int) and part < len(given)
        if is_key or is_item:
            place.append(part)
            given = given[part]
        elif kind == "missing" and number == len(loc) - 1:
            place.append(part)
    return tuple(place)


def _unknown(shape: type[Part], place: Place) -> str:
    """Say which key was meant by one that is not known."""
    *before, key = place
    name, within = str(key), class_at(shape, tuple(before))
    known = [] if within is None else list(within.model_fields)
    if near := difflib.get_close_matches(name, known, 1):
        return f"there is no such key: did you mean {near[0]}?"
    everywhere = {dotted(one): one[-1] for one in _keys(shape)}
    same = [one for one, leaf in everywhere.items() if leaf == name]
    if same:
        return f"there is no such key here: did you mean {same[0]}?"
    return f"there is no such key: write one of {', '.join(known)}"


def _keys(shape: type[Part], before: Place = ()) -> Iterator[Place]:
    for name, one in shape.model_fields.items():
        yield (*before, name)
        if (inner := _class(one.annotation)) is not None:
            yield from _keys(inner, (*before, name))


def _field(shape: type[Part], place: Place) -> FieldInfo | None:
    within = class_at(shape, place[:-1]) if place else None
    return None if within is None else within.model_fields.get(str(place[-1]))


def _example(shape: type[Part], place: Place) -> str:
    found = _field(shape, place)
    examples = (found.examples if found is not None else None) or ["…"]
    return f"{place[-1]}: {_flow(examples[0])}"


def _flow(value: Any) -> str:
    """An example as YAML, in one line."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_flow(one)}' for key, one in value.items())}}}"
    return f"[{', '.join(map(_flow, value))}]" if isinstance(value, list) else str(value)


def _words(errors: list[Any], shape: type[Part], place: Place) -> str:
    wanted = dict.fromkeys(_wanted(one) for one in errors)
    value = errors[0]["input"]
    part = class_at(shape, place)
    if part is not None and issubclass(part, Rows) and not isinstance(value, _PLAIN):
        return (
            f"got {_shown(value)}: a task names files, tables or queries, such as {_example(shape, place)}; "
            "nbkeras.fit takes rows themselves"
        )
    hint = ""
    if isinstance(value, str) and "a word" not in wanted:
        if value.strip().replace(".", "", 1).replace("e-", "", 1).isdigit():
            hint = ", without quotes"
        elif value.lower() in _ONLY_WORDS:
            hint = f", as YAML 1.2 takes {value} for a word"
    elif "a word" in wanted and isinstance(value, (int, float)):
        hint = f", such as '{value}' in quotes"
    found = _field(shape, place)
    if "keys below it" in wanted and found is not None and found.examples:
        hint = f", such as {_example(shape, place)}"
    return f"got {_shown(value)}: write {' or '.join(wanted)}{hint}"


def _wanted(error: Any) -> str:
    words = _WANTED.get(error["type"])
    return error["msg"] if words is None else words.format(**error.get("ctx", {}))


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "keys"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, _PLAIN):
        shown = str(value).lower() if isinstance(value, bool) else f"{value!r:.80}"
        return f"the word {shown}" if isinstance(value, str) else shown
    package = type(value).__module__.partition(".")[0]
    return f"a {type(value).__name__} of {package}"
