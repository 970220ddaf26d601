"""Evaluation and prediction without Spark: states of metrics add up, and rows come back in their order."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
from types import SimpleNamespace
from unittest.mock import MagicMock

import keras
import numpy as np
import pyarrow as pa
import pytest

from nbkeras.driver import inference
from nbkeras.driver.scoring import evaluate, scored
from nbkeras.errors import Aborted, ClusterError, DataError, TrainingError
from nbkeras.job import outcome
from nbkeras.job.job import Job
from nbkeras.model import state
from nbkeras.plan import Plan
from nbkeras.schema import ORDER, Field, Schema
from nbkeras.spark.shared import Inside

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(30, 3)).astype("float32"), RANDOM.normal(size=(30, 1)).astype("float32")


def compiled(*metrics):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=[*metrics], run_eagerly=True)
    model.evaluate(X[:1], Y[:1], verbose=0)
    return model


@keras.saving.register_keras_serializable("inference")
class FromOne(keras.metrics.Metric):
    """Whose states are whole numbers and do not begin with zero."""

    def __init__(self):
        super().__init__(name="from_one")
        self.rows = self.add_weight(shape=(), initializer="ones", dtype="int64", name="rows")

    def update_state(self, y, predicted, sample_weight=None):
        self.rows.assign_add(keras.ops.cast(keras.ops.shape(y)[0], "int64"))

    def reset_state(self):
        self.rows.assign(1)

    def result(self):
        return self.rows


def counted(y, predicted):
    """A metric of the user's own that adds up."""
    return keras.ops.abs(y - predicted)


def spread(y, predicted):
    return keras.ops.std(predicted)


def states(model, *cuts):
    """The packed states of partitions of the rows."""
    packed = []
    for part in np.split(np.arange(len(X)), cuts):
        model.reset_metrics()
        if len(part):
            model.evaluate(X[part], Y[part], verbose=0)
        packed.append(state.pack(model.metrics_variables))
    return packed


def row(kind, rank, data):
    return {"kind": kind, "rank": rank, "data": bytearray(data)}


# -- evaluation ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("cuts", [(), (15,), (1, 2), (30,), (4, 4, 29)])
def test_states_of_partitions_of_any_size_give_what_keras_gives_for_all_rows(cuts):
    model = compiled("mae", FromOne())
    whole = model.evaluate(X, Y, verbose=0, return_dict=True)
    found = evaluate.summed(model, states(model, *cuts))
    assert list(found) == ["loss", "mae", "from_one"]
    assert found == pytest.approx(whole, rel=1e-5)
    assert found["from_one"] == 31


def test_what_a_model_has_seen_before_does_not_count():
    model = compiled("mae")
    packed = states(model, 10)
    expected = evaluate.summed(model, packed)
    model.evaluate(100 * X, Y, verbose=0)
    assert evaluate.summed(model, packed) == expected


def test_results_that_are_arrays_stay_arrays():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse", metrics=[keras.metrics.R2Score(class_aggregation=None)], run_eagerly=True)
    y = np.concatenate([Y, -Y], axis=1)
    whole = model.evaluate(X, y, verbose=0, return_dict=True)
    packed = [state.pack(model.metrics_variables)]
    np.testing.assert_allclose(evaluate.summed(model, packed)["r2_score"], whole["r2_score"], rtol=1e-5)


def test_pieces_of_a_state_are_put_together_by_worker_in_their_order():
    rows = [row("bytes", 1, b"ab"), row("bytes", 0, b"xy"), row("bytes", 1, b"cd"), row("bytes", 0, b"z")]
    assert inference._results(rows)[0] == [b"xyz", b"abcd"]


def test_nulls_of_all_partitions_are_added_up_and_told_rather_than_a_result():
    nulls = [json.dumps(one).encode() for one in ({"a": 1, "b": 2}, {"a": 3})]
    rows = [row("bytes", 0, b"x"), row("nulls", 0, nulls[0]), row("nulls", 1, nulls[1])]
    with pytest.raises(DataError, match="column 'a' holds 4 nulls, column 'b' holds 2 nulls: drop these"):
        inference._results(rows)[0]


def test_a_partition_that_failed_is_reported_with_its_worker():
    told = {
        "kind": "ValueError",
        "message": "no scale",
        "frames": [],
        "own": False,
        "rank": 3,
        "host": "node7",
    }
    with pytest.raises(TrainingError, match=r"^on worker 3 \(node7\): ValueError: no scale$"):
        inference._results([row("bytes", 0, b"x"), row("failure", 3, json.dumps(told).encode())])[0]


