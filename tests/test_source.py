"""What a user gives as data, before Spark has seen it: columns by their schema, and arrays of any kind."""

from __future__ import annotations

from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
from tables import Table

from nbkeras.data import source
from nbkeras.data.source import Source
from nbkeras.errors import ClusterError, DataError, OptionError
from nbkeras.schema import ORDER


class Arrow:
    """Stands for a session: keeps the tables of which DataFrames would be made."""

    version = "4.0.0"

    def __init__(self):
        self.made = []

    def createDataFrame(self, table):  # noqa: N802  # Spark's name
        self.made.append(table)
        return table


@pytest.fixture
def arrow():
    return Arrow()


def net(*inputs, outputs=1):
    """A model with inputs of these shapes by name, by default two numbers."""
    taken = [keras.Input(shape, name=name) for name, shape in (inputs or [("point", (2,))])]
    flat = [keras.layers.Flatten()(one) for one in taken]
    joined = keras.layers.concatenate(flat) if len(flat) > 1 else flat[0]
    model = keras.Model(taken, [keras.layers.Dense(1)(joined) for _ in range(outputs)])
    model.compile("sgd", "mse")
    return model


def refused(kind, words, model, data, y, *, features=None, weight=None, validation=None, split=0.0):
    """What is given raises one line of this kind, with all these words."""
    with pytest.raises(kind) as caught:
        Source(Arrow(), model, features).both(data, y, weight, validation, split)
    message = str(caught.value)
    assert type(caught.value) is kind
    assert "\n" not in message
    assert len(message) < 700, message
    assert [word for word in words if word not in message] == [], message


def test_numbers_for_an_input_of_words_are_refused_with_the_cast():
    words = keras.Input((1,), dtype="string", name="point")
    model = SimpleNamespace(inputs=[words], outputs=[words], output_names=["out"])
    said = ["column 'a' is double", "takes words", "as words"]
    refused(DataError, said, model, Table(NUMBERS), "label", features=["a"])


def test_words_for_an_input_of_numbers_are_refused_with_the_layer_that_looks_them_up():
    said = ["column 'b' is string", "takes numbers", "StringLookup", "or remove the column"]
    refused(DataError, said, net(), Table("a double, b string, label int"), "label", features=["a", "b"])


# -- columns -------------------------------------------------------------------------------------------

TABLE = "a double, b double, both array<double>, label int"
NUMBERS = "a double, b double, label int"


@pytest.mark.parametrize(
    ("columns", "y", "words"),
    [
        (
            NUMBERS,
            "lable",
            ["label column 'lable'", "did you mean 'label'?", "a double, b double, label int"],
        ),
        (NUMBERS, None, ["y is missing", "y='…'", "a, b, label"]),
        (TABLE, "label", ["'point' of shape (2,)", "both array<double>", "features=["]),
        ("a double, label int", "label", ["'point' of shape (2,)", "1 column is left", "a double"]),
        ("label int", "label", ["'point' of shape (2,)", "no column is left", "label int", "add one"]),
        (
            "a double, colour string, label int",
            "label",
            ["column 'colour' is string", "or remove the column"],
        ),
        ("a double, when date, label int", "label", ["column 'when' is date", "or remove the column"]),
        ("a double, when struct<x:int>, label int", "label", ["column 'when' is struct<x:int>"]),
        ("words array<string>, label int", "label", ["column 'words' is array<string>"]),
        (
            "a double, b double, label date",
            "label",
            ["label column 'label' is date", "words that are classes"],
        ),
        ("a double, a double, label int", "label", ["column 'a' is in the DataFrame 2 times", "rename"]),
        ("a double, b double, y int, y int", "y", ["label column 'y' is in the DataFrame 2 times", "rename"]),
    ],
)
def test_columns_that_do_not_fit_are_named_with_what_to_type(columns, y, words):
    refused(DataError, words, net(), Table(columns), y)


def test_too_many_number_columns_for_the_model_are_counted_or_too_few_with_what_to_type():
    words = ["'point' of shape (3,)", "2 columns are left", "a, b", "label int", "keras.Input((2,))"]
    refused(DataError, words, net(("point", (3,))), Table(NUMBERS), "label")
    refused(
        DataError,
        ["1 number,", "features=['…', …]; a label is"],
        net(("point", (1,))),
        Table(NUMBERS),
        "label",
    )


def test_a_named_feature_that_is_not_there_is_answered_with_the_nearest_one():
    words = ["feature column 'bth'", "did you mean 'both'?"]
    refused(DataError, words, net(), Table(TABLE), "label", features=["bth"])
    refused(DataError, words, net(), Table(TABLE), "label", features="bth")


