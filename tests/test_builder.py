"""What the builder builds: choices, code and model say the same."""

from __future__ import annotations

import subprocess
import sys

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from nbkeras.builder import presets
from nbkeras.builder.arguments import Choice, Flag, Number, Numbers, Sizes, Whole
from nbkeras.builder.branches import Branch
from nbkeras.builder.catalogue import IMAGES, KINDS, OFFERED, WHOLE, WORDS, offered
from nbkeras.builder.design import FITTING, OPTIMIZERS, Design
from nbkeras.builder.layers import Layer, evaluated
from nbkeras.builder.network import Network
from nbkeras.errors import ModelError, OptionError


def values(argument):
    """What may be chosen in a field."""
    argument = getattr(argument, "argument", argument)
    match argument:
        case Whole():
            return st.integers(argument.least, 64)
        case Number():
            least, most = max(argument.least, -10.0), min(argument.end, 10.0)
            return st.floats(least, most, exclude_min=argument.above, exclude_max=True)
        case Numbers():
            return st.floats(max(argument.least, -10.0), 10.0)
        case Flag() | Choice():
            return st.sampled_from(getattr(argument, "options", (False, True)))
        case Sizes(alone=True):
            return st.integers(1, 5)
        case Sizes():
            return st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple)


@st.composite
def layers(draw, kinds=KINDS):
    kind = draw(st.sampled_from(kinds))
    first = Layer.first(kind)
    chosen = {
        name: draw(values(argument))
        for name, argument in offered(kind).items()
        if name in first.arguments or draw(st.booleans())
    }
    assume(("mean" in chosen) == ("variance" in chosen))  # Keras takes both or none
    layer = Layer(kind, chosen)
    if kind in OFFERED["preprocessing"]:
        try:
            evaluated(layer.code())
        except ValueError:  # arguments that do not go together are shown as Keras names them
            assume(False)
    return layer


def made(network):
    names = {}
    exec(f"import keras\n{network.code()}", names)  # noqa: S102  # it is what people copy
    return names["model"]


def described(model):
    """All that tells two models apart, but for the names of their layers."""
    return [
        {
            key: value
            for key, value in one.get_config().items()
            if key not in ("name", "layer", "backward_layer")
        }
        for one in model.layers
    ]


@settings(deadline=None, max_examples=200)
@given(layers())
def test_a_layer_its_code_and_what_is_read_from_it_are_the_same(layer):
    first = evaluated(layer.code())

    again = Layer.of(first)

    # Strides that are the pool's size go without saying, and are the same layer.
    assert described(keras.Sequential([evaluated(again.code())])) == described(keras.Sequential([first]))
    assert Layer.of(evaluated(again.code())) == again


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(layers([one for one in KINDS if one != "Embedding"]), min_size=1, max_size=4),
    st.sampled_from([(12,), (8, 8, 3), (6, 4)]),
)
def test_what_is_said_of_each_layer_is_what_the_model_of_the_code_has(chosen, shape):
    network = Network(shape, tuple(chosen))

    looked = network.looked_at()

    errors = [one for one in looked if one.error]
    if errors:
        (index,) = [index for index, one in enumerate(looked) if one.error]
        if chosen[index].kind not in IMAGES | WORDS | WHOLE:  # where Keras says it only once it gets rows
            with pytest.raises(Exception):  # noqa: B017, PT011  # Keras raises what it likes
                made(network)
        assert all(one.shape is None for one in looked[index:])
        assert "\n" not in errors[0].error
    else:
        model = made(network)
        assert [one.count_params() for one in model.layers] == [one.weights for one in looked]
        assert [tuple(one.output.shape[1:]) for one in model.layers] == [one.shape for one in looked]
        assert described(made(Network.of(model))) == described(model)


@pytest.mark.parametrize("width", [1, 4, 13, 64, 784, 3072])
@pytest.mark.parametrize("task", FITTING)
@pytest.mark.parametrize("preset", [one for one, takes in presets.TAKES.items() if takes == "numbers"])
def test_a_preset_fits_an_input_of_any_size(preset, task, width):
    outputs = {"classes": 3, "input": width}.get(task, 1)

    network = presets.PRESETS[preset]((width,), presets.last(task, outputs))

    assert [one.error for one in network.looked_at() if one.error] == []
    assert network.looked_at()[-1].shape == (outputs,)


