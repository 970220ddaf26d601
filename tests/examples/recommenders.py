"""Tutorials on recommenders and on tables."""

from __future__ import annotations

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from examples.made import learned, ratings
from keras import layers
from sklearn import datasets

USERS, FILMS = 12, 9


class Recommender(keras.Model):
    """Products of users and films, with a bias for each; it multiplies whole batches, as is common."""

    def __init__(self, width):
        super().__init__()
        how = {"embeddings_initializer": "he_normal"}
        self.user = layers.Embedding(USERS, width, embeddings_regularizer=keras.regularizers.l2(1e-6), **how)
        self.film = layers.Embedding(FILMS, width, embeddings_regularizer=keras.regularizers.l2(1e-6), **how)
        self.user_bias, self.film_bias = layers.Embedding(USERS, 1), layers.Embedding(FILMS, 1)

    def call(self, inputs):
        user, film = inputs[:, 0], inputs[:, 1]
        together = keras.ops.tensordot(self.user(user), self.film(film), 2)
        return keras.ops.nn.sigmoid(together + self.user_bias(user) + self.film_bias(film))


def collaborative_filtering(folder):
    """Collaborative filtering on MovieLens: the product is one number for the whole batch."""
    user, film, stars = ratings(96)
    x, y = np.stack([user, film], axis=1), (stars - 1) / 4
    model = Recommender(4)
    model.compile(
        loss=keras.losses.BinaryCrossentropy(), optimizer=keras.optimizers.Adam(learning_rate=0.001)
    )
    history = model.fit(
        x=x[:80],
        y=y[:80],
        batch_size=16,
        epochs=2,
        verbose=1,
        validation_data=(x[80:], y[80:]),
        shuffle=False,
    )
    return learned(model, history, predicted=model.predict(x[:FILMS]).flatten())


class Retrieval(keras.Model):
    """Finds films for users; its loss takes the films from labels that are a dict."""

    def __init__(self, width):
        super().__init__()
        self.users, self.films = layers.Embedding(USERS, width), layers.Embedding(FILMS, width)
        self.distance = keras.losses.MeanSquaredError()

    def build(self, shape):
        self.users.build(shape)
        self.films.build(shape)
        super().build(shape)

    def call(self, inputs, training=False):
        users = self.users(inputs)
        found = {"users": users}
        if not training:
            scores = keras.ops.matmul(users, keras.ops.transpose(self.films.embeddings))
            found["films"] = keras.ops.top_k(scores, 3)[1]
        return found

    def compute_loss(self, x, y, y_pred, sample_weight, training=True):
        scores = keras.ops.sum(y_pred["users"] * self.films(y["film"]), axis=1, keepdims=True)
        return self.distance(keras.ops.expand_dims(y["rating"], -1), scores, sample_weight)


def retrieval(folder):
    """Basic retrieval: a shuffled dataset is cut into two parts and cached, validation every other epoch."""
    user, film, stars = ratings(96)
    data = tf.data.Dataset.from_tensor_slices({"user": user, "film": film, "stars": stars})
    data = data.map(lambda one: (one["user"], {"film": one["film"], "rating": (one["stars"] - 1.0) / 4.0}))
    data = data.shuffle(1000, seed=42, reshuffle_each_iteration=False)
    model = Retrieval(4)
    model.compile(optimizer=keras.optimizers.Adagrad(learning_rate=0.1))
    history = model.fit(
        data.take(80).batch(16).cache(),
        validation_data=data.skip(80).take(16).batch(16).cache(),
        validation_freq=2,
        epochs=4,
    )
    return learned(model, history, films=model.predict(keras.ops.convert_to_tensor([5]))["films"])