@pytest.mark.parametrize(
    ("y", "kind"), [([SimpleNamespace()], "list"), (np.zeros(3), "ndarray"), ({"y": 3}, "dict"), (3, "int")]
)
def test_labels_of_a_dataframe_are_named(y, kind):
    words = ["y of a DataFrame is the name of its label column", f"not a {kind}", "label", "give y='…'"]
    refused(DataError, words, net(), Table(NUMBERS), y)


def test_a_model_with_several_inputs_names_those_without_a_column():
    words = ["'a' of shape (1,), 'left' of shape (1,)", "b double", "with the input's name"]
    refused(DataError, words, net(("a", (1,)), ("left", (1,))), Table(NUMBERS), "label")


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        ("wieght", ["sample_weight column 'wieght'", "did you mean 'weight'?"]),
        ("word", ["sample_weight column 'word' is string", "name a column of numbers"]),
        ([1.0], ["sample_weight", "list", "name of a column", "sample_weight='…'"]),
    ],
)
def test_a_weight_is_the_name_of_a_column_of_numbers(weight, words):
    table = Table("a double, b double, word string, weight double, label int")
    refused(DataError, words, net(), table, "label", weight=weight, features=["a", "b"])


def test_a_dataframe_of_a_session_that_was_stopped_is_refused(monkeypatch):
    monkeypatch.setattr(source, "is_stopped", lambda _: True)
    words = ["the DataFrame is of a Spark session that was stopped", "create it again"]
    refused(ClusterError, words, net(), Table(NUMBERS), "label")


# -- arrays --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (np.ones((5, 4)), np.zeros(5), ["'point' of shape (2,)", "x has shape (5, 4)"]),
        (np.ones((5, 2)), np.zeros(4), ["differ in length", "'point' 5", "label 4", "one entry per row"]),
        (np.ones((0, 2)), np.zeros(0), ["the arrays have no rows", "(0, 2)", "give at least one"]),
        ([[1.0, 2.0], [3.0]], [0, 1], ["model input 'point' is a list", "differ in length", "cut or pad"]),
        (np.array([["one", "two"]]), np.zeros(1), ["model input 'point'", "<U3", "numbers"]),
        (np.ones((4, 2)), "label", ["label is str", "array"]),
        ("train.csv", "label", ["str", "array", "DataFrame"]),
        (None, None, ["None", "NoneType", "arrays"]),
        (3, [1], ["3", "int", "arrays"]),
        ((one for one in ([1.0, 2.0], [3.0, 4.0])), [0, 1], ["model input 'point' is generator", "array"]),
        ({"pt": np.ones((4, 2))}, np.zeros(4), ["'point' of shape (2,)", "x has 'pt'", "names as keys"]),
    ],
)
def test_arrays_that_do_not_fit_are_refused_with_their_shapes(x, y, words):
    refused(DataError, words, net(), x, y)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        ([np.ones((4, 2))], ["but x is a list of 1 arrays: give 2"]),
        (np.ones((4, 2)), ["give x as a list or dict of 2 arrays"]),
        ({"left": np.ones((4, 2))}, ["x has 'left': use the inputs' names as keys"]),
    ],
)
def test_a_model_with_several_inputs_takes_an_array_for_each(x, words):
    refused(DataError, words, net(("left", (2,)), ("right", (2,))), x, np.zeros(4))


@pytest.mark.parametrize("part", [1.5, -0.5, 1, "half", None])
def test_a_validation_split_is_a_part(part):
    words = [f"validation_split={part!r}: use a part of the rows, from 0 to below 1"]
    refused(OptionError, words, net(), np.ones((4, 2)), np.zeros(4), split=part)


def test_a_split_that_leaves_nothing_is_refused():
    words = ["validation_split=0.5 of 1 rows", "use another part"]
    refused(DataError, words, net(), np.ones((1, 2)), np.zeros(1), split=0.5)


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        (np.ones((4, 2)), DataError, ["validation_data has no label", "(x, y)"]),
        ([np.ones((4, 2))], DataError, ["validation_data has no label", "(x, y)"]),
        ((1, 2, 3, 4), OptionError, ["validation_data is a tuple of 4", "(x, y)"]),
        ((np.ones((4, 3)), np.zeros(4)), DataError, ["'point' of shape (2,)", "x has shape (4, 3)"]),
        ((np.ones((4, 2)), np.zeros((4, 2))), DataError, ["validation_data has label of rows of shape (2,)"]),
        ((np.ones((4, 2)), np.zeros(4), np.ones(4)), OptionError, ["sample weights", "both or neither"]),
    ],
)
def test_validation_arrays_that_do_not_fit_are_refused(given, kind, words):
    refused(kind, words, net(), np.ones((4, 2)), np.zeros(4), validation=given)