def test_no_partition_with_a_state_is_no_row(monkeypatch):
    monkeypatch.setattr(inference, "job_of", lambda *_: None)
    monkeypatch.setattr(inference, "collected", lambda *_: ([], []))
    with pytest.raises(DataError, match="no rows to evaluate"):
        evaluate._evaluated(None, SimpleNamespace(plan=Plan(Schema())), compiled("mae"), None, None)


def test_metrics_of_keras_add_up_and_no_row_is_looked_at():
    def batch():
        pytest.fail("it looks at rows")

    assert evaluate.coupled(compiled("mae", keras.metrics.RootMeanSquaredError()), batch) == ""
    assert evaluate.coupled(compiled(), batch) == ""


def test_a_custom_metric_is_examined_and_left_in_its_first_state():
    def four():
        return X[:4], Y[:4]

    model = compiled(counted, "mae")
    assert evaluate.coupled(model, four) == ""
    assert [float(one.result()) for one in model._compile_metrics.metrics] == [0, 0]
    said = "metric 'spread' of some rows does not follow from those of each row"
    assert evaluate.coupled(compiled("mae", spread), four) == said
    assert evaluate.coupled(compiled(FromOne()), lambda: (X[:4], Y[:4], np.ones(4))) == ""


def pearson(y, predicted):
    y, predicted = y - keras.ops.mean(y), predicted - keras.ops.mean(predicted)
    return 1 - keras.ops.sum(y * predicted) / keras.ops.sqrt(
        keras.ops.sum(y * y) * keras.ops.sum(predicted * predicted) + 1e-7
    )


class Centred(keras.layers.Layer):
    def call(self, x):
        return x - keras.ops.mean(x, axis=0, keepdims=True)


class Noisy(keras.layers.Layer):
    def call(self, x):
        return x + keras.random.normal(keras.ops.shape(x))


class OwnTest(keras.Sequential):
    def test_step(self, data):
        return super().test_step(data)


class OwnLoss(keras.Sequential):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.sum(keras.ops.square(y - y_pred))


def of_rows(y, predicted):
    return keras.ops.mean(keras.ops.square(y - predicted), axis=-1)


MEAN = keras.losses.MeanSquaredError
LOSS = "the loss of some rows is not the mean of those of each row"


@pytest.mark.parametrize(
    ("loss", "layers", "kind", "weighed", "reason"),
    [
        (of_rows, (), keras.Sequential, False, ""),
        (pearson, (), keras.Sequential, False, LOSS),
        (MEAN(reduction="sum"), (), keras.Sequential, False, LOSS),
        (MEAN(reduction="mean_with_sample_weight"), (), keras.Sequential, False, ""),
        (MEAN(reduction="mean_with_sample_weight"), (), keras.Sequential, True, LOSS),
        (MEAN(reduction=None), (), keras.Sequential, True, ""),
        (keras.losses.Dice(), (), keras.Sequential, False, LOSS),
        ("mse", (), OwnLoss, False, LOSS),
        (
            "mse",
            (Centred,),
            keras.Sequential,
            False,
            "the model's output for a row depends on the other rows of",
        ),
        ("mse", (Noisy,), keras.Sequential, False, ""),
        ("mse", (keras.layers.BatchNormalization,), keras.Sequential, False, ""),
        ("mse", (), OwnTest, False, "OwnTest has its own test_step"),
    ],
)
def test_what_depends_on_a_batch_is_evaluated_in_keras_own_batches(loss, layers, kind, weighed, reason):
    model = kind([keras.Input((3,)), *(one() for one in layers), keras.layers.Dense(1)])
    model.compile("sgd", loss, run_eagerly=True)
    weights = np.linspace(0.5, 2, 4, dtype="float32") if weighed else None
    model.evaluate(X[:1], Y[:1], verbose=0)
    said = evaluate.coupled(model, lambda: (X[:4], Y[:4], weights)[: 3 if weighed else 2])
    assert said.startswith(reason)
    assert bool(said) == bool(reason)


