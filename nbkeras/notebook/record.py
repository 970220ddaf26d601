"""The record of runs: what ``nbkeras.runs`` is."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

from nbkeras.errors import OptionError
from nbkeras.notebook import comparison, text
from nbkeras.notebook.comparison import Comparison, Summary, html_table, plain_table, summary
from nbkeras.notebook.reports import keeping
from nbkeras.notebook.suggest import suggest
from nbkeras.notebook.words import RUNS
from nbkeras.run import listeners, registry
from nbkeras.run.curves import arrays
from nbkeras.run.kept import Kept
from nbkeras.run.listeners import Listener
from nbkeras.run.progress import Phase
from nbkeras.run.run import Run

#: Runs that a table shows; of more the newest.
_MOST = 200
_HEADS = ("name", "status", "reports", "best", "best_epoch", "epochs", "seconds", "rate", "workers", "began")


class _Moves(Listener):
    """Calls what watches all runs, whatever happens to one."""

    def __init__(self) -> None:
        self.moved: Callable[[], None] = lambda: None

    def begun(self, run: Run) -> None:
        self.moved()

    def phase(self, run: Run, phase: Phase) -> None:
        self.moved()

    def epoch(self, run: Run, epoch: int, logs: dict[str, Any]) -> None:
        self.moved()

    def note(self, run: Run, sentence: str) -> None:
        self.moved()

    def progress(self, run: Run) -> None:
        self.moved()

    def ended(self, run: Run) -> None:
        self.moved()


class Runs(Sequence[Run]):
    """All runs of this process and those that were read from checkpoints, the newest last.

    Args:
        runs: a list that may grow.

    Example:
        >>> run = Run("digits", model=None, epochs=2, workers=1)
        >>> runs = Runs([run])
        >>> runs["digits"] is runs[-1]
        True
        >>> runs["digts"]
        Traceback (most recent call last):
        nbkeras.errors.OptionError: there is no run named 'digts'; did you mean digits?
    """

    def __init__(self, runs: list[Run]) -> None:
        self._runs = runs
        self._read: dict[str, Run] = {}
        self._moves = _Moves()

    def watch(self, moved: Callable[[], None]) -> None:
        """Have a function called when runs begin, move, end, are read or forgotten; the newest is called.

        Args:
            moved: called in the thread of listeners, or in that of who reads or forgets.
        """
        self._moves.moved = moved
        if self._moves not in listeners.displays:
            listeners.displays.append(self._moves)
        for run in self:
            if not run.done.is_set():
                run.listen([self._moves])

    @overload
    def __getitem__(self, key: int | str) -> Run: ...
    @overload
    def __getitem__(self, key: slice) -> list[Run]: ...
    def __getitem__(self, key: int | str | slice) -> Run | list[Run]:
        """The run at a place or of a name, the latest of that name; or the runs of a slice.

        Raises:
            OptionError: there is no run of that name.
        """
        if not isinstance(key, str):
            return self._runs[key]
        named = [run for run in list(self._runs) if run.name == key]
        if not named:
            known = list(dict.fromkeys(run.name for run in reversed(list(self._runs))))
            what = suggest(key, known[:20]) if known else RUNS["none"]
            raise OptionError(f"there is no run named {key!r}; {what}")
        return named[-1]

    def __len__(self) -> int:
        return len(self._runs)

    @property
    def reports(self) -> list[Kept]:
        """The reports and comparisons that are kept, of these runs and of none, the newest last.

        Kept are the newest 100, and of these as many as take up to 200 MB together. ``run.reports`` has those
        of one run.

        Example:
            >>> import nbkeras
            >>> nbkeras.runs.reports[-1:]  # doctest: +SKIP
        """
        return [entry.one for entry in registry.kept]

    @property
    def others(self) -> list[Kept]:
        """Those of the reports that are of no run."""
        return [entry.one for entry in registry.kept if entry.alone]

    def __iter__(self) -> Iterator[Run]:
        return iter(list(self._runs))

    def __contains__(self, key: object) -> bool:
        return any(run is key or run.name == key for run in self)

    def read(self, path: str | os.PathLike[str]) -> Run:
        """Read the run that a checkpoint's folder keeps, without Spark and without the notebook that made it.

        It is named after the folder, and has the history, the weights, what was
        chosen for it, and the reports on it, without rows of the data. Of a folder
        that was read before, what it holds now takes the place of what it held.

        Args:
            path: what ``checkpoint`` named: a path, or a URI that PyArrow or fsspec opens.

        Raises:
            OptionError: there is no checkpoint, or none that can be read.
        """
        from nbkeras.job.store import Store, absolute
        from nbkeras.notebook.reports.report import Report

        uri = absolute(os.fspath(path)).rstrip("/")
        found = Store(uri).latest()
        if found is None:
            raise OptionError(
                f"there is no checkpoint in {os.fspath(path)}: give the folder that a training had as "
                "--checkpoint (checkpoint=)"
            )
        run = _of_checkpoint(uri.rsplit("/", 1)[-1] or uri, found)
        run.folder = uri
        reports, wrong = keeping.read(uri)
        before = self._read.get(uri)
        places = [place for place, one in enumerate(self._runs) if one is before]
        if before is not None and places:
            self._runs[places[0]] = run
            self._drop(before.reports)
        else:
            self._runs.append(run)
        self._read[uri] = run
        for one in reports:
            registry.keep(Report.of(one), run)
        for line in wrong:
            run.note(line)
        self._moves.moved()
        return run

    def forget(self, *runs: str | int | Run) -> None:
        """Take runs out of the record, and give back the room that their weights take.

        Args:
            runs: their names, their places, or themselves; none for all that have ended.

        Raises:
            OptionError: one is unknown, or at work.

        Example:
            >>> from nbkeras.notebook.record import Runs
            >>> run = Run("a", model=None, epochs=2, workers=1)
            >>> run.end("finished")
            >>> runs = Runs([run])
            >>> runs.forget("a")
            >>> len(runs)
            0
        """
        chosen = [self._one(one) for one in runs] if runs else [one for one in self if one.done.is_set()]
        for run in chosen:
            if not run.done.is_set():
                raise OptionError(
                    f"{run.name} is at work: stop it with run.stop(), or wait for its end with run.wait()"
                )
        self._runs[:] = [one for one in self._runs if one not in chosen]
        self._read = {uri: one for uri, one in self._read.items() if one not in chosen}
        for run in chosen:
            run.let_go()
            self._drop(run.reports)
        self._moves.moved()

    def _drop(self, reports: Sequence[Kept]) -> None:
        """Keep reports no more that are of no run here."""
        known = {id(one) for run in self for one in run.reports}
        for one in reports:
            if id(one) not in known:
                registry.drop(one)

    def compare(self, *runs: str | int | Run) -> Comparison:
        """Put runs side by side: curves over each other, best epochs, settings that differ.

        Args:
            runs: their names, their places, or themselves.

        Raises:
            OptionError: none, too many, or one that is unknown.

        Example:
            >>> from nbkeras.notebook.record import Runs
            >>> Runs([]).compare()
            Traceback (most recent call last):
            nbkeras.errors.OptionError: compare takes 1 to 6 runs, not 0: name them, runs.compare("a", "b")
        """
        if not 1 <= len(runs) <= comparison.MOST:
            raise OptionError(
                f"compare takes 1 to {comparison.MOST} runs, not {len(runs)}: "
                'name them, runs.compare("a", "b")'
            )
        return comparison.compare([self._one(one) for one in runs])

    def _one(self, one: Any) -> Run:
        if isinstance(one, Run):
            return one
        if isinstance(one, str):
            return self[one]
        if isinstance(one, int) and not isinstance(one, bool) and -len(self) <= one < len(self):
            return self[one]
        raise OptionError(f"{one!r} is no run: give a name, a run, or a place from 0 to {len(self) - 1}")

    def summaries(self) -> list[tuple[Run, Summary]]:
        """The runs that a table shows, each with its line."""
        return [(run, summary(run)) for run in self._runs[-_MOST:]]

    def __repr__(self) -> str:
        heads, cells = self._table()
        return "\n".join([plain_table(heads, cells) if cells else RUNS["none"], *self._more()])

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return self.bundle()

    def bundle(self) -> dict[str, str]:
        """The table for a notebook's output, as HTML and as plain text."""
        heads, cells = self._table()
        page = html_table(heads, cells) if cells else f"<p>{RUNS['none']}</p>"
        page += "".join(f"<p>{line}</p>" for line in self._more())
        return {"text/plain": repr(self), "text/html": page}

    def _table(self) -> tuple[list[str], list[list[str]]]:
        """Heads and cells; the column of reports is there where there are some."""
        lines = [_cells(one) for _, one in self.summaries()]
        shown = [key for key in _HEADS if key != "reports" or any(line[key] for line in lines)]
        return [RUNS[key] for key in shown], [[line[key] for key in shown] for line in lines]

    def _more(self) -> list[str]:
        hidden, others = len(self._runs) - _MOST, len(self.others)
        counts = {"older": max(0, hidden), "other_reports": others}
        return [RUNS[name].format(count=count) for name, count in counts.items() if count]


