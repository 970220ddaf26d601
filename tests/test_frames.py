"""Frames of any kind: pandas, polars, Arrow and others go to Spark alike, and come back as they came."""

from __future__ import annotations

import datetime as dt
import decimal
import warnings

import keras
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers
from twins import eagerly

import nbkeras
from nbkeras.builder.editor import Editor
from nbkeras.data import columnar, converted, frames
from nbkeras.data.source import data_frame
from nbkeras.errors import DataError, OptionError
from nbkeras.ml import KerasRegressor
from nbkeras.model.reader import kind_of
from nbkeras.notebook.magic import magics

ROWS = 30
_RANDOM = np.random.default_rng(5)
X = _RANDOM.normal(size=(ROWS, 3))
TABLE = pd.DataFrame(X, columns=list("abc"), index=[f"row {place}" for place in range(ROWS)])
TABLE["y"] = X @ [1.0, 2.0, 3.0]
NAMES = [*TABLE.columns, "prediction"]


class Stream:
    """Offers Arrow's stream of rows and nothing else, as frames of other packages do."""

    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


class Interchange:
    """Offers the older interchange of DataFrames and nothing else."""

    def __init__(self, table):
        self.table = table

    def __dataframe__(self, nan_as_null=False, allow_copy=True):
        return self.table.__dataframe__(nan_as_null, allow_copy)


def _arrow(table):
    return pa.Table.from_pandas(table, preserve_index=False)


#: How each kind of frame is made of one of pandas, and the kind that is given back.
DECIMAL = pa.decimal128(38, 0)
KINDS = {
    "pandas": (lambda table: table, pd.DataFrame),
    "nullable pandas": (pd.DataFrame.convert_dtypes, pd.DataFrame),
    "pandas of Arrow": (lambda table: table.convert_dtypes(dtype_backend="pyarrow"), pd.DataFrame),
    "polars": (pl.from_pandas, pl.DataFrame),
    "lazy polars": (lambda table: pl.from_pandas(table).lazy(), pl.LazyFrame),
    "Arrow": (_arrow, pa.Table),
    "chunked Arrow": (lambda table: pa.concat_tables([_arrow(table)[:2], _arrow(table)[2:]]), pa.Table),
    "a batch": (lambda table: _arrow(table).to_batches()[0], pa.Table),
    "a reader": (lambda table: _arrow(table).to_reader(), pa.Table),
    "a stream": (lambda table: Stream(_arrow(table)), pa.Table),
    "an interchange": (Interchange, pa.Table),
    "a dict": (lambda table: {name: table[name].to_numpy() for name in table}, dict),
    "an array with fields": (lambda table: table.to_records(index=False), np.ndarray),
}


#: Those whose rows differ in how they come back.
_PREDICTED = ("nullable pandas", "lazy polars", "a batch", "a reader", "a dict", "an array with fields")


def on(spark):
    """Where models of these tests are computed."""
    return {"backend": "torch", "spark": spark}


def net():
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4, activation="relu"), layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.05), "mse")
    return model


@pytest.fixture(scope="module")
def trained(spark):
    """A model that knows its columns by their names."""
    model = net()
    how = {"features": list("abc"), "workers": 1, "verbose": 0, **on(spark)}
    nbkeras.fit(model, TABLE, "y", batch_size=8, **how)
    return model


def columns_of(data):
    return list(data.dtype.names) if isinstance(data, np.ndarray) else frames.names(data)


# -- in ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["lazy polars", pytest.param("a stream", marks=pytest.mark.smoke), "a dict"])
def test_a_training_on_any_kind_of_frame_is_that_of_plain_keras(spark, kind):
    make, _ = KINDS[kind]
    how = {"batch_size": 8, "shuffle": False, "verbose": 0}
    right = eagerly(net()).fit(X, TABLE["y"], validation_data=(X, TABLE["y"]), **how).history

    model = net()
    run = nbkeras.fit(model, make(TABLE), "y", validation_data=make(TABLE), workers=1, **on(spark), **how)

    for name, values in right.items():
        np.testing.assert_allclose(run.history[name], values, 1e-5)


