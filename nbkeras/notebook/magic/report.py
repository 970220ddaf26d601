"""``%keras_spark report``: what is typed behind it, and what it reports on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbkeras.errors import OptionError
from nbkeras.notebook.magic.line import Line
from nbkeras.notebook.magic.namespace import models_of
from nbkeras.notebook.suggest import suggest

_USAGE = "%keras_spark report NAME [LABEL] [--model NAME] [--prediction COL] [--by COL] [--worst N]"


def asked(line: str) -> dict[str, Any]:
    """Read what is typed behind the word.

    Example:
        >>> asked("test_df label --by country --worst 20")
        {'frame': 'test_df', 'label': 'label', 'by': 'country', 'worst': 20}
    """
    parser = Line("report", _USAGE)
    parser.add_argument("frame", nargs="?")
    parser.add_argument("label", nargs="?")
    for option in ("--model", "--prediction", "--by"):
        parser.add_argument(option)
    parser.add_argument("--worst", type=int)
    return parser.read(line)


def model_of(names: Mapping[str, Any], asked: Mapping[str, Any]) -> Any:
    """The model to report on: that which is named, or the one that there is; None where a column is.

    Args:
        names: of the user.
        asked: what was typed.

    Raises:
        OptionError: it is unknown which.
    """
    if "prediction" in asked:
        if "model" in asked:
            raise OptionError(
                "report: --prediction names what is predicted already: leave out --model, or it"
            )
        if "label" not in asked:
            raise OptionError(f"report: which is the label? Type {_USAGE}")
        return None
    known = models_of(names)
    name = asked.get("model", known[0] if len(known) == 1 else None)
    if name in known:
        return names[name]
    if name is not None:
        raise OptionError(f"--model {name}: there is no model of that name; {suggest(name, known)}")
    if not known:
        raise OptionError(
            "report: there is no model by now; train one, or name the column of predictions, --prediction COL"
        )
    raise OptionError(f"report: which model? Add --model NAME, one of: {', '.join(known)}")
