"""Figures of reports: equal to scikit-learn's, from sums over parts of the rows."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn import metrics

from nbkeras.metrics import curves, figures
from nbkeras.metrics.amounts import SAMPLE, Amounts
from nbkeras.metrics.classes import Classes
from nbkeras.metrics.labels import Labels
from nbkeras.metrics.scores import Scores
from nbkeras.metrics.text import report

ALL = 1_000_000


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        # Of scikit-learn: a class that never occurs, or that is never predicted.
        warnings.simplefilter("ignore")
        yield


def in_parts(make, number, columns):
    """The sums over all rows, from parts that were packed."""
    whole = make()
    for part in range(number):
        one = make()
        one.add(*(None if column is None else column[part::number] for column in columns))
        whole.merge(one.packed())
    return whole


def drawn(random):
    """Rows, weights and parts of a case: few rows and many, ties and none, weights of 1 and others."""
    rows = int(random.choice([1, 2, 5, 30, 200]))
    weights = np.ones(rows) if random.random() < 0.5 else random.random(rows) + 0.1
    return rows, weights, int(random.integers(1, 4))


def same(ours, theirs):
    assert ours == pytest.approx(theirs, abs=1e-9, nan_ok=True)


def seeds(number):
    """Seeds of which each makes many cases; a thousand in all, of which the first ones are always tried."""
    return [seed if not seed else pytest.param(seed, marks=pytest.mark.soak) for seed in range(number)]


@pytest.mark.parametrize("seed", seeds(10))
def test_classes_have_the_figures_of_scikit_learn(seed):
    random = np.random.default_rng(seed)
    for _ in range(60):
        number = int(random.integers(2, 7))
        rows, weights, parts = drawn(random)
        actual = random.integers(0, max(1, number - random.integers(0, 2)), rows)
        chances = random.random((rows, number)).astype("float32")
        if random.random() < 0.5:
            chances = np.round(chances, 1) + np.float32(0.05)
        chances = (chances / chances.sum(axis=1, keepdims=True)).astype(float)
        predicted = chances.argmax(axis=1)
        columns = (actual, predicted, chances, weights)
        sums = in_parts(lambda: Classes(number, scored=True, cells=ALL), parts, columns)  # noqa: B023  # at once
        names = [f"class {place}" for place in range(number)]
        found = figures.of(sums, names, weighted=True)
        own, how = found.figures, {"sample_weight": weights}
        same(own["accuracy"], metrics.accuracy_score(actual, predicted, **how))
        same(own["balanced accuracy"], metrics.balanced_accuracy_score(actual, predicted, **how))
        same(own["kappa"], metrics.cohen_kappa_score(actual, predicted, **how))
        same(own["mcc"], metrics.matthews_corrcoef(actual, predicted, **how))
        same(own["log loss"], metrics.log_loss(actual, chances, labels=range(number), **how))
        every = metrics.confusion_matrix(actual, predicted, labels=range(number), **how)
        np.testing.assert_allclose(found.confusion, every, atol=1e-9)
        theirs = metrics.classification_report(
            actual,
            predicted,
            target_names=[names[one] for one in np.union1d(actual, predicted)],
            output_dict=True,
            **how,
        )
        for table in (found.per_class, found.averages.drop("micro avg")):
            for name, row in table.iterrows():
                for column in ("precision", "recall", "f1-score", "support"):
                    same(row[column], theirs[name][column])
        for place in sums.questions:
            yes, score = actual == place, chances[:, place]
            if 0 < yes.sum() < rows and names[place] in found.per_class.index:
                areas = found.per_class.loc[names[place]]
                same(areas["roc auc"], metrics.roc_auc_score(yes, score, **how))
                same(areas["average precision"], metrics.average_precision_score(yes, score, **how))


@pytest.mark.parametrize("seed", seeds(4))
def test_several_labels_have_the_figures_of_scikit_learn(seed):
    random = np.random.default_rng(seed)
    for _ in range(50):
        number = int(random.integers(2, 6))
        rows, weights, parts = drawn(random)
        actual, chances = random.random((rows, number)) < 0.4, random.random((rows, number))
        predicted = chances > 0.5
        columns = (actual, predicted, chances, weights)
        sums = in_parts(lambda: Labels(number, scored=True, cells=ALL), parts, columns)  # noqa: B023  # at once
        found = figures.of(sums, [str(place) for place in range(number)], weighted=True)
        how = {"sample_weight": weights}
        same(found.figures["subset accuracy"], metrics.accuracy_score(actual, predicted, **how))
        same(found.figures["hamming loss"], metrics.hamming_loss(actual, predicted, **how))
        theirs = metrics.classification_report(actual, predicted, output_dict=True, **how)
        for table in (found.per_class, found.averages):
            for name, row in table.iterrows():
                for column in ("precision", "recall", "f1-score", "support"):
                    same(row[column], theirs[name][column])


@pytest.mark.parametrize("seed", seeds(2))
def test_amounts_have_the_figures_of_scikit_learn_also_far_from_zero(seed):
    random = np.random.default_rng(seed)
    for _ in range(100):
        number = int(random.integers(1, 4))
        rows, weights, parts = drawn(random)
        actual = random.normal(1e6, random.choice([0.1, 10]), (rows, number))
        predicted = actual + random.normal(size=(rows, number))
        sums = in_parts(lambda: Amounts(number), parts, (actual, predicted, weights))  # noqa: B023  # at once
        own, how = figures.of(sums, [str(one) for one in range(number)]).figures, {"sample_weight": weights}
        same(own["mae"], metrics.mean_absolute_error(actual, predicted, **how))
        same(own["mse"], metrics.mean_squared_error(actual, predicted, **how))
        same(own["rmse"], metrics.root_mean_squared_error(actual, predicted, **how))
        if rows > 1:
            assert own["r2"] == pytest.approx(metrics.r2_score(actual, predicted, **how), rel=1e-6)
            theirs = metrics.explained_variance_score(actual, predicted, **how)
            assert own["explained variance"] == pytest.approx(theirs, rel=1e-6)
        same(own["max error"], np.abs(actual - predicted).max())


def test_the_curves_are_those_of_scikit_learn_with_all_points():
    random = np.random.default_rng(0)
    yes, score, weights = random.random(500) < 0.3, np.round(random.random(500), 2), random.random(500)
    scores = Scores(ALL)
    scores.add(score, yes, weights)
    roc, precision = curves.roc(scores), curves.precision_recall(scores)
    theirs = metrics.roc_curve(yes, score, sample_weight=weights, drop_intermediate=False)
    for ours, other in zip(
        (roc.false_positive_rate, roc.true_positive_rate, roc.thresholds), theirs, strict=True
    ):
        np.testing.assert_allclose(ours, other, atol=1e-12)
    theirs = metrics.precision_recall_curve(yes, score, sample_weight=weights)
    for ours, other in zip(
        (precision.precision, precision.recall, precision.thresholds), theirs, strict=True
    ):
        np.testing.assert_allclose(ours, other, atol=1e-12)


@pytest.mark.parametrize("near", [1, 0.01, 1e-4], ids=["spread", "below 0.01", "below 0.0001"])
def test_where_scores_share_cells_the_exact_area_lies_within_the_error_that_is_said(near):
    random = np.random.default_rng(0)
    score = random.random(20_000) * near
    yes = random.random(20_000) < 0.2 + 0.5 * score / near
    exact, coarse = Scores(ALL), Scores(3_000)
    for part in range(4):
        one = Scores(3_000)
        one.add(score[part::4], yes[part::4], np.ones(5_000))
        coarse.merge(one)
    exact.add(score, yes, np.ones(20_000))
    assert exact.exact
    assert not coarse.exact
    for area, theirs in (
        (curves.roc_auc, metrics.roc_auc_score),
        (curves.average_precision, metrics.average_precision_score),
    ):
        whole, rough = area(exact), area(coarse)
        same(whole.value, theirs(yes, score))
        assert whole.error == 0
        assert 0 < abs(rough.value - whole.value) <= rough.error < 0.02


def test_rows_without_weight_count_as_in_scikit_learn():
    actual, predicted = np.array([0, 1, 2, 1]), np.array([0, 1, 2, 0])
    weights, score = np.array([1.0, 1, 0, 0]), np.array([0.2, 0.4, 0.9, 0.8])
    sums = Classes(3, scored=False, cells=ALL)
    sums.add(actual, predicted, None, weights)
    ours = figures.of(sums, ["0", "1", "2"], weighted=True).averages.loc["macro avg", "precision"]
    same(ours, metrics.precision_score(actual, predicted, average="macro", sample_weight=weights))
    scores = Scores(ALL)
    scores.add(score, actual == 1, weights)
    theirs = metrics.precision_recall_curve(actual == 1, score, sample_weight=weights)
    np.testing.assert_allclose(curves.precision_recall(scores).precision, theirs[0])


def test_the_text_is_that_of_scikit_learn():
    random = np.random.default_rng(0)
    actual, predicted = random.integers(0, 3, (2, 200))
    names = ["a", "a rather long name", "c"]
    sums = Classes(3, scored=False, cells=ALL)
    sums.add(actual, predicted, None, np.ones(200))
    theirs = metrics.classification_report(actual, predicted, target_names=names)
    assert report(figures.of(sums, names)).startswith(theirs)

    actual, predicted = random.random((2, 100, 3)) < 0.5
    labels = Labels(3, scored=False, cells=ALL)
    labels.add(actual, predicted, None, np.ones(100))
    theirs = metrics.classification_report(actual, predicted, target_names=names)
    assert report(figures.of(labels, names)).startswith(theirs)


def test_calibration_is_that_of_scikit_learn_in_its_cells():
    from sklearn.calibration import calibration_curve

    random = np.random.default_rng(0)
    chance = random.random(1_000)
    yes = random.random(1_000) < chance**2
    sums = Classes(2, scored=True, cells=ALL)
    sums.add(
        yes.astype(int), (chance > 0.5).astype(int), np.stack([1 - chance, chance], axis=1), np.ones(1_000)
    )
    found = figures.of(sums, ["no", "yes"])
    actual, predicted = calibration_curve(yes, chance, n_bins=15)
    np.testing.assert_allclose(found.calibration["yes"]["actual"], actual)
    np.testing.assert_allclose(found.calibration["yes"]["predicted"], predicted)
    same(found.figures["brier"], metrics.brier_score_loss(yes, chance))


def test_the_sample_is_of_rows_of_all_parts():
    parts = [np.full((3_000, 1), float(part)) for part in range(4)]
    whole = Amounts(1)
    for seed, rows in enumerate(parts):
        one = Amounts(1, seed)
        one.add(rows, rows + 1, np.ones(len(rows)))
        whole.merge(one.packed())
    actual, predicted = whole.sample
    assert len(actual) == SAMPLE
    assert np.bincount(actual[:, 0].astype(int)).min() > SAMPLE / 8
    np.testing.assert_array_equal(predicted, actual + 1)
