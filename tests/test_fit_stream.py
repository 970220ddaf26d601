"""Streams: a model goes on training with each micro-batch as it comes, and none is trained on twice."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers
from twins import eagerly, value

import nbkeras
from nbkeras.driver.training.micro_batches import MicroBatches
from nbkeras.errors import Aborted, NbkerasError

RANDOM = np.random.default_rng(2)
#: The rows of each micro-batch.
PARTS = [
    pd.DataFrame(
        {
            "port": RANDOM.choice(["S", "Q", "é"], rows),
            "fare": RANDOM.normal(30, 9, rows).astype("float32"),
            "kind": RANDOM.choice(["owl", "cat"], rows),
        }
    )
    for rows in (13, 8, 20)
]
COLUMNS = "port string, fare float, kind string"
CLASSES = ["cat", "owl"]
NOW = {"availableNow": True}


def put(folder, *numbers):
    """Write micro-batches, each a file that comes after those before."""
    folder.mkdir(exist_ok=True)
    for number in numbers:
        hidden = folder / f".{number}"
        PARTS[number].to_parquet(hidden)
        # Spark takes files in the order of these times.
        os.utime(hidden, (1e9 + number, 1e9 + number))
        hidden.rename(folder / f"{number}.parquet")


def flowing(spark, folder, columns=COLUMNS):
    return spark.readStream.schema(columns).option("maxFilesPerTrigger", 1).parquet(str(folder))


def made(*, text=True, draws=False):
    """A model of a word and a number, or of the number alone, always with the same weights."""
    keras.utils.set_random_seed(1)
    fare = keras.Input((1,), name="fare")
    inputs, body = {"fare": fare}, layers.Rescaling(0.1)(fare)
    if text:
        inputs["port"] = keras.Input((1,), dtype="string", name="port")
        codes = layers.StringLookup(vocabulary=["S", "Q"], name="codes")(inputs["port"])
        body = layers.Concatenate()([layers.Flatten()(layers.Embedding(3, 2)(codes)), body])
    body = layers.Dense(4, activation="tanh")(body)
    body = layers.Dropout(0.3, seed=4)(body) if draws else body
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(body))
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss, metrics=["accuracy"])
    return model


def of_keras(numbers, *, text=True, draws=False):
    """What plain Keras learns of the same parts, one after the other, and its losses."""
    import tensorflow as tf

    model, losses = eagerly(made(text=text, draws=draws)), []
    for number in numbers:
        part = PARTS[number]
        x = {"fare": part["fare"].to_numpy()[:, None]}
        if text:
            x["port"] = tf.constant(part["port"].tolist())[:, None]
        y = part["kind"].map(CLASSES.index).to_numpy()
        # Labels in a batch of their own: those of words and numbers go in together.
        batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(4) if text else None
        given = {"x": batches} if text else {"x": x, "y": y, "batch_size": 4}
        losses += model.fit(**given, shuffle=False, verbose=0).history["loss"]
    return model, losses


def assert_same(model, theirs):
    for one, other in zip(model.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(value(one), value(other), 1e-5, 1e-5, err_msg=one.path)


def fit(spark, model, stream, **options):
    given = {"trigger": NOW, "batch_size": 4, "shuffle": False, "workers": 1, "verbose": 0, **options}
    return nbkeras.fit_stream(model, stream, "kind", spark=spark, **given)


@pytest.mark.parametrize(
    ("backend", "workers", "draws"),
    [
        ("torch", 2, False),
        # What a layer draws goes on from part to part; backends draw other numbers.
        pytest.param("tensorflow", 1, True, marks=pytest.mark.soak),
        pytest.param("tensorflow", 2, True, marks=pytest.mark.soak),
        pytest.param("jax", 2, False, marks=pytest.mark.soak),
    ],
)
def test_a_stream_teaches_what_keras_learns_of_its_parts_one_after_the_other(
    spark, tmp_path, backend, workers, draws
):
    folder, model = tmp_path / "rows", made(draws=draws)
    put(folder, 0, 1)
    given = {"checkpoint": tmp_path / "kept", "workers": workers, "backend": backend}
    fit(spark, model, flowing(spark, folder), **given)
    put(folder, 2)

    # Another notebook goes on.
    went_on = made(draws=draws)
    run = fit(spark, went_on, flowing(spark, folder), **given)

    theirs, losses = of_keras(range(3), draws=draws)
    np.testing.assert_allclose(run.history["loss"], losses, 1e-5, 1e-6)
    assert_same(went_on, theirs)
    assert (run.status, run.epoch_numbers) == ("finished", [0, 1, 2])
    assert f"going on after micro-batch 1, from {tmp_path / 'kept'}" in run.notes
    rows = spark.createDataFrame(PARTS[2])
    predicted = nbkeras.predict(went_on, rows, classes=True, backend=backend, spark=spark)
    assert {row["prediction_class"] for row in predicted.collect()} <= set(CLASSES)


class Crash(BaseException):
    """Stands for the end of a notebook: nobody catches it on the way."""


@pytest.mark.parametrize("moment", [pytest.param("before", marks=pytest.mark.soak), "trained", "kept"])
@pytest.mark.usefixtures("any_backend")
def test_a_micro_batch_is_trained_on_once_whenever_the_notebook_ends(spark, tmp_path, monkeypatch, moment):
    folder = tmp_path / "rows"
    put(folder, 0, 1, 2)
    given = {"checkpoint": tmp_path / "kept"}
    own, kept, taken = MicroBatches._train, MicroBatches._require_kept, MicroBatches._take

    def train(self, batch, number, query):
        if number == 1 and moment == "before":
            raise Crash
        own(self, batch, number, query)

    def require_kept(self, number, epoch):
        if number == 1 and moment == "trained":
            raise Crash
        kept(self, number, epoch)

    def take(self, batch, number, query):
        taken(self, batch, number, query)
        if number == 1 and moment == "kept":
            raise Crash

    for name, changed in (("_train", train), ("_require_kept", require_kept), ("_take", take)):
        monkeypatch.setattr(MicroBatches, name, changed)
    with pytest.raises(NbkerasError, match="Crash"):
        crashing(spark, made(text=False), flowing(spark, folder), **given)
    monkeypatch.undo()

    model = made(text=False)
    run = fit(spark, model, flowing(spark, folder), **given)

    theirs, losses = of_keras(range(3), text=False)
    np.testing.assert_allclose(run.history["loss"], losses, 1e-5, 1e-6)
    assert_same(model, theirs)


def crashing(spark, model, stream, **options):
    """A run in which `Crash` ends the thread that trains, as the end of a process would."""
    with pytest.MonkeyPatch.context() as patch:
        train = MicroBatches.train

        def told(self):
            try:
                train(self)
            except Crash:
                self._run.end("failed", NbkerasError("Crash"))

        patch.setattr(MicroBatches, "train", told)
        return fit(spark, model, stream, **options)


KILLED = """
    import os, sys
    import keras, nbkeras
    from keras import layers

    rows, kept, done = sys.argv[1:]
    spark = nbkeras.local_spark()
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((1,)), layers.Dense(4, "tanh"), layers.Dense(2, "softmax")])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy")
    stream = spark.readStream.schema("port string, fare float, kind string")
    stream = stream.option("maxFilesPerTrigger", 1).parquet(rows)
    print("begun", flush=True)
    run = nbkeras.fit_stream(
        model, stream.select("fare", "kind"), "kind", trigger={"availableNow": True}, batch_size=4,
        shuffle=False, workers=1, checkpoint=kept, verbose=0,
    )
    model.save_weights(done)
