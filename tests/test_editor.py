"""The builder's editor: whatever is done, the design stays one that can be read, and says what is wrong."""

from __future__ import annotations

import ast
import json
from typing import get_args

import keras
import numpy as np
import pandas as pd
import pytest
from pyspark.ml.linalg import Vectors, VectorUDT
from pyspark.sql import functions
from pyspark.sql.types import ArrayType, DoubleType, StructType
from tables import Frame

import nbkeras
from nbkeras.builder import table
from nbkeras.builder.catalogue import KINDS, OFFERED
from nbkeras.builder.editor import TASKS, Editor
from nbkeras.builder.presets import PRESETS
from nbkeras.builder.table import Table
from nbkeras.driver.columns.encoding import Reason, proposed
from nbkeras.driver.columns.inspection import Inspected
from nbkeras.errors import ClusterError, DataError, OptionError
from nbkeras.model.footprint import Footprint
from nbkeras.notebook.builder import Builder, Panel
from nbkeras.notebook.words import BUILDER
from nbkeras.run import registry
from nbkeras.run.run import Run
from nbkeras.schema import Field, Schema


def pandas():
    random = np.random.default_rng(0)
    return {
        "digits": pd.DataFrame({"pixels": list(random.random((40, 64))), "label": np.arange(40) % 10}),
        "wine": pd.DataFrame({name: random.random(30) for name in ("alcohol", "ash", "price")}),
        "words": pd.DataFrame({"tags": [["a"], ["b"]], "label": [0, 1]}),
    }


@pytest.fixture(scope="module")
def frames():
    return {name: Frame.of(one) for name, one in pandas().items()}


@pytest.fixture(scope="module")
def in_spark(spark):
    """The same in Spark, for what only Spark can compute."""
    return {name: spark.createDataFrame(one) for name, one in pandas().items()}


def test_frames_without_spark_look_as_those_in_spark(frames, in_spark):
    for name, label in (("digits", "label"), ("wine", "price")):
        assert Table.of(frames[name], name) == Table.of(in_spark[name], name)
        assert table.values_of(frames[name], label) == table.values_of(in_spark[name], label)
    for one in (frames, in_spark):
        with pytest.raises(DataError, match=r"^words needs a label, .*: tags array<string>, label bigint$"):
            Table.of(one["words"], "words")


@pytest.fixture(scope="module")
def models():
    source = keras.Input((64,))
    chain = [
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(4, 3),
        keras.layers.Flatten(),
        keras.layers.Dense(10, activation="softmax"),
    ]
    return {
        "chain": keras.Sequential(chain),
        "fork": keras.Model(source, keras.layers.add([source, keras.layers.Dense(64)(source)])),
        "logits": keras.Sequential([keras.Input((64,)), keras.layers.Dense(10)]),
        "small": keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]),
    }


@pytest.fixture
def editor(frames, models):
    return Editor(frames, "digits", models)


def features(editor):
    return [one["name"] for one in editor.columns() if one["chosen"]]


def made(editor):
    """The model of the code."""
    names = {}
    exec(editor.design.building(), names)  # noqa: S102  # it is what people copy
    return names["model"]


def trained(editor, df):
    """The history of the cell."""
    assert editor.state()["ready"], editor.state()
    names = {"df": df}
    with nbkeras.on_spark(workers=editor.design.workers, spark=df.sparkSession):
        exec(editor.design.code(), names)  # noqa: S102  # it is what people copy
    return names["history"].history


def kinds(editor):
    return [layer["kind"] for layer in editor.state()["layers"]]


def test_it_begins_with_a_network_that_fits_the_dataframe(editor):
    state = editor.state()
    assert (state["label"], features(editor), state["task"]) == ("label", ["pixels"], "classes")
    assert state["input"] == [64]
    assert state["layers"][-1]["shape"] == [10]
    assert state["weights"] == 64 * 64 + 64 + 64 * 32 + 32 + 32 * 10 + 10
    assert state["ready"]
    assert 'model.fit(digits, y="label"' in state["code"]


def test_layers_are_added_moved_changed_and_removed(editor):
    editor.act("preset", value="CNN")
    editor.act("add", kind="BatchNormalization", at=2)
    editor.act("move", at=2, to=3)
    editor.act("set", at=1, name="filters", value="8")
    editor.act("set", at=1, name="activation", value="tanh")
    editor.act("remove", at=5)

    assert kinds(editor) == [
        "Reshape",
        "Conv2D",
        "MaxPooling2D",
        "BatchNormalization",
        "Conv2D",
        "Dropout",
        "Dense",
    ]
    assert 'keras.layers.Conv2D(8, 3, padding="same", activation="tanh")' in editor.state()["code"]


