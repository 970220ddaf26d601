"""Tutorials on text."""

from __future__ import annotations

import re
import string

import keras
import numpy as np
import tensorflow as tf
from examples.made import learned, reviews
from keras import layers


def _cleaned(texts):
    """Lower case, without tags and punctuation."""
    plain = tf.strings.regex_replace(tf.strings.lower(texts), "<br />", " ")
    return tf.strings.regex_replace(plain, f"[{re.escape(string.punctuation)}]", "")


def reviews_in_folders(folder):
    """Text classification from scratch: files in folders, words become numbers in the pipeline.

    At the end a model takes the raw text.
    """
    for part, number in {"train": 60, "test": 20}.items():
        for at, (text, label) in enumerate(zip(*reviews(number), strict=True)):
            path = folder / part / ("bad", "good")[label] / f"{at}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text.capitalize()}!<br />")
    how = {"batch_size": 16, "verbose": False}
    raw, raw_checked = keras.utils.text_dataset_from_directory(
        folder / "train", validation_split=0.2, subset="both", seed=1337, **how
    )
    raw_test = keras.utils.text_dataset_from_directory(folder / "test", **how)
    vectorize = layers.TextVectorization(
        standardize=_cleaned, max_tokens=40, output_mode="int", output_sequence_length=10
    )
    vectorize.adapt(raw.map(lambda x, _: x))

    def numbers(texts, labels):
        return vectorize(tf.expand_dims(texts, -1)), labels

    train, checked, test = (
        one.map(numbers).cache().prefetch(buffer_size=10) for one in (raw, raw_checked, raw_test)
    )
    inputs = keras.Input((None,), dtype="int64")
    x = layers.Dropout(0.5)(layers.Embedding(40, 8)(inputs))
    x = layers.Conv1D(8, 5, padding="valid", activation="relu", strides=2)(x)
    x = layers.Dense(8, activation="relu")(layers.GlobalMaxPooling1D()(x))
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid", name="predictions")(x))
    model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
    history = model.fit(train, validation_data=checked, epochs=2)
    score = model.evaluate(test)

    words = keras.Input((1,), dtype="string")
    whole = keras.Model(words, model(vectorize(words)))
    whole.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
    return learned(model, history, score=score, whole=whole.evaluate(raw_test))


class TransformerBlock(layers.Layer):
    """Attention, a feed-forward net, and normalisation behind each."""

    def __init__(self, width, heads, inner, rate=0.1):
        super().__init__()
        self.attention = layers.MultiHeadAttention(num_heads=heads, key_dim=width)
        self.inner = keras.Sequential([layers.Dense(inner, activation="relu"), layers.Dense(width)])
        self.normal = [layers.LayerNormalization(epsilon=1e-6) for _ in range(2)]
        self.dropout = [layers.Dropout(rate) for _ in range(2)]

    def call(self, inputs):
        x = self.normal[0](inputs + self.dropout[0](self.attention(inputs, inputs)))
        return self.normal[1](x + self.dropout[1](self.inner(x)))


class TokensAndPositions(layers.Layer):
    """Embeds what a token is and where it stands."""

    def __init__(self, length, words, width):
        super().__init__()
        self.token = layers.Embedding(input_dim=words, output_dim=width)
        self.place = layers.Embedding(input_dim=length, output_dim=width)

    def call(self, x):
        places = keras.ops.arange(start=0, stop=keras.ops.shape(x)[-1], step=1)
        return self.token(x) + self.place(places)


def _padded_reviews(number):
    texts, labels = reviews(number)
    words = {word: at + 1 for at, word in enumerate(sorted(set(" ".join(texts).split())))}
    return keras.utils.pad_sequences([[words[one] for one in text.split()] for text in texts], 10), labels


def transformer_for_sentiment(folder):
    """Text classification by a transformer block, from padded arrays of word numbers."""
    x, y = _padded_reviews(64)
    inputs = layers.Input((10,))
    hidden = TransformerBlock(8, 2, 8)(TokensAndPositions(10, 30, 8)(inputs))
    hidden = layers.Dropout(0.1)(layers.GlobalAveragePooling1D()(hidden))
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(hidden))
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(
        x[:48], y[:48], batch_size=16, epochs=2, validation_data=(x[48:], y[48:]), shuffle=False
    )
    return learned(model, history, score=model.evaluate(x[48:], y[48:], verbose=0))


def bidirectional_lstm(folder):
    """Two bidirectional LSTMs on padded reviews, whose zeros are masked."""
    x, y = _padded_reviews(48)
    inputs = keras.Input((None,), dtype="int32")
    hidden = layers.Embedding(30, 6, mask_zero=True)(inputs)
    hidden = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(hidden)
    hidden = layers.Bidirectional(layers.LSTM(4))(hidden)
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(hidden))
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, batch_size=16, epochs=1, validation_split=0.25, shuffle=False)
    return learned(model, history)