def table_of(arrow, number=-1):
    """The values of one of the tables that Spark was given: each row's bytes as numbers of a type."""
    made = arrow.made[number]

    def values(name, kind):
        if name == ORDER:
            return made.column(name).to_pylist()
        return [np.frombuffer(one, kind).tolist() for one in made.column(name).to_pylist()]

    return values


def test_arrays_are_numbered_rows_of_bytes_in_the_types_of_the_model(arrow):
    y = np.array([7, 8, 9], "int16")
    rows, validation, split = Source(arrow, net(), None).both(np.arange(6).reshape(3, 2), y, None, None, 0.0)
    assert (validation, split, rows.numbered) == (None, 0.0, True)
    assert [(one.name, one.dtype, one.shape) for one in rows.schema.fields] == [
        ("x0", "<f4", (2,)),
        ("y0", "<i2", ()),
    ]
    values = table_of(arrow)
    assert values("x0", "float32") == [[0, 1], [2, 3], [4, 5]]
    assert values("y0", "int16") == [[7], [8], [9]]
    assert values(ORDER, None) == [0, 1, 2]


def frame():
    return pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": [5, 6, 7, 8]})


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"a": [1.5, 2.0], "b": [True, False]}),
        pd.DataFrame({"a": [1.5, 2.0], "b": [1, 0]}).convert_dtypes(),
        pd.DataFrame({"a": [1.5, 2.0], "b": [True, False]}).convert_dtypes(dtype_backend="pyarrow"),
    ],
    ids=["bools", "nullable", "Arrow"],
)
def test_a_pandas_frame_of_several_types_becomes_floats_as_in_keras(arrow, table):
    Source(arrow, net(), None).both(table, table["a"], None, None, 0.0)
    values = table_of(arrow)
    assert values("x0", "float32") == [[1.5, 1.0], [2.0, 0.0]]
    assert values("y0", "float32") == [[1.5], [2.0]]


@pytest.mark.parametrize("column", ["a", None])
def test_nulls_of_nullable_pandas_columns_are_counted_and_named(column):
    table = pd.DataFrame({"a": [1.5, None], "b": [1, 0]}).convert_dtypes()
    data = table if column is None else table[column]
    with pytest.raises(DataError, match=r"^column 'a' holds 1 null: drop these rows \(dropna"):
        Source(None, net(), None).rows(data, [1, 2], None)


@pytest.mark.parametrize(
    "x",
    [
        np.array([[1.0, 5], [2, 6], [3, 7], [4, 8]]),
        [[1.0, 5], [2, 6], [3, 7], [4, 8]],
        frame(),
        {"point": frame().to_numpy()},
        np.asfortranarray(frame().to_numpy()),
        frame().to_numpy()[::-1][::-1],
    ],
    ids=["array", "lists", "pandas", "by name", "by columns", "backwards"],
)
def test_rows_are_the_same_whatever_they_come_in(arrow, x):
    Source(arrow, net(), None).both(x, [0.5, 1.5, 2.5, 3.5], None, None, 0.0)
    values = table_of(arrow)
    assert values("x0", "float32") == [[1, 5], [2, 6], [3, 7], [4, 8]]
    assert values("y0", "float32") == [[0.5], [1.5], [2.5], [3.5]]


def test_a_part_of_the_arrays_is_split_off_at_the_end_with_its_weights(arrow):
    x, y = np.arange(8.0).reshape(4, 2), np.arange(4.0)
    train, validation, split = Source(arrow, net(), None).both(x, y, y * 2, None, 0.25)
    assert (split, train.schema) == (0.0, validation.schema)
    first, last = table_of(arrow, 0), table_of(arrow, 1)
    assert (first("y0", "float32"), first("w0", "float32")) == ([[0], [1], [2]], [[0], [2], [4]])
    assert (last("y0", "float32"), last("w0", "float32")) == ([[3]], [[6]])


def test_validation_rows_beside_weighted_ones_weigh_1_as_in_keras(arrow):
    x, y = np.ones((2, 2)), np.zeros(2)
    _, validation, _ = Source(arrow, net(), None).both(x, y, [0.5, 2.0], (x, y), 0.0)
    assert validation.schema.weights
    assert table_of(arrow)("w0", "float32") == [[1], [1]]


def test_validation_data_takes_the_place_of_a_split(arrow):
    x, y = np.ones((4, 2)), np.zeros(4)
    Source(arrow, net(), None).both(x, y, None, (x[:1], y[:1]), 0.5)
    assert [one.num_rows for one in arrow.made] == [4, 1]