def test_what_cannot_be_stays_where_it_was_typed_and_changes_nothing(editor):
    before = editor.state()["code"]

    editor.act("set", at=0, name="units", value="many")
    editor.act("epochs", value="0")

    state = editor.state()
    (units,) = [one for one in state["layers"][0]["arguments"] if one["name"] == "units"]
    assert (units["value"], units["error"]) == ("many", "units='many': use a whole number from 1")
    assert (state["epochs"], state["errors"]["epochs"]) == ("0", "epochs='0': use a whole number from 1")
    assert state["code"] == before
    assert not state["ready"]
    editor.act("set", at=0, name="units", value="16")
    editor.act("epochs", value="3")
    assert editor.state()["ready"]
    assert "epochs=3" in editor.state()["code"]


def test_a_layer_that_does_not_fit_says_so_and_those_behind_it_have_no_shape(editor):
    editor.act("add", kind="Conv2D", at=1)
    layers = editor.state()["layers"]
    assert "a Reshape before it helps" in layers[1]["error"]
    assert layers[2]["shape"] is None
    assert not editor.state()["ready"]


def test_another_dataframe_brings_the_input_and_the_last_layer_that_fit_it(editor):
    editor.act("add", kind="Dropout", at=1)  # the user's own from here on
    editor.act("data", value="wine")

    state = editor.state()
    assert state["input"] == [2]
    assert kinds(editor) == ["Dense", "Dropout", "Dense", "Dense"]
    assert state["layers"][-1]["shape"] == [1]
    assert (state["task"], state["loss"]) == ("regression", "mse")
    editor.act("label", value="ash")
    assert features(editor) == ["alcohol"]


def test_an_untouched_preset_is_rebuilt_for_another_input(editor):
    editor.act("preset", value="CNN")
    editor.act("data", value="wine")
    assert kinds(editor)[:2] == ["Reshape", "Conv1D"]
    assert editor.state()["ready"]


def test_a_model_made_by_hand_is_gone_on_with(editor):
    editor.act("model", value="chain")
    editor.act("set", at=0, name="filters", value="8")
    assert kinds(editor) == ["Conv2D", "Flatten", "Dense"]
    assert editor.state()["input"] == [8, 8, 1]
    assert "keras.layers.Conv2D(8, 3)" in editor.state()["code"]
    assert editor.state()["ready"]


def test_a_model_that_was_trained_brings_its_columns(spark, monkeypatch):
    df = spark.createDataFrame(
        pd.DataFrame({"a": [1.0, 2.0], "b": [0.5, 1.5], "c": [1.0, 3.0], "y": [0.1, 0.2]})
    )
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    run = Run("a", model, 1, workers=1)
    fields = (Field("x0", ("c", "a"), "model input 'x'"), Field("y0", ("b",), "label 'b'"))
    run.schema = Schema(fields)
    monkeypatch.setattr(registry, "runs", [run])
    editor = Editor({"df": df}, models={"model": model})
    assert features(editor) == ["a", "b", "c"]

    editor.act("model", value="model")

    assert (features(editor), editor.state()["label"], kinds(editor)) == (["a", "c"], "b", ["Dense"])
    assert editor.state()["ready"]


def test_an_autoencoder_learns_its_features_and_another_preset_the_label_again(editor, in_spark):
    editor.act("data", value="wine")
    editor.act("preset", value="autoencoder")
    state = editor.state()
    assert (state["task"], state["loss"], state["layers"][-1]["shape"]) == ("input", "mse", [2])
    names = {"wine": in_spark["wine"]}
    exec(editor.design.training().replace("history = model.fit", "rows = fit"), {"fit": fit}, names)  # noqa: S102
    assert names["rows"].columns == ["input", "target"]
    first = names["rows"].first()
    assert list(first["input"]) == list(first["target"])

    editor.act("preset", value="MLP")
    assert editor.state()["task"] == "regression"
    assert "target" not in editor.state()["code"]


def fit(df, **_):
    return df


def test_columns_that_are_not_used_are_dropped_or_few_are_selected(editor):
    editor.act("data", value="wine")
    assert editor.design.training().startswith('history = model.fit(wine, y="price"')
    editor.act("features", value=["ash"])
    assert 'wine.select("ash", "price")' in editor.design.training()


def test_where_it_trains_stands_above_the_code(editor):
    assert editor.design.cell().startswith("%%keras_spark\nimport keras\n")
    editor.act("workers", value="2")
    editor.act("backend", value="jax")
    assert editor.design.cell().startswith("%%keras_spark --workers 2 --backend jax\nimport keras\n")


