"""What stands before a model's trained part gives what Keras' own layers give, for any rows."""

import keras
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from nbkeras.data import kinds
from nbkeras.data.preprocessing.cut import cut
from nbkeras.data.preprocessing.graph import Text
from nbkeras.errors import DataError, ModelError
from nbkeras.model import pickling
from nbkeras.schema import WORDS, Field

L, K = keras.layers, keras.ops
#: What splits, lowers, sorts or encodes words in unlike ways in unlike libraries.
SENTENCES = np.array(
    [
        "",
        "a",
        "The quick, brown Fox!",
        "é è É İstanbul",
        "tab\tnew\nline\r\x0b\x0cz",
        "nb\u00a0sp a\u2003b",
        "x\x1cy\x1dz\x85w\x1f.",
        "😀 👩\u200d👩\u200d👧 ok",
        "日本 語",
        "nul\x00in a\x00",
        "  lead trail  ",
        "... !!!",
        "a-b_c 'q' \"d\" `t` ~x",
        "[UNK] unk",
        "\ufeffbom",
        "ﬁ ŉ ß ǅ",
        "a\u0301",
    ],
    object,
)
MODES = ("int", "one_hot", "multi_hot", "count", "tf_idf")
sentences = st.lists(
    st.one_of(st.sampled_from(list(SENTENCES)), st.text(max_size=12)), min_size=1, max_size=8
)
few = settings(max_examples=15, deadline=None)


def as_rows(values):
    """Rows as the tasks of Spark have them."""
    values = np.asarray(values)
    return (
        Text(pa.array(values.reshape(-1).tolist(), pa.string()), values.shape) if _words(values) else values
    )


def as_tensor(values):
    values = np.asarray(values)
    if not _words(values):
        return tf.constant(values)
    flat = np.array([one.encode() for one in values.reshape(-1)], object)
    return tf.constant(flat.reshape(values.shape), tf.string)


def _words(values):
    return values.dtype.kind in "OU"


def same(model, *columns):
    """Cut a model, and compare it with the whole for some rows; return the cut."""
    made = cut(model)
    outputs = made.graph.run([as_rows(one) for one in columns])
    found = made.model(outputs if len(outputs) > 1 else outputs[0])
    whole = getattr(model, "_functional", None) or model
    expected = model(keras.tree.pack_sequence_as(whole._inputs_struct, [as_tensor(one) for one in columns]))
    keras.tree.assert_same_structure(found, expected)
    for one, other in zip(keras.tree.flatten(found), keras.tree.flatten(expected), strict=True):
        np.testing.assert_array_equal(one, K.convert_to_numpy(other))
        assert one.dtype == other.dtype
    assert [one.name for one in made.model.variables] == [one.name for one in model.variables]
    return made


def numbers(tensor):
    """Whole numbers as a layer behind them would take them; the rest as it is."""
    return K.cast(tensor, "float32")


def single(layer, shape=(), dtype="string"):
    """A model that gives what one layer gives, times one."""
    x = keras.Input(shape, dtype=dtype)
    return keras.Model(x, numbers(layer(x)) * 1.0)


def drawn(of, shape, rows=7):
    return np.random.default_rng(0).choice(np.asarray(of), (rows, *shape))


def fed(shape=(2,), dtype="string"):
    """An input, and what makes a model of what the lookup gives."""
    x = keras.Input(shape, dtype=dtype)
    return x, lambda tensor: keras.Model(x, L.Dense(2)(L.Flatten()(L.Embedding(9, 3)(tensor))))


def look(**options):
    return L.StringLookup(vocabulary=["a", "b", "c"], **options)


@few
@given(
    sentences,
    st.sampled_from([None, "lower", "strip_punctuation", "lower_and_strip_punctuation"]),
    st.sampled_from(["whitespace", "character", None]),
    st.sampled_from(["int", "multi_hot", "count", "tf_idf"]),
    st.integers(1, 9),
)
def test_sentences_become_what_text_vectorization_makes_of_them(texts, standardize, split, mode, length):
    options = {"output_sequence_length": length} if mode == "int" else {}
    layer = L.TextVectorization(standardize=standardize, split=split, output_mode=mode, **options)
    layer.adapt(SENTENCES)
    same(single(layer, (1,)), np.array(texts, object)[:, np.newaxis])
    if split is not None:
        same(single(layer), np.array(texts, object))