MIXED = pd.DataFrame(
    {
        "number": [1.5, -2.0, 0.25],
        "whole": [1, 2, 3],
        "small": np.array([1, 2, 255], "uint8"),
        "large": np.array([1, 2, 2**64 - 1], "uint64"),
        "word": ["x", "y", "Ü"],
        "said": [True, False, True],
    }
)


def test_frames_of_all_kinds_are_the_same_rows_to_spark(spark):
    wanted = [(*row[:3], decimal.Decimal(row.large), *row[4:]) for row in MIXED.itertuples(index=False)]
    for kind, (make, _) in KINDS.items():
        data = MIXED if kind != "an interchange" else MIXED.astype({"word": "string"})
        found = data_frame(spark, make(data))
        assert [tuple(row) for row in found.collect()] == wanted, kind
        types = [one.dataType.simpleString() for one in found.schema]
        assert types == ["double", "bigint", "smallint", "decimal(20,0)", "string", "boolean"], kind


LISTS = pa.array([[1, 2], [3, 4]], pa.list_(pa.uint8(), 2))
TENSORS = pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.uint8(), (1, 2)), LISTS)
HOUR = dt.datetime(2024, 3, 31, 2, 30)  # noqa: DTZ001  # that a zone may not have
VIEWS = pa.array(["x", "y"], pa.string_view())


@pytest.mark.parametrize(
    ("frame", "kind", "values"),
    [
        (pa.table({"a": LISTS}), pa.list_(pa.int16()), [[1, 2], [3, 4]]),
        (pa.table({"a": TENSORS}), pa.list_(pa.int16()), [[1, 2], [3, 4]]),
        (pa.table({"a": pa.array([[1]], pa.large_list(pa.int8()))}), pa.list_(pa.int8()), [[1]]),
        (pa.table({"a": pa.array([[1], [2]], pa.list_view(pa.int8()))}), pa.list_(pa.int8()), [[1], [2]]),
        (pa.table({"a": VIEWS}), pa.string(), ["x", "y"]),
        (pa.table({"a": pa.DictionaryArray.from_arrays([1, 0, None], VIEWS)}), pa.string(), ["y", "x", None]),
        (pa.table({"a": pa.array([b"ab"], pa.binary(2))}), pa.binary(), [b"ab"]),
        (pa.table({"a": pa.array([1.5], pa.float16())}), pa.float32(), [1.5]),
        (pa.table({"a": pa.array([2], pa.decimal256(50, 2))}), pa.decimal128(38, 2), [decimal.Decimal(2)]),
        (pa.table({"a": pa.array([86_400_000], pa.date64())}), pa.date32(), [dt.date(1970, 1, 2)]),
        (pl.DataFrame({"a": [1.0, None, float("inf")]}), pa.float64(), [1.0, None, float("inf")]),
        (pl.DataFrame({"a": pl.Series([[[1.0]]], dtype=pl.Array(pl.Float32, (1, 1)))}), None, [[[1.0]]]),
        (pl.DataFrame({"a": pl.Series([["x"]], dtype=pl.List(pl.Categorical))}), None, [["x"]]),
        (pl.DataFrame({"a": [HOUR]}), pa.timestamp("us"), [HOUR]),
        (pd.DataFrame({"a": [HOUR]}), pa.timestamp("us"), [HOUR]),
        (pd.DataFrame({"a": [1.5, float("nan")]}), pa.float64(), [1.5, None]),
        (pd.DataFrame({"a": ["x", None]}), pa.string(), ["x", None]),
        (pd.DataFrame({"a": pd.Categorical([3, None])}), pa.int64(), [3, None]),
        (pd.DataFrame({"a": pd.arrays.SparseArray([0.0, 2.0])}), pa.float64(), [0.0, 2.0]),
        (pd.DataFrame({"a": [np.eye(2)]}), None, [[[1.0, 0.0], [0.0, 1.0]]]),
        (pd.DataFrame([[1.0]], columns=[0]), pa.float64(), [1.0]),
        ({"a": np.array([1.0, np.nan])[:1], "b": [1]}, pa.float64(), [1.0]),
        ({"a": np.ones((1, 2, 1), "float32")}, None, [[[1.0], [1.0]]]),
        ({"a": np.array([[1, 2]], ">i2")}, None, [[1, 2]]),
        (np.array([(1.5,)], [("a", ">f4")]), pa.float32(), [1.5]),
        (pd.DataFrame({"a": np.array([3, 4], ">i8")}), pa.int64(), [3, 4]),
        (pd.DataFrame({"a": [2**70, None, np.nan]}, dtype=object), DECIMAL, [2**70, None, None]),
        ({"a": [2**70, -1]}, DECIMAL, [2**70, -1]),
        ({"a": np.array([2**70, 1], object)}, DECIMAL, [2**70, 1]),
    ],
)
def test_a_column_goes_in_a_type_that_spark_has_with_the_same_values(frame, kind, values):
    column = frames.table(frames.of(frame)).column(0)
    assert column.to_pylist() == values
    assert kind in (None, column.type)