def test_the_memory_of_a_worker_is_estimated_as_for_a_real_model(editor, models):
    """The same estimate as for a real model: variables of model and optimizer, gradients, outputs."""
    editor.act("model", value="chain")
    editor.act("batch_size", value="64")
    editor.act("workers", value="2")
    model = models["chain"]
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    variables = 4 * sum(one.numpy().size for one in [*model.variables, *model.optimizer.variables])
    trained = 4 * sum(one.numpy().size for one in model.trainable_variables)
    outputs = 4 * 32 * (6 * 6 * 4 + 6 * 6 * 4 + 10)
    expected = Footprint.of(variables, trained, outputs).alone
    assert editor.state()["memory"] == pytest.approx(expected, abs=100)  # an optimizer counts its steps
    before = expected
    editor.act("set", at=0, name="filters", value="4000")
    assert editor.state()["memory"] > before + 300_000_000


def test_the_last_layer_has_to_answer_what_is_asked(editor):
    editor.act("set", at=2, name="units", value="3")
    (error,) = [one["error"] for one in editor.state()["layers"] if one["error"]]
    assert (
        error
        == 'gives (3,) for each row; label needs (10,): end with keras.layers.Dense(10, activation="softmax")'
    )
    assert not editor.state()["ready"]
    editor.act("set", at=2, name="units", value="12")  # classes that no row has
    assert editor.state()["ready"]


def last_error(editor):
    *_, last = editor.state()["layers"]
    assert editor.state()["ready"] == (not last["error"])
    return last["error"]


def test_without_layers_the_one_to_end_with_is_known(editor):
    for _ in range(3):
        editor.act("remove", at=0)
    state = editor.state()
    assert (state["layers"], state["ready"]) == ([], False)
    assert state["answer"] == 'keras.layers.Dense(10, activation="softmax")'


def test_several_classes_are_answered_by_softmax_alone(editor):
    ending = 'label needs (10,): end with keras.layers.Dense(10, activation="softmax")'
    editor.act("remove", at=2)
    assert last_error(editor) == f"gives (32,) for each row, without softmax; {ending}"
    editor.act("model", value="logits")
    assert last_error(editor) == f"gives (10,) for each row, without softmax; {ending}"
    editor.act("set", at=0, name="activation", value="sigmoid")
    assert last_error(editor).endswith(ending)
    editor.act("set", at=0, name="activation", value="softmax")
    assert not last_error(editor)


@pytest.mark.parametrize(
    ("kind", "fits"),
    [("Flatten", True), ("Reshape", True), ("Dropout", False), ("LayerNormalization", False)],
)
def test_a_layer_behind_the_answer_leaves_its_probabilities_as_they_are(editor, kind, fits):
    editor.act("add", kind=kind, at=3)
    assert bool(last_error(editor)) != fits


def test_two_classes_are_answered_by_sigmoid_and_a_quantity_by_any_activation():
    editor = Editor({"df": Frame([(0.5, 0), (0.7, 1)], "a double, label int")})
    for activation in ("", "softmax", "relu"):
        editor.act("set", at=2, name="activation", value=activation)
        assert last_error(editor) == (
            "gives (1,) for each row, without sigmoid; "
            'label needs (1,): end with keras.layers.Dense(1, activation="sigmoid")'
        )
    editor.act("task", value="regression")
    assert not last_error(editor)
    editor.act("task", value="binary")
    editor.act("set", at=2, name="activation", value="sigmoid")
    assert not last_error(editor)


def test_an_array_of_features_is_taken_before_numbers_that_only_name_the_rows():
    rows = Frame([(1, [0.1, 0.2], 0, 2.0)], "id int, features array<double>, label int, weight double")
    assert features(Editor({"df": rows})) == ["features"]
    rows = Frame([(1, [0.1, 0.2], 0)], "id int, wave array<double>, label int")
    assert features(Editor({"df": rows})) == ["wave"]


def test_a_label_that_is_no_number_and_no_word_is_named():
    rows = Frame([([0.3], 0.1, 0.2)], "label array<double>, width double, height double")
    hint = Editor({"df": rows}).state()["hints"]["label"]
    assert hint == "label is array<double>: a label is one number or one word a row"


@pytest.mark.parametrize(
    ("words", "last"), [("ab", 'Dense(1, activation="sigmoid'), ("abc", "Dense(3, activation")]
)
def test_words_are_classes_to_learn(words, last):
    rows = Frame([(one, 0.1, 0.2) for one in words], "species string, width double, height double")
    editor = Editor({"df": rows})
    assert (editor.state()["label"], features(editor)) == ("species", ["width", "height"])
    assert last in editor.design.code()
    editor.act("task", value="regression")
    wrong = "species holds words, which are classes and no numbers: choose another label"
    assert editor.state()["errors"]["task"] == wrong