@few
@given(
    st.lists(
        st.one_of(st.sampled_from(["a", "b", "", "[UNK]"]), st.text(max_size=3)), min_size=6, max_size=6
    ),
    st.sampled_from(MODES),
    st.sampled_from([{}, {"mask_token": ""}, {"num_oov_indices": 2, "mask_token": "zz"}, {"max_tokens": 9}]),
    st.sampled_from([(1,), (2,), (3,)]),
)
def test_words_become_what_string_lookup_makes_of_them(words, mode, options, shape):
    idf = {"idf_weights": [0.1, 0.2, 0.3]} if mode == "tf_idf" else {}
    pad = {"pad_to_max_tokens": True} if "max_tokens" in options else {}
    same(single(look(output_mode=mode, **options, **idf, **pad), shape), np.array(words).reshape(-1, *shape))


@few
@given(
    st.lists(st.sampled_from([0, 1, 2, -1, -3, 7, 99, 2**40, -(2**40)]), min_size=6, max_size=6),
    st.sampled_from(MODES),
    st.sampled_from(["int64", "int32", "uint8", "float32", "bool"]),
    st.sampled_from(
        [{}, {"mask_token": 0}, {"num_oov_indices": 3}, {"num_oov_indices": 2, "oov_method": "farmhash"}]
    ),
)
def test_whole_numbers_become_what_integer_lookup_makes_of_them(values, mode, dtype, options):
    idf = {"idf_weights": [0.1, 0.2, 0.3]} if mode == "tf_idf" else {}
    layer = L.IntegerLookup(vocabulary=[1, -3, 2**40], output_mode=mode, **options, **idf)
    same(single(layer, (3,), dtype), np.array(values).astype(dtype).reshape(2, 3))


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3)])
@pytest.mark.parametrize(
    "options", [{}, {"output_mode": "one_hot"}, {"num_oov_indices": 0, "mask_token": "zz"}]
)
def test_rows_of_any_shape_are_looked_up(shape, options):
    same(single(look(**options), shape), drawn(["a", "b", "c"], shape))


@pytest.mark.parametrize(
    ("layer", "dtype", "values"),
    [
        (lambda: L.Hashing(5), "string", SENTENCES[:16]),
        (lambda: L.Hashing(5, salt=[1, 2], mask_value=""), "string", SENTENCES[:16]),
        (lambda: L.Hashing(5, output_mode="count"), "string", SENTENCES[:16]),
        (lambda: L.Hashing(5, output_mode="multi_hot", sparse=True), "string", SENTENCES[:16]),
        (lambda: L.Hashing(5, salt=3, mask_value=2), "int32", [1, 2, -3, 99]),
        (lambda: L.Hashing(5), "float32", [1.5, -2.5, 0, 1e6]),
        (lambda: L.StringLookup(vocabulary=["a"], num_oov_indices=3, salt=4), "string", SENTENCES[:16]),
        (lambda: L.IntegerLookup(vocabulary=[2**40, 5], invert=True), "int64", [0, 1, 2, 9]),
        (lambda: L.StringLookup(vocabulary=["é", "a"], encoding="latin-1"), "string", ["é", "a", "", "b"]),
        (lambda: L.StringLookup(vocabulary=["a", "[UNK]", "b"]), "string", ["[UNK]", "a", "", "b"]),
    ],
)
def test_layers_that_arrow_cannot_replace_run_as_they_are(layer, dtype, values):
    values = np.array(values, object if dtype == "string" else dtype).reshape(-1, 2)
    same(single(layer(), (2,), dtype), values)


@pytest.mark.parametrize(
    "options",
    [
        {"ngrams": 2, "output_sequence_length": 7},
        {"ngrams": (2, 3), "output_mode": "multi_hot"},
        {"standardize": lambda texts: tf.strings.regex_replace(texts, "a", "b"), "output_mode": "count"},
        {"split": lambda texts: tf.strings.split(texts, ","), "output_sequence_length": 3},
        {"max_tokens": 100, "pad_to_max_tokens": True, "output_mode": "tf_idf"},
    ],
)
def test_functions_and_ngrams_of_text_layers_are_taken(options):
    layer = L.TextVectorization(**options)
    layer.adapt(SENTENCES)
    same(single(layer), SENTENCES)


