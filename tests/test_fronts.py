"""The front of a network: what the builder makes of columns of words, dates, images and gaps."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from pictures import pixels, saved
from PIL import Image
from pyspark.sql import functions as F
from test_form import Filled

import nbkeras
from nbkeras.builder.editor import Editor
from nbkeras.builder.front import fitting
from nbkeras.builder.table import Table
from nbkeras.driver.columns.inspection import inspected
from nbkeras.notebook.form import ask

COLUMNS = (
    "age double, port string, rooms int, alone boolean, sold date, name string, story string, kind string"
)


@pytest.fixture(scope="module")
def houses(spark):
    """Rows with a gap in each third age, and a name of its own for each row."""
    rows = [
        (
            None if at % 3 == 0 else float(at),
            "SQC"[at % 3],
            at % 4,
            at % 2 == 0,
            date(2024, 1, 1) + timedelta(days=9 * at),
            f"n{at}",
            " ".join(["a long and winding", "story of house", str(at)]),
            ("cat", "dog", "owl")[at % 3],
        )
        for at in range(24)
    ]
    return spark.createDataFrame(rows, COLUMNS).coalesce(1).cache()


def features(editor):
    return [one["name"] for one in editor.columns() if one["chosen"]]


def jobs(spark):
    """The number of jobs that Spark has had."""
    return spark.sparkContext._jsc.sc().dagScheduler().numTotalJobs()


def trained(design, df):
    """The model of a cell and its history, after it was run as it is."""
    names = {design.data: df}
    with nbkeras.on_spark(workers=1, spark=df.sparkSession):
        exec(design.code(), names)  # noqa: S102  # it is what people copy
    return names["model"], names["history"].history


@pytest.mark.usefixtures("any_backend")
def test_a_table_of_all_kinds_of_columns_becomes_a_network_that_trains_and_predicts(houses):
    editor = Editor({"houses": houses})
    editor.act("label", value="kind")
    editor.act("features", value=["age", "port", "rooms", "alone", "sold", "story"])
    state = editor.state()
    assert (state["preset"], state["task"], state["errors"], state["ready"]) == ("mixed", "classes", {}, True)
    for name, value in (("epochs", 1), ("column", "age")):
        editor.act(name, value=value)
    editor.act("add", kind="Discretization", at=1, input="age")
    editor.act("remove", at=0, input="age")
    for name, value in (("num_bins", ""), ("bin_boundaries", "5, 10, 15"), ("output_mode", "one_hot")):
        editor.act("set", at=0, name=name, value=value, input="age")

    model, history = trained(editor.design, houses)

    assert {one.name: one.dtype for one in model.inputs} == {
        **dict.fromkeys(("age", "age_missing", "alone", "sold_days"), "float32"),
        **dict.fromkeys(("rooms", "sold_month", "sold_weekday"), "int64"),
        **dict.fromkeys(("port", "story"), "string"),
    }
    assert sum(one.count_params() for one in model.layers) >= state["weights"]
    assert np.isfinite(history["val_loss"][0])
    predicted = nbkeras.predict(model, houses, classes=True).select("prediction_class").distinct().collect()
    assert {one[0] for one in predicted} <= {"cat", "dog", "owl"}


@pytest.mark.usefixtures("any_backend")
def test_sentences_are_text_that_trains_and_the_form_writes_the_same_cell(houses):
    rows = houses.withColumn("story", F.when(F.col("name") != "n5", F.col("story"))).select("story", "kind")
    editor = Editor({"rows": rows})
    editor.act("label", value="kind")
    assert (features(editor), editor.state()["preset"]) == (["story"], "text")
    for name, value in (("epochs", 1), ("validation_split", 0)):
        editor.act(name, value=value)

    form = ask(rows, "rows", Filled(Label="kind", Epochs="1"))

    assert form.design.building() == editor.design.building()
    assert form.design.nulls == editor.design.nulls == (("story", "unknown"),)
    model, history = trained(form.design, rows)
    again = Editor({"rows": rows}, models={"model": model})
    again.act("label", value="kind")
    again.act("model", value="model")
    assert again.state()["errors"] == {}
    assert again.design.network == editor.design.network
    assert [type(one).__name__ for one in model.layers[:2]] == ["TextVectorization", "Embedding"]
    assert np.isfinite(history["loss"][0])


@pytest.mark.usefixtures("any_backend")
def test_files_of_images_are_augmented_and_trained(spark):
    files = [(saved(Image.fromarray(pixels(20, 16)), "PNG"), at % 2) for at in range(4)]
    df = nbkeras.images(spark.createDataFrame(files, "photo binary, label int"), image_size=(12, 10))
    df = df.withColumn("age", F.col("label") + 0.5)
    editor = Editor({"df": df})
    assert (features(editor), editor.state()["preset"], editor.state()["input"]) == (
        ["photo"],
        "image",
        [12, 10, 3],
    )
    for name, value in (("epochs", 1), ("validation_split", 0)):
        editor.act(name, value=value)
    editor.act("add", kind="RandomContrast", at=0)
    kinds = [one["kind"] for one in editor.state()["layers"]]
    assert kinds[:5] == ["Rescaling", "RandomFlip", "RandomRotation", "RandomContrast", "Conv2D"]

    model, history = trained(editor.design, df)

    assert model.input_shape == (None, 12, 10, 3)
    assert np.isfinite(history["loss"][0])
    editor.act("features", value=["photo", "age"])
    assert not editor.state()["ready"]  # layers for images behind all columns in a line
    editor.act("preset", value="mixed")
    assert editor.state()["ready"]
    assert [one.network.input_shape for one in editor.design.inputs] == [(12, 10, 3), (1,)]
    paths = spark.createDataFrame([("a.png", 0), ("b.png", 1)], "path string, label int")
    editor = Editor({"paths": paths})
    editor.act("preset", value="image")
    assert (editor.state()["errors"], editor.state()["input"]) == ({}, [180, 180, 3])


def test_a_preset_that_does_not_fit_says_in_a_line_what_it_needs_and_changes_nothing(houses):
    editor = Editor({"houses": houses})
    editor.act("label", value="kind")
    editor.act("features", value=["age", "port"])
    before = editor.state()["code"]
    for preset, message in {
        "MLP": "MLP takes numbers alone, and port holds words: choose mixed, or tick others",
        "autoencoder": "autoencoder takes numbers alone, and port holds words: choose mixed, or tick others",
        "text": "text takes one column of sentences alone, and age holds numbers: choose mixed, or tick",
        "image": "image takes one column of images, or of the paths of their files, alone, and age holds",
    }.items():
        editor.act("preset", value=preset)
        assert editor.state()["errors"]["preset"].startswith(message)
        assert (editor.state()["code"], editor.state()["preset"]) == (before, "mixed")
        assert editor.state()["ready"]
    editor.act("features", value=["age", "name"])
    message = "Features: nearly each row of name has a word of its own: untick it"
    assert editor.state()["errors"]["features"].startswith(message)
    editor.act("features", value=["port"])
    editor.act("preset", value="text")
    assert (editor.state()["errors"], editor.state()["preset"]) == ({}, "text")
    editor.act("features", value=["port", "rooms"])
    assert (editor.state()["errors"], editor.state()["preset"]) == ({}, "mixed")


def test_layers_of_a_column_are_changed_moved_and_named_where_they_are_wrong(houses):
    editor = Editor({"houses": houses})
    editor.act("label", value="kind")
    editor.act("features", value=["age", "port"])
    editor.act("column", value="port")
    lookup, encoding = (one["number"] for one in editor.state()["inputs"][0]["layers"])
    assert editor.place(encoding) == ("port", 1)
    editor.act("set", at=0, name="max_tokens", value="many", input="port")
    assert editor.state()["inputs"][0]["layers"][0]["arguments"][0]["value"] == "many"
    editor.act("column", value="age")
    assert editor.state()["errors"]["column"].startswith("port: max_tokens='many': use a whole number from 2")
    editor.act("column", value="port")
    editor.act("set", at=0, name="output_mode", value="one_hot", input="port")
    editor.act("set", at=0, name="max_tokens", value="7", input="port")
    editor.act("set", at=0, name="pad_to_max_tokens", value=True, input="port")
    editor.act("move", at=1, to=0, input="port")
    wrong = "takes numbers, gets words: add a TextVectorization, a StringLookup or a Hashing before it"
    assert editor.state()["inputs"][0]["layers"][0]["error"] == wrong
    assert not editor.state()["ready"]
    editor.act("remove", at=0, input="port")
    assert editor.place(encoding) is None
    assert editor.place(lookup) == ("port", 0)
    assert editor.state()["ready"]
    assert editor.state()["input"] == [7 + 2]
    editor.act("add", kind="Rescaling", at=0)
    assert editor.state()["errors"]["add"].startswith("Rescaling is for a single column here")
    # What was changed of a column stays while others come and go, and a preset begins again.
    for chosen in (["age"], ["age", "port"]):
        editor.act("features", value=chosen)
    assert editor.design.inputs[-1].network.layers[0].arguments["max_tokens"] == 7
    assert editor.state()["preset"] == ""
    editor.act("preset", value="mixed")
    assert "StringLookup(max_tokens=5)" in editor.state()["code"]


def test_many_columns_and_many_words_are_looked_at_in_one_job(spark):
    words = [F.concat(F.lit("w"), F.col("id") % (2 * at + 3)).alias(f"w{at}") for at in range(60)]
    columns = [*words, F.col("id").alias("own"), (F.col("id") % 2).alias("label")]
    df = spark.range(3000).select(*columns, F.concat(F.lit("k"), F.col("id") % 2000).alias("kinds"))
    editor = Editor({"df": df})
    before = jobs(spark)
    editor.act("features", value=[*df.columns[:60], "kinds"])
    for chosen in (["kinds"], ["kinds", "w0"], ["w59", "kinds"]):
        editor.act("features", value=chosen)
    assert jobs(spark) == before
    assert editor.state()["errors"] == {}
    (kinds,) = [one for one in editor.design.inputs if one.name == "kinds"]
    assert [one.kind for one in kinds.network.layers] == ["StringLookup", "Embedding", "Flatten"]
    assert 1700 < kinds.network.layers[0].arguments["max_tokens"] < 2600


def test_what_is_told_of_many_columns_is_what_is_told_of_few(spark, houses):
    others = houses.select(
        "*", F.expr("if(rooms = 1, double('NaN'), age) `odd ``name`"), F.array("age").alias("x")
    )
    few = inspected(spark, others, others.columns)
    wide = others.select("*", *(F.lit(at).alias(f"more{at}") for at in range(60)))
    many = inspected(spark, wide, wide.columns)
    assert len(few) == 10
    for one, other in zip(few, many, strict=False):
        near = {"distinct": pytest.approx(one.distinct, rel=0.1), "skew": pytest.approx(one.skew)}
        assert replace(one, beside=other.beside, **near) == other


def test_a_table_of_numbers_alone_is_not_looked_at(spark):
    df = spark.range(9).selectExpr("id label", *(f"id c{at}" for at in range(2000)))
    before = jobs(spark)
    editor = Editor({"df": df})
    assert jobs(spark) - before == 1  # the values of the label
    assert editor.state()["input"] == [2000]
    assert fitting(Table.of(df, "df"), ["c1", "c2"], dict) == "MLP"
    # The page is sent no more layers for many columns than for few.
    assert len(str(editor.state())) < 40_000