def test_features_that_do_not_go_together_stay_ticked_until_they_do():
    rows = Frame([(1.0, [[0.1, 0.2]], 0)], "a double, features array<array<double>>, label int")
    editor = Editor({"df": rows})
    editor.act("features", value=["a", "features"])
    assert features(editor) == ["a", "features"]
    assert editor.state()["errors"]["features"] == "Features: features holds arrays of arrays: take it alone"
    editor.act("features", value=["a"])
    assert (features(editor), editor.state()["errors"]) == (["a"], {})


def test_arrays_and_numbers_together_are_an_input_each():
    rows = Frame([(1.0, [True, False], 0)], "a double, flags array<boolean>, label int")
    editor = Editor({"df": rows})
    editor.act("features", value=["a", "flags"])
    assert editor.state()["errors"] == {}
    model = made(editor)
    assert [(one.name, one.shape) for one in model.inputs] == [("a", (None, 1)), ("flags", (None, 2))]
    assert editor.state()["input"] == [3]
    editor.act("task", value="input")
    wrong = editor.state()["errors"]["features"]
    assert wrong == "Features: to be learnt, take one column of arrays, or several of single numbers"

    slashed = Editor({"df": Frame([(1.0, [0.5], 0)], "a/b double, x array<double>, label int")})
    slashed.act("features", value=["a/b", "x"])
    assert "a/b is to be the name of an input of Keras" in slashed.state()["errors"]["features"]


def test_arrays_of_arrays_go_into_the_network_as_they_are_and_are_learnt_as_a_line():
    rows = Frame([([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]], 0)], "image array<array<double>>, label int")
    editor = Editor({"df": rows})
    assert editor.design.features == ("image",)
    assert (made(editor).input_shape, kinds(editor)[0]) == ((None, 3, 2), "Flatten")
    editor.act("preset", value="autoencoder")
    assert made(editor).output_shape == (None, 6)
    assert "flatten(`image`) as input" in editor.design.code()


def test_layers_that_augment_images_come_where_images_are_and_are_wrong_elsewhere(editor):
    editor.act("preset", value="CNN")
    for kind in ("RandomFlip", "RandomRotation", "Rescaling", "GaussianNoise"):
        editor.act("add", kind=kind, at=7)
    assert kinds(editor)[:5] == ["Rescaling", "Reshape", "RandomFlip", "RandomRotation", "Conv2D"]
    assert editor.state()["ready"]
    editor.act("move", at=2, to=0)
    wrong = "takes images, (lines, columns, channels) for each row, gets (64,): move it behind a Reshape"
    assert editor.state()["layers"][0]["error"].startswith(wrong)
    assert not editor.state()["ready"]
    editor.act("preset", value="MLP")
    editor.act("add", kind="RandomZoom", at=1)
    assert editor.state()["layers"][0]["error"].startswith(wrong)


def test_each_column_that_is_left_out_has_its_reason():
    columns = "a double, label int, w array<string>, p struct<x:int>"
    rows = Frame([(1.0, 0)], columns)
    editor = Editor({"df": rows})
    left = {one["name"]: one["why"] for one in editor.columns() if one["why"]}
    assert left == {"w": "words", "p": "parts"}
    for why in {*left.values(), "spans", *get_args(Reason), "array", "empty", "other"} - {"unique"}:
        assert BUILDER[f"why_{why}"]
    empty = Frame([(1.0, 0, [])], "a double, label int, x array<double>")
    assert Editor({"df": empty}).columns()[2]["why"] == "empty"


def test_a_normalization_comes_first_with_what_spark_measures_and_follows_the_features(spark):
    rows = pd.DataFrame(
        {"a": [1.0, 2, 3, 6], "b": [10, 10, 10, 30], "x": [[1.0, 5.0]] * 4, "y": [0, 1, 0, 1]}
    )
    editor = Editor({"df": spark.createDataFrame(rows)})
    editor.act("label", value="y")
    editor.act("features", value=["a", "b"])
    editor.act("add", kind="Normalization", at=2)

    def normalized(*names):
        layer = made(editor).layers[0] if len(names) < 3 else made(editor).layers[-1].layers[0]
        x = np.hstack([np.stack(rows[name]).reshape(4, -1) for name in names])
        return keras.ops.convert_to_numpy(layer(x))

    assert kinds(editor) == ["Normalization", "Dense", "Dense", "Dense"]
    adapted = keras.layers.Normalization()
    adapted.adapt(rows[["a", "b"]].to_numpy("float32"))
    expected = keras.ops.convert_to_numpy(adapted(rows[["a", "b"]].to_numpy("float32")))
    np.testing.assert_allclose(normalized("a", "b"), expected, rtol=1e-5)

    editor.act("features", value=["x"])
    assert "axis=None, mean=3.0, variance=4.0" in editor.design.code()
    editor.act("features", value=["a", "b", "x"])
    np.testing.assert_allclose(normalized("a", "b", "x")[:, 2:], [[-1, 1]] * 4, rtol=1e-5)
    assert editor.state()["errors"] == {}