def test_tokens_are_those_that_adapt_has_found_to_the_last_byte():
    layer = L.StringLookup()
    layer.adapt(np.array(["a\x00", "a\x00", "b"], object))
    same(single(layer, (1,)), np.array([["a\x00"], ["a"], ["b"]], object))


def test_a_vocabulary_may_come_from_a_file(tmp_path):
    (tmp_path / "words.txt").write_text("a\nThe\n日本\n", encoding="utf-8")
    layer = L.StringLookup(vocabulary=str(tmp_path / "words.txt"))
    same(single(layer, (1,)), np.array([["a"], ["The"], ["日本"], ["b"]], object))


def test_columns_are_crossed_behind_bins():
    words, age = keras.Input((1,), dtype="string", name="z"), keras.Input((1,), name="a")
    bins = L.Discretization([-1.5, 0.0, 2.0])(age)
    both = [L.HashedCrossing(7, output_mode=mode)([words, bins]) for mode in ("one_hot", "int")]
    model = keras.Model([words, age], L.Concatenate()([both[0], numbers(both[1])]))
    ages = np.array([-1.5, 0, 2, np.nan, np.inf, -np.inf, 2.0000002, 1], "float32")
    same(model, SENTENCES[:8, np.newaxis], ages[:, np.newaxis])


@pytest.mark.parametrize("mode", ["concat", "dict"])
def test_a_feature_space_gives_what_it_gives_in_keras(mode):
    space = keras.utils.FeatureSpace
    rows, draw = 24, np.random.default_rng(0)
    columns = {
        "age": draw.integers(18, 90, rows).astype("float32"),
        "city": draw.choice(["a", "b", "c", ""], rows).astype(object),
        "code": draw.integers(0, 9, rows),
        "word": draw.choice(["p", "q", "r"], rows).astype(object),
        "size": draw.random(rows).astype("float32"),
        "mean": draw.random(rows).astype("float32"),
    }
    made = space(
        {
            "age": space.float_discretized(num_bins=5),
            "city": space.string_categorical(num_oov_indices=1),
            "code": space.integer_categorical(),
            "word": space.string_hashed(num_bins=4),
            "size": space.float_rescaled(scale=2.0),
            "mean": space.float_normalized(),
        },
        crosses=[space.cross(("city", "word"), crossing_dim=6), space.cross(("age", "code"), crossing_dim=6)],
        output_mode=mode,
    )
    made.adapt(tf.data.Dataset.from_tensor_slices(columns).batch(8))
    model = keras.Model(made.get_inputs(), made.get_encoded_features())
    given_ = [columns[one.name][:, np.newaxis] for one in model.inputs]
    model = keras.Model(model.input, keras.tree.map_structure(lambda one: one * 1.0, model.output))
    same(model, *[one.astype("int64") if one.dtype.kind == "i" else one for one in given_])


def _inner(kind="functional"):
    x = keras.Input((1,), dtype="string", name="w")
    return keras.Model(x, look()(x)) if kind == "functional" else keras.Sequential([x, look()])


@pytest.mark.parametrize("kind", ["functional", "sequential"])
def test_preprocessing_in_a_model_of_its_own_is_found_also_where_it_is_shared(kind):
    inner, embedding = _inner(kind), L.Embedding(5, 3)
    x, y = (keras.Input((1,), dtype="string") for _ in range(2))
    model = keras.Model(
        [x, y], L.Dense(2)(L.Flatten()(L.Concatenate()([embedding(inner(x)), embedding(inner(y))])))
    )
    same(model, drawn(["a", "b"], (1,)), drawn(["c", "?"], (1,)))


