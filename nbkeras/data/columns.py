"""Choose the columns of a DataFrame that feed each model input, label and weight, and their types."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from nbkeras.data import image_columns as images
from nbkeras.data import kinds, marks, parts, sequences
from nbkeras.data.kinds.array import Array
from nbkeras.data.kinds.classes import Classes
from nbkeras.data.kinds.images import Images
from nbkeras.data.kinds.kind import Kind, spark_type
from nbkeras.data.kinds.text import Text
from nbkeras.data.names import first
from nbkeras.data.signature import Input, Signature
from nbkeras.errors import DataError
from nbkeras.schema import WORDS, Field

#: The types that values are cast to on their way.
_SENT: dict[str, T.DataType] = {
    one.simpleString(): one
    for one in (T.FloatType(), T.DoubleType(), T.LongType(), T.IntegerType(), T.BooleanType(), T.StringType())
}


def feature_fields(
    df: DataFrame,
    signature: Signature,
    features: Sequence[str] | None,
    labels: Sequence[str],
    weights: Sequence[str] = (),
) -> tuple[Field, ...]:
    """Choose the fields of the model's inputs.

    Args:
        df: the user's DataFrame.
        signature: of the model.
        features: columns to use; None for those with the inputs' names, else all that are neither label nor
            weight, else labels that are arrays, which an autoencoder takes.
        labels, weights: columns.

    Raises:
        DataError: the columns do not fit the model's inputs.
    """
    called = signature.names[0]
    if features is None:
        rest = [name for name in df.columns if name not in (*labels, *weights)]
        named = parts.offered(df, signature.names)
        called = named or called
        if named is None and len(signature.inputs) == 1:
            rest = images.chosen(df, rest, signature.inputs[0])
        candidates = list(named or rest or [name for name in labels if _is_array(df, name)])
    else:
        candidates = list(features)
        called = next((names for names in signature.names if set(names) == set(candidates)), called)
    candidates = [existing(df, name, "feature") for name in candidates]
    if not candidates:
        raise DataError(f"{signature}, but no column is left for it ({offered(df)}): add one")
    if len(signature.inputs) > 1:
        # Columns that are named in their order, and by no input's name, are taken as a list of arrays is.
        strange = not set(candidates) & {name for names in signature.names for name in names}
        if features is not None and strange and len(candidates) == len(signature.inputs):
            called = tuple(candidates)
        elif set(candidates) != set(called):
            raise DataError(
                f"{signature}; {offered(df)}: give the DataFrame one column per input, with the input's name"
            )
        return tuple(
            _input(df, f"x{index}", (name,), f"model input '{name}'", one)
            for index, (name, one) in enumerate(zip(called, signature.inputs, strict=True))
        )
    return (_only_field(df, signature, candidates),)


def _only_field(df: DataFrame, signature: Signature, candidates: list[str]) -> Field:
    """Choose the field of a model with one input: one column of arrays, or several columns of numbers."""
    (only,) = signature.inputs
    title = f"model input '{only.name}'"
    if len(candidates) == 1 and images.takes(df, candidates[0], only):
        return _input(df, "x0", tuple(candidates), title, only)
    for name in candidates:
        _require(df, name, only.dtype)
    single = not any(_is_array(df, name) for name in candidates)
    if len(candidates) > 1 and not single:
        raise DataError(
            f"{signature}; {offered(df)}: name the columns to use, one array column or several "
            "numeric ones, features=['…', …]"
        )
    numbers = len(candidates)
    thing = "word" if only.dtype == WORDS else "number"
    if single and only.shape is not None and math.prod(only.shape) != numbers:
        taken = math.prod(only.shape)
        advice = (
            "name the columns to use, features=['…', …]; a label is named by y='…'"
            if numbers > taken
            else f"add columns, or give the model keras.Input(({numbers},))"
        )
        if len(only.shape) > 1:
            advice += "; windows of rows that follow each other come of nbkeras.timeseries"
        raise DataError(
            f"{signature}, which is {taken} {thing}{'s' if taken > 1 else ''}, but "
            f"{_many(numbers)} left for it ({first(candidates)}); {offered(df)}: {advice}"
        )
    return _input(df, "x0", tuple(candidates), title, only)


def _input(df: DataFrame, name: str, sources: tuple[str, ...], title: str, taken: Input) -> Field:
    """Make the field of an input of a model: of images where the column holds some."""
    if len(sources) == 1 and images.takes(df, sources[0], taken):
        return images.field(df, name, sources[0], title, taken)
    return sequences.field(df, _field(df, name, sources, title, taken.dtype, taken.shape), taken)


def feature_field(df: DataFrame, name: str, column: str, dtype: str) -> Field:
    """Choose the field of one column, for a layer that takes it alone: a single number as a row of one.

    Args:
        df: the user's DataFrame.
        name: of the field.
        column: of the DataFrame.
        dtype: NumPy name of the type that the layer takes, or words.

    Raises:
        DataError: there is no such column, or it holds something else.
    """
    existing(df, column, "feature")
    shape = None if _is_array(df, column) else (1,)
    return _field(df, name, (column,), f"column '{column}'", dtype, shape)


def label_fields(df: DataFrame, names: Sequence[str], floatx: str) -> tuple[Field, ...]:
    """Choose the fields of the labels: whole numbers stay whole, words become those of their classes.

    All others become ``floatx``.

    Raises:
        DataError: no such column, or one that does not hold numbers.
    """
    fields = []
    for index, name in enumerate(names):
        existing(df, name, "label")
        dtype = parts.type_of(df, name)
        if isinstance(dtype, T.StringType):
            known = tuple(marks.of(df, name).get("classes", ()))
            fields.append(Field(f"y{index}", (name,), f"label '{name}'", "int64", None, Classes.name, known))
            continue
        parts.require_some(f"label column '{name}'", dtype)
        kind = kinds.of(dtype)
        if kind is None:
            raise DataError(
                f"label column '{name}' is {dtype.simpleString()}: name a column of numbers, or of words "
                "that are classes"
            )
        target = "int64" if kind.is_whole(dtype) else floatx
        fields.append(_field(df, f"y{index}", (name,), f"label '{name}'", target))
    return tuple(fields)


def weight_fields(df: DataFrame, names: Sequence[str], floatx: str) -> tuple[Field, ...]:
    """Choose the fields of the sample weights: one number per row, or an array with one per step of a row.

    Raises:
        DataError: no such column, or one that does not hold numbers.
    """
    fields = []
    for index, name in enumerate(names):
        existing(df, name, "sample_weight")
        kind = kinds.of(parts.type_of(df, name))
        if kind is None:
            found = parts.type_of(df, name).simpleString()
            raise DataError(f"sample_weight column '{name}' is {found}: name a column of numbers")
        title = "sample_weight" if len(names) == 1 else f"sample_weight '{name}'"
        fields.append(_field(df, f"w{index}", (name,), title, floatx, () if kind.single else None))
    return tuple(fields)


def expression(df: DataFrame, field: Field) -> Column:
    """Return the column of a field, cast to its type; several source columns are stacked into one array."""
    assert field.dtype is not None
    if field.image is not None:
        return images.expression(df, field)
    values = [parts.column(df, name) for name in field.sources]
    if field.dtype != WORDS and field.kind != Classes.name:
        values = [
            _kind(df, name).cast(value, parts.type_of(df, name), field.dtype)
            for name, value in zip(field.sources, values, strict=True)
        ]
    if field.padding is not None:
        values = [sequences.padded(values[0], field)]
    for place, fill in enumerate(field.fills):
        values[place] = filled(values[place], _SENT[spark_type(field.dtype)], (fill,))
    return (values[0] if len(values) == 1 else F.array(*values)).alias(field.name)


def filled(value: Column, dtype: T.DataType, fills: Sequence[Any]) -> Column:
    """Fill what is missing.

    Args:
        value: a number, a word, or an array of these.
        dtype: of the column.
        fills: what stands for a missing value, for each place of an array; None for nothing.
    """
    if isinstance(dtype, T.ArrayType):
        inner, lits = dtype.elementType, F.array(*[F.lit(one).cast(dtype.elementType) for one in fills])
        return F.transform(
            value,
            lambda one, place: F.coalesce(
                F.when(~parts.is_missing(one, inner), one), F.get(lits, place), one
            ),
        )
    (fill,) = fills
    if fill is None:
        return value
    return F.when(parts.is_missing(value, dtype), F.lit(fill).cast(dtype)).otherwise(value)


def numbers(df: DataFrame, name: str) -> Column:
    """Return all numbers of a column as doubles: an array gives one row for each of its numbers."""
    return _kind(df, name).numbers(parts.column(df, name), parts.type_of(df, name))


def existing(df: DataFrame, name: Any, role: str) -> str:
    """Check that the DataFrame has a column exactly once, and return its name.

    Raises:
        DataError: it does not.
    """
    names = df.columns
    if not parts.offers(df, name):
        near = difflib.get_close_matches(str(name), names, 1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise DataError(f"{role} column {name!r} is not in the DataFrame: {hint}{offered(df)}")
    if names.count(name) > 1:
        raise DataError(f"{role} column '{name}' is in the DataFrame {names.count(name)} times: rename one")
    alike = [one for one in names if len(one) == len(name) and one != name and one.lower() == name.lower()]
    if alike and df.sparkSession.conf.get("spark.sql.caseSensitive", "false") != "true":
        raise DataError(
            f"{role} column '{name}' is '{alike[0]}' to Spark, which ignores case: rename one, or set "
            "spark.sql.caseSensitive to true"
        )
    return str(name)


def distinct(names: Sequence[str], outputs: Sequence[str]) -> None:
    """Check that output columns can be added: Spark cannot make rows with two columns of one name.

    Args:
        names: of the columns that there are.
        outputs: of those to be added.

    Raises:
        DataError: a column is there twice, or has the name of an output.
    """
    for name in outputs:
        if name in names:
            raise DataError(
                f"the DataFrame has a column '{name}' already: rename it, or name the new one, "
                "nbkeras.predict(…, output='…')"
            )
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"column '{name}' is in the DataFrame {names.count(name)} times: rename one")


def offered(df: DataFrame) -> str:
    """Describe the DataFrame's columns and their types, the first twenty."""
    columns = [f"{field.name} {field.dataType.simpleString()}" for field in df.schema.fields]
    return f"the DataFrame has {first(columns, 20)}"


