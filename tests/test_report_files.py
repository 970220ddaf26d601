"""Files of a report: what is written is read again as it was, and each form is what its name says."""

from __future__ import annotations

import datetime as dt
import decimal
import io
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import nbkeras
from nbkeras.errors import OptionError
from nbkeras.metrics import figures, plain
from nbkeras.metrics.amounts import Amounts
from nbkeras.metrics.classes import Classes

KINDS = ("cat", "dog", "a very long name of an owl, with <b> and $x$")


def of_classes(number=3, rows=300, names=KINDS, **more):
    """A report of made-up predictions."""
    random = np.random.default_rng(0)
    actual = random.integers(0, number, rows)
    scores = random.random((rows, number)) + np.eye(number)[actual]
    scores /= scores.sum(axis=1, keepdims=True)
    sums = Classes(number, scored=True, cells=1000)
    sums.add(actual, scores.argmax(axis=1), scores, np.ones(rows))
    return nbkeras.Report(**{**vars(figures.of(sums, names)), "title": "kinds", "made": 1.5, **more})


PAIR = np.empty(2, object)
PAIR[:] = [np.array([1.0]), np.array([2.0])]
#: Of every type that a DataFrame of Spark has, and a gap in each.
ROWS = pd.DataFrame(
    {
        "whole": np.array([1, 2], "int32"),
        "real": np.array([0.1, np.nan], "float32"),
        "far": [np.inf, -np.inf],
        "said": [True, False],
        "word": ['a,\n"b"', None],
        "file": [b"\x00\xff", None],
        "day": [dt.date(2026, 11, 28), None],
        "price": [decimal.Decimal("1.10"), None],
        "moment": pd.to_datetime(["2026-11-28T10:00:00.123456789", None]),
        "there": pd.to_datetime(["2026-11-28T10:00:00Z", None]).tz_convert("Asia/Shanghai"),
        "vector": [np.array([0.5, np.nan], "float32"), None],
        "nested": [{"a": [1, {"b": b"x"}]}, {"$bytes": "no"}],
        "vectors": [PAIR, None],
    }
)


def test_a_report_that_was_saved_is_read_again_as_it_was(tmp_path):
    slices = pd.DataFrame({"rows": [1], "accuracy": [np.nan]}, pd.Index(["(null)"], name="land"))
    found = of_classes(slices=slices, worst=ROWS, metrics={"loss": np.nan, "f1": np.array([0.5, 1.0])})
    found.save(tmp_path / "kinds.json")
    again = nbkeras.Report.read(tmp_path / "kinds.json")
    assert again == found
    assert again != of_classes()
    assert again.roc["cat"].thresholds[0] == np.inf
    for name in ("per_class", "averages", "confusion", "slices", "worst"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(found, name))
    pd.testing.assert_frame_equal(again.calibration["cat"], found.calibration["cat"])
    assert repr(again) == repr(found)

    def refuse(word):
        raise AssertionError(word)  # JSON has no NaN

    written = json.loads((tmp_path / "kinds.json").read_text("utf-8"), parse_constant=refuse)
    assert written["figures"]["accuracy"] == found.figures["accuracy"]


def test_amounts_are_saved_too_and_have_figures_as_their_table(tmp_path):
    sums = Amounts(1)
    sums.add(np.array([[1.5], [2.5]]), np.array([[1.5], [3.0]]), np.ones(2))
    found = nbkeras.Report(**vars(figures.of(sums, ["fare"])))
    found.save(tmp_path / "fare.json")
    assert nbkeras.Report.read(tmp_path / "fare.json") == found
    found.save(tmp_path / "fare.csv")
    assert pd.read_csv(tmp_path / "fare.csv", index_col="figure")["value"]["mae"] == 0.25


def width(file):
    return Image.open(io.BytesIO(file.read_bytes())).size[0]


def test_a_folder_gets_every_table_and_every_form(tmp_path):
    found = of_classes(worst=ROWS, metrics={"loss": np.inf, "f1": np.array([0.5, 1.0])})
    found.save(tmp_path / "all")
    names = {file.name for file in (tmp_path / "all").iterdir()}
    forms = {f"report.{one}" for one in ("html", "json", "png", "txt")}
    tables = {"figures", "classes", "averages", "confusion", "worst", "calibration"}
    tables |= {"roc", "precision_recall"}
    assert names == forms | {f"{one}.csv" for one in tables}
    assert nbkeras.Report.read(tmp_path / "all") == found

    def read(name):
        return pd.read_csv(tmp_path / "all" / f"{name}.csv", float_precision="round_trip")

    pd.testing.assert_frame_equal(read("classes").set_index("class"), found.per_class)
    assert read("confusion").set_index("actual").to_numpy().tolist() == found.confusion.to_numpy().tolist()
    curve = read("roc")
    assert (
        curve[curve["class"] == "dog"]["true_positive_rate"].tolist()
        == found.roc["dog"].true_positive_rate.tolist()
    )
    assert len(read("precision_recall")) == sum(len(one.recall) for one in found.precision_recall.values())
    worst = read("worst")
    assert [*worst.columns] == [*ROWS.columns]
    assert worst["word"][0] == ROWS["word"][0]
    assert json.loads(worst["file"][0]) == {"$bytes": "AP8="}

    assert width(tmp_path / "all" / "report.png") >= 600
    page = (tmp_path / "all" / "report.html").read_text("utf-8")
    assert page.startswith("<!doctype html>")
    assert "0.5, 1</td>" in page
    assert "<b>" not in page.partition("<body>")[2].replace("&lt;b&gt;", "")
    assert (tmp_path / "all" / "report.txt").read_text("utf-8") == f"{found!r}\n"


def test_the_picture_of_a_thousand_classes_has_the_pairs_that_are_mistaken_most(tmp_path):
    found = of_classes(1000, 3000, [str(one) for one in range(1000)])
    found.save(tmp_path / "many.png")
    assert width(tmp_path / "many.png") >= 300


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (
            "kinds.xlsx",
            r"'kinds.xlsx' ends in '.xlsx': name it .csv, .html, .json, .png, .txt, or name a folder",
        ),
        ("file/kinds.csv", "cannot be written to .*: name another place"),
        ("bare.png", "this report of labels has no picture"),
    ],
)
def test_what_cannot_be_saved_is_said_in_one_line(tmp_path, name, line):
    (tmp_path / "file").write_text("")
    with pytest.raises(OptionError, match=line) as refused:
        nbkeras.Report("labels", 2, {"hamming loss": 0.5}).save(tmp_path / name)
    assert "\n" not in str(refused.value)


def test_a_file_names_no_type_that_takes_room_of_its_own():
    assert plain.read_value({"$array": ["<U100000000", "a"]}).nbytes < 100
    for kind in ("V100000000", "<U100000000", "object"):
        with pytest.raises(ValueError, match="is no type of numbers"):
            plain.read_numbers(["a"], kind)


@pytest.mark.parametrize("content", [None, "", "[1]", "{}", '{"format": "nbkeras report 2"}'])
def test_what_is_no_report_is_said_in_one_line(tmp_path, content):
    if content is not None:
        (tmp_path / "kinds.json").write_text(content)
    with pytest.raises(
        OptionError, match=r"is no report that can be read .*: name the .json file"
    ) as refused:
        nbkeras.Report.read(tmp_path / "kinds.json")
    assert "\n" not in str(refused.value)