@pytest.mark.parametrize(
    ("made_with", "called_with"),
    [
        (lambda z, y: [z, y], lambda z, y: {"y": y, "z": z}),
        (lambda z, y: {"z": z, "y": y}, lambda z, y: {"z": z, "y": y}),
        (lambda z, y: {"y": y, "z": z}, lambda z, y: [y, z]),
    ],
)
@pytest.mark.filterwarnings("ignore:The structure of `inputs`:UserWarning")
def test_inputs_of_a_model_in_the_model_are_found_by_their_names(made_with, called_with):
    z, y = (keras.Input((1,), dtype="string", name=name) for name in "zy")
    inner = keras.Model(made_with(z, y), L.Concatenate()([look()(z), L.StringLookup(vocabulary=["x"])(y)]))
    first, second = (keras.Input((1,), dtype="string") for _ in range(2))
    same(
        keras.Model([first, second], L.Embedding(9, 3)(inner(called_with(first, second)))),
        drawn(["a", "b", "x"], (1,)),
        drawn(["x", "c"], (1,)),
    )


@pytest.mark.parametrize(
    "begin", [[keras.Input((1,), dtype="string")], [keras.Input((), dtype="string")], []]
)
def test_a_sequential_model_may_begin_with_a_text_layer(begin):
    text = L.TextVectorization(vocabulary=["a", "b"], output_sequence_length=3)
    model = keras.Sequential([*begin, text, L.Embedding(5, 3, mask_zero=True), L.LSTM(2)])
    shape = begin[0].shape[1:] if begin else ()
    same(model, np.array(["a b", "b", "", "c a b a"], object).reshape(-1, *shape))


@pytest.mark.parametrize(
    "between",
    [
        lambda x: x + 1,
        lambda x: 2 * x // 3,
        lambda x: x[:, ::-1],
        lambda x: K.expand_dims(x[:, 1], -1),
        lambda x: K.where(x > 2, 1, x),
        lambda x: L.Concatenate()(K.split(x, 2, axis=-1)[::-1]),
        lambda x: K.reshape(x, (-1, 2, 1)),
        lambda x: K.cast(K.cast(x, "float32") * 1.5, "int32"),
        L.Lambda(lambda one: one * 2),
        lambda x: L.Permute((2, 1))(L.Reshape((2, 1))(x)),
        lambda x: L.Flatten(data_format="channels_first")(L.Reshape((1, 2))(x)),
        lambda x: L.Concatenate()([x, K.cast(x, "float32")]),
    ],
)
def test_functions_of_keras_between_input_and_lookup_are_done_as_keras_does(between):
    x, ended = fed((2,), "int64")
    same(ended(L.IntegerLookup(vocabulary=[1, 2, 3, 4])(between(x))), np.arange(8).reshape(4, 2))


@pytest.mark.parametrize(
    "between",
    [
        lambda x: x[:, :1],
        lambda x: K.expand_dims(x[:, 1], -1),
        lambda x: K.concatenate([x, x[:, ::-1]], axis=-1),
        lambda x: L.Concatenate()([x, x]),
        L.RepeatVector(3),
        L.Lambda(tf.strings.lower, output_shape=(2,)),
        lambda x: L.StringLookup(vocabulary=["c", "A"], invert=True)(look()(x)),
    ],
)
def test_functions_of_words_between_input_and_lookup_are_done_as_keras_does(between):
    x, ended = fed()
    same(ended(look()(between(x))), drawn(["a", "A", "B", "c"], (2,)))


class Lowered(L.StringLookup):
    def call(self, inputs):
        return super().call(tf.strings.lower(inputs))


class Flatten(L.Layer):
    def call(self, x):
        return tf.strings.join([x, x])

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, "string")


class Shifted(keras.Model):
    def call(self, inputs):
        return super().call(inputs) + 1


def test_classes_of_the_users_own_do_what_their_call_says():
    x, ended = fed()
    same(ended(Lowered(vocabulary=["a", "b"])(x)), drawn(["a", "A", "B"], (2,)))
    same(ended(look()(Flatten()(x))), drawn(["a", "A", "B"], (2,)))
    inner = keras.Input((2,), dtype="string")
    same(ended(Shifted(inner, look()(inner))(x)), drawn(["a", "A", "B"], (2,)))


