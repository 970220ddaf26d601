"""Every sentence that a display shows, in one place, so that it can be translated.

A ``{word}`` is filled in by the display: in the browser with the reader's own
number format, elsewhere by the functions below.
"""

from __future__ import annotations

import math
from itertools import islice

from nbkeras.run import Snapshot

PHASES = {
    "preparing": "Preparing the training",
    "slots": "Waiting for {workers} free Spark slots",
    "slots_one": "Waiting for a free Spark slot",
    "reading": "Reading rows",
    "reading_rows": "Reading rows: {rows} so far",
    "starting": "Starting {workers} trainers",
    "starting_one": "Starting the trainer",
    "training": "Epoch {epoch} of {epochs}: first batch",
    "training_step": "Epoch {epoch} of {epochs}: batch {step} of {steps}",
    "validating": "Epoch {epoch} of {epochs}: validating",
    "returning": "Fetching the trained weights",
}
STOPPING = "Stopping after this batch"

ENDS = {
    "running": "at work since {elapsed}: {done}",
    "finished": "finished {done} in {elapsed}",
    "stopped": "stopped after {done} in {elapsed}",
    "failed": "failed after {done} in {elapsed}",
    "aborted": "aborted after {done} in {elapsed}; the weights are those of before",
}
PARTIAL = "epoch {partial} is unfinished"
MORE_CURVES = "{count} more curves are in run.history"
ZEPPELIN_STOP = "Cancel (❚❚) finishes this batch and keeps the weights and the history."
ZEPPELIN_PLAIN = "The %%keras_spark magics need Zeppelin's IPython mode: nbkeras zeppelin says how to get it."
DASHBOARD = "nbkeras"
DASHBOARD_EMPTY = "The next training of this note is shown here."
FORM_TICK = (
    "Tick Train and run the paragraph again to train this network. Untick it before you change the form: "
    "Zeppelin runs a paragraph at every change of a list."
)
ONLY_IN_ZEPPELIN = {
    "form": "%keras_spark form draws a form of Zeppelin, and this is no Zeppelin: "
    "write the model in a cell with %%keras_spark",
    "dashboard": "%keras_spark dashboard is for Zeppelin, and this is no Zeppelin: "
    "here every chart is live in its own cell",
}
CHART_FAILED = "The live chart stopped ({error}); the training goes on."

#: What the browser says; see view.js.
WORDS = {
    **{f"phase_{name}": words for name, words in PHASES.items()},
    "stopping": STOPPING,
    "title": "Training {name}",
    "stop": "Stop",
    "stop_title": "Finish this batch, keep the weights and the history",
    "stop_asked": "Stopping…",
    "stop_hint": "The kernel is busy with another cell, which comes first.",
    "stop_hint_foreground": "The kernel has not answered yet: press ■ in the toolbar.",
    "elapsed": "{time} elapsed",
    "remaining": "about {time} left",
    "rate": "{rows} rows/s",
    "silent": "No news from the kernel for {seconds} s",
    "progress": "Progress of the training",
    "train": "train",
    "validation": "val",
    "axis": "epoch",
    "chart": "{title} by epoch. {values}.",
    "value": "{name} {value}",
    "said_epoch": "Epoch {epoch} of {epochs}",
    "partial": PARTIAL,
    "more": MORE_CURVES,
}

_MAX_VALUES = 12  # in one sentence

#: Heads of the table under the picture.
COLUMNS = {
    "metric": "metric",
    "last": "train, last",
    "best": "train, best",
    "val_last": "validation, last",
    "val_best": "validation, best",
}
BEST = "{value} (epoch {epoch})"


def phase(snapshot: Snapshot) -> str:
    """Say in words what a run is doing, or how it ended."""
    if snapshot.phase == "done":
        return capitalised(end(snapshot))
    if snapshot.stopping:
        return STOPPING
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
    one = "_one" if snapshot.workers == 1 else ""
    return {
        "slots": f"slots{one}",
        "reading": "reading_rows" if snapshot.rows_read else "reading",
        "starting": f"starting{one}",
        "training": "training_step" if snapshot.steps and snapshot.step else "training",
        "done": "returning",
    }.get(snapshot.phase, snapshot.phase)


def end(snapshot: Snapshot) -> str:
    """Say how a run ended, or where it is when it has not."""
    epochs = len(snapshot.epoch_numbers)
    done = "1 epoch" if epochs == 1 else f"{epochs:,} epochs"
    if snapshot.status != "finished" and epochs != snapshot.epochs:
        done = f"{epochs:,} of {snapshot.epochs:,} epochs"
    words = ENDS[snapshot.status].format(done=done, elapsed=duration(snapshot.elapsed))
    if snapshot.partial is not None:
        words += "; " + PARTIAL.format(partial=snapshot.partial)
    return words


def sentence(snapshot: Snapshot) -> str:
    """Sum up a run in one sentence: how it ended and its last values."""
    values = ", ".join(
        f"{name} {number(value)}" for name, value in islice(snapshot.last.items(), _MAX_VALUES)
    )
    words = f"{snapshot.name} {end(snapshot)}"
    return f"{words}; {values}" if values else words


def capitalised(words: str) -> str:
    """Begin a sentence."""
    return words[:1].upper() + words[1:]


def epoch_line(snapshot: Snapshot, index: int) -> str:
    """Write the values of one epoch in one line, as text displays do."""
    values = "  ".join(f"{name} {number(curve[index])}" for name, curve in snapshot.curves.items())
    epoch = snapshot.epoch_numbers[index]
    mark = " (unfinished)" if epoch == snapshot.partial else ""
    return f"epoch {epoch} of {snapshot.epochs}{mark}  {values}"


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
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