def test_nan_is_a_null_to_pandas_alone():
    held = [1.0, float("nan")]
    counts = [
        frames.table(frames.of(one)).column(0).null_count
        for one in (pd.DataFrame({"a": held}), pl.DataFrame({"a": held}), {"a": np.array(held)})
    ]
    assert counts == [1, 0, 0]


VALUES = st.one_of(
    st.lists(st.none() | st.floats(width=64, allow_nan=False), min_size=1),
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=1),
    st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=3), min_size=1),
    st.lists(st.none() | st.booleans(), min_size=1),
    st.lists(st.none() | st.lists(st.integers(0, 9), max_size=2), min_size=1),
)


@settings(max_examples=60)
@given(VALUES)
def test_any_values_are_the_same_from_pandas_polars_and_arrow(values):
    if not any(one is not None for one in values):
        values = [*values, None, 1.5]
    array = pa.array(values)
    made = {
        "pandas": pd.DataFrame({"a": pd.Series(values, dtype=pd.ArrowDtype(array.type))}),
        "polars": pl.DataFrame({"a": pl.Series(pl.from_arrow(array))}),
        "stream": Stream(pa.table({"a": array})),
    }
    for kind, one in made.items():
        found = frames.table(frames.of(one)).column(0)
        assert (found.to_pylist(), found.type) == (values, array.type), kind


def test_a_piece_that_spark_could_not_address_is_divided(monkeypatch):
    monkeypatch.setattr(columnar, "_PIECE", 100)
    words = pa.chunked_array([pa.array([f"{place:040}" for place in range(20)], pa.large_string())])
    found = columnar.sent("a", words)
    assert found.to_pylist() == words.to_pylist()
    assert max(len(one) for one in found.chunks) <= 2


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (pd.DataFrame(np.ones((1, 2)), columns=["a", "a"]), "column 'a' is in the DataFrame 2 times: rename"),
        (pa.Table.from_arrays([[1], [2]], names=["a", "a"]), "column 'a' is in the DataFrame 2 times"),
        (pd.DataFrame({1: [1], "1": [2]}), "column '1' is in the DataFrame 2 times"),
        (
            pd.DataFrame({"a": [1, "x"]}),
            "column 'a' holds values that Arrow does not .*Could not",
        ),
        (pd.DataFrame({"a": [1j]}), "column 'a' holds values that Arrow does not take"),
        (pd.DataFrame({"a": [10**40]}), "column 'a' holds values .*up to 38 digits"),
        (pd.DataFrame({"a": pd.period_range("2024", periods=1)}), "column 'a' is .*period.*Spark does not"),
        (pl.DataFrame({"a": pl.Series([object()], dtype=pl.Object)}), "column 'a' holds values .* objects"),
        (pl.DataFrame({"a": pl.Series([1], dtype=pl.Int128)}), "column 'a' holds values"),
        (pa.table({"a": pa.array([10**40], pa.decimal256(60, 0))}), "column 'a' is decimal256"),
        (pd.DataFrame(), "the DataFrame has no columns"),
        ({"a": np.ones(2), "b": np.ones(3)}, r"the columns differ in length \(a 2, b 3\)"),
        (np.ones((2, 2)), r"the data is an array of shape \(2, 2\), whose columns have no names: give a"),
        ([1, 2], "the data is a list: give a DataFrame of Spark, pandas, polars or Arrow, or a dict of"),
        (Stream(pa.chunked_array([[1]])), "the data is a Stream, which cannot be read"),
    ],
)
def test_what_spark_cannot_take_is_refused_in_one_line(frame, words):
    with pytest.raises(DataError, match=words) as caught:
        frames.table(frames.of(frame))
    assert "\n" not in str(caught.value)