def one_character_after_another(folder):
    """Text generation by an LSTM: one epoch at a time, and behind each the model writes."""
    text = ("the quick brown fox jumps over the lazy dog " * 3)[:110]
    chars = sorted(set(text))
    number = {char: at for at, char in enumerate(chars)}
    starts = range(0, len(text) - 10, 2)
    x = np.zeros((len(starts), 10, len(chars)), dtype="bool")
    y = np.zeros((len(starts), len(chars)), dtype="bool")
    for row, start in enumerate(starts):
        for step, char in enumerate(text[start : start + 10]):
            x[row, step, number[char]] = 1
        y[row, number[text[start + 10]]] = 1
    model = keras.Sequential(
        [keras.Input((10, len(chars))), layers.LSTM(8), layers.Dense(len(chars), activation="softmax")]
    )
    model.compile(loss="categorical_crossentropy", optimizer=keras.optimizers.RMSprop(learning_rate=0.01))
    written = []
    for _ in range(2):
        history = model.fit(x, y, batch_size=16, epochs=1, shuffle=False)
        window = x[:1].astype("float32")
        for _ in range(3):
            chances = model.predict(window, verbose=0)[0]
            written.append(chances)
            window = np.roll(window, -1, axis=1)
            window[0, -1] = np.eye(len(chars))[np.argmax(chances)]
    return learned(model, history, written=np.stack(written))


def translation(folder):
    """Sequence to sequence: pairs of sentences become dicts of numbers, the decoder sees words before."""
    english, _ = reviews(48)
    spanish = [f"[start] {' '.join(word[::-1] for word in one.split())} [end]" for one in english]
    source = layers.TextVectorization(max_tokens=30, output_mode="int", output_sequence_length=8)
    target = layers.TextVectorization(
        max_tokens=30, output_mode="int", output_sequence_length=9, standardize="lower"
    )
    source.adapt(english)
    target.adapt(spanish)

    def formatted(one, other):
        words = target(other)
        return {"encoder_inputs": source(one), "decoder_inputs": words[:, :-1]}, words[:, 1:]

    def made(rows):
        pairs = tf.data.Dataset.from_tensor_slices((english[rows], spanish[rows])).batch(16).map(formatted)
        return pairs.cache().shuffle(2048).prefetch(16)

    encoder = keras.Input((None,), dtype="int64", name="encoder_inputs")
    state = layers.GRU(6)(layers.Embedding(30, 6, mask_zero=True)(encoder))
    decoder = keras.Input((None,), dtype="int64", name="decoder_inputs")
    x = layers.Embedding(30, 6, mask_zero=True)(decoder)
    x = layers.GRU(6, return_sequences=True)(x, initial_state=state)
    model = keras.Model([encoder, decoder], layers.Dense(30, activation="softmax")(layers.Dropout(0.5)(x)))
    model.compile("rmsprop", "sparse_categorical_crossentropy", weighted_metrics=["accuracy"])
    history = model.fit(made(slice(32)), epochs=2, validation_data=made(slice(32, None)))
    ends = model.predict([source(english[:3]), target(spanish[:3])[:, :-1]])
    return learned(model, history, ends=ends)


class LossOfWords(keras.losses.Loss):
    """The mean over the tokens that are words."""

    def __init__(self, name="loss_of_words"):
        super().__init__(name=name)

    def call(self, y_true, y_pred):
        losses = keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=False)
        mask = keras.ops.cast(y_true > 0, losses.dtype)
        return keras.ops.sum(losses * mask) / keras.ops.sum(mask)


def named_entities(folder):
    """Named entities: sentences in padded batches, and a loss of one's own that leaves out the padding."""
    path = folder / "train.txt"
    texts, _ = reviews(40)
    words = sorted(set(" ".join(texts).split()))
    lines = []
    for text in texts:
        ids = [words.index(one) + 1 for one in text.split()]
        lines.append("\t".join(map(str, [len(ids), *ids, *(1 + one % 3 for one in ids)])))
    path.write_text("\n".join(lines))

    def parsed(line):
        record = tf.strings.to_number(tf.strings.split(line, "\t"), tf.int32)
        return record[1 : record[0] + 1], record[record[0] + 1 :]

    data = tf.data.TextLineDataset([str(path)]).map(parsed).padded_batch(8)
    inputs = keras.Input((None,), dtype="int32")
    x = layers.Dense(8, activation="relu")(TokensAndPositions(12, 30, 8)(inputs))
    model = keras.Model(inputs, layers.Dense(4, activation="softmax")(layers.Dropout(0.1)(x)))
    model.compile(optimizer="adam", loss=LossOfWords())
    return learned(model, model.fit(data, epochs=2))


