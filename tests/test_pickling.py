from __future__ import annotations

import subprocess
import sys
import threading
from types import CodeType

import keras
import numpy as np
import pytest
import tensorflow as tf
from twins import assert_same_model, define
from waiting import LIMIT

from nbkeras.errors import ModelError
from nbkeras.model import pickling, state

ELSEWHERE = """
import sys
import numpy as np
from nbkeras.model import pickling
from nbkeras.model import state
thing = pickling.loads(sys.stdin.buffer.read())
model, x, y = thing["model"], np.arange(12.0).reshape(4, 3), np.arange(4.0)
model.fit(x, y, epochs=2, shuffle=False, verbose=0)
sys.stdout.buffer.write(state.pack(state.variables(model)))
"""

NOTEBOOK = """
import keras

class Settings:
    scale = 0.5

class Scaled(keras.layers.Layer):
    def __init__(self, settings, function):
        super().__init__()
        self.settings, self.function = settings, function
        self.parts = {"dense": [keras.layers.Dense(2)]}

    def call(self, x):
        return self.function(self.parts["dense"][0](x)) * self.settings.scale

class Model(keras.Model):
    def __init__(self, settings):
        super().__init__()
        self.scaled = Scaled(settings, lambda x: keras.ops.tanh(x))
        self.last = keras.layers.Dense(1)

    def call(self, x):
        return self.last(self.scaled(x))

def loss(y, predicted):
    return keras.ops.mean((y - predicted) ** 2, axis=-1)

def make():
    return Model(Settings())
"""


def sequential():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(1)])


def functional():
    inputs = keras.Input((3,))
    body = keras.layers.Dense(2)(inputs)
    return keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Concatenate()([inputs, body])))


def subclassed():
    return define(NOTEBOOK)["make"]()


ROWS = np.arange(12.0).reshape(4, 3), np.arange(4.0)


@pytest.mark.parametrize("make", [sequential, functional, subclassed])
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "adamw"])
def test_a_trained_model_goes_on_where_it_was(make, optimizer):
    model = make()
    # What travels is the same for a step that is compiled, but for the function, which stays here.
    compiled = (make, optimizer) in [(sequential, "adam"), (subclassed, "sgd")]
    model.compile(optimizer, "mse", metrics=["mae"], run_eagerly=not compiled)
    model.fit(*ROWS, verbose=0)

    copy = pickling.loads(pickling.dumps(model))

    assert copy is not model
    assert_same_model(copy, model, 0)
    for one in (model, copy):
        one.fit(*ROWS, epochs=2, shuffle=False, verbose=0)
    assert_same_model(copy, model)


def adapted():
    layer = keras.layers.Normalization()
    layer.adapt(ROWS[0])
    return layer


@pytest.mark.parametrize(
    "make",
    [
        adapted,
        lambda: keras.layers.Rescaling(1 / 255),
        lambda: keras.layers.RandomFlip(seed=1),
        lambda: keras.layers.CategoryEncoding(12, "multi_hot"),
        lambda: keras.layers.Discretization([1.0, 5.0]),
    ],
)
def test_preprocessing_layers_of_a_model_travel(make):
    layer = make()
    x = np.arange(12.0).reshape(1, 3, 4, 1) if isinstance(layer, keras.layers.RandomFlip) else ROWS[0]
    model = keras.Sequential([keras.Input(x.shape[1:]), layer])

    again = pickling.loads(pickling.dumps(model))

    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


def test_a_model_of_many_layers_travels():
    x = inputs = keras.Input((3,))
    for _ in range(400):
        x = keras.layers.Add()([x, inputs])
    model = keras.Model(inputs, x)

    again = pickling.loads(pickling.dumps(model))

    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    np.testing.assert_array_equal(again(ROWS[0]), ROWS[0] * 401)


def test_a_layer_that_adds_a_loss_travels_after_keras_trained_it():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, activity_regularizer="l2")])
    model.compile("sgd", "mse")
    model.fit(*ROWS, verbose=0)

    again = pickling.loads(pickling.dumps(model))

    results = [one.fit(*ROWS, shuffle=False, verbose=0).history["loss"] for one in (model, again)]
    assert results[0] == pytest.approx(results[1], rel=1e-6)


def test_a_copy_shares_no_variable_with_its_model():
    model = sequential()
    model.compile("adam", "mse")
    copy = pickling.loads(pickling.dumps(model))
    before = model.get_weights()

    copy.fit(*ROWS, verbose=0)

    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("by", ["name", "variable"])