def test_several_inputs_and_labels_come_by_name_or_in_their_order(arrow):
    model, one, other = net(("left", (1,)), ("right", (2,)), outputs=2), np.ones((3, 1)), np.zeros((3, 2))
    first, second = model.output_names
    for x, y, nested in [
        ([one, other], [np.ones(3), np.zeros(3)], ("y0", "y1")),
        (
            {"right": other, "left": one},
            {first: np.ones(3), second: np.zeros(3)},
            {first: "y0", second: "y1"},
        ),
    ]:
        rows, _, _ = Source(arrow, model, None).both(x, y, None, None, 0.0)
        assert (rows.schema.x, rows.schema.y) == (("x0", "x1"), nested)
        values = table_of(arrow)
        assert (values("x0", "float32"), values("x1", "float32")) == ([[1]] * 3, [[0, 0]] * 3)
        assert (values("y0", "float32"), values("y1", "float32")) == ([[1]] * 3, [[0]] * 3)


# -- which columns -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "y", "named"),
    [
        (Table(NUMBERS), None, True),
        (frame(), "b", True),
        (frame(), ["a", "b"], True),
        (frame(), {"first": "a"}, True),
        (frame(), None, False),
        (frame(), np.zeros(4), False),
        (frame(), [1.0, 2.0], False),
        (np.ones((2, 2)), "b", False),
        (None, None, False),
    ],
)
def test_labels_are_columns_of_sparks_dataframes_and_of_pandas_where_they_are_named(data, y, named):
    assert source.names_columns(data, y) is named


class Fits(Table):
    """A table whose columns may be used."""

    def select(self, *columns):
        return columns


@pytest.fixture
def unspoken(monkeypatch):
    """Columns without the Spark that would compute them."""
    monkeypatch.setattr("nbkeras.data.columns.expression", lambda _, field: field.sources)


def test_columns_that_nobody_has_named_are_guessed_until_a_training_or_the_user_names_them(unspoken):
    model = net(("point", (3,)))

    def guessed(data, features=None):
        found = Source(None, model, features)
        return found.guessed(found.rows(data, (), None))

    assert guessed(Fits(NUMBERS)) == ("a", "b", "label")
    assert guessed(Fits(NUMBERS), ["label", "a", "b"]) == ()
    trained = Source(None, model, None)
    known = trained.rows(Fits(NUMBERS), (), None).schema
    again = Source(None, model, None, known)
    assert again.guessed(again.rows(Fits(NUMBERS), (), None)) == ()
    model = net(("both", (2,)))
    assert guessed(Fits("both array<double>")) == ()


def test_the_columns_that_a_model_was_trained_on_are_taken_again(unspoken):
    model, more = net(), Fits("a double, id double, b double, label int")
    train = Source(None, model, ["b", "a"]).rows(more, "label", None).schema
    again = Source(None, model, None, train).rows(more, "label", None).schema
    assert train.columns == again.columns == ("b", "a")
    other = Source(None, model, ["id", "a"], train).rows(more, "label", None).schema
    assert other.columns == ("id", "a")
    with pytest.raises(DataError, match="3 columns are left"):
        Source(None, model, None).both(more, "label", None, None, 0.0)
    with pytest.raises(DataError, match="3 columns are left"):
        Source(None, net(), None).rows(more, "label", None)


def test_validation_columns_are_those_of_training_and_their_rows_weigh_1_without_a_weight(
    unspoken, monkeypatch
):
    weighed = []

    def weighted(_, given, name):
        weighed.append((given, name))
        return train_df

    monkeypatch.setattr(Source, "_weighted", weighted)
    train_df = Fits("a double, weight double, b double, label int")
    held = Fits("b double, more string, a double, label int")
    model = net()
    train, validation, split = Source(None, model, None).both(train_df, "label", "weight", held, 0.5)
    assert (train.schema.columns, validation.schema.columns, split) == (("a", "b"), ("a", "b"), 0.0)
    assert weighed == [(held, "weight")]
    assert train.schema == validation.schema


@pytest.mark.parametrize("given", ["test_df", 3, np.ones((4, 2)), ("a", "b")])
def test_validation_data_beside_a_dataframe_is_one_too(unspoken, given):
    with pytest.raises(
        OptionError, match=f"validation_data is a {type(given).__name__}: for a DataFrame give"
    ):
        Source(None, net(), None).both(Fits(NUMBERS), "label", None, given, 0.0)


def test_validation_data_without_the_label_is_refused(unspoken):
    with pytest.raises(DataError, match=r"label column 'label' is not in.* a double, b double"):
        Source(None, net(), None).both(Fits(NUMBERS), "label", None, Fits("a double, b double"), 0.0)


def test_a_part_of_a_dataframe_is_left_to_the_hashes_of_its_rows(unspoken):
    _, validation, split = Source(None, net(), None).both(Fits(NUMBERS), "label", None, None, 0.25)
    assert (validation, split) == (None, 0.25)