"""


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_twenty_notebooks_are_killed_at_random_moments_and_the_last_one_has_what_keras_has(tmp_path):
    chance = random.Random(1)  # noqa: S311  # no secret
    folder, kept, done = tmp_path / "rows", tmp_path / "kept", tmp_path / "done.weights.h5"
    script = tmp_path / "notebook.py"
    script.write_text(textwrap.dedent(KILLED))
    order = [number % len(PARTS) for number in range(40)]
    folder.mkdir()
    for place, number in enumerate(order):
        file = folder / f"{place:03}.parquet"
        PARTS[number].to_parquet(file)
        os.utime(file, (1e9 + place, 1e9 + place))
    kills = 0
    while not done.exists():
        command = [sys.executable, str(script), str(folder), str(kept), str(done)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
        ) as one:
            assert one.stdout.readline() == "begun\n"
            try:
                one.wait(chance.uniform(0.5, 12) if kills < 20 else None)
            except subprocess.TimeoutExpired:
                kills += 1
            finally:
                # With its Java, as a machine that loses its power.
                os.killpg(one.pid, signal.SIGKILL)
    assert kills == 20

    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((1,)), layers.Dense(4, "tanh"), layers.Dense(2, "softmax")])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy")
    for number in order:
        x, y = PARTS[number]["fare"].to_numpy()[:, None], PARTS[number]["kind"].map(CLASSES.index).to_numpy()
        model.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    found = keras.models.clone_model(model)
    found.load_weights(done)
    assert_same(found, model)


@pytest.mark.usefixtures("any_backend")
def test_a_stream_waits_for_rows_in_the_background_and_stops_between_two_micro_batches(
    spark, tmp_path, wait_for
):
    folder, model = tmp_path / "rows", made(text=False)
    put(folder, 0)
    given = {"checkpoint": tmp_path / "kept", "trigger": None}
    run = fit(spark, model, flowing(spark, folder), background=True, **given)
    wait_for(lambda: len(run.history.get("loss", ())) == 1 and run.phase == "waiting", "the first part")
    with pytest.raises(NbkerasError, match=r"on a stream, which has no end: stop it with run.stop\(\)"):
        nbkeras.evaluate(model, spark.createDataFrame(PARTS[0]), "kind", spark=spark)
    with pytest.raises(NbkerasError, match=r"trains on a stream from .*: stop it first"):
        fit(spark, made(text=False), flowing(spark, folder), **given)
    put(folder, 1)
    wait_for(lambda: run.epochs == 2, "the second part")
    run.stop()
    run.wait(60)
    assert run.status == "stopped"

    # Stopped before it was trained on, or behind it.
    trained = len(run.history["loss"])
    run = fit(spark, made(text=False), flowing(spark, folder), checkpoint=tmp_path / "kept")
    assert trained in (1, 2)
    np.testing.assert_allclose(run.history["loss"], of_keras(range(2), text=False)[1], 1e-5, 1e-6)


@pytest.mark.usefixtures("any_backend")
def test_an_abort_drops_the_micro_batch_in_work(spark, tmp_path, wait_for):
    folder, model = tmp_path / "rows", made(text=False)
    put(folder, 0)
    run = fit(spark, model, flowing(spark, folder), background=True, checkpoint=tmp_path / "kept")
    wait_for(lambda: run.phase in ("slots", "reading", "starting"), "a part in work")
    run.abort()
    with pytest.raises(Aborted, match="dropped"):
        run.wait(60)
    # Its trainer has ended too: it would write what was dropped.
    assert not [*(tmp_path / "kept").glob("epoch-*")]
    went_on = made(text=False)
    again = fit(spark, went_on, flowing(spark, folder), checkpoint=tmp_path / "kept")
    np.testing.assert_allclose(again.history["loss"], of_keras(range(1), text=False)[1], 1e-5, 1e-6)


@pytest.mark.usefixtures("any_backend")
def test_what_was_learned_of_the_first_micro_batch_holds_for_those_that_come(spark, tmp_path):
    folder, given = tmp_path / "rows", {"checkpoint": tmp_path / "kept"}
    folder.mkdir()
    # The first one is empty, the next ones have nothing in common.
    parts = [PARTS[0].head(0), PARTS[0].assign(kind="owl", port="S"), PARTS[1].assign(kind="cat", port="Q")]
    for number, part in enumerate(parts):
        part.to_parquet(folder / f"{number}.parquet")
        os.utime(folder / f"{number}.parquet", (1e9 + number, 1e9 + number))
        run = fit(spark, learning(), flowing(spark, folder), **given)

    (label,) = run.schema.labels
    assert label.classes == ("owl", "cat")
    assert run.model.get_layer("codes").get_vocabulary() == ["[UNK]", "S"]
    assert len(run.history["loss"]) == 2
    theirs = learning()
    theirs.get_layer("codes").set_vocabulary(["S"])
    losses = []
    for number, part in enumerate(parts[1:]):
        codes = np.full((len(part), 1), 1 - number)
        rest = keras.Model(theirs.get_layer("embedding").input, theirs.output)
        rest.compile(theirs.optimizer, theirs.loss)
        done = eagerly(rest).fit(codes, np.full(len(part), number), batch_size=4, shuffle=False, verbose=0)
        losses += done.history["loss"]
    np.testing.assert_allclose(run.history["loss"], losses, 1e-5, 1e-6)


def learning():
    """A model whose lookup has not learned yet."""
    keras.utils.set_random_seed(1)
    port = keras.Input((1,), dtype="string", name="port")
    codes = layers.StringLookup(max_tokens=4, name="codes")(port)
    body = layers.Flatten()(layers.Embedding(4, 2, name="embedding")(codes))
    model = keras.Model(port, layers.Dense(2, activation="softmax")(body))
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    return model


def compiled(optimizer):
    model = made(text=False)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.mark.usefixtures("any_backend")
def test_what_is_no_stream_to_go_on_with_is_refused_in_one_line(spark, tmp_path):
    rest = spark.createDataFrame(PARTS[0])
    folder = tmp_path / "rows"
    put(folder, 0, 1)
    stream, other = flowing(spark, folder), flowing(spark, folder, "port string, fare float")
    kept = tmp_path / "kept"
    fit(spark, made(text=False), stream, checkpoint=kept)
    plain = tmp_path / "plain"
    options = {"workers": 1, "batch_size": 4, "shuffle": False, "verbose": 0}
    nbkeras.fit(made(text=False), rest, "kind", checkpoint=plain, spark=spark, **options)
    begun = tmp_path / "begun"
    shutil.copytree(kept, begun)
    shutil.rmtree(begun / "stream")
    put(folder, 2)
    null, changed = tmp_path / "null", tmp_path / "changed"
    spark.createDataFrame([("S", 1.0, None)], COLUMNS).write.parquet(str(null))
    spark.createDataFrame([("S", 1.0, 1)], "port string, fare float, kind int").write.parquet(str(changed))
    for wrong, words in (
        (lambda: fit(spark, made(), rest), "takes a stream, .* and got a DataFrame at rest: use nbkeras.fit"),
        (lambda: fit(spark, made(), [1]), "takes a stream, .* and got a list"),
        (
            lambda: fit(spark, made(), stream, class_weight="balanced"),
            "counts all rows, and a stream has no end",
        ),
        (lambda: fit(spark, made(), stream, trigger={"now": True}), "trigger"),
        (lambda: fit(spark, made(), stream.groupBy("kind").count()), "[aA]ppend"),
        (lambda: fit(spark, made(text=False), other), "label column 'kind' is not in the DataFrame"),
        (lambda: fit(spark, made(text=False), flowing(spark, null)), "column 'kind' holds 1 null"),
        (
            lambda: fit(spark, made(text=False), flowing(spark, changed)),
            "a file holds column 'kind' as INT32, and the DataFrame has it as string",
        ),
        (lambda: fit(spark, made(text=False), stream, checkpoint=plain), "holds a training of nbkeras.fit"),
        (
            lambda: fit(spark, made(text=False), stream, checkpoint=begun),
            "it has begun again, at 0; name another",
        ),
        (
            lambda: fit(spark, compiled(keras.optimizers.Adam()), stream, checkpoint=kept),
            "optimizer='Adam' now, optimizer='SGD' in the checkpoint",
        ),
        (
            lambda: nbkeras.fit_stream(
                made(text=False), stream, "port", checkpoint=kept, shuffle=False, batch_size=4, spark=spark
            ),
            r"y \['port'\] now, \['kind'\] in the checkpoint",
        ),
        (lambda: fit(spark, made(), stream, trigger="10 seconds"), "trigger='10 seconds': use {'processing"),
        (lambda: fit(spark, made(), stream, checkpoint=kept), "the checkpoint is of another model"),
        (
            lambda: fit(spark, made(text=False), stream, checkpoint=kept, batch_size=5),
            "batch_size=5 now, .*=4",
        ),
    ):
        with pytest.raises(NbkerasError, match=words) as raised:
            wrong()
        assert "\n" not in str(raised.value)