def test_weights_without_decay_stay_so(by):
    model = sequential()
    optimizer = keras.optimizers.AdamW(0.1, weight_decay=0.5)
    chosen = {"var_names": ["bias"]} if by == "name" else {"var_list": [model.layers[0].kernel]}
    optimizer.exclude_from_weight_decay(**chosen)
    model.compile(optimizer, "mse", run_eagerly=True)
    model.fit(*ROWS, verbose=0)

    copy = pickling.loads(pickling.dumps(model))

    for one in (model, copy):
        one.fit(*ROWS, epochs=2, shuffle=False, verbose=0)
    assert_same_model(copy, model)


@pytest.mark.process
def test_what_a_notebook_defines_trains_in_a_process_that_has_never_seen_it():
    notebook = define(NOTEBOOK)
    model = notebook["make"]()
    model.compile("adam", notebook["loss"])
    model(ROWS[0])
    model.optimizer.build(model.trainable_variables)
    payload = pickling.dumps({"model": model})

    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE], input=payload, capture_output=True, timeout=LIMIT, check=False
    )

    assert done.returncode == 0, done.stderr.decode()
    model.fit(*ROWS, epochs=2, shuffle=False, verbose=0)
    twin = pickling.loads(payload)["model"]
    state.assign(state.variables(twin), done.stdout)
    assert_same_model(twin, model)


def test_code_of_a_cell_travels_with_the_name_by_which_its_lines_are_found():
    cell = {}
    exec(compile("def scale(x):\n    return [x for one in (lambda: x)()]\n", "<cell 7>", "exec"), cell)  # noqa: S102

    code = pickling.loads(pickling.dumps(cell["scale"])).__code__

    within = [one for one in code.co_consts if isinstance(one, CodeType)]
    assert [one.co_filename for one in (code, *within)] == ["<cell 7>"] * (1 + len(within))
    assert within


def test_what_cannot_leave_the_notebook_is_named_in_one_line():
    model = sequential()
    model.lock = threading.Lock()

    with pytest.raises(ModelError, match=r"Sequential 'sequential.*' holds something .*lock") as caught:
        pickling.dumps(model)

    assert "\n" not in str(caught.value)


def test_state_is_weights_and_optimizer_without_metrics():
    model = sequential()
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(*ROWS, verbose=0)

    variables = state.variables(model)

    assert variables == [*model.weights, *model.optimizer.variables]
    assert state.size(variables) == len(state.pack(variables))


def test_packed_state_can_be_put_back_and_nothing_changes_where_it_does_not_fit():
    model, other = sequential(), sequential()
    packed = state.pack(state.variables(model))

    state.assign(state.variables(other), packed)

    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    with pytest.raises(
        ModelError,
        match=f"returned {len(packed) - 1} bytes of weights, the model has {len(packed)}: do not change",
    ):
        state.assign(state.variables(other), packed[1:])
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("make", "inputs"),
    [
        (lambda: keras.layers.IntegerLookup(vocabulary=[10, 20]), [[10], [20], [30]]),
        (lambda: adapted(keras.layers.IntegerLookup(), [1, 2, 2]), [[1], [2], [3]]),
        (lambda: keras.layers.StringLookup(vocabulary=["a", "b"]), [["a"], ["c"]]),
        (lambda: adapted(keras.layers.TextVectorization(output_mode="tf_idf"), ["a b", "b"]), ["a b", "b c"]),
        (lambda: keras.layers.Discretization([1.0, 2.0]), [[0.5], [1.5]]),
        (lambda: keras.layers.Hashing(5), [["a"], ["b"]]),
    ],
    ids=["integers", "adapted integers", "words", "texts", "bins", "hashes"],
)
def test_layers_that_look_up_give_the_same_numbers_afterwards(make, inputs):
    layer = make()
    again = pickling.loads(pickling.dumps(layer))

    inputs = tf.constant(inputs)

    np.testing.assert_array_equal(again(inputs), layer(inputs))


def adapted(layer, data):
    layer.adapt(data)
    return layer


def test_a_layer_without_a_vocabulary_is_named_with_what_to_call():
    with pytest.raises(ModelError, match=r"^IntegerLookup 'codes' .*\(its vocabulary is empty: call"):
        pickling.dumps(keras.layers.IntegerLookup(name="codes"))


def test_a_model_of_branches_can_be_saved_where_it_has_arrived(tmp_path):
    x = keras.Input((2,))
    left = keras.layers.Dense(2)
    model = keras.Model(x, keras.layers.Add()([left(x), left(left(x))]))

    pickling.loads(pickling.dumps(model)).save(tmp_path / "model.keras")

    rows = np.ones((3, 2), "float32")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(rows), model(rows))


def test_a_copy_of_a_lookup_layer_that_has_not_learned_learns_by_itself():
    layer = keras.layers.StringLookup()
    copy = pickling.loads(pickling.dumps(layer, unlearned=True))

    copy.adapt(["a", "b"])

    assert copy.get_vocabulary() == ["[UNK]", "b", "a"]
    assert layer.get_vocabulary() == ["[UNK]"]
