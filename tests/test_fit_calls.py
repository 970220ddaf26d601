"""Each kind of `fit` call trains as in plain Keras, and the manual's table says what happens."""

from __future__ import annotations

from pathlib import Path

import fits
import pytest
import twins

import nbkeras

#: Keras' own, of arguments that have a default.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*was passed, but will be ignored", "ignore:Your input ran out of data"
)


#: Kinds that one worker reads in a way of its own; what several do with rows, other tests show.
ALONE = ("shuffled", "cached", "PyDataset", "DataLoader", "generator", "Python function")
CALLS = [(kind, 1) for kind, fed in fits.FED.items() if fed.read == "rows" or kind in ALONE]
CALLS += [(kind, 2) for kind, fed in fits.FED.items() if fed.read != "rows"]
#: What each way to read must do, each in one call; the others take the same ways, and rows have other tests.
BY_DEFAULT = {
    ("Python function", 1),
    ("of unknown length", 2),
    ("cached", 2),
    ("few rows", 2),
    ("files", 2),
    ("PyDataset that shuffles", 2),
    ("DataLoader", 2),
    ("generator", 2),
}
#: Kinds of unknown length: from its second epoch on Keras' own loss is another one where it does not trace.
TRACED = ("of unknown length", "generator that ends")


@pytest.mark.parametrize(
    ("kind", "workers"),
    [pytest.param(*call, marks=[] if call in BY_DEFAULT else pytest.mark.soak) for call in CALLS],
)
def test_whatever_feeds_it_a_training_on_spark_gives_what_keras_gives(spark, kind, workers):
    fed = fits.FED[kind]
    plain, ours = fits.net(), fits.net()
    if kind not in TRACED:
        plain = twins.eagerly(plain)
    how = {"epochs": 2, "verbose": 0, "validation_data": fits.slices(fits.X, fits.Y).batch(20), **fed.how}
    if fed.read == "rows":
        # Labels of pandas and polars are of shape (rows,).
        how["validation_data"] = fits.X, fits.Y if kind == "arrays" else fits.Y[:, 0]
    right = plain.fit(*((fits.X, fits.Y) if kind == "DataFrame" else fed.data()), **how)
    data = fed.data()
    if kind == "DataFrame":
        frame, y = data
        df = how["validation_data"] = spark.createDataFrame(frame)
        data = df, y

    run = nbkeras.fit(ours, *data, workers=workers, spark=spark, **how)

    sends = f"this notebook reads x and sends each worker its rows, since it is {fed.reason}"
    assert run.notes[:1] == ([sends] if fed.read == "notebook" else run.notes[:1])
    if (kind, workers) == ("files", 2):
        assert run.notes == ["each worker reads the files of its own rows alone"]
    assert ("rows" in run.settings) == (fed.read == "rows")
    twins.assert_same_history(run.history, right.history, 1e-5)
    twins.assert_same_model(ours, plain, 1e-4)
    if kind == "lock":
        assert data[0].ended == 3, "Keras tells it that an epoch has ended before the first one too"


def test_every_call_of_the_default_run_is_one_of_all():
    assert set(CALLS) >= BY_DEFAULT


def test_the_table_of_the_manual_is_that_of_the_kinds_that_are_tested():
    page = (Path(__file__).parents[1] / "docs" / "data" / "index.md").read_text(encoding="utf-8")
    assert fits.table() in page, "print it with: python tests/fits.py"