def _field(
    df: DataFrame,
    name: str,
    sources: tuple[str, ...],
    title: str,
    dtype: str,
    shape: tuple[int, ...] | None = None,
) -> Field:
    """Make a field with the kind that its columns are sent as: several columns are sent as an array."""
    for source in sources:
        _require(df, source, dtype)
    if dtype == WORDS:
        return Field(name, sources, title, dtype, shape, Text.name)
    kind = _kind(df, sources[0]).name if len(sources) == 1 else Array.name
    return Field(name, sources, title, dtype, shape, kind)


def _require(df: DataFrame, name: str, dtype: str) -> None:
    """Check that a column holds what a model input, label or weight takes.

    Raises:
        DataError: it holds words where numbers are taken, numbers for words, or what no model takes.
    """
    found = parts.type_of(df, name)
    parts.require_some(f"column '{name}'", found)
    words, said = kinds.holds_words(found), f"column '{name}' is {found.simpleString()}"
    if dtype == WORDS and not words:
        raise DataError(f"{said}, and the model takes words there: write its values as words")
    if dtype != WORDS and words:
        raise DataError(
            f"{said}, and the model takes numbers there: give the model keras.Input((1,), dtype='string') "
            "with a keras.layers.StringLookup behind it, or remove the column"
        )
    if parts.is_time(found) and dtype != WORDS:
        raise DataError(
            f"{said}, of which a model takes parts: name its input after one, "
            f"keras.Input((1,), name='{name}_{'hour' if 'time' in found.simpleString() else 'month'}') "
            f"({', '.join(parts.TIMES)}), or remove the column"
        )
    if Images().holds(found):
        raise DataError(
            f"{said}: a model takes files of images by keras.Input((height, width, 3)), else remove the "
            "column"
        )
    if not words and kinds.of(found) is None:
        raise DataError(f"{said}, which no model takes: turn it into numbers, or remove the column")


def _kind(df: DataFrame, name: str) -> Kind:
    """Return the kind of a column of numbers."""
    kind = kinds.of(parts.type_of(df, name))
    assert kind is not None
    return kind


def _is_array(df: DataFrame, name: str) -> bool:
    return isinstance(parts.type_of(df, name), T.ArrayType) or (
        (kind := kinds.of(parts.type_of(df, name))) is not None and not kind.single
    )


def _many(number: int) -> str:
    return "1 column is" if number == 1 else f"{number} columns are"