def test_loss_metrics_and_an_early_stop_are_chosen(editor):
    editor.act("data", value="wine")
    editor.act("loss", value="huber")
    editor.act("metrics", value=["mse", "mae"])
    editor.act("patience", value="3")
    code = editor.state()["code"]
    assert '"huber", metrics=["mae", "mse"]' in code
    assert "keras.callbacks.EarlyStopping(patience=3, restore_best_weights=True)" in code
    editor.act("validation_split", value="0")
    assert 'keras.callbacks.EarlyStopping("loss", patience=3' in editor.state()["code"]
    editor.act("metrics", value=[])
    assert "metrics" not in editor.state()["code"]
    editor.act("data", value="digits")  # whose label is of classes
    assert editor.state()["loss"] == "sparse_categorical_crossentropy"
    assert editor.state()["metrics"] == ["accuracy"]
    editor.act("loss", value="huber")
    assert editor.state()["errors"]["loss"].startswith("loss='huber': use one of sparse_categorical_cross")


@pytest.mark.usefixtures("any_backend")
def test_what_the_builder_offers_trains_on_spark(spark):
    random = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "image": [one.tolist() for one in random.random((24, 8, 8))],
            "flags": [one.tolist() for one in random.random((24, 3)) > 0.5],
            "a": random.random(24),
            "label": np.arange(24) % 2,
        }
    )
    df = spark.createDataFrame(rows)
    editor = Editor({"df": df})
    for name, value in (("epochs", 2), ("workers", 2), ("patience", 1), ("label", "label")):
        editor.act(name, value=value)
    editor.act("features", value=["image"])
    editor.act("preset", value="CNN")
    for kind in ("Rescaling", "Normalization"):
        editor.act("add", kind=kind, at=0)
    for kind in OFFERED["augmentation"]:
        editor.act("add", kind=kind, at=5)
    editor.act("metrics", value=["accuracy", "AUC", "Precision", "Recall"])
    assert list(trained(editor, df)) == [
        *("AUC", "Precision", "Recall", "accuracy", "loss"),
        *("val_AUC", "val_Precision", "val_Recall", "val_accuracy", "val_loss"),
    ]
    editor.act("preset", value="MLP")
    editor.act("features", value=["flags", "a"])
    editor.act("add", kind="Normalization", at=0)
    assert trained(editor, df)["val_loss"]


def test_what_was_wrong_with_the_label_is_forgotten_with_it(editor):
    editor.act("data", value="wine")
    editor.act("task", value="classes")
    state = editor.state()
    assert state["chosen"] == "classes"
    assert state["errors"]["task"].startswith("classes are whole numbers from 0 to 99 here; price has 0.")
    editor.act("data", value="digits")
    assert (editor.state()["chosen"], editor.state()["errors"]) == ("auto", {})


def test_two_classes_are_0_and_1(editor):
    editor.act("task", value="binary")
    assert editor.state()["errors"]["task"] == "two classes are 0 and 1 here; label has 0, 1, 2, 3…"


@pytest.fixture(scope="module")
def kinds_of():
    rows = pd.DataFrame(np.arange(20.0).reshape(10, 2), columns=["a", "b"])
    return Frame.of(rows.assign(kind=np.arange(10) % 3, label=np.arange(10) % 2))


def test_choices_that_go_together_at_last_are_all_taken(kinds_of):
    editor = Editor({"df": kinds_of})
    editor.act("task", value="binary")
    editor.act("label", value="kind")
    wrong = {"task": "two classes are 0 and 1 here; kind has 0, 1, 2"}
    assert (editor.state()["label"], editor.state()["errors"]) == ("kind", wrong)
    editor.act("features", value=["a"])
    assert (features(editor), editor.state()["errors"]) == (["a"], wrong)
    assert not editor.state()["ready"]

    editor.act("task", value="classes")

    assert editor.state()["errors"] == {}
    assert editor.state()["ready"]
    assert (editor.design.label, editor.design.features) == ("kind", ("a",))
    editor.act("task", value="binary")
    editor.act("label", value="label")
    assert (editor.design.label, editor.design.loss) == ("label", "binary_crossentropy")


def test_a_label_that_is_passed_by_is_learnt_from_as_before(kinds_of):
    editor = Editor({"df": kinds_of})
    for label in ("kind", "b", "a", "label"):
        editor.act("label", value=label)
    assert editor.design.features == ("a", "b", "kind")
    editor.act("label", value="b")
    editor.act("features", value=["a"])
    editor.act("label", value="label")
    assert editor.design.features == ("a", "b")


