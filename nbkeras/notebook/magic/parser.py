"""What can be typed behind %%keras_spark: the options, their values, and the help."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import Field
from typing import Any, Never

from nbkeras.errors import OptionError
from nbkeras.notebook.suggest import suggest
from nbkeras.options import TYPED

#: Options that name a DataFrame: their ``{expression}`` stays one until it is needed.
FRAMES = ("--data", "--validation")

_DESCRIPTION = """\
Train the Keras model of this cell on Spark.

In the cell, model.fit, model.evaluate and model.predict run on the attached
Spark, from a Spark DataFrame, from NumPy arrays and from pandas. A chart shows
the training as it goes; ■ or Stop ends it after the batch in work and keeps the
weights. The last expression is shown as in any cell.
"""

_EXAMPLES = """\
examples:
  %%keras_spark --workers 2
  model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(10, activation="softmax")])
  model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
  history = model.fit(train_df, y="label", validation_data=test_df, epochs=10, batch_size=256)

  The same without a call of fit: the compiled model of the cell is trained.

  %%keras_spark --data train_df --label label --validation test_df --epochs 10 --batch-size 256
  model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(10, activation="softmax")])
  model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])

  A value may be a variable or an expression: --workers $n, --epochs {2 * n}.

line magic:
  %keras_spark help         this text
  %keras_spark status       which Spark, how many slots, which versions
  %keras_spark stop [NAME]  stop a training that runs with --background
  %keras_spark pause [NAME] let it wait after the batch in work; it keeps its Spark slots
  %keras_spark resume [NAME]
                            let it go on
  %keras_spark learning_rate RATE [NAME]
                            train on with another learning rate
  %keras_spark runs [PATH]  compare runs: those of this notebook, and of a checkpoint's folder
  %keras_spark build [NAME] build a network for a DataFrame by clicks
  %keras_spark export       write what was built into the next cell
  %keras_spark features [NAME [LABEL]]
                            preprocessing for the columns of a DataFrame, as Keras code
  %keras_spark report NAME [LABEL] [--model NAME] [--prediction COL] [--by COL] [--worst N]
                            how good a model is on a DataFrame, or the predictions in it
  %keras_spark compare NAME LABEL [--models A,B] [--test PART] [--folds N] [--epochs N]
                            models side by side on the same rows, and which one is best

in Apache Zeppelin:
  %keras_spark form [NAME]  a form that builds and trains a network on a DataFrame
  %keras_spark features df  preprocessing for the columns of a DataFrame, as Keras code
  %keras_spark dashboard    a paragraph that shows the trainings of others live
