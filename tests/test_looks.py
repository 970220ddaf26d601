"""How a model looks: its table, its picture, and that neither needs more than the file."""

from __future__ import annotations

import base64
import io
from html.parser import HTMLParser

import keras
import nbclient
import nbformat
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers
from PIL import Image

import nbkeras
from nbkeras.errors import ModelError
from nbkeras.notebook import looks
from nbkeras.notebook.looks import Row


def residual():
    image, words = keras.Input((8, 8, 3), name="image"), keras.Input((20,), name="words")
    first = layers.Conv2D(4, 3, padding="same", name="first")(image)
    second = layers.Conv2D(4, 3, padding="same", name="second")(first)
    added = layers.Flatten(name="flat")(layers.Add(name="added")([second, first]))
    read = layers.LSTM(3, name="read")(layers.Embedding(50, 2, name="embedded")(words))
    joined = layers.Concatenate(name="joined")([added, read])
    inner = keras.Sequential([keras.Input((259,)), layers.Dense(2, name="within")], name="inner")
    return keras.Model([image, words], layers.Dense(1, name="last")(inner(joined)), name="two_inputs")


def test_every_layer_has_its_output_its_weights_and_its_parents():
    found = looks.rows(residual())
    by_name = {one.name: one for one in found}

    def parents(name):
        return {found[index].name for index in by_name[name].parents}

    assert by_name["second"].shape == "(8, 8, 4)"
    assert by_name["second"].weights == 4 * 4 * 9 + 4
    assert parents("added") == {"first", "second"}
    assert parents("joined") == {"flat", "read"}
    assert (by_name["within"].depth, by_name["inner"].depth) == (1, 0)
    assert parents("last") == {"within"}
    outer = [one for one in found if one.depth == 0]
    assert sum(one.weights for one in outer) == residual().count_params()
    assert all(parent < index for index, one in enumerate(found) for parent in one.parents)


def test_a_layer_that_is_called_on_its_own_output_is_shown_once():
    source, dense = keras.Input((4,)), keras.layers.Dense(4)
    found = looks.rows(keras.Model(source, dense(dense(source))))
    assert [(one.kind, one.parents) for one in found] == [("InputLayer", ()), ("Dense", (0,))]


def test_frozen_weights_are_counted_apart():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2), layers.BatchNormalization()])
    model.layers[0].trainable = False
    assert [one.frozen for one in looks.rows(model)] == [0, 8, 4]
    assert looks.bundle(model)["text/plain"].endswith("16 weights, 12 of them frozen, 64 bytes")


def test_a_model_that_is_not_built_says_what_is_unknown_and_why():
    shown = looks.bundle(keras.Sequential([layers.Dense(3), layers.Dense(1)]))["text/plain"].splitlines()
    assert [line.split()[-2:] for line in shown[1:3]] == [["?", "0"], ["?", "0"]]
    assert "is not built yet: give it a keras.Input" in shown[-1]


class Own(keras.Model):
    def __init__(self):
        super().__init__(name="own")
        self.first, self.rest = layers.Dense(3), keras.Sequential([layers.Dense(2)])

    def call(self, x):
        return self.rest(self.first(x))


def test_a_subclassed_model_shows_its_layers_one_after_the_other():
    model = Own()
    model(np.ones((2, 4)))
    found = looks.rows(model)
    assert [one.kind for one in found] == ["Dense", "Sequential", "InputLayer", "Dense"]
    assert [one.weights for one in found] == [15, 8, 0, 8]


@st.composite
def graphs(draw):
    found = []
    for index in range(draw(st.integers(1, 25))):
        parents = draw(st.lists(st.integers(0, index - 1), max_size=3, unique=True)) if index else []
        found.append(Row("name", "Dense", "(1,)", 1, 0, tuple(parents)))
    return found


@given(graphs())
def test_no_rail_leads_through_a_layer_that_it_does_not_belong_to(found):
    rails, past = looks._rails(found)

    for child, one in enumerate(found):
        for parent in one.parents:
            between = range(parent + 1, child)
            if (parent, child) in past:
                assert all(rails[row] != past[parent, child] for row in between)
            elif rails[parent] == rails[child] or rails[child] < rails[parent]:
                assert all(rails[row] != rails[parent] for row in between)


class Images(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.tags = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag == "img":
            self.found.append(dict(attributes))


def test_the_picture_is_small_and_draws_every_layer():
    shown = looks.bundle(residual())
    image = Image.open(io.BytesIO(base64.b64decode(shown["image/png"]))).convert("RGBA")
    page = Images()
    page.feed(shown["text/html"])

    assert page.found[0]["alt"].startswith("two_inputs: ")
    assert len(shown["image/png"]) < 60_000
    lines = image.height / len(looks.rows(residual()))
    opaque = np.asarray(image)[..., 3] > 0
    for index in range(len(looks.rows(residual()))):
        assert opaque[int(index * lines) : int((index + 1) * lines)].any()


def test_names_are_shown_as_text():
    evil = "<img src=x onerror=alert(1)>"
    kind = type(evil, (layers.Dense,), {})
    shown = looks.bundle(keras.Sequential([keras.Input((2,)), kind(1)], name="m"))
    page = Images()
    page.feed(shown["text/html"])
    assert len(page.found) == 1
    assert "onerror" not in page.found[0]


def test_a_model_of_many_layers_shows_the_first_and_says_how_many_more():
    model = keras.Sequential([keras.Input((2,)), *(layers.Dense(2) for _ in range(200))])
    shown = looks.bundle(model)
    assert "81 more layers are in model.summary()" in shown["text/plain"]
    assert "81 more layers" in shown["text/html"]


def test_a_kernel_leaves_picture_table_and_text_in_the_file(tmp_path):
    source = """
import keras, nbkeras
nbkeras.show(keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)], name="small"))
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    (shown,) = [one for one in notebook.cells[0].outputs if one.output_type == "display_data"]
    assert set(shown.data) == {"text/plain", "text/html", "image/png"}


def test_an_object_that_is_not_a_model_is_refused():
    with pytest.raises(ModelError, match="show takes a Keras model or a run, not a str"):
        nbkeras.show("model")