def test_an_input_and_a_layer_may_feed_both_parts():
    x, z, reshape = keras.Input((), dtype="int64"), keras.Input(()), L.Reshape((1,))
    parts = [L.Flatten()(L.Embedding(5, 3)(L.IntegerLookup(vocabulary=[1, 2])(reshape(x))))]
    model = keras.Model([x, z], L.Dense(2)(L.Concatenate()([*parts, reshape(numbers(x)), reshape(z)])))
    made = same(model, np.arange(4), np.arange(4.0, dtype="float32"))
    assert reshape not in made.left


def test_an_input_may_be_an_output_too():
    x, key = keras.Input((2,), dtype="string"), keras.Input((), dtype="int64")
    model = keras.Model([x, key], {"found": numbers(look()(x)) * 2.0, "key": key})
    same(model, drawn(["a", "b"], (2,)), np.arange(7))


def test_weights_and_outputs_stay_in_the_order_and_by_the_names_of_the_users_model():
    inner = keras.Input((1,), dtype="string")
    deep = L.Dense(1)(L.Dense(4)(L.Flatten()(L.Embedding(5, 3)(look()(inner)))))
    x, z = keras.Input((1,), dtype="string"), keras.Input((2,))
    model = keras.Model(
        [x, z], [keras.Model(inner, deep, name="deep")(x), L.Dense(2, name="side")(L.Dense(3)(z))]
    )
    model.compile("sgd", loss={"deep": "mse", "side": "mae"})
    made = same(model, drawn(["a", "?"], (1,)), np.ones((7, 2), "float32"))
    assert made.model.output_names == ["deep", "side"]


def test_what_compile_was_given_holds_for_the_trained_part():
    x = keras.Input((1,), dtype="string")
    h = L.Flatten()(L.Embedding(5, 3)(look()(x)))
    model = keras.Model(x, {"zeta": L.Dense(1, name="zeta")(h), "alpha": L.Dense(2, name="alpha")(h)})
    weights = {"zeta": 2.0, "alpha": 0.5}
    metrics = {"metrics": {"alpha": ["mae"]}, "weighted_metrics": {"zeta": ["mse"]}}
    model.compile(
        "adam", loss={"zeta": "mse", "alpha": "mae"}, loss_weights=weights, run_eagerly=True, **metrics
    )
    words, labels = drawn(["a", "?"], (1,)), {"zeta": np.ones((7, 1)), "alpha": np.ones((7, 2))}
    made = same(model, words)
    (rows,) = made.graph.run([as_rows(words)])
    found = made.model.train_on_batch(rows, labels, return_dict=True)
    again = made.model.test_on_batch(rows, labels, return_dict=True)
    assert found.keys() == again.keys() >= {"loss", "alpha_mae", "zeta_mse"}
    # It trains the layers of the user's model, which the next cut finds.
    same(model, words)
    assert model.optimizer.iterations == 1


