import ast

import numpy as np
import pandas as pd
import pytest
from tables import Frame

from nbkeras.errors import DataError, OptionError
from nbkeras.notebook.form import ask


class Filled:
    """A form in which some fields were changed."""

    def __init__(self, **changed):
        self.changed = {name.replace("_", " "): value for name, value in changed.items()}
        self.drawn = {}

    def text(self, name, default):
        return self._read(name, default)

    def choice(self, name, options, default):
        return self._read(name, default)

    def choices(self, name, options, default):
        return self._read(name, default)

    def _read(self, name, default):
        self.drawn[name] = default
        return self.changed.get(name, default)


@pytest.fixture(scope="module")
def df():
    numbers = np.random.default_rng(0)
    rows = {"a": numbers.random(60), "b": numbers.random(60), "kind": [0, 1, 2] * 20}
    return Frame.of(pd.DataFrame(rows))


def test_the_code_of_a_form_runs_without_nbkeras(df):
    code = ask(df, "df", Filled(Label="kind", Hidden_layers="8 4")).design.code()

    code = code.replace('model.fit(df.select("a", "b", "kind"), y="kind"', "model.fit(x, y")
    rows = np.array([row[:3] for row in df.rows])
    names = {"x": rows[:, :2], "y": rows[:, 2].astype(int)}
    exec(code.replace("epochs=10", "epochs=1, verbose=0"), names)  # noqa: S102  # it is what people copy

    assert [layer.units for layer in names["model"].layers] == [8, 4, 3]
    assert names["model"].loss == "sparse_categorical_crossentropy"
    assert len(names["history"].history["loss"]) == 1


@pytest.mark.parametrize(
    ("values", "last", "loss"),
    [
        ([0, 1, 1], 'Dense(1, activation="sigmoid")', "binary_crossentropy"),
        ([True, False, True], 'Dense(1, activation="sigmoid")', "binary_crossentropy"),
        ([0, 1, 5], 'Dense(6, activation="softmax")', "sparse_categorical_crossentropy"),
        ([0.0, 1.0, 1.0], 'Dense(1, activation="sigmoid")', "binary_crossentropy"),
        ([0.0, 1.0, 2.0], 'Dense(3, activation="softmax")', "sparse_categorical_crossentropy"),
        ([0.5, 1.5, 2.5], "Dense(1)", "mse"),
        ([-1, 0, 1], "Dense(1)", "mse"),
        ([0, 1, 1_000_000], "Dense(1)", "mse"),
    ],
)
def test_the_last_layer_and_the_loss_fit_the_label(values, last, loss):
    df = Frame.of(pd.DataFrame({"x": [0.1, 0.2, 0.3], "label": values}))
    code = ask(df, "df", Filled()).design.code()
    assert f"keras.layers.{last}," in code
    assert f'"{loss}"' in code


@pytest.mark.parametrize(
    ("learn", "last"), [("a number", "Dense(1)"), ("classes", "Dense(3"), ("as the label says", "Dense(3")]
)
def test_what_is_learnt_can_be_chosen(df, learn, last):
    assert f"keras.layers.{last}" in ask(df, "df", Filled(Label="kind", Learn=learn)).design.code()


def test_the_form_has_the_networks_of_the_builder(df):
    code = ask(df, "df", Filled(Label="kind", Network="LSTM", Optimizer="SGD")).design.code()
    assert "keras.layers.LSTM(64)" in code
    assert "keras.optimizers.SGD(0.001)" in code
    own = ask(df, "df", Filled(Label="kind", Network="autoencoder")).design
    assert (own.label, own.loss) == (None, "mse")
    assert own.network.layers[-1].arguments == {"units": 2}


def test_a_column_of_arrays_is_as_wide_as_its_arrays():
    rows = [(None, 1.0), ([0.1, 0.2, 0.3], 0.5)]
    answers = ask(Frame(rows, "pixels array<double>, label double"), "df", Filled())
    assert answers.design.features == ("pixels",)
    assert "keras.Input((3,))" in answers.design.code()


