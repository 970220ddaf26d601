"""Race: contestants are trained and scored one after the other, each with all of Spark for itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nbkeras.driver import inference
from nbkeras.errors import Aborted, NbkerasError, one_line
from nbkeras.selection.contestants import Contestant, Setting
from nbkeras.selection.entry import Entry
from nbkeras.selection.splits import PART

Show = Callable[[Sequence[Entry]], None]


@dataclass(frozen=True)
class Course:
    """The rows.

    Attributes:
        rows: with the part of each.
        parts: that are scored on, one after the other; the others are trained on meanwhile.
        test: rows to score on; None for those of the part.
    """

    rows: DataFrame
    parts: tuple[int, ...]
    test: DataFrame | None = None

    def of(self, part: int) -> tuple[DataFrame, DataFrame]:
        """The rows to train on, and those to score on."""
        if self.test is not None:
            return self.rows, self.test
        train, test = (self.rows.filter(own).drop(PART) for own in (F.col(PART) != part, F.col(PART) == part))
        return train, test


def race(setting: Setting, course: Course, contestants: Mapping[str, Contestant], show: Show) -> list[Entry]:
    """Train and score all contestants; one that fails says why, and an interrupt keeps those that have ended.

    Args:
        setting: of all.
        course: the rows.
        contestants: by their names.
        show: called with all entries whenever one changes.
    """
    entries = {name: Entry(name, one.kind, note=one.note) for name, one in contestants.items()}

    def tell(entry: Entry) -> Entry:
        entries[entry.name] = entry
        show([*entries.values()])
        return entry

    show([*entries.values()])
    for name, contestant in contestants.items():
        try:
            entry = entries[name]
            for part in course.parts:
                entry = _step(setting, course.of(part), contestant, entry, tell)
            tell(replace(entry, status="done"))
        except (Aborted, KeyboardInterrupt):
            for one in entries.values():
                if one.status not in ("done", "failed"):
                    entries[one.name] = replace(one, status="stopped", reports=(), models=())
            show([*entries.values()])
            break
        except NbkerasError as error:
            tell(replace(entries[name], status="failed", reports=(), models=(), note=str(error)))
        except Exception as error:  # noqa: BLE001  # of a function or an estimator of the user's
            tell(replace(entries[name], status="failed", reports=(), models=(), note=one_line(error)))
    return [*entries.values()]


def _step(
    setting: Setting,
    rows: tuple[DataFrame, DataFrame],
    contestant: Contestant,
    entry: Entry,
    tell: Callable[[Entry], Entry],
) -> Entry:
    """Train on some rows and score on others."""
    train, test = rows
    entry = tell(replace(entry, status="training"))
    begun = time.perf_counter()
    trained = contestant.train(setting, train)
    seconds = time.perf_counter() - begun
    entry = tell(
        replace(entry, status="scoring", train_seconds=entry.train_seconds + seconds, size=trained.size)
    )
    report = trained.report(test)
    # What is compiled or loaded at a first time is there now.
    begun = time.perf_counter()
    written = trained.predicted(test).write.format("noop").mode("overwrite")
    inference.attended(setting.spark, "compare", written.save)
    return replace(
        entry,
        reports=(*entry.reports, report),
        predict_seconds=entry.predict_seconds + time.perf_counter() - begun,
        rows=entry.rows + report.rows,
        models=(trained.model,),
    )
