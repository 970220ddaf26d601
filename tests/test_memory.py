from __future__ import annotations

import re
from types import SimpleNamespace

import keras
import pytest

from nbkeras.driver.training import memory
from nbkeras.plan import Plan
from nbkeras.schema import Schema


@pytest.fixture
def configured(spark):
    """A session of some settings: it reads sizes as Spark does, and has no executor yet."""

    def configured(master, **settings):
        conf = {
            "spark.master": master,
            **{f"spark.{key}".replace("_", "."): v for key, v in settings.items()},
        }
        return SimpleNamespace(conf=conf, _jsparkSession=None, sparkContext=spark.sparkContext)

    return configured


def net(units=8):
    model = keras.Sequential([keras.Input((1000,)), keras.layers.Dense(units), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def plan(workers=1, batch_size=32):
    return Plan(Schema(), workers=workers, batch_size=batch_size)


def asked(sentence):
    """Megabytes that the note says to set."""
    return int(re.search(r"spark\.executor\.memoryOverhead=(\d+)m$", sentence)[1])


@pytest.mark.parametrize("master", ["local[4]", "spark://node:7077", "local-cluster[2,1,1024]"])
def test_where_nobody_counts_memory_nothing_is_said(configured, master):
    assert memory.note(configured(master), net(), plan()) is None


@pytest.mark.parametrize(("master", "name"), [("yarn", "YARN"), ("k8s://https://node:6443", "Kubernetes")])
def test_the_default_overhead_is_too_small_and_the_note_says_what_to_set(configured, master, name):
    sentence = memory.note(configured(master, executor_memory="2g"), net(), plan())

    assert f"{name} ends it at 384 MB" in sentence
    assert "\n" not in sentence
    enough = configured(master, executor_memoryOverhead=f"{asked(sentence)}m")
    assert memory.note(enough, net(), plan()) is None


@pytest.mark.parametrize(
    "settings",
    [
        {"executor_memory": "4g", "executor_memoryOverheadFactor": "0.5"},
        {"executor_memoryOverhead": "2g"},
        {"executor_memoryOverhead": "2048"},
        {"executor_minMemoryOverhead": "2g"},
        {"executor_pyspark_memory": "2g"},
        {"executor_memory": "5g", "kubernetes_memoryOverheadFactor": "0.4"},
    ],
    ids=" ".join,
)
def test_every_setting_that_makes_room_is_known(configured, settings):
    assert memory.note(configured("k8s://node", **settings), net(), plan()) is None


def test_weights_outputs_and_trainers_of_one_executor_ask_for_more(configured):
    yarn = configured("yarn")
    small = asked(memory.note(yarn, net(), plan()))

    # 40 million weights: value and two slots of Adam eight times, gradient three times.
    large = asked(memory.note(yarn, net(40_000), plan()))
    assert large - small == pytest.approx((8 * 3 + 3) * 40e6 * 4 / 2**20, rel=0.1)
    assert asked(memory.note(yarn, net(), plan(workers=3))) > small + 400
    wide = asked(memory.note(yarn, net(4000), plan(batch_size=100_000)))
    narrow = asked(memory.note(yarn, net(4000), plan()))
    assert wide - narrow == pytest.approx(5 * 4000 * 4e5 / 2**20, rel=0.1)


def test_a_model_whose_outputs_are_unknown_is_counted_without_them(configured):
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, x):
            return self.dense(x)

    model = Own()
    model(keras.ops.ones((1, 3)))
    model.compile("sgd", "mse")

    assert asked(memory.note(configured("yarn"), model, plan())) >= 512
