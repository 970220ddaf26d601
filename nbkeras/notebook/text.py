"""What a run does and how it ended, in words: the sentences of :mod:`nbkeras.notebook.words`, filled in."""

from __future__ import annotations

import math
from itertools import islice

from nbkeras.notebook.words import ENDS, PANEL, PHASES
from nbkeras.run.snapshot import Snapshot

_MAX_VALUES = 12  # in one sentence


def phase(snapshot: Snapshot) -> str:
    """Say in words what a run is doing, or how it ended."""
    if snapshot.phase == "done":
        return capitalised(end(snapshot))
    if snapshot.stopping:
        return PHASES["stopping"]
    return PHASES[phase_key(snapshot)].format(
        workers=snapshot.workers,
        rows=f"{snapshot.rows_read:,}",
        epoch=snapshot.epoch or 1,
        epochs=snapshot.epochs,
        step=f"{snapshot.step:,}",
        steps=f"{snapshot.steps:,}",
    )


def phase_key(snapshot: Snapshot) -> str:
    """Choose the sentence of ``PHASES`` for what is known at this moment."""
    if snapshot.pausing and snapshot.phase in ("training", "validating"):
        return "pausing"
    one = "_one" if snapshot.workers == 1 else ""
    return {
        "slots": f"slots{one}",
        "reading": "reading_rows" if snapshot.rows_read else "reading",
        "starting": f"starting{one}",
        "paused": f"paused{one}",
        "training": "training_step" if snapshot.steps and snapshot.step else "training",
        "done": "returning",
    }.get(snapshot.phase, snapshot.phase)


def end(snapshot: Snapshot) -> str:
    """Say how a run ended, or where it is when it has not."""
    epochs, elapsed = len(snapshot.epoch_numbers), duration(snapshot.elapsed)
    if snapshot.status == "finished" and snapshot.partial is not None:
        return ENDS["ended"].format(partial=snapshot.partial, epochs=f"{snapshot.epochs:,}", elapsed=elapsed)
    if (
        snapshot.status == "finished"
        and 0 < (reached := max(snapshot.epoch_numbers, default=0)) < snapshot.epochs
    ):
        return ENDS["early"].format(done=f"{reached:,}", epochs=f"{snapshot.epochs:,}", elapsed=elapsed)
    done = ENDS["epoch" if epochs == 1 else "epochs"].format(epochs=f"{epochs:,}")
    if snapshot.status != "finished" and epochs != snapshot.epochs:
        done = ENDS["epochs_of"].format(done=f"{epochs:,}", epochs=f"{snapshot.epochs:,}")
    words = ENDS[snapshot.status].format(done=done, elapsed=elapsed)
    if snapshot.partial is not None:
        words += "; " + ENDS["partial"].format(partial=snapshot.partial)
    return words


def sentence(snapshot: Snapshot) -> str:
    """Sum up a run in one sentence: how it ended and its last values."""
    values = ", ".join(
        f"{name} {number(value)}" for name, value in islice(snapshot.last.items(), _MAX_VALUES)
    )
    words = f"{snapshot.name} {end(snapshot)}"
    return f"{words}; {values}" if values else words


def so_far(snapshot: Snapshot) -> str:
    """The loss of the epoch in work, and of whose rows; empty before there is one."""
    if not snapshot.losses:
        return ""
    place, loss = snapshot.losses[-1]
    sentence = PANEL["so_far_first" if snapshot.workers > 1 else "so_far"]
    return sentence.format(epoch=f"{math.ceil(place):,}", value=number(loss))


def capitalised(words: str) -> str:
    """Begin a sentence."""
    return words[:1].upper() + words[1:]


def epoch_line(snapshot: Snapshot, index: int) -> str:
    """Write the values of one epoch in one line, as text displays do."""
    values = "  ".join(f"{name} {number(curve[index])}" for name, curve in snapshot.curves.items())
    epoch = snapshot.epoch_numbers[index]
    mark = ENDS["unfinished"] if epoch == snapshot.partial else ""
    return ENDS["line"].format(epoch=epoch, epochs=snapshot.epochs, mark=mark, values=values)


def number(value: float) -> str:
    """Write a metric's value with four digits.

    Example:
        >>> number(0.98765), number(12345.678), number(0.00001234), number(float("nan"))
        ('0.9877', '12346', '1.234e-05', 'NaN')
    """
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "-∞"
    if abs(value) >= 1000 and abs(value) < 1e7:
        return f"{value:.0f}"
    return f"{value:.4g}"


def duration(seconds: float) -> str:
    """Write a duration as people say it.

    Example:
        >>> duration(3.21), duration(75), duration(3700)
        ('3.2 s', '1 min 15 s', '1 h 1 min')
    """
    if seconds < 10:
        return ENDS["seconds"].format(seconds=f"{seconds:.1f}")
    whole = round(seconds)
    if whole < 60:
        return ENDS["seconds"].format(seconds=whole)
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return ENDS["minutes"].format(minutes=minutes, seconds=rest)
    return ENDS["hours"].format(hours=minutes // 60, minutes=minutes % 60)