def test_what_is_learnt_is_as_before_an_autoencoder(editor):
    editor.act("data", value="wine")
    editor.act("task", value="regression")
    editor.act("preset", value="autoencoder")
    editor.act("preset", value="MLP")
    assert editor.state()["chosen"] == "regression"


def test_an_autoencoder_learns_numbers_and_booleans_together(spark):
    rows = spark.createDataFrame([(True, 3, 0.5), (False, 4, 1.5)], "flag boolean, n int, y double")
    editor = Editor({"rows": rows})
    editor.act("preset", value="autoencoder")
    editor.act("features", value=["flag", "n"])
    names = {"rows": rows}
    exec(editor.design.training().replace("history = model.fit", "rows = fit"), {"fit": fit}, names)  # noqa: S102
    assert [list(row["input"]) for row in names["rows"].collect()] == [[1.0, 3.0], [0.0, 4.0]]


@pytest.mark.parametrize("made", [Vectors.dense, list])
def test_a_vector_of_one_number_is_learnt_from_and_is_no_label(made):
    kind = ArrayType(DoubleType()) if made is list else VectorUDT()
    rows = Frame(
        [(0.5, 1.5, made([0.1])), (1.0, 2.5, made([0.2]))],
        StructType().add("x", "double").add("sales", "double").add("features", kind),
    )
    editor = Editor({"df": rows})
    assert editor.design.label == "sales"
    assert editor.design.features == ("features",)
    assert [one["name"] for one in editor.columns() if one["label"]] == ["x", "sales"]
    editor.act("features", value=["x", "features"])
    assert [(one.name, one.width()) for one in editor.design.inputs] == [("x", 1), ("features", 1)]


def test_a_custom_network_is_not_a_preset_but_a_preset_can_be_chosen_again(editor):
    assert editor.state()["preset"] == "MLP"
    editor.act("add", kind="Dropout", at=1)
    assert editor.state()["preset"] == ""
    editor.act("preset", value="MLP")
    assert kinds(editor) == ["Dense"] * 3
    assert editor.state()["preset"] == "MLP"


def test_a_model_that_cannot_be_opened_leaves_a_design_that_can_be_trained(editor):
    editor.act("model", value="fork")
    assert list(editor.state()["errors"]) == ["model"]
    assert editor.state()["ready"]


def test_what_is_wrong_with_a_layer_goes_with_it_and_moves_with_it(editor):
    editor.act("add", kind="Dropout", at=1)
    editor.act("set", at=1, name="rate", value="2")
    editor.act("move", at=1, to=0)
    (wrong,) = [one for one in editor.state()["layers"][0]["arguments"] if one["error"]]
    assert (wrong["name"], wrong["value"]) == ("rate", "2")
    editor.act("remove", at=0)
    assert editor.state()["ready"]
    # A preset of its own layers may lose some where the input is another.
    wide = Frame([tuple(map(float, range(18)))], ", ".join(f"c{i} double" for i in range(17)) + ", y double")
    editor = Editor({"wide": wide})
    editor.act("preset", value="CNN")
    at = kinds(editor).index("Dropout")
    editor.act("set", at=at, name="rate", value="2")
    assert not editor.state()["ready"]
    editor.act("features", value=[f"c{i}" for i in range(10)])
    shown = any(one["error"] for layer in editor.state()["layers"] for one in layer["arguments"])
    assert editor.state()["ready"] == (not shown)


def test_a_page_that_has_not_seen_the_last_change_means_the_layers_that_it_shows(editor):
    panel = Panel(editor, on_train=lambda: None, on_use=lambda: None)
    for kind in ("Dropout", "BatchNormalization", "Flatten"):
        editor.act("add", kind=kind, at=0)
    flatten, normalization, dropout, first, *_ = [one["number"] for one in editor.state()["layers"]]
    messages = [
        ("remove", {"layer": flatten}),
        ("remove", {"layer": flatten}),
        ("set", {"layer": dropout, "name": "rate", "value": "0.25"}),
        ("move", {"layer": normalization, "by": 1}),
        ("move", {"layer": normalization, "by": 1}),
        ("move", {"layer": normalization, "onto": flatten}),
        ("move", {"layer": first, "onto": dropout}),
        ("add", {"kind": "Reshape", "behind": dropout}),
        ("add", {"kind": "GRU", "behind": flatten}),
    ]
    for number, (action, about) in enumerate(messages, 1):
        panel._receive(panel, {"action": action, "page": "a", "number": number, **about}, None)
    assert kinds(editor) == ["Dense", "Dropout", "Reshape", "BatchNormalization", "Dense", "GRU", "Dense"]
    assert editor.design.network.layers[1].arguments["rate"] == 0.25
    assert panel.heard == {"a": len(messages)}
    panel.close()


