import base64
import io
import itertools
import math
import re
from html.parser import HTMLParser

import keras
import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from nbkeras.notebook import fonts, picture, text
from nbkeras.notebook.chart import LIMIT, MAX_CHARTS, MAX_ENTRIES, arrange, best, ring, spread, thin
from nbkeras.notebook.view import encode
from nbkeras.notebook.words import speaking
from nbkeras.run.run import Run


def trained(epochs, logs, *, name="digits", status="finished", asked=None, partial=False):
    run = Run(name, model=None, epochs=asked or epochs, workers=2)
    for epoch in range(epochs):
        run.record_epoch(epoch, logs(epoch), partial=partial and epoch == epochs - 1)
    run.end(status)
    return run.snapshot()


def noisy(epoch):
    noise = math.sin(epoch * 12.9898) * 43758.5453 % 1 / 10
    return {
        name: value + noise * sign
        for name, value, sign in [
            ("loss", 2.3 * math.exp(-epoch / 2000), 1),
            ("val_loss", 2.4 * math.exp(-epoch / 2000), -1),
            ("accuracy", 0.9, -1),
            ("val_accuracy", 0.8, 1),
            ("auc", 0.9, 1),
            ("val_auc", 0.9, -1),
            ("mae", 0.1, 1),
            ("val_mae", 0.2, -1),
        ]
    }


def test_loss_comes_first_and_validation_has_the_colour_of_training():
    curves = {curve.name: curve for curve in arrange(["auc", "val_auc", "val_loss", "loss"])}

    assert [curve.chart for curve in curves.values()] == ["loss", "loss", "auc", "auc"]
    assert curves["val_auc"].validation
    assert not curves["auc"].validation
    assert curves["auc"].colour == curves["val_auc"].colour != curves["loss"].colour


def test_entries_of_an_array_metric_share_a_chart_and_differ_in_colour():
    curves = arrange(["f1_score[0]", "f1_score[1]", "val_f1_score[1]"])

    assert {curve.chart for curve in curves} == {"f1_score"}
    assert [curve.entry for curve in curves] == ["[0]", "[1]", "[1]"]
    assert [curve.colour for curve in curves] == [0, 1, 1]


def test_losses_of_several_outputs_share_the_loss_chart():
    curves = arrange(["loss", "digit_loss", "style_loss", "digit_accuracy"])

    assert [(curve.chart, curve.entry) for curve in curves] == [
        ("loss", "loss"),
        ("loss", "digit_loss"),
        ("loss", "style_loss"),
        ("digit_accuracy", ""),
    ]


def test_charts_and_entries_are_bounded():
    many = [f"metric_{index}" for index in range(100)] + [f"loss[{index}]" for index in range(100)]

    curves = arrange([f"f1[{index}]" for index in range(100)] + many)

    assert len({curve.chart for curve in curves}) == MAX_CHARTS
    assert sum(curve.chart == "f1" for curve in curves) == MAX_ENTRIES


@pytest.mark.parametrize("length", [0, 1, 2, 399, 400, 401, 799, 10_000, 100_003])
def test_thinning_keeps_the_ends_and_the_extremes_within_the_limit(length):
    values = np.random.default_rng(0).normal(size=length)

    x, y = thin(range(1, length + 1), values)

    assert len(x) == len(y) <= 400
    assert length > 400 or len(x) == length
    if length:
        assert (x[0], x[-1]) == (1, length)
        assert (y.min(), y.max()) == (values.min(), values.max())
        assert (np.diff(x) > 0).all()


def test_thinning_leaves_out_what_is_no_number_and_bounds_what_float32_cannot_hold():
    x, y = thin([1, 2, 3, 4], [math.nan, math.inf, 1e300, 2.0])

    assert x.tolist() == [3, 4]
    assert np.isfinite(y.astype("f4")).all()


def test_an_epoch_that_came_late_is_drawn_in_its_place():
    x, y = thin([1, 3, 2], [0.1, 0.3, 0.2])

    assert x.tolist() == [1, 2, 3]
    assert y.tolist() == [0.1, 0.2, 0.3]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("loss", (1.0, 1)),
        ("val_mean_squared_error", (1.0, 1)),
        ("val_accuracy", (3.0, 3)),
        ("f1_score[2]", (3.0, 3)),
        ("accuracy_loss", (1.0, 1)),
        ("learning_rate", None),
    ],
)
def test_the_best_value_is_the_lowest_loss_and_the_highest_score(name, expected):
    assert best(name, [1, 2, 3, 4], [1.0, 2.0, 3.0, math.nan]) == expected


