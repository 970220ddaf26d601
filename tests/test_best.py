"""The best epoch: the model gets its weights, as from Keras' EarlyStopping that never stops."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from twins import assert_same_history, assert_same_model, eagerly, twins

import nbkeras
from nbkeras.errors import OptionError
from nbkeras.notebook.comparison import summary

ROWS = 60


@pytest.fixture(scope="module")
def rows():
    random = np.random.default_rng(2)
    x = random.normal(size=(ROWS, 3)).astype("float32")
    return x, x.sum(axis=1)


def made():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.05), "mse", metrics=["mae"])
    return model


@pytest.mark.usefixtures("any_backend")
def test_the_model_has_the_weights_of_its_best_epoch(spark, rows):
    ours, theirs = twins(made)
    x, y = rows
    # What is learned of these labels makes those worse, after some epochs.
    how = {"validation_data": (x, y * 0.3), "epochs": 5, "batch_size": 20, "shuffle": False}
    run = nbkeras.fit(ours, x, y, workers=2, monitor="val_mae", restore_best=True, spark=spark, **how)
    kept = keras.callbacks.EarlyStopping("val_mae", patience=99, restore_best_weights=True)
    done = eagerly(theirs).fit(x, y, callbacks=[kept], verbose=0, **how)
    assert kept.best_epoch < 4
    assert len(run.epoch_numbers) == 5
    assert_same_history(run.history, done.history)
    assert_same_model(ours, theirs)
    best = f"the weights are those of epoch {kept.best_epoch + 1}, the best by val_mae: {kept.best:.4g}"
    assert best in run.notes
    # Not the loss, by which others are judged.
    assert summary(run).metric == "val_mae"
    assert summary(run).best[1] == kept.best_epoch + 1


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"monitor": "val_mae"}, r"add restore_best=True \(--restore-best\)"),
        ({"monitor": "mea", "restore_best": True}, "'mea' is no metric of this training: did you mean 'mae'"),
        (
            {"monitor": "val_loss", "restore_best": True},
            "'val_loss' is no metric of this training, as nothing is validated on: did you mean 'loss'",
        ),
    ],
    ids=["nothing to do", "a slip", "no validation"],
)
def test_a_metric_that_the_training_has_not_is_refused_before_it_begins(spark, rows, options, line):
    with pytest.raises(OptionError, match=line):
        nbkeras.fit(made(), *rows, spark=spark, verbose=0, **options)