def test_layers_stay_frozen():
    x = keras.Input((1,), dtype="string")
    embedding, dense = L.Embedding(5, 3), L.Dense(2)
    model = keras.Model(x, dense(L.Flatten()(embedding(look()(x)))))
    embedding.trainable = False
    assert same(model, drawn(["a"], (1,))).model.trainable_variables == dense.trainable_variables
    model.trainable = False
    dense.trainable = True
    assert not same(model, drawn(["a"], (1,))).model.trainable_variables
    assert (embedding.trainable, dense.trainable) == (False, True)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_precision_is_that_of_the_users_model(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        x = keras.Input((1,), dtype="string")
        text = L.TextVectorization(vocabulary=["a", "b"], output_mode="tf_idf", idf_weights=[0.3, 0.7])(x)
        others = [L.Hashing(4, output_mode="one_hot")(x), L.HashedCrossing(5, output_mode="one_hot")([x, x])]
        hot = L.CategoryEncoding(9)(L.Hashing(3)(x))
        model = keras.Model(x, L.Dense(2)(L.Concatenate()([L.Flatten()(L.Dense(3)(text)), hot, *others])))
    finally:
        keras.config.set_dtype_policy(before)
    assert same(model, np.array([["a b"], ["b"], [""]], object)).model.dtype_policy == model.dtype_policy


def _all_kinds():
    x = keras.Input((1,), dtype="string")
    text = L.TextVectorization(vocabulary=["a", "b"], output_mode="count")(x)
    letters = L.TextVectorization(vocabulary=["a"], split="character", output_sequence_length=3)(x)
    parts = [L.Flatten()(text), numbers(letters), L.Hashing(3, output_mode="one_hot")(x)]
    masked = {"mask_token": "zz"}
    parts += [look(output_mode=mode, **masked)(x) for mode in ("multi_hot", "one_hot")]
    return keras.Model(x, L.Concatenate()([*parts, numbers(L.Concatenate()([look()(x), look()(x)]))]))


def test_no_rows_give_no_rows():
    made = cut(_all_kinds())
    outputs = made.graph.run([Text(pa.array([], pa.string()), (0, 1))])
    assert [one.shape for one in outputs] == [(0, *one.shape) for one in made.graph.outputs]


@pytest.mark.parametrize(
    "sent",
    [
        lambda words: pa.array(["q", *words, "r"]).slice(1, len(words)),
        lambda words: pa.array(words, pa.large_string()),
        lambda words: pa.array(["q", *words, "r"], pa.large_string()).slice(1, len(words)),
        lambda words: pa.array(words, pa.string_view()),
        lambda words: pa.array(words).dictionary_encode(),
    ],
)
def test_words_come_in_any_type_of_arrow(sent):
    words = ["zz", "a b", "", "B a", "zz", "c日"]
    made = cut(_all_kinds())
    expected = made.graph.run([as_rows(np.array(words, object)[:, np.newaxis])])
    for one, other in zip(made.graph.run([Text(sent(words), (6, 1))]), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_graph_travels_to_the_tasks():
    made, rows = cut(_all_kinds()), as_rows(SENTENCES[:, np.newaxis])
    for one, other in zip(
        pickling.loads(pickling.dumps(made.graph)).run([rows]), made.graph.run([rows]), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_a_layer_travels_to_the_tasks_without_the_weights_of_the_model():
    x = keras.Input((1,), dtype="string")
    hashed = L.Hashing(1000)(L.Lambda(tf.strings.lower, output_shape=(1,))(x[:, ::-1]))
    made = same(keras.Model(x, L.Embedding(1000, 64)(hashed)), SENTENCES[:, np.newaxis])
    weights = sum(one.numpy().nbytes for one in made.model.weights)
    assert len(made.graph.steps) == 3
    assert len(pickling.dumps(made.graph)) < weights / 4


class Stepping(keras.Model):
    def train_step(self, data):
        raise NotImplementedError


def _stepping():
    x = keras.Input((1,), dtype="string")
    return Stepping(x, numbers(look()(x)))


def _behind(layer, dtype="float32", shape=(2,)):
    x = keras.Input(shape, dtype=dtype)
    return keras.Model(x, numbers(L.Hashing(5)(layer(x))))


class Masking(L.StringLookup):
    supports_masking = True

    def compute_mask(self, inputs, previous_mask=None):
        return K.equal(inputs, "a")


def _masked():
    x = keras.Input((2,), dtype="string")
    return keras.Model(x, numbers(Masking(vocabulary=["a"])(x)))


def _with_outputs():
    x = keras.Input((1,), dtype="string")
    tokens = look()(x)
    return keras.Model(x, [tokens, numbers(tokens)])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: single(L.StringLookup(), (1,)), "has no vocabulary: call its adapt"),
        (lambda: single(L.TextVectorization(output_sequence_length=3)), "has no vocabulary: call its adapt"),
        (
            lambda: single(look(), (1,), "int64"),
            "takes words, and is given values of type int64: use IntegerLookup",
        ),
        (
            lambda: single(L.IntegerLookup(vocabulary=[1]), (1,)),
            "takes numbers, and is given values of type string",
        ),
        (
            lambda: single(look(output_mode="multi_hot"), ()),
            "cannot take rows of shape () one by one: use keras",
        ),
        (
            lambda: single(look(output_mode="count"), (2, 3)),
            r"shape \(2, 3\) one by one: use keras.layers.Reshape",
        ),
        (lambda: single(L.Hashing(3, output_mode="one_hot"), (3,)), "CategoryEncoding behind it"),
        (
            lambda: single(L.TextVectorization(vocabulary=["a"]), ()),
            "give TextVectorization output_sequence_length",
        ),
        (
            lambda: single(L.TextVectorization(vocabulary=["a"], output_sequence_length=2), (3,)),
            r"shape \(3,\)",
        ),
        (lambda: single(L.TextVectorization(vocabulary=["a"], ragged=True)), "give it ragged=False"),
        (
            lambda: single(L.TextVectorization(vocabulary=["a"], output_mode="one_hot")),
            "output_mode='multi_hot'",
        ),
        (lambda: _behind(L.Dense(2)), "has weights or a random state"),
        (lambda: _behind(L.Dropout(0.5)), "has weights or a random state"),
        (_masked, "makes a mask before the trained part"),
        (lambda: _behind(L.Discretization(num_bins=3)), "has no boundaries: call its adapt"),
        (lambda: _behind(lambda x: K.expand_dims(x, 0)), "mixes the rows of a batch"),
        (_stepping, "Stepping is a class of your own"),
        (_with_outputs, "is an output of the model and stands before its trained part"),
        (lambda: keras.Sequential([look(), L.Embedding(5, 3)]), "begin it with keras.Input"),
    ],
)
def test_what_cannot_be_done_for_each_row_alone_is_refused_with_what_to_type(model, message):
    with pytest.raises(ModelError, match=message.replace("()", r"\(\)")):
        cut(model())