NAMES = {
    keras.metrics.MeanIoU(2): True,
    keras.metrics.BinaryIoU(): True,
    keras.metrics.OneHotMeanIoU(2): True,
    keras.metrics.PearsonCorrelation(): True,
    keras.metrics.ConcordanceCorrelation(): True,
    keras.metrics.SparseTopKCategoricalAccuracy(): True,
    keras.metrics.PrecisionAtRecall(0.5): True,
    keras.metrics.F1Score(): True,
    keras.metrics.R2Score(): True,
    keras.metrics.CosineSimilarity(): True,
    keras.metrics.TruePositives(): True,
    keras.metrics.FalsePositives(): False,
    keras.metrics.MeanAbsoluteError(): False,
    keras.metrics.KLDivergence(): False,
    keras.metrics.LogCoshError(): False,
    "acc": True,
    "roc_auc_1": True,
    "mean_iou": True,
    "digits_accuracy": True,
    "f1_score[2]": True,
    "Dice": True,
    "score_mae": False,
    "acceleration_mse": False,
    "precision_rmse": False,
    "accuracy_loss": False,
    "accumulated_cost": False,
}


@pytest.mark.parametrize(("metric", "higher"), NAMES.items(), ids=lambda one: getattr(one, "name", str(one)))
def test_whether_higher_is_better_is_told_by_the_metric_and_not_by_the_output(metric, higher):
    name = metric if isinstance(metric, str) else metric.name
    for one in (name, f"val_{name}", f"val_acceleration_{name}"):
        assert best(one, [1, 2], [0.1, 0.9]) == ((0.9, 2) if higher else (0.1, 1)), one


@pytest.mark.parametrize(
    ("values", "rings"),
    [
        ({"loss": [0.5, 0.25, 0.3]}, {"loss": (2, 0.25)}),
        ({"loss": [0.5, 0.25, 0.1], "val_loss": [0.4, 0.3, 0.35]}, {"val_loss": (2, 0.3)}),
        ({"loss": [0.5, 0.2, 0.1], "val_loss": [math.nan] * 3}, {"loss": (3, 0.1)}),
        ({"accuracy": [0.5, 0.9, 0.8], "learning_rate": [0.1, 0.2, 0.3]}, {"accuracy": (2, 0.9)}),
        ({"loss": [3.0, 2, 1], "a_loss": [1.0, 2, 3], "b_loss": [2.0, 2, 2]}, {"loss": (3, 1.0)}),
        ({"f1[0]": [0.5, 0.6, 0.7], "f1[1]": [0.7, 0.6, 0.5]}, {}),
        ({"loss": [1e300, 1e301, 1e302]}, {"loss": (1, LIMIT)}),
    ],
)
def test_each_chart_has_a_ring_at_the_best_epoch_of_what_is_judged(values, rings):
    found = {curve.name: ring(curve.chart, curve.name, [1, 2, 3], values) for curve in arrange(values)}

    assert {name: point for name, point in found.items() if point is not None} == rings


def test_the_ring_is_in_the_picture_and_in_the_page(monkeypatch):
    drawn = []
    monkeypatch.setattr(picture, "draw_charts", lambda charts, *_: drawn.extend(charts))
    snapshot = trained(3, lambda epoch: {"loss": [0.5, 0.25, 0.3][epoch], "mae": float(epoch)})

    picture.draw(snapshot)
    state, _ = encode(snapshot)

    assert [(title, [line.best for line in lines]) for title, lines in drawn] == [
        ("loss", [(2, 0.25)]),
        ("mae", [(1, 0.0)]),
    ]
    assert [curve["best"] for curve in state["curves"]] == [(2, 0.25), (1, 0.0)]


@pytest.mark.parametrize(("ended", "first"), [(0, 0), (2, 1)])
def test_the_epoch_in_work_is_in_the_picture_as_far_as_it_has_come(monkeypatch, ended, first):
    drawn = []
    monkeypatch.setattr(picture, "draw_charts", lambda *how: drawn.append(how))
    run = Run("digits", model=None, epochs=5, workers=2)
    for epoch in range(ended):
        run.record_epoch(epoch, {"loss": 1.0, "mae": 1.0})
    run.enter("training")
    for step, loss in ((2, 0.9), (4, math.nan), (6, 0.7)):
        run.record_progress(ended, step, 8, 0.0, None, loss)

    picture.draw(run.snapshot())

    [(charts, *epochs)] = drawn
    assert [title for title, _ in charts] == (["loss", "mae"] if ended else ["loss"])
    (line,) = [line for line in charts[0][1] if line.faint]
    assert [*zip(line.x, line.y, strict=True)] == [(ended + 0.25, 0.9), (ended + 0.75, 0.7)]
    assert epochs == [first, ended + 1]
    assert text.so_far(run.snapshot()) == (f"Loss of epoch {ended + 1} so far, on the rows of worker 0: 0.7")
    monkeypatch.undo()
    assert picture.draw(run.snapshot()) is not None


def test_spread_labels_stay_inside_and_apart():
    places = sorted(spread([5.0, 5.0, 5.0, 99.0, 99.0], gap=12, low=0, high=100))

    assert all(after - before >= 12 for before, after in itertools.pairwise(places))
    assert places[0] >= 0
    assert places[-1] <= 100