"""


class Parser(argparse.ArgumentParser):
    """The options of the cell magic; it raises ``OptionError`` where argparse would exit.

    Example:
        >>> Parser().parse("--workers 2 --name digits")
        {'workers': 2, 'name': 'digits'}
    """

    def __init__(self) -> None:
        super().__init__(
            prog="%%keras_spark",
            description=_DESCRIPTION,
            epilog=_EXAMPLES,
            formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, width=88),
            argument_default=argparse.SUPPRESS,
            add_help=False,
            allow_abbrev=False,
        )
        where = self.add_argument_group("where and how")
        for option in TYPED.values():
            where.add_argument(self.spelling(option.name), **_reading(option))
        where.add_argument("--explain", action="store_true", help="print the Python call instead of running")
        what = self.add_argument_group("what to train on, when the cell does not call fit")
        what.add_argument("--data", metavar="NAME", help="the DataFrame to train on")
        what.add_argument("--label", metavar="COL[,COL]", help="its label column, one for each output")
        what.add_argument("--features", metavar="COL[,COL]", help="its feature columns (all others)")
        what.add_argument("--validation", metavar="NAME", help="the DataFrame to validate on")
        what.add_argument("--epochs", metavar="N", type=_count, help="how often to go over the rows (1)")
        what.add_argument(
            "--batch-size", metavar="N", type=_count, help="rows of a step, of all workers (32)"
        )

    def parse(self, line: str, namespace: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Read the line behind the magic.

        Args:
            line: the options as they were typed.
            namespace: where ``$name`` and ``{expression}`` get their values.
        """
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise OptionError(f"a quote is not closed in: {line.strip()}") from error
        typed, unknown = self.parse_known_args(_expand(words, namespace or {}))
        if unknown:
            raise OptionError(self._explain_unknown(unknown[0]))
        options = vars(typed)
        details = [self.spelling(key) for key in options if key not in (*TYPED, "explain", "data")]
        if details and "data" not in options:
            raise OptionError(f"{details[0]} needs a DataFrame to train on: add --data NAME")
        return options

    def option_names(self) -> list[str]:
        """All options as they are typed."""
        return list(self._option_string_actions)

    def choices(self, option: str) -> list[str]:
        """The values that an option offers, empty when it takes any."""
        action = self._option_string_actions.get(option)
        return [] if action is None else [str(choice) for choice in action.choices or ()]

    def takes_value(self, option: str) -> bool:
        """Whether a value follows the option."""
        action = self._option_string_actions.get(option)
        return action is not None and action.nargs != 0

    @staticmethod
    def spelling(key: str) -> str:
        """Write an option as it is typed."""
        return "--" + key.replace("_", "-")

    def error(self, message: str) -> Never:
        """Raise what is wrong, in one line."""
        raise OptionError(message.removeprefix("argument "))

    def _explain_unknown(self, word: str) -> str:
        if word in {"-h", "--help"}:
            return "--help stands alone; type %keras_spark help"
        if not word.startswith("-"):
            return f"{word!r} is no option; options begin with --, such as --workers 2"
        return f"unknown option {word.partition('=')[0]}; " + suggest(
            word.partition("=")[0], self.option_names()
        )


def _expand(words: list[str], namespace: Mapping[str, Any]) -> list[str]:
    expanded = []
    for place, word in enumerate(words):
        option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        owner = option or (words[place - 1] if place else "")
        if owner not in FRAMES:
            value = _value(value, namespace)
        expanded.append(f"{option}{equals}{value}")
    return expanded


def _value(word: str, namespace: Mapping[str, Any]) -> str:
    expression = re.fullmatch(r"\$([A-Za-z_]\w*)|\{(.+)\}", word)
    if expression is None:
        return word
    return str(evaluate(expression[1] or expression[2], namespace))


def evaluate(expression: str, namespace: Mapping[str, Any]) -> Any:
    """Evaluate a user's expression; report any exception in one line."""
    try:
        return eval(expression, dict(namespace))  # noqa: S307  # the user's own words, as in any cell
    except Exception as error:
        raise OptionError(f"{expression} has no value: {type(error).__name__}: {error}") from error


def _reading(option: Field[Any]) -> dict[str, Any]:
    """How argparse reads an option, by its type and what it says of itself."""
    words, choices = option.metadata["help"], option.metadata["choices"]
    if option.type == "bool":
        return {"action": "store_true", "help": words}
    how = {"type": _one_of(*choices), "choices": choices} if choices else {"type": _TYPES[str(option.type)]}
    return {**how, "help": words, "metavar": option.metadata["metavar"]}


def _workers(word: str) -> int | str:
    if word == "auto":
        return word
    if word.isdecimal() and int(word) >= 1:
        return int(word)
    raise argparse.ArgumentTypeError(f"takes a whole number from 1, or auto; got {word!r}")


def _count(word: str) -> int:
    if word.isdecimal() and int(word) >= 1:
        return int(word)
    raise argparse.ArgumentTypeError(f"takes a whole number from 1; got {word!r}")


def _seconds(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"takes a number of seconds; got {word!r}") from None


def _one_of(*choices: str) -> Callable[[str], str]:
    def check(word: str) -> str:
        if word in choices:
            return word
        raise argparse.ArgumentTypeError(f"got {word!r}; {suggest(word, choices)}")

    return check


#: What reads an option, by the type that it is declared with.
_TYPES: dict[str, Callable[[str], Any]] = {
    "int | str": _workers,
    "int": _count,
    "int | None": _count,
    "float": _seconds,
    "str | None": str,
    "str | os.PathLike[str] | None": str,
}