def test_words_without_a_place_are_named():
    made = cut(single(look(num_oov_indices=0, mask_token=""), (1,)))
    with pytest.raises(DataError, match=r"no place for 2 values .*\('x'\): give it num_oov_indices=1"):
        made.graph.run([as_rows([["a"], ["x"], [""], ["x"]])])


@pytest.mark.parametrize(
    "mixes", [lambda x: K.flip(x, 0), lambda x: K.cumsum(x, axis=0), lambda x: K.reshape(x, (-1, 1))]
)
def test_a_function_that_mixes_rows_before_the_lookup_is_named(mixes):
    x, ended = fed((2,), "int64")
    made = cut(ended(L.IntegerLookup(vocabulary=[1])(mixes(x))))
    with pytest.raises(DataError, match="mixes the rows of a batch, and a lookup"):
        made.graph.run([np.arange(1, 9).reshape(4, 2)])


def _decoded(column, shape):
    field = Field("x0", ("words",), "model input 'w'", WORDS, shape, "text")
    return kinds.encoding(field).decode(column, field, {})


@pytest.mark.parametrize(
    ("values", "shape", "rows"),
    [
        (["a", "b"], (), (2,)),
        (["a", "b"], (1,), (2, 1)),
        (["a", "b"], None, (2, 1)),
        ([["a", "b"], ["c", "d"]], (2,), (2, 2)),
        ([["a", "b"], ["c", "d"]], None, (2, 2)),
        ([[["a", "b"]], [["c", "d"]]], (1, 2), (2, 1, 2)),
        ([], (3,), (0, 3)),
    ],
)
def test_columns_of_words_get_the_shape_of_the_input(values, shape, rows):
    assert _decoded(pa.array(values, None if values else pa.list_(pa.string())), shape).shape == rows


@pytest.mark.parametrize(
    ("values", "shape", "message"),
    [
        ([["a"], ["b", "c", "d"]], None, "arrays of 1, 3 words: pad them with"),
        ([["a", "b"], ["c", "d"]], (3,), r"takes shape \(3,\), column 'words' holds arrays of shape \(2,\)"),
        (["a", "b"], (2,), r"takes shape \(2,\), column 'words' holds single words"),
    ],
)
def test_words_that_do_not_fit_an_input_are_named(values, shape, message):
    with pytest.raises(DataError, match=message):
        _decoded(pa.array(values), shape)


def test_the_trained_part_has_each_metric_of_the_model_once():
    words = keras.Input((1,), dtype="string")
    codes = L.StringLookup(vocabulary=["a", "b"])(words)
    model = keras.Model(words, L.Dense(1)(L.Flatten()(L.Embedding(3, 2)(codes))))
    model.compile("adam", "mse", metrics=["mae"])

    trained = cut(model).model

    # Twice, JAX would be given the state of each twice.
    assert trained.metrics == model.metrics
    assert trained.metrics_variables == model.metrics_variables