def ranking_by_names(folder):
    """Ranking: users and films are text, which look-up layers of the model turn into numbers."""
    user, film, stars = ratings(96)
    users, films = (np.array([f"{kind} {at}" for at in of]) for kind, of in (("user", user), ("film", film)))
    data = tf.data.Dataset.from_tensor_slices(({"user_id": users, "movie_title": films}, stars))
    data = data.shuffle(96, seed=42, reshuffle_each_iteration=False)
    train, test = data.take(80).batch(16).cache(), data.skip(80).batch(8).cache()
    inputs = {name: keras.Input((), dtype="string", name=name) for name in ("user_id", "movie_title")}
    embedded = []
    for name, known in {"user_id": users, "movie_title": films}.items():
        number = layers.StringLookup(vocabulary=np.unique(known), mask_token=None)(inputs[name])
        embedded.append(layers.Embedding(len(np.unique(known)) + 1, 4)(number))
    x = layers.Dense(8, activation="relu")(layers.concatenate(embedded))
    model = keras.Model(inputs, layers.Dense(1)(x))
    model.compile(
        optimizer=keras.optimizers.Adagrad(0.1),
        loss="mse",
        metrics=[keras.metrics.RootMeanSquaredError()],
    )
    history = model.fit(train, epochs=2)
    score = model.evaluate(test, return_dict=True)
    one = model.predict({"user_id": tf.constant(["user 4"]), "movie_title": tf.constant(["film 2"])})
    return learned(model, history, score=[score["loss"], score["root_mean_squared_error"]], one=one)


class TwoTowers(keras.Model):
    """Users and films; each user's film must win against the other films of the batch."""

    def __init__(self, width):
        super().__init__()
        self.users, self.films = layers.Embedding(USERS, width), layers.Embedding(FILMS, width)
        self.task = keras.losses.CategoricalCrossentropy(from_logits=True, reduction="sum")

    def call(self, features):
        return self.users(features["user"]), self.films(features["film"])

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        users, films = y_pred
        scores = keras.ops.matmul(users, keras.ops.transpose(films))
        return self.task(keras.ops.eye(keras.ops.shape(scores)[0]), scores)


def two_towers(folder):
    """Retrieval by two towers, with the other films of the batch as negatives."""
    user, film, _ = ratings(96)
    data = tf.data.Dataset.from_tensor_slices({"user": user, "film": film}).shuffle(96, seed=1).batch(16)
    model = TwoTowers(4)
    model.compile(optimizer=keras.optimizers.Adagrad(learning_rate=0.5))
    return learned(model, model.fit(data.cache(), epochs=2))


def _heart(number):
    """A table of patients: numbers, whole numbers and text, and whether they are ill."""
    random = np.random.default_rng(6)
    table = pd.DataFrame(
        {
            "age": random.integers(30, 80, number),
            "oldpeak": random.random(number).round(2),
            "sex": random.integers(0, 2, number),
            "thal": random.choice(["fixed", "normal", "reversible"], number),
        }
    )
    table["target"] = (table["age"] + 30 * table["oldpeak"] > 70).astype("int64")
    return table


def patients_by_feature_space(folder):
    """Structured data: a FeatureSpace prepares dicts in the pipeline, and then is part of the model."""
    table = _heart(80)

    def as_dataset(rows):
        features = rows.drop(columns="target")
        return tf.data.Dataset.from_tensor_slices((dict(features), rows["target"])).shuffle(
            buffer_size=len(rows)
        )

    train, checked = as_dataset(table[:64]).batch(16), as_dataset(table[64:]).batch(16)
    space = keras.utils.FeatureSpace(
        features={
            "sex": "integer_categorical",
            "thal": "string_categorical",
            "age": keras.utils.FeatureSpace.float_discretized(num_bins=5),
            "oldpeak": "float_normalized",
        },
        crosses=[keras.utils.FeatureSpace.cross(feature_names=("sex", "age"), crossing_dim=8)],
        output_mode="concat",
    )
    space.adapt(train.map(lambda x, _: x))
    ready, ready_checked = (
        one.map(lambda x, y: (space(x), y)).prefetch(tf.data.AUTOTUNE) for one in (train, checked)
    )
    encoded = space.get_encoded_features()
    output = layers.Dense(1, activation="sigmoid")(
        layers.Dropout(0.5)(layers.Dense(8, activation="relu")(encoded))
    )
    model = keras.Model(inputs=encoded, outputs=output)
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    history = model.fit(ready, epochs=2, validation_data=ready_checked, verbose=2)
    whole = keras.Model(inputs=space.get_inputs(), outputs=output)
    sample = {"age": 60, "oldpeak": 0.4, "sex": 1, "thal": "fixed"}
    chance = whole.predict({name: tf.convert_to_tensor([value]) for name, value in sample.items()})
    return learned(model, history, chance=chance)