def test_rows_of_arrow_are_no_batches_of_a_dataset():
    assert kind_of(_arrow(TABLE).to_reader()) is None


def test_times_keep_their_hour_and_what_is_lost_is_said(spark, capsys):
    zone = "Asia/Tokyo" if spark.conf.get("spark.sql.session.timeZone") != "Asia/Tokyo" else "Asia/Seoul"
    times = pd.to_datetime([1, HOUR.timestamp() * 1e9 + 1])
    frame = pd.DataFrame({"plain": times, "zoned": times.tz_localize("UTC").tz_convert(zone)})

    df = data_frame(spark, frame)

    said = capsys.readouterr().out
    assert said.count("holds nanoseconds: Spark keeps its times to the microsecond below.") == 2
    assert f"Column 'zoned' holds times of {zone}: parts of them, such as zoned_hour, are those of" in said
    found = df.selectExpr("hour(plain)", "unix_micros(zoned)").collect()
    assert [row[0] for row in found] == list(times.hour)
    assert [row[1] for row in found] == [one.value // 1000 for one in times]


def test_the_order_of_categories_is_that_of_their_classes(spark):
    words, order = ["mid", "small", "big"], ["small", "mid", "big"]
    category = pd.Categorical(words, order, ordered=True)
    made = [
        pd.DataFrame({"a": [1.0, 2.0, 3.0], "y": category}),
        pl.DataFrame({"a": [1.0, 2.0, 3.0], "y": pl.Series(words, dtype=pl.Enum(order))}),
        _arrow(pd.DataFrame({"a": [1.0, 2.0, 3.0], "y": category})),
    ]
    for frame in made:
        (field,) = [one for one in data_frame(spark, frame).schema if one.name == "y"]
        assert (field.dataType.simpleString(), field.metadata) == ("string", {"nbkeras": {"classes": order}})


@pytest.mark.parametrize(
    "series",
    [pl.Series([1, 2]), pa.array([1, 2]), pa.chunked_array([[1], [2]]), pd.Series([1, 2], dtype="Int8")],
)
def test_a_series_is_an_array(series):
    found = converted.converted([series])[0]
    assert (found.tolist(), found.dtype) == ([1, 2], "int64")


@pytest.mark.parametrize(
    ("column", "shape"),
    [
        (pa.chunked_array([[[1.0, 2.0]], [[3.0, 4.0], [5.0, 6.0]]]), (3, 2)),
        (pa.FixedSizeListArray.from_arrays(pa.array([1.0, 2.0, 3.0, 4.0]), 2), (2, 2)),
        (pa.array([[[1.0], [2.0]], [[3.0], [4.0]]]), (2, 2, 1)),
        (pa.array([[], []], pa.list_(pa.int8())), (2, 0)),
    ],
)
def test_a_column_of_lists_is_the_array_that_its_values_make(column, shape):
    found = converted.converted(column)
    assert found.shape == shape
    assert found.tolist() == column.to_pylist()


def test_a_column_of_vectors_is_an_array_of_two_axes():
    vectors = pl.DataFrame({"x": pl.Series([[1.0, 2.0]], dtype=pl.Array(pl.Float32, 2))})
    for one in (vectors, vectors["x"], vectors.to_arrow(), vectors.to_arrow()["x"]):
        assert converted.converted(one).tolist() == [[1.0, 2.0]]
    with pytest.raises(DataError, match=r"^column 'a' holds 1 null"):
        converted.converted(pl.DataFrame({"a": [1, None]}))


# -- out ---------------------------------------------------------------------------------------------


def test_predictions_come_in_the_kind_of_frame_that_was_given(spark, trained):
    right = trained.predict(X, verbose=0)[:, 0]
    for kind in _PREDICTED:
        make, back = KINDS[kind]
        found = nbkeras.predict(trained, make(TABLE), **on(spark))
        assert isinstance(found, back), kind
        assert columns_of(found) == NAMES, kind
        found = found.collect() if isinstance(found, pl.LazyFrame) else found
        np.testing.assert_allclose(found["prediction"], right, 1e-4, 1e-5, err_msg=kind)
        np.testing.assert_array_equal(found["a"], TABLE["a"], err_msg=kind)
        if isinstance(found, pd.DataFrame):
            pd.testing.assert_frame_equal(found[list(TABLE)], make(TABLE))


def test_a_frame_of_predictions_shares_nothing_with_the_one_that_was_given(spark, trained):
    found = nbkeras.predict(trained, TABLE, **on(spark))
    found.loc["row 0", "a"] = 99.0
    assert TABLE.loc["row 0", "a"] == X[0, 0]


def test_evaluate_takes_columns_by_name_as_predict_does(spark, trained):
    right = trained.evaluate(X, TABLE["y"].to_numpy(), verbose=0)
    swapped = TABLE[["y", "c", "b", "a"]].assign(d=7.0)
    for make in (lambda one: one, pl.from_pandas, _arrow):
        found = nbkeras.evaluate(trained, make(swapped), "y", **on(spark))
        np.testing.assert_allclose(found["loss"], right, 1e-4)
        separate = nbkeras.evaluate(
            trained, make(swapped.drop(columns="y")), TABLE["y"].to_numpy(), **on(spark)
        )
        np.testing.assert_allclose(separate["loss"], right, 1e-4)
    with pytest.raises(DataError, match="feature column 'a' is not in the DataFrame"):
        nbkeras.evaluate(trained, TABLE[["b", "c"]], TABLE["y"].to_numpy(), **on(spark))


def test_columns_may_be_called_by_numbers(spark):
    numbers = TABLE.set_axis([0, 1, 2, 3], axis=1).assign(more=7.0)
    right = net().evaluate(X, TABLE["y"].to_numpy(), verbose=0)
    for features in ([0, 1, 2], ["0", "1", "2"]):
        found = nbkeras.evaluate(net(), numbers, 3, features=features, **on(spark))
        np.testing.assert_allclose(found["loss"], right, 1e-4)


def test_the_other_order_of_bytes_is_the_same_number(spark, trained):
    turned = TABLE.astype(">f8")
    right = trained.predict(X, verbose=0)[:, 0]
    fields = {name: turned[name].to_numpy() for name in turned}
    for frame in (turned, fields, turned.to_records(index=False)):
        found = nbkeras.predict(trained, frame, **on(spark))
        np.testing.assert_allclose(found["prediction"], right, 1e-4, 1e-5)
        np.testing.assert_array_equal(found["a"], TABLE["a"])


def test_a_report_takes_the_labels_that_evaluate_takes(spark, trained):
    right = np.abs(trained.predict(X, verbose=0)[:, 0] - TABLE["y"]).mean()
    swapped, y = TABLE[["c", "b", "a"]].assign(d=7.0), TABLE["y"].to_numpy()
    for frame, labels in (
        (swapped, y),
        (swapped, TABLE["y"]),
        (pl.from_pandas(swapped), pl.Series(y)),
        (_arrow(swapped), y),
        ({name: TABLE[name].to_numpy() for name in TABLE}, None),
    ):
        found = nbkeras.report(trained, frame, y=labels, **on(spark))
        assert found.rows == ROWS
        assert found.figures["mae"] == pytest.approx(right, rel=1e-4)
    right = np.abs(net().predict(X, verbose=0)[:, 0] - y).mean()
    found = nbkeras.report(net(), TABLE[list("abc")], y=y, **on(spark))
    assert found.figures["mae"] == pytest.approx(right, rel=1e-4)
    with pytest.raises(OptionError, match="by= and worst= are of a DataFrame with its labels"):
        nbkeras.report(trained, swapped, y=y, by="d", spark=spark)


def test_a_frame_without_rows_says_so(spark, trained):
    with pytest.raises(DataError, match=r"^label column 'y' holds nothing: there are no rows, or"):
        nbkeras.report(trained, TABLE.assign(y="lily").iloc[:0], "y", spark=spark)


def test_what_comes_back_into_a_dict_has_as_many_axes_as_it_has(spark):
    inputs = keras.Input((2,), name="x")
    model = keras.Model(inputs, layers.Reshape((2, 2))(layers.Dense(4)(inputs)))
    model.compile("sgd", "mse")
    data = {"x": np.ones((3, 2)), 7: np.arange(3)}
    found = nbkeras.predict(model, data, features=["x"], spark=spark)
    assert list(found) == ["x", 7, "prediction"]
    np.testing.assert_allclose(found["prediction"], model.predict(data["x"], verbose=0), 1e-5)
    gaps = frames.of(data).beside(pa.table({"p": [[1.0], None, [2.0]]}), None)["p"]
    assert [None if one is None else one.tolist() for one in gaps] == [[1.0], None, [2.0]]


def test_a_lazy_frame_is_read_once_and_says_what_is_wrong_with_it(spark, trained):
    read = []
    lazy = pl.from_pandas(TABLE).lazy().map_batches(lambda rows: read.append(len(rows)) or rows)
    found = nbkeras.predict(trained, lazy, **on(spark))
    assert isinstance(found, pl.LazyFrame)
    assert len(found.collect()) == ROWS
    assert read == [ROWS]
    with pytest.raises(DataError, match=r"^the data is a LazyFrame, which cannot be read \(FileNotFound"):
        nbkeras.predict(trained, pl.scan_csv("/nowhere.csv"), **on(spark))


@pytest.mark.smoke
def test_nan_and_null_stay_apart_in_spark(spark):
    rows = pl.DataFrame({"a": [1.0, float("nan"), None], "b": [1, 2, 3]})
    found = data_frame(spark, rows).selectExpr("isnan(a)", "a IS NULL").collect()
    assert [tuple(one) for one in found] == [(False, False), (True, False), (False, True)]


def test_pandas_on_spark_keeps_its_index(spark, trained):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own import
        data = spark.createDataFrame(TABLE.reset_index()).coalesce(1).pandas_api(index_col="index")
        found = nbkeras.predict(trained, data, **on(spark))
        assert type(found) is type(data)
        again = found.to_pandas()

    assert (list(again), list(again.index), again.index.name) == (NAMES, list(TABLE.index), "index")
    np.testing.assert_allclose(again["prediction"], trained.predict(X, verbose=0)[:, 0], 1e-4, 1e-5)


def test_columns_are_found_by_name_and_what_is_no_feature_stays_as_it_is(spark, trained):
    columns = {"c": TABLE["c"], "when": pd.period_range("2024", periods=ROWS), "b": TABLE["b"]}
    frame = pd.DataFrame({**columns, "thing": [1, "x"] * (ROWS // 2), "a": TABLE["a"]})

    found = nbkeras.predict(trained, frame, **on(spark))

    pd.testing.assert_frame_equal(found[list(frame)], frame)
    np.testing.assert_allclose(found["prediction"], trained.predict(X, verbose=0)[:, 0], 1e-4, 1e-5)
    with pytest.raises(DataError, match="the DataFrame has a column 'when' already: rename it"):
        nbkeras.predict(trained, frame, output="when", spark=spark)
    empty = nbkeras.predict(trained, pl.from_pandas(TABLE).head(0), **on(spark))
    assert (empty.columns, len(empty)) == (NAMES, 0)


def test_a_model_that_knows_no_names_takes_a_frame_as_keras_does(spark):
    model = net()
    for frame in (TABLE[list("abc")], pl.from_pandas(TABLE[list("abc")]), _arrow(TABLE[list("abc")])):
        found = nbkeras.predict(model, frame, spark=spark)
        np.testing.assert_allclose(found, model.predict(X, verbose=0), 1e-5, 1e-6)


def test_windows_come_back_as_the_last_rows_of_theirs(spark):
    frame = pl.DataFrame({"day": [3, 1, 2, 4], "sold": [4.0, 1.0, 2.0, 8.0], "label": [0.0, 1.0, 2.0, 3.0]})
    model = keras.Sequential([keras.Input((2, 1)), layers.Flatten(), layers.Dense(1)])
    model.compile("sgd", "mse")
    series = nbkeras.timeseries(frame, "day", 2, spark=spark)
    nbkeras.fit(model, series, "label", workers=1, verbose=0, **on(spark))

    found = nbkeras.predict(model, frame, **on(spark))

    assert found.select("day", "sold", "label").rows() == frame[[0, 2, 3]].rows()
    right = model.predict(np.array([[2.0, 4.0], [1.0, 2.0], [4.0, 8.0]])[..., None], verbose=0)[:, 0]
    np.testing.assert_allclose(found["prediction"], right, 1e-4, 1e-5)


# -- what else takes a DataFrame ---------------------------------------------------------------------


def test_preprocessing_and_reports_take_any_kind_of_frame(spark):
    ports = {"port": np.array(["S", "Q", "S", "C"]), "y": np.array([0, 1, 1, 0]), "p": np.array([0, 1, 0, 0])}
    lazy = pl.DataFrame(ports).lazy()

    learned = nbkeras.adapt({"port": layers.StringLookup()}, Stream(pa.table(ports)), spark=spark)
    proposed = nbkeras.features(lazy, ["y", "p"], spark=spark)
    report = nbkeras.report(ports, "y", "p", by="port", spark=spark)
    padded = nbkeras.pad_sequences(pl.DataFrame({"ids": [[1], [2, 3]]}), "ids", 2, spark=spark)

    assert learned.learned[0] == "3 words: 'S', 'Q', 'C'"
    assert list(proposed.inputs) == ["port"]
    assert report.figures["accuracy"] == pytest.approx(0.75)
    assert list(report.slices.index) == ["S", "C", "Q"]
    assert [one.dataType.simpleString() for one in padded.schema] == ["array<bigint>"]


def test_the_builder_selects_columns_in_the_words_of_their_frame(spark):
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [0.5, 1.5], "c": [1.0, 3.0], "y": [0.1, 0.2]})
    selected = {
        'rows[["a", "b", "y"]]': frame,
        'rows.select(["a", "b", "y"])': pl.from_pandas(frame),
        'rows.drop("c")': data_frame(spark, frame),
    }
    for words, rows in selected.items():
        editor = Editor({"rows": rows})
        editor.act("features", value=["a", "b"])
        editor.act("label", value="y")
        assert f"model.fit({words}," in " ".join(editor.design.code().split()).replace("( ", "(")
        assert list(eval(words, {"rows": rows}).columns) == ["a", "b", "y"]  # noqa: S307  # the builder's code


def test_the_words_of_the_magic_take_any_frame_and_those_of_spark_first():
    found = magics.frames_of({"rows": pl.DataFrame(), "batch": pa.table({}), "column": pl.Series(), "n": 1})
    assert found == ["rows", "batch"]


def test_stages_of_spark_ml_say_that_they_take_sparks_own():
    with pytest.raises(DataError, match=r"^KerasRegressor takes a DataFrame of Spark, .* got a polars Data"):
        KerasRegressor(model=net()).fit(pl.from_pandas(TABLE))


def test_a_stream_to_train_on_is_one_of_spark():
    with pytest.raises(DataError, match=r"^fit_stream takes a stream, .* and got a DataFrame at rest"):
        nbkeras.fit_stream(net(), pl.from_pandas(TABLE), "y")