class Word2Vec(keras.Model):
    """Two embeddings, and the products of a target with its contexts."""

    def __init__(self, words, width):
        super().__init__()
        self.target_embedding = layers.Embedding(words, width, name="w2v_embedding")
        self.context_embedding = layers.Embedding(words, width)

    def call(self, pair):
        target, context = pair
        if len(target.shape) == 2:
            target = tf.squeeze(target, axis=1)
        return tf.einsum("be,bce->bc", self.target_embedding(target), self.context_embedding(context))


def word_vectors(folder):
    """Word2vec: a subclassed model takes (target, context) and tells true contexts from drawn ones."""
    random = np.random.default_rng(0)
    targets, contexts = random.integers(1, 30, 200), random.integers(1, 30, (200, 5))
    labels = np.tile([1, 0, 0, 0, 0], (200, 1))
    data = tf.data.Dataset.from_tensor_slices(((targets, contexts), labels))
    data = data.shuffle(1000).batch(32, drop_remainder=True).cache().prefetch(tf.data.AUTOTUNE)
    model = Word2Vec(30, 6)
    model.compile("adam", keras.losses.CategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    history = model.fit(data, epochs=2)
    vectors = model.get_layer("w2v_embedding").get_weights()[0]
    return learned(model, history, vectors=vectors)


class Writes(keras.callbacks.Callback):
    """Continues a sentence after each epoch."""

    def __init__(self, start):
        super().__init__()
        self.start, self.written = start, []

    def on_epoch_end(self, epoch, logs=None):
        tokens = list(self.start)
        for _ in range(3):
            chances, _ = self.model.predict(np.array([tokens + [0] * (8 - len(tokens))]), verbose=0)
            tokens.append(int(np.argmax(chances[0, len(tokens) - 1])))
        self.written.append(tokens)


def miniature_gpt(folder):
    """A small GPT: two outputs, one of them without a loss, and a callback that writes text."""
    texts, _ = reviews(64)
    vectorize = layers.TextVectorization(max_tokens=29, output_mode="int", output_sequence_length=9)
    data = tf.data.Dataset.from_tensor_slices(texts).shuffle(64).batch(16)
    vectorize.adapt(data)

    def shifted(text):
        tokens = vectorize(tf.expand_dims(text, -1))
        return tokens[:, :-1], tokens[:, 1:]

    inputs = layers.Input((8,), dtype="int32")
    x = TokensAndPositions(8, 30, 8)(inputs)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 8)(x, x, use_causal_mask=True))
    model = keras.Model(inputs=inputs, outputs=[layers.Dense(30)(x), x])
    model.compile("adam", loss=[keras.losses.SparseCategoricalCrossentropy(from_logits=True), None])
    writes = Writes([3, 4])
    history = model.fit(data.map(shifted).prefetch(tf.data.AUTOTUNE), epochs=2, callbacks=[writes])
    return learned(model, history, written=writes.written)


class MaskedLanguageModel(keras.Model):
    """Guesses hidden words: its own step takes weights that are 0 elsewhere, and its own trackers."""

    def compile(self, *args, **kwargs):
        super().compile(*args, **kwargs)
        self.crossentropy = keras.losses.SparseCategoricalCrossentropy(reduction=None)
        self.tracker = keras.metrics.Mean(name="loss")

    @property
    def metrics(self):
        return [self.tracker]

    def train_step(self, inputs):
        features, labels, weights = inputs
        with tf.GradientTape() as tape:
            losses = self.crossentropy(labels, self(features, training=True), sample_weight=weights)
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        self.tracker.update_state(losses, sample_weight=weights)
        return {one.name: one.result() for one in self.metrics}


def hidden_words(folder):
    """Masked language modelling: a step of one's own with weights for each token, from tf.data."""
    x, _ = _padded_reviews(48)
    hidden = np.random.default_rng(1).random(x.shape) < 0.25
    masked = np.where(hidden, 29, x)
    data = tf.data.Dataset.from_tensor_slices((masked, x, hidden.astype("float32")))
    data = data.shuffle(100).batch(16)
    inputs = layers.Input((10,), dtype="int64")
    hidden = layers.LayerNormalization()(TokensAndPositions(10, 30, 8)(inputs))
    model = MaskedLanguageModel(inputs, layers.Dense(30, activation="softmax")(hidden))
    model.compile(optimizer=keras.optimizers.Adam(learning_rate=0.001))
    return learned(model, model.fit(data, epochs=2))