@pytest.mark.parametrize(
    ("preset", "shape", "kinds"),
    [
        ("MLP", (28, 28), ["Flatten", "Dense"]),
        ("CNN", (28, 28), ["Reshape", "Conv2D"]),
        ("CNN", (28, 20, 3), ["Conv2D", "MaxPooling2D"]),
        ("CNN", (100, 3), ["Conv1D", "MaxPooling1D"]),
        ("CNN", (2, 3, 4, 5), ["Reshape", "Conv1D"]),
        ("LSTM", (100, 3), ["LSTM", "Dense"]),
        ("LSTM", (28, 20, 3), ["Reshape", "LSTM"]),
        ("autoencoder", (8, 8), ["Flatten", "Dense"]),
    ],
)
def test_a_preset_takes_arrays_of_arrays_as_they_are(preset, shape, kinds):
    network = presets.PRESETS[preset](shape, presets.last("classes", 3))
    assert [one.kind for one in network.layers[:2]] == kinds
    assert [one.error for one in network.looked_at() if one.error] == []
    assert made(network).input_shape == (None, *shape)
    assert made(network).output_shape == (None, 3)


@pytest.mark.parametrize("task", FITTING)
def test_every_loss_and_metric_of_a_task_trains(task):
    losses, metrics = FITTING[task]
    outputs = {"classes": 7, "input": 4}.get(task, 1)
    network = presets.mlp((4,), presets.last(task, outputs))
    x = np.random.default_rng(0).random((20, 4))
    y = {"classes": np.arange(20) % 7, "binary": np.arange(20) % 2, "input": x}.get(task, x.sum(axis=1))
    for loss in losses:
        design = Design("df", "y", tuple("abcd"), network, loss, metrics)
        names = {}
        exec(design.building(), names)  # noqa: S102  # it is what people copy
        done = names["model"].fit(x, y, verbose=0)
        assert len(done.history) == 1 + len(metrics)
        assert all(np.isfinite(one).all() for one in done.history.values())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_design_makes_and_compiles_a_model_without_nbkeras(optimizer):
    network = presets.mlp((4,), presets.last("classes", 3))
    design = Design(
        "df",
        "kind",
        ("a", "b", "c", "d"),
        network,
        "sparse_categorical_crossentropy",
        ("accuracy",),
        optimizer,
        0.02,
    )
    names = {}

    exec(design.building(), names)  # noqa: S102  # it is what people copy

    model = names["model"]
    assert type(model.optimizer).__name__ == optimizer
    assert float(model.optimizer.learning_rate) == pytest.approx(0.02)
    assert Network.of(model) == network


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(layers(), max_size=5),
    st.lists(layers(), max_size=2),
    st.integers(1, 12),
    st.integers(0, 4),
    st.booleans(),
)
def test_code_is_as_a_formatter_leaves_it(chosen, front, columns, metrics, several):
    names = tuple(f"a column with a name {number}" for number in range(columns))
    normal = Layer("Normalization", {"mean": [0.5] * columns, "variance": [1 / 3] * columns})
    design = Design(
        "train_df",
        "label",
        names,
        Network((8, 8, 1), (normal, *chosen)),
        "mse",
        ("RootMeanSquaredError",) * metrics,
        patience=metrics,
        nulls=tuple((name, "mean") for name in names[:metrics]),
        inputs=tuple(Branch(name, name, Network((3,), tuple(front))) for name in names) if several else (),
    )

    done = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--isolated", "--stdin-filename", "cell.py", "-"],
        input=design.code() + "\n",
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == design.code() + "\n"


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: keras.layers.Dense(3, kernel_initializer="zeros"), "has kernel_initializer='Zeros', which"),
        (lambda: keras.layers.Dense(3, dtype="float16"), "has dtype="),
        (lambda: keras.layers.Dense(3, activation=lambda x: x), "has what the builder does not show"),
        (keras.layers.UpSampling2D, "is a UpSampling2D: the builder knows Dense, Dropout"),
        (lambda: keras.layers.Bidirectional(keras.layers.GRU(2), "sum"), "has merge_mode='sum', which"),
        (lambda: type("Dense", (keras.layers.Dense,), {})(3), "is a Dense: the builder knows"),
    ],
)
def test_a_layer_that_cannot_be_shown_whole_is_refused(layer, message):
    with pytest.raises(ModelError, match=message):
        Layer.of(layer())