def test_a_loss_of_masked_steps_has_to_be_evaluated_in_keras_own_batches():
    layers = [keras.layers.Masking(), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((5, 2)), *layers])
    model.compile("sgd", "mse", run_eagerly=True)
    x, y = RANDOM.normal(size=(4, 5, 2)), RANDOM.normal(size=(4, 5, 1))
    model.evaluate(x, y, verbose=0)
    assert evaluate.coupled(model, lambda: (x, y)) == LOSS
    # Without a mask at the end, a row's loss is its own.
    model = keras.Sequential([keras.Input((5, 2)), layers[0], keras.layers.LSTM(2), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    model.evaluate(x, y[:, 0], verbose=0)
    assert evaluate.coupled(model, lambda: (x, y[:, 0])) == ""


# -- an action of Spark, and its end -------------------------------------------------------------------


class Stage:
    """Stands for an action of Spark, which may be cancelled."""

    def __init__(self):
        self.cancelled = threading.Event()

    def run(self, action):
        return action()

    def cancel(self):
        self.cancelled.set()


@pytest.fixture
def stage(monkeypatch):
    made = Stage()
    monkeypatch.setattr(inference.cluster, "task", lambda *_: made)

    def thread(spark, work, name):
        return threading.Thread(target=work, daemon=True)

    monkeypatch.setattr(inference.session, "thread", thread)
    return made


def test_an_action_has_a_thread_of_its_own(stage):
    assert inference.attended(None, "evaluate", threading.current_thread) is not threading.current_thread()


def test_an_action_that_takes_longer_than_a_moment_is_said_to_be_at_work(stage, monkeypatch):
    shown, said = [], threading.Event()

    @contextlib.contextmanager
    def show(what):
        shown.append(what)
        said.set()
        yield
        shown.append("over")

    monkeypatch.setattr(inference.wait, "shown", show)
    assert inference.attended(None, "evaluate", lambda: 5) == 5
    assert shown == []
    monkeypatch.setattr(inference, "_SILENT", 0.0)
    assert inference.attended(None, "predict", said.wait)
    assert shown == ["predict", "over"]


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (TimeoutError("the network"), ClusterError, "^Spark failed: the network$"),
        (ClusterError("no slots"), ClusterError, "^no slots$"),
        (RuntimeError("nbkeras.errors.DataError: no rows"), DataError, "^no rows$"),
        (RuntimeError("it broke"), ClusterError, "^Spark failed: it broke$"),
    ],
)
def test_what_ends_an_action_is_one_line(stage, error, kind, message):
    def action():
        raise error

    with pytest.raises(kind, match=message):
        inference.attended(SimpleNamespace(is_stopped=False), "evaluate", action)
    assert not stage.cancelled.is_set()


def test_an_interrupt_cancels_what_spark_does_for_it(stage):
    def action():
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        stage.cancelled.wait()

    with pytest.raises(Aborted, match=r"^predict was interrupted; the model is as it was before$"):
        inference.attended(None, "predict", action)


# -- prediction ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "rank"), [((), 0), ((1,), 0), ((2,), 1), ((1, 1), 2), ((2, 3, 4), 3)])
def test_outputs_of_any_depth_are_put_together_from_columns(shape, rank):
    values = np.arange(5 * int(np.prod(shape)), dtype="float32").reshape(5, *shape)
    column = pa.chunked_array([pa.array(values.reshape(5).tolist() if not rank else values.tolist())])
    assert outcome.rank(shape) == rank
    found = scored._stacked(column, shape)
    np.testing.assert_array_equal(found, values)


def test_predictions_of_arrays_come_in_the_order_of_the_arrays(monkeypatch):
    table = pa.table({ORDER: [2, 0, 1], "output0": [2.5, 0.5, 1.5], "output1": [[2, 2], [0, 0], [1, 1]]})
    asked = []

    def attended(spark, method, action):
        asked.append(method)
        return table

    monkeypatch.setattr(scored, "dataframe", MagicMock())
    monkeypatch.setattr(scored, "attended", attended)
    job = Job("predict", Plan(Schema((Field("x0", ("x",), "x"),))), Inside(b""), ("", 0), b"")
    numbers, pairs = scored.arrays(job, MagicMock(), [np.zeros((1, 1)), np.zeros((1, 2), "int32")])
    assert asked == ["predict"]
    assert numbers.tolist() == [[0.5], [1.5], [2.5]]
    assert pairs.tolist() == [[0, 0], [1, 1], [2, 2]]
    assert (numbers.dtype, pairs.dtype) == ("float64", "int32")


@pytest.mark.parametrize(
    ("kind", "carried"),
    [
        ("int32", "int32"),
        ("bool", "bool"),
        ("float64", "float64"),
        ("uint8", "int16"),
        ("float16", "float32"),
    ],
)
def test_spark_carries_an_output_as_it_is_or_in_a_wider_type(kind, carried):
    assert scored._carried(np.dtype(kind)) == carried


def test_older_sparks_give_their_rows_by_way_of_pandas():
    frame = pa.table({"a": [1, 2]}).to_pandas()
    assert inference.arrow(SimpleNamespace(toPandas=lambda: frame)).to_pydict() == {"a": [1, 2]}
    assert inference.arrow(SimpleNamespace(toArrow=lambda: "arrow")) == "arrow"
