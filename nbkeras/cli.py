"""The command line: ``nbkeras run``, ``demo``, ``prepare``, ``doctor`` and ``zeppelin``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbkeras.errors import NbkerasError

if TYPE_CHECKING:
    from nbkeras.doctor import Check


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit status.

    Args:
        arguments: the words after ``nbkeras``; None for those of this process.

    Example:
        >>> main(["demo", "--no-such-option"])
        Traceback (most recent call last):
        SystemExit: 2
    """
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except NbkerasError as error:
        print(f"nbkeras: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nbkeras", description="Train Keras models on Spark from a notebook cell, with a live chart."
    )

    def usage(_: argparse.Namespace) -> int:
        parser.print_help()
        return 0

    parser.set_defaults(command=usage)
    commands = parser.add_subparsers(metavar="COMMAND")

    demo = commands.add_parser("demo", help="open the quickstart in JupyterLab, on a local Spark")
    demo.add_argument(
        "--execute", action="store_true", help="run it here instead, without a browser, and print the result"
    )
    demo.add_argument(
        "--folder",
        type=Path,
        default=Path("nbkeras-demo"),
        help="where the notebook is copied to (default: %(default)s)",
    )
    demo.add_argument("--no-browser", action="store_true", help="print JupyterLab's address, open nothing")
    demo.set_defaults(command=_demo)

    prepare = commands.add_parser("prepare", help="let Spark start sooner on this machine, once for all")
    prepare.set_defaults(command=_prepare)

    doctor = commands.add_parser("doctor", help="check Python, Java, Spark and Keras, and say what to type")
    doctor.set_defaults(command=_doctor)

    zeppelin = commands.add_parser("zeppelin", help="say how to set up Apache Zeppelin for this environment")
    zeppelin.add_argument(
        "--write",
        type=Path,
        metavar="DIR",
        help="write the settings as Zeppelin's REST API takes them, and notes to import",
    )
    zeppelin.add_argument(
        "--server",
        metavar="URL",
        help="compare with a running Zeppelin; with --write, write files that can be sent to it",
    )
    zeppelin.set_defaults(command=_zeppelin)
    _add_run(commands)
    return parser


def _add_run(commands: Any) -> None:
    run = commands.add_parser(
        "run",
        help="run a task: a training with its data, model and results, declared in YAML",
        description="Run a task. Progress goes to standard error. Exit status: 0 done, 1 failed, 2 the task "
        "is wrong, 130 interrupted.",
    )
    what = run.add_mutually_exclusive_group(required=True)
    what.add_argument("task", nargs="?", metavar="TASK", help="the task, such as task.yaml")
    what.add_argument("--schema", action="store_true", help="print the JSON Schema of tasks, for editors")
    run.add_argument("--dry-run", action="store_true", help="say what it would do; no row is computed")
    run.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="set a value otherwise: epochs=3, spark.workers=2; may be given again",
    )
    run.add_argument(
        "--result", metavar="FILE", help="where the result is written as JSON; - for standard output"
    )
    run.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from nbkeras.tasks import absent

    absent.require()
    from nbkeras.tasks import command, schema

    if options.schema:
        print(schema.schema(), end="")
        return 0
    return command.run(options.task, options.set, result=options.result, dry=options.dry_run)


def _prepare(_: argparse.Namespace) -> int:
    from nbkeras.spark import class_data, java

    place = class_data.path(java.ensure())
    if place.exists():
        print(f"Spark starts sooner here already, by {place}.")
        return 0
    print("Making a file from which Spark starts sooner: about a minute, once.", flush=True)
    class_data.make(place)
    print(f"Spark starts sooner from now on, by {place}, {place.stat().st_size // 10**6} MB.")
    return 0


def _demo(options: argparse.Namespace) -> int:
    from nbkeras import demo

    if options.execute:
        return demo.execute()
    return demo.open_in_jupyterlab(options.folder, browser=not options.no_browser)


def _doctor(_options: argparse.Namespace) -> int:
    from nbkeras import doctor

    return _report(doctor.examine())


def _zeppelin(options: argparse.Namespace) -> int:
    from nbkeras.zeppelin import comparison, files, server, settings

    asked = None if options.server is None else server.ask(options.server)
    wanted = settings.settings()
    if asked and not options.write:
        return _report(comparison.compare(asked, wanted))
    complete = True
    if options.write:
        lines, complete = files.write(options.write, wanted, asked)
        print("\n".join(lines))
    else:
        print(settings.explanation(wanted))
        print("\nSet them in Zeppelin's menu Interpreter, or let `nbkeras zeppelin --write DIR` write them.")
    if missing := settings.missing_packages():
        print(f"Zeppelin also wants {', '.join(missing)} here: {settings.install_command(missing)}")
    return 0 if complete else 1


def _report(checks: list[Check]) -> int:
    from nbkeras import doctor

    print(doctor.table(checks))
    return 1 if any(check.problem and check.needed for check in checks) else 0
