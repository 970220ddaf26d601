"""Going on from a checkpoint: which one, with which numbers, and what the user is told of it."""

from __future__ import annotations

import keras
import pytest

from nbkeras.driver.training import resumption
from nbkeras.errors import OptionError
from nbkeras.job.checkpoint import Checkpoint, Origin
from nbkeras.job.store import Store
from nbkeras.model import settings
from nbkeras.plan import Plan
from nbkeras.schema import Schema

NOWHERE = Schema()


def begun(epoch=1, *, workers=2, ended=False, **chosen):
    """A checkpoint after an epoch (from 0) of a training with these settings."""
    origin = Origin(seed=1, ordered=False, batch_size=32, workers=workers, rows=9, checksum=5)
    epochs = [(number, {"loss": 1.0}) for number in range(epoch + 1)]
    return Checkpoint(origin, epochs, ended, [], [], b"", [], {"settings": chosen} if chosen else {})


def compiled(rate=0.1, **how):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(rate, **how), "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def plan(**how):
    return Plan(NOWHERE, **{"epochs": 5, "workers": 2, "seed": 1, "checkpoint": "/kept", **how})


def notes(one, model=None, before=None, *, resume=True):
    """What is told of a plan and a model that go on, by default from a training of the same settings."""
    model = model or compiled()
    chosen = settings.of(model, one)
    return resumption.notes(model, one, chosen, before, resume=resume)


def same(model, one, **other):
    return {**settings.of(model, one), **other}


# -- which checkpoint ----------------------------------------------------------------------------------


def test_without_a_place_there_is_nothing_to_go_on_from():
    assert resumption.newest(None, resume=False) is None
    with pytest.raises(OptionError, match=r"^resume needs a place to go on from: add --checkpoint URI"):
        resumption.newest(None, resume=True)


@pytest.mark.parametrize("resume", [True, False])
def test_a_place_without_a_checkpoint_is_begun_with(tmp_path, resume):
    assert resumption.newest(tmp_path / "new", resume=resume) is None


def test_of_several_checkpoints_the_newest_is_gone_on_from(tmp_path):
    store = Store(str(tmp_path))
    for epoch in (0, 2, 1):
        store.write(begun(epoch))
    assert resumption.newest(tmp_path, resume=True).epoch == 2


def test_a_training_that_is_there_is_not_written_over_unasked(tmp_path):
    Store(str(tmp_path)).write(begun(3))
    message = rf"^{tmp_path} holds a training of 4 epochs: go on from it with --resume \(resume=True\)"
    with pytest.raises(OptionError, match=message):
        resumption.newest(tmp_path, resume=False)


# -- with which numbers --------------------------------------------------------------------------------


def test_a_run_is_of_the_epochs_asked_for_or_of_those_that_are_done():
    assert resumption.total(None, 5) == 5
    assert resumption.total(begun(epoch=1), 5) == 5
    assert resumption.total(begun(epoch=8), 5) == 9


@pytest.mark.parametrize(
    ("before", "now", "held"),
    [
        (0.1, 0.2, {"learning_rate": 0.1}),
        (0.1, "CosineDecay(…)", {}),
        ("CosineDecay(…)", 0.1, {}),
        (None, 0.1, {}),
    ],
)
def test_a_learning_rate_of_a_checkpoint_holds_where_both_are_numbers(before, now, held):
    chosen = {} if before is None else {"learning_rate": before}
    assert resumption.restored(begun(**chosen), {"learning_rate": now}) == held
    assert resumption.restored(None, {"learning_rate": now}) == {}


# -- what the user is told -----------------------------------------------------------------------------


def test_from_the_start_nothing_is_told_unless_it_was_to_go_on():
    assert notes(plan(), resume=False) == []
    assert notes(plan()) == ["no checkpoint in /kept yet: from the start"]


def test_what_goes_on_as_it_was_says_after_which_epoch():
    model, one = compiled(), plan()
    assert notes(one, model, begun(1, **same(model, one))) == ["going on from the checkpoint of epoch 2"]


def test_where_nothing_is_left_to_train_only_the_reason_is_noted():
    left = "nothing is left to train"
    assert notes(plan(), None, begun(7)) == [f"the checkpoint has all epochs, up to 8 (epochs=5): {left}"]
    assert notes(plan(), None, begun(1, ended=True, workers=9)) == [
        f"the checkpoint has all epochs, up to 2 (a callback had ended it): {left}"
    ]


def test_other_workers_are_told_where_the_rows_are_put_in_an_order_of_their_own():
    other = "2 workers, 3 before: they put other rows into a batch"
    assert notes(plan(), None, begun(workers=3))[1:] == [other]
    assert notes(plan(seed=None), None, begun(workers=3))[1:] == []


def test_another_number_of_steps_between_two_meetings_is_noted():
    model, one = compiled(), plan(sync_every=4)
    (_, told) = notes(one, model, begun(**same(model, one, sync_every=2)))
    assert told == "sync_every=4, 2 before: another result than that of either alone"


def test_another_learning_rate_is_told_with_which_of_them_holds():
    model, one = compiled(0.5), plan()
    (_, told) = notes(one, model, begun(**same(model, one, learning_rate=0.1)))
    assert told == (
        "learning_rate=0.5, 0.1 before: the checkpoint's holds; run.set_learning_rate(0.5) sets another "
        "while it trains"
    )
    (_, told) = notes(one, model, begun(**same(model, one, learning_rate="CosineDecay(…)")))
    assert told == "learning_rate=0.5, CosineDecay(…) before: the new one holds"


def test_the_learning_rate_of_an_optimizer_that_has_trained_may_be_a_callbacks_and_is_not_told():
    model, one = compiled(0.5), plan()
    model.optimizer.iterations.assign(3)
    assert notes(one, model, begun(**same(model, one, learning_rate=0.1)))[1:] == []


def test_other_arguments_of_the_optimizer_are_noted_by_name():
    model, one = compiled(momentum=0.9, clipnorm=1.0), plan()
    before = same(model, one, momentum=0.5)
    del before["clipnorm"]
    _, *told = notes(one, model, begun(**before))
    assert told == [
        "clipnorm=1.0, Keras' default before: the new one holds",
        "momentum=0.9, 0.5 before: the new one holds",
    ]


def test_a_checkpoint_of_an_older_version_says_nothing_of_its_settings():
    assert notes(plan(), compiled(0.5, momentum=0.9), begun())[1:] == []