def wide_and_deep(folder):
    """Wide and deep: a CSV file read by make_csv_dataset, dicts of columns, layers that look words up."""
    table, path = _heart(80), folder / "train.csv"
    table.to_csv(path, index=False)

    def read(**how):
        return tf.data.experimental.make_csv_dataset(
            str(path), batch_size=16, label_name="target", num_epochs=1, header=True, **how
        ).cache()

    inputs = {
        "age": keras.Input((1,), name="age", dtype="int32"),
        "oldpeak": keras.Input((1,), name="oldpeak", dtype="float32"),
        "sex": keras.Input((1,), name="sex", dtype="int32"),
        "thal": keras.Input((1,), name="thal", dtype="string"),
    }
    thal = layers.StringLookup(vocabulary=["fixed", "normal", "reversible"], output_mode="one_hot")(
        inputs["thal"]
    )
    sex = layers.CategoryEncoding(2, output_mode="one_hot")(inputs["sex"])
    age = layers.Rescaling(0.01)(layers.Identity()(inputs["age"]))
    wide = layers.BatchNormalization(synchronized=True)(layers.concatenate([thal, sex]))
    deep = layers.Dense(8, activation="relu")(layers.concatenate([thal, sex, age, inputs["oldpeak"]]))
    deep = layers.Dropout(0.1)(deep)
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(layers.concatenate([wide, deep])))
    model.compile(optimizer=keras.optimizers.Adam(0.001), loss="binary_crossentropy", metrics=["accuracy"])
    history = model.fit(read(shuffle=True, shuffle_seed=3), epochs=2)
    return learned(model, history, score=model.evaluate(read(shuffle=False), verbose=0))


def rare_frauds(folder):
    """Imbalanced classification: weights for classes, counts of hits and misses as metrics."""
    x, y = datasets.make_classification(160, 8, weights=[0.8], random_state=1)
    x, y = x.astype("float32"), y[:, None].astype("uint8")
    train, checked = x[:-32] - x[:-32].mean(axis=0), x[-32:] - x[:-32].mean(axis=0)
    counts = np.bincount(y[:-32, 0])
    model = keras.Sequential(
        [
            keras.Input(train.shape[1:]),
            layers.Dense(8, activation="relu"),
            layers.Dropout(0.3),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    metrics = [
        keras.metrics.FalseNegatives(name="fn"),
        keras.metrics.FalsePositives(name="fp"),
        keras.metrics.TrueNegatives(name="tn"),
        keras.metrics.Precision(name="precision"),
        keras.metrics.AUC(name="auc"),
    ]
    model.compile(optimizer=keras.optimizers.Adam(1e-2), loss="binary_crossentropy", metrics=metrics)
    saves = keras.callbacks.ModelCheckpoint(folder / "fraud_model_at_epoch_{epoch}.keras")
    history = model.fit(
        train,
        y[:-32],
        batch_size=64,
        epochs=2,
        verbose=2,
        callbacks=[saves],
        validation_data=(checked, y[-32:]),
        class_weight={0: 1.0 / counts[0], 1: 1.0 / counts[1]},
        shuffle=False,
    )
    return learned(model, history, files=len([*folder.glob("fraud_model_at_epoch_*.keras")]))