#: The runs of this process.
runs = Runs(registry.runs)


def _cells(one: Summary) -> dict[str, str]:
    value, epoch = ("", "") if one.best is None else (text.number(one.best[0]), f"{one.best[1]:,}")
    return {
        "name": one.name,
        "status": RUNS[f"status_{one.status}"],
        "reports": str(one.reports or ""),
        "best": RUNS["best_of"].format(metric=one.metric, value=value) if value else "",
        "best_epoch": epoch,
        "epochs": RUNS["epochs_of"].format(done=f"{one.epochs:,}", asked=f"{one.asked:,}"),
        "seconds": f"{one.seconds:,.1f}",
        "rate": f"{one.rate:,.0f}" if one.rate > 0 else "",
        "workers": str(one.workers),
        "began": time.strftime("%Y-%m-%d %H:%M", time.localtime(one.began)) if one.began else "",
    }


def _of_checkpoint(name: str, found: Any) -> Run:
    from nbkeras.driver.training import weight_files

    about = found.about
    settings = dict(about.get("settings", {}))
    settings.setdefault("workers", found.origin.workers)
    settings.setdefault("batch_size", found.origin.batch_size)
    settings["rows"] = found.origin.rows
    asked = int(settings.get("epochs", found.epoch + 1))
    run = Run(name, None, asked, found.origin.workers)
    run.settings, run.code, run.schema = settings, about.get("code"), found.schema
    run.began = float(about.get("began") or 0)
    for epoch, logs in found.epochs:
        run.record_epoch(epoch, arrays(logs))
    weight_files.keep_checkpoint(run, found)
    seconds = float(about["saved"]) - run.began if run.began and "saved" in about else 0.0
    finished = found.ended or found.epoch + 1 >= asked
    run.end("finished" if finished else "stopped", seconds=max(0.0, seconds))
    return run