def test_the_builder_that_was_used_last_is_the_one_that_is_exported(frames):
    first, second = (Builder(frames[name], name) for name in ("digits", "wine"))
    assert Builder.newest is second
    first._panel._receive(None, {"action": "epochs", "value": "3", "page": "one", "number": 1}, [])
    assert Builder.newest is first
    assert first.editor.design.epochs == 3


def test_spark_goes_over_the_rows_of_a_label_once(frames, monkeypatch):
    asked = []
    values_of = table.values_of
    monkeypatch.setattr(table, "values_of", lambda df, label: asked.append(label) or values_of(df, label))
    editor = Editor(frames, "wine")
    for chosen in (["ash"], ["alcohol"], ["alcohol", "ash"]):
        editor.act("features", value=chosen)
    editor.act("preset", value="autoencoder")
    editor.act("preset", value="LSTM")
    editor.act("label", value="ash")
    editor.act("label", value="price")
    assert asked == ["price", "ash"]


def test_a_failure_in_spark_is_shown_at_the_field(editor, monkeypatch):
    def gone(*_):
        raise RuntimeError("the session is gone")

    monkeypatch.setattr("nbkeras.builder.table.task", gone)
    editor.act("task", value="regression")
    assert "the session is gone" in editor.state()["errors"]["task"]


def test_a_dataframe_without_numbers_is_refused_and_the_old_one_stays(editor):
    editor.act("data", value="words")
    state = editor.state()
    assert editor.design.data == "digits"
    assert state["data"] == "words"  # as it was chosen, with the reason beside it
    assert state["errors"]["data"].startswith("words needs a label")


@pytest.mark.parametrize(
    ("action", "about", "message"),
    [
        ("label", {"value": "pixels"}, "'pixels' has no one number or word a row: use one of label"),
        ("features", {"value": []}, "Features: none is ticked"),
        ("task", {"value": "ranking"}, "task='ranking': use one of auto, binary"),
        ("preset", {"value": "GPT"}, "preset='GPT': use one of MLP, CNN"),
        ("model", {"value": "gone"}, "there is no model 'gone': use one of chain, fork, logits, small"),
        ("model", {"value": "small"}, "small takes (3,) for each row, 3 numbers; the features have 64"),
        ("workers", {"value": "many"}, "workers='many': use a whole number from 1"),
        ("epochs", {"value": "9" * 21}, f"epochs='{'9' * 21}': use a whole number from 1 to 999999999999"),
        ("backend", {"value": "magic"}, "backend='magic': use one of auto, tensorflow"),
        ("optimizer", {"value": "Magic"}, "optimizer='Magic': use one of Adam"),
        ("learning_rate", {"value": "fast"}, "learning_rate='fast': use a number above 0"),
        ("add", {"kind": "Magic", "at": 0}, "'Magic' is no layer here"),
    ],
)
def test_a_wrong_choice_is_shown_where_it_was_made(editor, action, about, message):
    editor.act(action, **about)
    assert editor.state()["errors"][action].startswith(message)


@pytest.mark.parametrize(
    ("action", "about"), [("fly", {}), ("add", {}), ("set", {"at": 99, "name": "x", "value": 1})]
)
def test_an_unknown_action_is_refused(editor, action, about):
    with pytest.raises(OptionError, match=f"does not know {action}"):
        editor.act(action, **about)


def test_no_dataframe_with_numbers_leaves_nothing_to_edit(frames):
    with pytest.raises(DataError, match="words needs a label"):
        Editor(frames, "words")
    with pytest.raises(OptionError, match="there is no DataFrame 'gone': use one of digits"):
        Editor(frames, "gone")
    with pytest.raises(OptionError, match=r"no DataFrame to begin with: give it one, nbkeras.Builder\(df\)"):
        Editor({})


@pytest.mark.parametrize(
    ("data", "given"),
    [
        (3, "3, a int"),
        ([1, 2], r"\[1, 2\], a list"),
        (pd.Series([1.0], name="a"), "0 1.0 .*, a Series"),
    ],
)
def test_an_object_that_is_not_a_dataframe_is_refused_in_one_sentence(data, given):
    message = f"^the data is {given}: give a DataFrame of Spark, pandas, polars or Arrow"
    with pytest.raises(DataError, match=message):
        Builder(data)
    with pytest.raises(DataError, match=message):
        Builder({"df": data})


