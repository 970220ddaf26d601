"""``%keras_spark compare``: what is typed behind it, and what it compares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nbkeras.errors import OptionError
from nbkeras.notebook.magic.line import Line
from nbkeras.notebook.magic.namespace import frame, models_of
from nbkeras.notebook.suggest import suggest

_USAGE = "%keras_spark compare NAME LABEL [--models A,B] [--test PART] [--folds N] [--epochs N]"
#: The name under which the network that is built by clicks takes part.
BUILT = "builder"


def asked(line: str) -> dict[str, Any]:
    """Read what is typed behind the word.

    Example:
        >>> asked("df label --models model,forest --folds 3")
        {'frame': 'df', 'label': 'label', 'models': ['model', 'forest'], 'folds': 3}
    """
    parser = Line("compare", _USAGE)
    parser.add_argument("frame", nargs="?")
    parser.add_argument("label", nargs="?")
    for option in ("--models", "--features"):
        parser.add_argument(option, type=_several)
    for option in ("--metric", "--task", "--weight"):
        parser.add_argument(option)
    parser.add_argument("--test")
    for option in ("--folds", "--epochs", "--batch-size", "--seed"):
        parser.add_argument(option, type=int)
    found = parser.read(line)
    if "label" not in found:
        raise OptionError(f"compare: which is the label? Type {_USAGE}")
    if "weight" in found:
        found["sample_weight"] = found.pop("weight")
    return found


def held_out(names: Mapping[str, Any], word: str) -> Any:
    """The part of the rows to score on, or the DataFrame of them.

    Raises:
        OptionError: it is neither.

    Example:
        >>> held_out({}, "0.25")
        0.25
    """
    try:
        return float(word)
    except ValueError:
        return frame(word, names, "test")


def _several(words: str) -> list[str]:
    return [one.strip() for one in words.split(",") if one.strip()]


def models_for(
    names: Mapping[str, Any], wanted: list[str] | None, built: Callable[[], Any] | None
) -> dict[str, Any]:
    """The models that take part, by name; words of MLlib's models stand for themselves.

    Args:
        names: of the user.
        wanted: what was typed; None for the one model that there is, else that of the builder.
        built: makes the network of the builder; None where there is no builder.

    Raises:
        OptionError: it is unknown which.

    Example:
        >>> models_for({}, ["forest"], None)
        {'forest': 'forest'}
    """
    from nbkeras.selection.estimators import WORDS

    known = [name for name in models_of(names) if names[name].compiled]
    own = {name: names[name] for name in known} | ({BUILT: built} if built is not None else {})
    if wanted is None:
        if len(known) > 1:
            raise OptionError(f"compare: which models? Add --models, some of: {', '.join(own)}")
        return {name: own[name] for name in (known or list(own))}
    words = dict.fromkeys(word for task in WORDS.values() for word in task)
    for name in wanted:
        if name not in own and name not in words:
            raise OptionError(
                f"--models {name}: there is no compiled model of that name; {suggest(name, [*own, *words])}"
            )
    return {name: own.get(name, name) for name in wanted}