def test_a_model_whose_layers_are_not_a_chain_is_refused():
    x = keras.Input((4,))
    dense = keras.layers.Dense(4)(x)
    branched = keras.Model(x, keras.layers.Add()([x, dense]))
    with pytest.raises(ModelError, match=r"branches at 'add"):
        Network.of(branched)
    with pytest.raises(ModelError, match="several inputs or outputs"):
        Network.of(keras.Model(x, [dense, x]))
    with pytest.raises(ModelError, match="has no inputs yet"):
        Network.of(keras.Sequential([keras.layers.Dense(3)]))
    with pytest.raises(ModelError, match="inputs of any size"):
        Network.of(keras.Sequential([keras.Input((None, 3)), keras.layers.LSTM(3)]))


def test_a_chain_of_the_functional_kind_is_read_too():
    x = keras.Input((4,))
    model = keras.Model(x, keras.layers.Dense(2)(keras.layers.Dropout(0.25)(x)))
    assert Network.of(model).layers == (Layer("Dropout", {"rate": 0.25}), Layer("Dense", {"units": 2}))


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("Dense", {"units": 0}, "units=0: use a whole number from 1"),
        ("Dense", {"units": "1e3"}, "units='1e3': use a whole number from 1"),
        ("Dense", {"units": True}, "units=True: use a whole number from 1"),
        ("Dense", {"units": 3, "activation": "fast"}, "activation='fast': use one of None, relu"),
        ("Dense", {"units": 3, "colour": "red"}, "Dense has no colour here: it has units, activation"),
        ("Dense", {}, "Dense needs units"),
        ("Dropout", {"rate": "1"}, "rate='1': use a number from 0 and below 1"),
        ("Dropout", {"rate": float("nan")}, "rate=nan: use a number from 0 and below 1"),
        ("Conv2D", {"filters": 3, "kernel_size": "3, x"}, "kernel_size='3, x': use whole numbers from 1"),
        ("Conv2D", {"filters": 3, "kernel_size": ""}, "kernel_size='': use whole numbers from 1, such as 3"),
        ("Rescaling", {"scale": "1/0"}, "scale='1/0': use a number above 0"),
        ("Rescaling", {"scale": 1, "offset": "inf"}, "offset='inf': use a number"),
        ("Normalization", {"mean": "1, x"}, "mean='1, x': use numbers, such as 0.5 or 0.5, 2"),
        ("Normalization", {"variance": "1, -1"}, "variance='1, -1': use numbers from 0, such as"),
        ("Reshape", {"target_shape": "8, -2"}, "target_shape='8, -2': use whole numbers from -1"),
        ("Dense", {"units": 3, "use_bias": "yes"}, "use_bias='yes': use True or False"),
        ("Transformer", {}, "'Transformer' is no layer here: use one of Dense"),
    ],
)
def test_a_wrong_choice_is_refused_by_its_name(kind, arguments, message):
    with pytest.raises(OptionError) as caught:
        Layer(kind, arguments)
    assert str(caught.value).startswith(message)


def test_a_network_too_large_for_memory_is_looked_at_at_once():
    huge = Network((1_000_000,), (Layer("Dense", {"units": 1_000_000}),))
    (looked,) = huge.looked_at()
    assert looked.weights == 1_000_001_000_000


def test_the_layer_that_is_wrong_says_so_in_words():
    network = Network((8,), (Layer.first("Dense"), Layer.first("Conv2D"), Layer.first("Dense")))
    good, wrong, behind = network.looked_at()
    assert good.shape == (64,)
    assert (
        wrong.error
        == "takes inputs of 3 dimensions or more for each row, gets (64,): a Reshape before it helps"
    )
    assert (behind.shape, behind.error) == (None, "")