@pytest.mark.parametrize(("column", "kind"), [("wave", "array<double>"), ("label", "int")])
def test_a_column_whose_computation_fails_is_reported_in_one_sentence(spark, column, kind):
    def raises(_):  # here, so that Spark's workers need not import this file and all that it imports
        raise ValueError("no such reading")

    rows = spark.createDataFrame([(0.5, [0.1], 0)], "a double, wave array<double>, label int")
    failing = rows.withColumn(column, functions.udf(raises, kind)("a"))
    with pytest.raises(ClusterError) as caught:
        Editor({"df": failing})
    assert str(caught.value) == (
        "Spark failed on the rows: ValueError: no such reading: "
        "fix what computes the columns of the DataFrame"
    )


def test_a_dataframe_whose_session_was_stopped_is_refused_in_one_sentence(frames, monkeypatch):
    editor = Editor(frames, "wine")
    monkeypatch.setattr("nbkeras.data.source.is_stopped", lambda _: True)
    with pytest.raises(ClusterError, match="the DataFrame is of a Spark session that was stopped: create it"):
        Editor(frames, "wine")
    editor.act("label", value="ash")
    assert editor.state()["errors"]["label"].startswith("the DataFrame is of a Spark session that was")


def looked_at(df):
    """What would be proposed for columns of 30 values, without a look at them."""
    beside = frozenset(df.columns)
    return {one.name: proposed(Inspected(one.name, one, 30, 5, 99, 0.0, 9.0, beside)) for one in df.schema}


@pytest.mark.parametrize("seed", range(5))
def test_any_sequence_of_actions_leaves_a_design_that_can_be_shown(frames, models, seed, monkeypatch):
    monkeypatch.setattr("nbkeras.builder.frames.encodings", looked_at)
    houses = Frame([("a", 0.5, 1, 0), ("b", 1.5, 2, 1)], "port string, age double, rooms int, label int")
    editor = Editor({**frames, "houses": houses}, "digits", models)
    random = np.random.default_rng(seed)
    values = ["", "0", "3", "3, 3", "-1", "0.5", "1e9", "relu", "same", True, False, None, "8, 8, 1", "<b>"]

    def pick(options):
        return options[random.integers(len(options))]

    for _ in range(100):
        layers = editor.state()["layers"]
        at = int(random.integers(len(layers))) if layers else 0
        actions = [
            ("add", {"kind": pick(KINDS), "at": at}),
            ("preset", {"value": pick([*PRESETS])}),
            ("data", {"value": pick(["digits", "wine", "words", "houses"])}),
            ("column", {"value": pick(["port", "age", "gone", ""])}),
            ("task", {"value": pick(TASKS)}),
            ("epochs", {"value": pick(values)}),
            ("workers", {"value": pick(values)}),
            ("backend", {"value": pick(["auto", "jax", "magic"])}),
            ("model", {"value": pick(["chain", "fork", "logits", "gone"])}),
            ("learning_rate", {"value": pick(values)}),
            ("features", {"value": [pick(["alcohol", "ash", "pixels", "price", "port"])]}),
            ("features", {"value": ["port", "age", "rooms"]}),
            ("label", {"value": pick(["alcohol", "label", "price", "port"])}),
            ("loss", {"value": pick(["mse", "huber", "magic"])}),
            ("metrics", {"value": [pick(["mae", "accuracy", "magic"])]}),
            ("patience", {"value": pick(values)}),
        ]
        if layers:
            actions += [
                ("remove", {"at": at}),
                ("move", {"at": at, "to": int(random.integers(len(layers)))}),
                *[
                    ("set", {"at": at, "name": one["name"], "value": pick(values)})
                    for one in layers[at]["arguments"]
                ],
            ]
        for one in editor.state()["inputs"]:
            here = {"input": one["name"], "at": int(random.integers(1 + len(one["layers"])))}
            actions += [("add", {**here, "kind": pick(KINDS)})]
            if one["layers"]:
                here["at"] %= len(one["layers"])
                actions += [("remove", here), ("move", {**here, "to": 0})]
                arguments = one["layers"][here["at"]]["arguments"]
                actions += [
                    ("set", {**here, "name": each["name"], "value": pick(values)}) for each in arguments
                ]
        action, about = pick(actions)
        editor.act(action, **about)
        state = editor.state()
        json.dumps([state, editor.columns()], allow_nan=False)
        ast.parse(editor.design.code())
        assert state["ready"] == (
            not {*state["errors"]} - {"preset", "model", "add"}
            and bool(state["layers"])
            and not any(
                layer["error"] or any(one["error"] for one in layer["arguments"])
                for layer in [*state["layers"], *(each for one in state["inputs"] for each in one["layers"])]
            )
            and not any(one["error"] for one in state["inputs"])
        )
