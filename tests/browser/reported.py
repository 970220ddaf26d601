"""Stands for Spark: reports on predictions that were drawn at random."""

import numpy as np
import pandas as pd

import nbkeras
from nbkeras.metrics import figures
from nbkeras.metrics.classes import Classes
from nbkeras.metrics.figures import Figures
from nbkeras.run import registry
from nbkeras.run.run import Run
from nbkeras.selection.entry import Entry

#: The classes of Fashion-MNIST.
NAMES = ["T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]
#: Pairs that are hard to tell apart.
ALIKE = ((0, 6), (2, 4), (4, 6), (2, 6), (5, 7), (7, 9))


def report(names=NAMES, rows=4000, title="fashion, Adam", **more):
    random, number = np.random.default_rng(0), len(names)
    actual = random.integers(0, number, rows)
    near = 3.5 * np.eye(number)
    for one, other in (pair for pair in ALIKE if max(pair) < number):
        near[one, other] = near[other, one] = 2.0
    powers = np.exp(near[actual] + random.normal(size=(rows, number)))
    chances = powers / powers.sum(axis=1, keepdims=True)
    sums = Classes(number, scored=True, cells=100_000)
    losses = sums.add(actual, chances.argmax(axis=1), chances, np.ones(rows))
    found = figures.of(sums, names)
    worst = np.argsort(-losses)[:60]
    table = {
        "image": [f"shop/test/{row:05d}.png" for row in worst],
        "price": np.round(90 * random.random(len(worst)), 2),
        "_actual": [names[actual[row]] for row in worst],
        "_predicted": [names[chances[row].argmax()] for row in worst],
        "_loss": losses[worst],
    }
    lands = {"rows": [2100, 1300, 600], "accuracy": [0.79, 0.81, 0.76], "log loss": [0.72, 0.69, np.nan]}
    return nbkeras.Report(
        **{
            **vars(found),
            "title": title,
            "made": 1_796_000_000.0,
            "worst": pd.DataFrame(table),
            "slices": pd.DataFrame(lands, pd.Index(["China", "Germany", "Kenya"], name="country")),
            **more,
        }
    )


def board():
    """A comparison of models, of which one has failed."""

    def entry(name, kind, accuracy, seconds, size):
        figures = {"accuracy": accuracy, "log loss": 1.2 - accuracy, "roc auc": accuracy + 0.05}
        reports = (Figures("classification", 4000, figures),)
        return Entry(name, kind, "done", reports, seconds, seconds / 9, 4000, size)

    entries = (
        entry("baseline", "baseline", 0.104, 0.4, ""),
        entry("<b>deep</b>", "Keras", 0.894, 24.0, "101,770 weights"),
        entry("logistic", "MLlib", 0.842, 9.5, "7,850 weights"),
        entry("forest", "MLlib", 0.823, 12.1, "20 trees, 1,204 nodes"),
        Entry("boosting", "MLlib", "failed", note="Java has no memory left"),
    )
    notes = ("MLlib's models do without photo (MLlib takes no binary)",)
    return nbkeras.Leaderboard(
        entries, "classification", "accuracy", 1, notes, label="kind", made=1_796_000_000.0
    )


def keep():
    """A run with two reports, a run with a comparison, and a report of none."""
    for name in ("fashion, Adam", "fashion, SGD"):
        run = Run(name, None, 3, workers=1)
        for epoch in range(3):
            run.record_epoch(epoch, {"loss": 1 / (1 + epoch), "accuracy": 1 - 0.5 / (1 + epoch)})
        run.end("finished")
        registry.runs.append(run)
    registry.keep(report(NAMES[:4], title="first look", made=1_795_000_000.0), registry.runs[0])
    registry.keep(report(), registry.runs[0])
    registry.keep(board(), registry.runs[1])
    registry.keep(report(title="probability"))