def test_the_form_as_it_is_drawn_trains_also_beside_a_column_of_arrays():
    df = Frame([([0.1, 0.2], 0.5, 1.5)], "wave array<double>, age double, label double")
    assert ask(df, "df", Filled()).design.features == ("age",)


def test_of_many_columns_names_are_written():
    many = Frame([(*range(100), 1)], ", ".join(f"c{at} double" for at in range(100)) + ", label int")
    form = Filled()
    assert len(ask(many, "many", form).design.features) == 100
    assert (form.drawn["Features"], form.drawn["Label"]) == ("all", "label")
    assert ask(many, "many", Filled(Features="c7, c3")).design.features == ("c3", "c7")
    with pytest.raises(OptionError, match="many has no column 'x' to learn from: write all, or names"):
        ask(many, "many", Filled(Features="c7, x"))


def test_columns_of_any_name_are_written_as_python_and_spark_read_them(spark):
    names = ['say "x"', "it's", "dot.ted", "back`tick", "label"]
    schema = ", ".join(f"`{name.replace('`', '``')}` double" for name in names)
    df = spark.createDataFrame([(1.0, 2.0, 3.0, 4.0, 5.0)], schema)
    code = ask(df, "df", Filled()).design.code()
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    (select,) = (call for call in calls if ast.unparse(call.func) == "df.select")
    assert df.select(*map(ast.literal_eval, select.args)).columns == names


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"Hidden_layers": "8, many"},
            "Hidden layers: takes whole numbers from 1, such as 64, 32; got 'many'",
        ),
        ({"Epochs": "0"}, "Epochs: takes whole numbers from 1, such as 10; got '0'"),
        ({"Batch_size": ""}, "Batch size: takes whole numbers from 1, such as 10; got ''"),
        ({"Learning_rate": "fast"}, "Learning rate: takes a number above 0, such as 0.001; got 'fast'"),
        ({"Learning_rate": "nan"}, "Learning rate: takes a number above 0, such as 0.001; got 'nan'"),
        ({"Features": []}, "Features: none is ticked, tick one at least"),
        ({"Learn": "x"}, "Learn: takes one of as the label says, two classes, classes, a number; got 'x'"),
        (
            {"Learn": "classes", "Label": "a", "Features": ["b"]},
            "classes are whole numbers from 0 to 99 here; a has 0.00273",
        ),
        (
            {"Network": "GPT"},
            "Network: takes one of MLP, CNN, LSTM, autoencoder, text, image",
        ),
        ({"Optimizer": "Magic"}, "Optimizer: takes one of Adam, AdamW"),
        (
            {"Learn": "two classes", "Label": "kind"},
            "two classes are 0 and 1 here; kind has 0, 1, 2",
        ),
        ({"Label": "gone"}, "Label: df has no column 'gone' with one number or word a row"),
    ],
)
def test_a_field_with_a_wrong_value_is_named_and_the_form_stays_whole(df, changed, message):
    form = Filled(**changed)
    with pytest.raises(OptionError) as caught:
        ask(df, "df", form)
    assert str(caught.value).startswith(message)
    assert list(form.drawn)[-1] == "Train"


def test_a_dataframe_without_two_columns_for_a_network_is_refused_with_its_columns():
    df = Frame([(["x"], 1)], "tags array<string>, number int")
    with pytest.raises(DataError, match=r"df needs a label.*its columns are: tags array<string>, number int"):
        ask(df, "df", Filled())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((1.0, [1.0], None), "Label: label is null in every row"),
        ((1.0, None, 1.0), "Features: array is null in every row"),
    ],
)
def test_a_column_that_holds_nothing_is_named(row, message):
    df = Frame([row], "number double, array array<double>, label double")
    features = ["array"] if row[1] is None else ["number"]
    with pytest.raises(DataError, match=message):
        ask(df, "df", Filled(Features=features))
