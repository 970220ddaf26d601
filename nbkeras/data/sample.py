"""Sample rows of the data, to build a model whose input shape is not known yet."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbkeras.data import kinds
from nbkeras.data.kinds.images import Images
from nbkeras.data.rows import NO_ROWS, Rows
from nbkeras.data.stream import Stream
from nbkeras.errors import DataError, ModelError, one_line
from nbkeras.model import exactness, randomness, state
from nbkeras.schema import Field

#: Rows that are looked at for one whose images can be read.
_LOOKED_AT = 100


def build(model: Any, rows: Rows) -> None:
    """Build a model and its optimizer as its first batch would, without a draw from its random generators.

    Args:
        model: any Keras model.
        rows: the data; one row is read where a layer of the model is not built yet.

    Raises:
        DataError: there is no row.
        ModelError: the model fails on it.
    """
    import keras

    # A model with its own training step, such as a pair of networks, may have no call at all.
    itself, *layers = (one.built for one in model._flatten_layers())  # noqa: SLF001  # public `layers` are not all
    plain = exactness.plain(model)
    if not (itself and all(layers)) and type(model).call is not keras.Model.call:
        inputs = first_batch(rows)[0]
        try:
            with randomness.paused():
                if isinstance(model, keras.Sequential) and hasattr(inputs, "shape"):
                    # Called with rows, it would take batches of their number alone.
                    model.build((None, *inputs.shape[1:]))
                else:
                    model(inputs, training=False)
        except Exception as error:
            # Its own step may call it with other parts of a batch.
            if plain or not all(layers):
                raise ModelError(f"the model fails on one row of the data: {one_line(error)}") from error
    optimizer = getattr(model, "optimizer", None)
    # Such a training step chooses the variables of its optimizers itself.
    if plain and optimizer is not None and not optimizer.built:
        optimizer.build(model.trainable_variables)


def build_metrics(model: Any, rows: Rows) -> None:
    """Build a model's loss and metrics as its first batch would, so that their states can be set.

    Raises:
        DataError: there is no row.
        ModelError: the loss or a metric fails on a row of the data.
    """
    loss, metrics = state.unbuilt(model)
    if not (loss or metrics):
        return
    batch = first_batch(rows, exactness.fixed_batch(model) or 1)
    x, y, weights = (*batch, None, None)[:3]
    before = [(one, state.value(one)) for one in state.states(model)]
    predicted = model(x, training=False)
    for variable, value in before:
        variable.assign(value)
    failing = "the loss"
    try:
        if loss:
            model.compute_loss(x, y, predicted, sample_weight=weights, training=False)
        failing = "a metric"
        if metrics:
            model.compute_metrics(x, y, predicted, sample_weight=weights)
    except Exception as error:
        raise ModelError(f"{failing} fails on one row of the data: {one_line(error)}") from error


def outputs(model: Any, rows: Rows) -> Any:
    """Return what the model predicts for one row: of zeros if the inputs' shapes are known, else read."""
    import keras

    trained = rows.trained
    if all(one.shape is not None for one in trained.features):
        zeros = [np.zeros((1, *(trained.taken(one, one.shape) or ())), one.dtype) for one in trained.features]
        inputs = trained.inputs(zeros)
    else:
        inputs = first_batch(rows)[0]
    if type(model).predict_step is not keras.Model.predict_step:
        # Keras' own, also where this one runs on Spark.
        return super(keras.Model, model).predict(inputs, verbose=0)
    return model(inputs, training=False)


def first_batch(rows: Rows, number: int = 1) -> tuple[Any, ...]:
    """Read the first rows as a batch: x, and y and sample_weight if the data has them.

    Args:
        rows: the data.
        number: of rows at most; if their shapes differ, only the first row is read.

    Raises:
        DataError: there is no row, or a null.
    """
    if isinstance(rows, Stream):
        return rows.first_batch(number)
    if rows.df.isStreaming:
        return stand_ins(rows, number)
    found = _taken(rows, number)
    arrays = {
        one.name: [_array(row[one.name], one, len(found)) for row in found] for one in rows.schema.fields
    }
    if any(len({one.shape for one in same}) > 1 for same in arrays.values()):
        arrays = {name: same[:1] for name, same in arrays.items()}
    stacked = {one.name: kinds.encoding(one).stacked(arrays[one.name]) for one in rows.schema.fields}
    return rows.trained.nest(_windowed(rows, rows.decoder.preprocessed(stacked)))


def _windowed(rows: Rows, values: dict[str, Any]) -> dict[str, Any]:
    """Make a window of each row, which stands for all of its steps: to find real ones, Spark would sort."""
    windows = rows.schema.windows
    if windows is None:
        return values
    for one in rows.schema.features:
        values[one.name] = np.repeat(values[one.name][:, None], windows.length, 1)
    return values


def _taken(rows: Rows, number: int) -> list[Any]:
    """Take the first rows; files that are left out are passed over."""
    df = rows.df.select(*[one.name for one in rows.schema.fields])
    found = df.take(number)
    skipping = [one for one in rows.schema.features if one.image is not None and one.image.invalid == "skip"]
    readable = [row for row in found if all(Images().is_readable(row[one.name], one) for one in skipping)]
    if len(readable) < len(found):
        more = df.take(_LOOKED_AT)
        readable = [row for row in more if all(Images().is_readable(row[one.name], one) for one in skipping)]
    if not found:
        raise DataError(NO_ROWS)
    if not readable:
        raise DataError(f"none of the first {_LOOKED_AT} images of the DataFrame can be read: replace them")
    return readable[:number]


def stand_ins(rows: Rows, number: int) -> tuple[Any, ...]:
    """Return rows of zeros and ones, where there are none to read: of a stream before it is started.

    Raises:
        DataError: the model does not say what it takes.
    """
    fields = rows.trained.fields
    if any(one.shape is None or one.dtype is None for one in fields):
        raise DataError(
            "the DataFrame is a stream, of which no row can be read before it is started, and the model does "
            "not say what it takes: begin it with keras.Input, or train it first"
        )
    random = np.random.default_rng(0)
    made = {one.name: random.integers(0, 2, (number, *(one.shape or ()))).astype(one.dtype) for one in fields}
    return rows.trained.nest(made)


def _array(value: Any, field: Field, rows: int) -> np.ndarray[Any, Any]:
    if value is None:
        where = "its first row" if rows == 1 else f"its first {rows} rows"
        raise DataError(
            f"column '{', '.join(field.sources)}' holds a null in {where}: drop such rows "
            "(dropna, drop_nulls)"
        )
    array = kinds.encoding(field).array(value, field)
    return array if field.shape is None else array.reshape(field.shape)