class Page(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.tags, self.words, self.attributes = [], [], {}
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.setdefault(tag, dict(attrs))

    def handle_data(self, data):
        self.words.append(data)


def test_the_bundle_of_a_long_run_is_small_and_complete():
    snapshot = trained(10_000, noisy)

    shown = picture.bundle(snapshot)

    assert sum(map(len, shown.values())) < 60_000
    page = Page(shown["text/html"])
    assert "val_mae 0." in page.attributes["img"]["alt"]
    assert page.attributes["img"]["src"] == "data:image/png;base64," + shown["image/png"]
    assert page.tags.count("tr") == 5
    assert "script" not in page.tags
    assert shown["text/plain"].startswith("digits finished 10,000 epochs in ")
    assert "\n" not in shown["text/plain"]


def test_the_picture_is_transparent_and_has_a_small_palette():
    png = base64.b64decode(picture.bundle(trained(3, noisy))["image/png"])

    image = Image.open(io.BytesIO(png))

    assert image.mode == "P"
    assert image.convert("RGBA").getpixel((0, 0))[3] == 0


def test_the_table_has_last_and_best_of_training_and_validation():
    losses = [0.9, 0.4, 0.5]
    snapshot = trained(3, lambda epoch: {"loss": losses[epoch], "val_loss": losses[epoch] * 2})

    words = Page(picture.bundle(snapshot)["text/html"]).words

    assert words[-5:] == ["loss", "0.5", "0.4 (epoch 2)", "1", "0.8 (epoch 2)"]


def test_everything_the_user_named_is_escaped():
    evil = "<script>alert('&')</script>"
    shown = picture.bundle(trained(2, lambda _: {"loss": 1.0, evil: 2.0, "$\\frac{": 1.0}, name=evil))

    page = Page(shown["text/html"])

    assert "script" not in page.tags
    assert evil in page.words
    assert evil in page.attributes["img"]["alt"]


@pytest.mark.parametrize(
    "values", [[math.nan] * 3, [math.inf, 1.0, -math.inf], [1e300, -1e300, 0.0], [5.0] * 3, [1e-300] * 3]
)
def test_no_value_breaks_the_picture(values):
    shown = picture.bundle(trained(3, lambda epoch: {"loss": values[epoch], "val_loss": 1.0}))

    assert "image/png" in shown
    assert "<table>" in shown["text/html"]


def test_a_run_without_epochs_has_words_and_no_picture():
    shown = picture.bundle(trained(0, noisy, status="failed", asked=5))

    assert "image/png" not in shown
    assert shown["text/plain"].startswith("digits failed after 0 of 5 epochs in ")


def test_a_stop_and_its_unfinished_epoch_are_said():
    said = text.end(trained(3, noisy, status="stopped", asked=50, partial=True))

    assert said.startswith("stopped after 3 of 50 epochs in ")
    assert said.endswith("; epoch 3 is unfinished")


def test_a_training_that_a_callback_has_ended_early_is_not_called_finished():
    said = text.end(trained(3, noisy, status="finished", asked=50))

    assert said.startswith("ended by a callback after 3 of 50 epochs, in ")


def test_an_epoch_that_a_callback_has_ended_is_not_called_finished():
    said = text.end(trained(3, noisy, status="finished", asked=50, partial=True))

    assert said.startswith("ended by a callback in epoch 3 of 50, after ")


def test_a_metric_that_skips_epochs_has_its_points_where_they_belong():
    snapshot = trained(4, lambda epoch: {"loss": 1.0} | ({"val_loss": float(epoch)} if epoch % 2 else {}))

    x, y = thin(snapshot.epoch_numbers, snapshot.curves["val_loss"])

    assert (x.tolist(), y.tolist()) == ([2, 4], [1, 3])
    assert "image/png" in picture.bundle(snapshot)


def test_drawing_leaves_pyplot_and_its_settings_alone():
    import matplotlib as mpl

    with mpl.rc_context({"axes.facecolor": "red", "text.usetex": False}):
        before = dict(mpl.rcParams)
        picture.bundle(trained(3, noisy))

        assert dict(mpl.rcParams) == before


def test_the_last_value_is_the_last_that_was_logged():
    run = Run("stopped", model=None, epochs=9, workers=1)
    run.record_epoch(0, {"loss": 2.0, "val_loss": 1.75})
    run.record_epoch(1, {"loss": 1.5})  # stopped before it was validated
    run.end("stopped")

    html = picture.bundle(run.snapshot())["text/html"]

    words = re.sub('base64,[^"]+', "", html)  # the picture's file, which may hold any letters
    assert "1.75" in words
    assert "NaN" not in words


@pytest.mark.parametrize(
    ("family", "said"), [("", ["val 2.4", "epoch"]), ("WenQuanYi Micro Hei", ["验证 2.4", "轮"])]
)
def test_a_picture_speaks_chinese_where_the_machine_has_signs_for_it(monkeypatch, family, said):
    """Matplotlib would draw boxes."""
    drawn = []
    monkeypatch.setattr(fonts, "chinese", lambda: family)
    monkeypatch.setattr(picture, "compressed", lambda canvas, _: drawn.append(canvas.figure))
    with speaking("zh"):
        picture.draw(trained(1, noisy))
    words = {one.get_text(): one for one in drawn[0].findobj(Text)}
    for one in said:
        assert words[one].get_fontfamily() == ["sans-serif", *filter(None, [family])]
