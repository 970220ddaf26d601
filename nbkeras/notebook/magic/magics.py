"""The magics: a thin shell on ``nbkeras.on_spark`` and ``nbkeras.fit``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from typing import Any

from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand, output_can_be_silenced

from nbkeras.errors import ModelError, OptionError
from nbkeras.notebook import form, hosts
from nbkeras.notebook.magic import explain, hint
from nbkeras.notebook.magic.body import Body
from nbkeras.notebook.magic.completion import Completion
from nbkeras.notebook.magic.namespace import assigned_model, frame, frames_of, models_of, spark_of
from nbkeras.notebook.magic.parser import Parser
from nbkeras.notebook.suggest import suggest
from nbkeras.notebook.words import ANSWERS
from nbkeras.options import TYPED

_PARSER = Parser()
#: Words that steer a training that is at work, and which word behind them is its name.
_STEERING = {"stop": 1, "pause": 1, "resume": 1, "learning_rate": 2}
_HELP = ("help", "--help", "-h", "?")
_WORDS = (
    "status",
    *_STEERING,
    "runs",
    "build",
    "export",
    "form",
    "features",
    "report",
    "compare",
    "dashboard",
    "help",
)
_CALLS_FIT = "--data is for a cell that does not call fit; drop --data or the call"
_COLUMNS = {"label": "y", "features": "features"}


def register(shell: Any) -> None:
    """Add the magics and their completion to an IPython shell; ``%load_ext nbkeras`` does it.

    Args:
        shell: what ``get_ipython()`` gives.
    """
    shell.register_magics(KerasSpark(shell))
    shell.Completer.custom_matchers.append(Completion(shell, _PARSER, _WORDS, _named))
    hint.register(shell)


def unregister(shell: Any) -> None:
    """Take the magics and their completion away again."""
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("keras_spark", None)
    shell.magics_manager.registry.pop(KerasSpark.__name__, None)
    matchers = shell.Completer.custom_matchers
    matchers[:] = [matcher for matcher in matchers if not isinstance(matcher, Completion)]
    hint.unregister(shell)


@magics_class
class KerasSpark(Magics):
    """``%%keras_spark`` and ``%keras_spark``."""

    shell: Any

    @no_var_expand
    @output_can_be_silenced
    @line_cell_magic
    def keras_spark(self, line: str, cell: str | None = None) -> Any:  # noqa: D102  # the parser writes it, below
        first, *rest = line.split() or [""]
        if (cell is None and first in ("", *_HELP)) or (first in _HELP and not rest):
            print(_PARSER.format_help())  # noqa: T201  # as any help
            return None
        if cell is None:
            return self._word(line)
        options = _PARSER.parse(line, self.shell.user_ns)
        body = Body(self.shell, cell)
        if "data" in options and set(body.receivers("compile")) & set(body.receivers("fit")):
            raise OptionError(_CALLS_FIT)
        if options.pop("explain", False):
            print(self._explain(options, body))  # noqa: T201  # shown as text, to be copied
            return None
        return self._train(options, body) if "data" in options else self._run(options, body)

    keras_spark.__doc__ = _PARSER.format_help()

    def _run(self, where: dict[str, Any], body: Body) -> Any:
        from nbkeras import api

        with hosts.cell(body.source), api.on_spark(**where, **self._spark()):
            return body.run()

    def _train(self, options: dict[str, Any], body: Body) -> Any:
        from nbkeras import api

        names = self.shell.user_ns
        for option in ("data", "validation"):
            if option in options:
                frame(options[option], names, option)  # a wrong name is reported before the body runs
        before = dict(names)
        where = {key: options[key] for key in TYPED if key in options}
        with hosts.cell(body.source), api.on_spark(**where, **self._spark()) as calls:
            body.run()
        if calls.fits:  # by a function, say, that the cell calls
            raise OptionError(_CALLS_FIT)
        model = assigned_model(before, names)
        data = frame(options.pop("data"), names, "data")
        if "validation" in options:
            options["validation_data"] = frame(options.pop("validation"), names, "validation")
        with hosts.cell(body.source):
            return api.fit(names[model], data, **_columns(options), **self._spark())

    def _explain(self, options: dict[str, Any], body: Body) -> str:
        spark = {"spark": "spark"} if self._spark() else {}
        if "data" not in options:
            return explain.around_fit(body.code, explain.sources(options) | spark)
        compiled = body.receivers("compile")
        if len(compiled) > 1:
            raise ModelError(f"the cell compiles several models: {', '.join(compiled)}; call fit in it")
        data, validation = options.pop("data"), options.pop("validation", None)
        arguments = explain.sources(_columns(options)) | spark
        if validation is not None:
            arguments["validation_data"] = explain.name(validation)
        return explain.with_fit(
            body.code, compiled[0] if compiled else "model", explain.name(data), arguments
        )

    def _spark(self) -> dict[str, Any]:
        spark = spark_of(self.shell.user_ns)
        return {} if spark is None else {"spark": spark}

    def _word(self, line: str) -> None:
        word, _, rest = line.strip().partition(" ")
        if word == "status":
            from nbkeras import api

            print(api.status(**self._spark()))  # noqa: T201  # as any status command
        elif word in _STEERING:
            _steer(word, rest)
        elif word in (shown := self._shown()):
            shown[word](rest.strip())
        elif word.startswith("-"):
            raise OptionError(
                f"{word} is an option of the cell magic: begin the cell with %%keras_spark {word}"
            )
        else:
            raise OptionError(f"unknown word {word!r}; {suggest(word, _WORDS)}")

    def _shown(self) -> dict[str, Callable[[str], None]]:
        """What shows something, by its word."""
        return {
            "runs": self._runs,
            "build": self._build,
            "export": self._export,
            "form": self._form,
            "features": self._features,
            "report": self._report,
            "compare": self._compare,
            "dashboard": lambda _: hosts.dashboard(),
        }

    def _runs(self, path: str) -> None:
        from nbkeras.notebook.record import runs

        path = path.strip("'\"")

        if path:
            runs.read(path)
        if not hosts.has_widgets():
            hosts.show(runs.bundle())
            return
        from nbkeras.notebook.runs import Panel

        hosts.show_widget(Panel(runs))

    def _build(self, name: str) -> None:
        hosts.require_widgets()
        from nbkeras.notebook.builder import Builder

        names = self.shell.user_ns
        known = self._frames("build", name)
        models = {one: names[one] for one in models_of(names)}
        hosts.show_widget(Builder({one: names[one] for one in known}, name or known[-1], models))

    def _export(self, _: str) -> None:
        # Without the module none was ever opened, and there is no reason to load it.
        module = sys.modules.get("nbkeras.notebook.builder")
        newest = None if module is None else module.Builder.newest
        if newest is None:
            raise OptionError(
                "there is nothing to export yet: build a network with %keras_spark build "
                "or nbkeras.Builder(df)"
            )
        self.shell.set_next_input(newest.editor.design.cell())

    def _form(self, name: str) -> None:
        fields = hosts.fields()
        names = self.shell.user_ns
        known = self._frames("form", name)
        if not name:
            name = known[0] if len(known) == 1 else fields.choice("DataFrame", known, known[-1])
        answers = form.ask(names[name], name, fields)
        try:
            options = _PARSER.parse(f"--workers {shlex.quote(answers.workers)}")
        except OptionError as error:
            raise OptionError(str(error).replace("--workers", "Workers")) from None
        print(answers.design.code())  # noqa: T201  # to be copied
        if answers.train:
            self._run(options, Body(self.shell, answers.design.code()))
        else:
            print(ANSWERS["form_tick"])  # noqa: T201  # the magic's answer

    def _features(self, line: str) -> None:
        from nbkeras import api

        name, *labels = shlex.split(line) or [""]
        name = name or self._frames("features", "")[0]
        self._frames("features", name)
        hosts.show(api.features(self.shell.user_ns[name], labels, **self._spark()).bundle())

    def _report(self, line: str) -> None:
        from nbkeras.notebook.magic import report as typed
        from nbkeras.notebook.reports import report

        asked = typed.asked(line)
        names = self.shell.user_ns
        known = frames_of(names)
        name = asked.pop("frame", next(iter(known), ""))
        if name not in known:
            which = f"the DataFrames are: {', '.join(known)}" if known else "there is no DataFrame by now"
            raise OptionError(f"report {name}: there is no DataFrame of that name; {which}")
        model, label = typed.model_of(names, asked), asked.pop("label", None)
        asked.pop("model", None)
        first, data = (names[name], None) if model is None else (model, names[name])
        report.show(report.report(first, data, label, **asked, **self._spark()))

    def _compare(self, line: str) -> None:
        from nbkeras.notebook.leaderboards import leaderboard
        from nbkeras.notebook.magic import compare as typed

        asked = typed.asked(line)
        names, module = self.shell.user_ns, sys.modules.get("nbkeras.notebook.builder")
        self._frames("compare", asked["frame"])
        newest = None if module is None else module.Builder.newest
        built = None if newest is None else newest.build
        models = typed.models_for(names, asked.pop("models", None), built)
        if "test" in asked:
            asked["test"] = typed.held_out(names, asked["test"])
        data, label = names[asked.pop("frame")], asked.pop("label")
        with hosts.cell(f"%keras_spark compare {line}"):
            leaderboard.compare(data, label, models, **asked, **self._spark())

    def _frames(self, word: str, name: str) -> list[str]:
        """The DataFrames to choose from: those of Spark, and the one of that name; without these all others.

        Raises:
            OptionError: there is none, or none of that name.
        """
        every = frames_of(self.shell.user_ns)
        known = frames_of(self.shell.user_ns, "pyspark") or every
        if name in every or (known and not name):
            return [*known, *([name] if name and name not in known else [])]
        which = f"the DataFrames are: {', '.join(every)}" if every else "there is no DataFrame by now"
        raise OptionError(f"{word} {name}: there is no DataFrame of that name; {which}")


def _columns(options: dict[str, Any]) -> dict[str, Any]:
    """Turn the options that name columns into arguments of fit."""
    arguments = dict(options)
    for option, argument in _COLUMNS.items():
        if option in arguments:
            columns = [column.strip() for column in arguments.pop(option).split(",")]
            arguments[argument] = columns if option == "features" or len(columns) > 1 else columns[0]
    return arguments


def _steer(word: str, rest: str) -> None:
    """Stop, pause or resume the newest training at work, or that of a name, or change its learning rate."""
    rate = ""
    if word == "learning_rate":
        rate, _, rest = rest.strip().partition(" ")
        if not rate:
            raise OptionError("learning_rate: which? Type one, as in %keras_spark learning_rate 0.001")
    name = rest.strip().strip("'\"")
    runs = _at_work()
    chosen = [run for run in runs if not name or run.name == name]
    if chosen:
        run = chosen[-1]
        if word == "learning_rate":
            run.set_learning_rate(rate)
            rate = f"{float(rate):g}"
        else:
            {"stop": run.stop, "pause": run.pause, "resume": run.resume}[word]()
        print(ANSWERS[word].format(name=run.name, rate=rate))  # noqa: T201  # the magic's answer
    elif name:
        raise OptionError(
            f"no training named {name!r} is at work; {suggest(name, [one.name for one in runs])}"
        )
    else:
        print(ANSWERS["none"])  # noqa: T201  # as above


def _at_work() -> list[Any]:
    from nbkeras.run import registry

    return registry.at_work()


def _named(word: str, place: int) -> list[str]:
    """The names that fit behind a word of the line magic, at a place from 1."""
    return [run.name for run in _at_work()] if _STEERING.get(word) == place else []
