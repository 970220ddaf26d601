"""Guides and tutorials on steps, losses and data of one's own."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
import torch
from examples.made import digits, learned
from keras import layers, ops
from sklearn import datasets


def _table(number=96):
    x, y = datasets.load_diabetes(return_X_y=True, scaled=True)
    return (10 * x[:number]).astype("float32"), (y[:number] / 100).astype("float32")[:, None]


class OwnStep(keras.Model):
    """The guide's model: its own step goes through compute_loss, weights included."""

    def train_step(self, data):
        x, y, *weights = data
        weights = weights[0] if weights else None
        with tf.GradientTape() as tape:
            predicted = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=predicted, sample_weight=weights)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, predicted, sample_weight=weights)
        return {one.name: one.result() for one in self.metrics}

    def test_step(self, data):
        x, y = data
        predicted = self(x, training=False)
        loss = self.compute_loss(y=y, y_pred=predicted)
        for metric in self.metrics:
            if metric.name != "loss":
                metric.update_state(y, predicted)
            else:
                metric.update_state(loss)
        return {one.name: one.result() for one in self.metrics}


def own_steps(folder):
    """Customizing what happens in fit: own train_step and test_step, and weights of rows."""
    x, y = _table()
    start = keras.Input((10,))
    model = OwnStep(start, layers.Dense(1)(layers.Dense(6, "relu")(start)))
    model.compile(optimizer="adam", loss="mse", metrics=["mae"])
    weights = np.linspace(0.5, 1.5, 96).astype("float32")
    history = model.fit(x, y, sample_weight=weights, epochs=2, batch_size=16, shuffle=False)
    return learned(model, history, score=model.evaluate(x, y))


class Distiller(keras.Model):
    """A student learns from labels and from a teacher, by a loss that the model computes."""

    def __init__(self, student, teacher):
        super().__init__()
        self.teacher, self.student = teacher, student

    def compile(self, optimizer, metrics, student_loss, distillation_loss, share, temperature):
        super().compile(optimizer=optimizer, metrics=metrics)
        self.student_loss, self.distillation_loss = student_loss, distillation_loss
        self.share, self.temperature = share, temperature

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, allow_empty=False, training=True):
        teacher = self.teacher(x, training=False)
        soft = [ops.softmax(one / self.temperature, axis=1) for one in (teacher, y_pred)]
        distilled = self.distillation_loss(*soft) * self.temperature**2
        return self.share * self.student_loss(y, y_pred) + (1 - self.share) * distilled

    def call(self, x):
        return self.student(x)


def distillation(folder):
    """Knowledge distillation: a trained teacher is a part of the student's model, compute_loss is its own."""
    images, labels = digits(96)

    def make(width):
        return keras.Sequential(
            [keras.Input((8, 8, 1)), layers.Conv2D(width, 3, strides=2), layers.Flatten(), layers.Dense(10)]
        )

    teacher, student = make(8), make(3)
    teacher.compile(
        optimizer=keras.optimizers.Adam(),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy()],
    )
    teacher.fit(images, labels, epochs=1, batch_size=32, shuffle=False)
    model = Distiller(student=student, teacher=teacher)
    model.compile(
        optimizer=keras.optimizers.Adam(),
        metrics=[keras.metrics.SparseCategoricalAccuracy()],
        student_loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        distillation_loss=keras.losses.KLDivergence(),
        share=0.1,
        temperature=10,
    )
    data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(32)
    history = model.fit(data, epochs=2)
    return learned(model, history, score=model.evaluate(data))


class Endpoint(layers.Layer):
    """Computes the loss from its inputs, and tracks a metric."""

    def __init__(self, name=None):
        super().__init__(name=name)
        self.distance = keras.losses.BinaryCrossentropy(from_logits=True)

    def call(self, logits, targets=None, sample_weight=None):
        if targets is not None:
            self.add_loss(self.distance(targets, logits, sample_weight))
        return ops.softmax(logits)


def endpoint_layer(folder):
    """The endpoint layer pattern: labels are an input, a layer adds the loss, compile gets none."""
    random = np.random.default_rng(0)
    data = {
        "inputs": random.random((48, 3)).astype("float32"),
        "targets": random.integers(0, 2, (48, 10)).astype("float32"),
    }
    inputs, targets = keras.Input((3,), name="inputs"), keras.Input((10,), name="targets")
    logits = layers.Dense(10)(inputs)
    model = keras.Model(inputs=[inputs, targets], outputs=Endpoint(name="predictions")(logits, targets))
    model.compile(optimizer="adam")
    pairs = tf.data.Dataset.from_tensor_slices(data).batch(16)
    return learned(model, model.fit(pairs, epochs=2))


class Sharpness(keras.Model):
    """Sharpness-aware minimization: two gradients in each step, the weights go there and back."""

    def __init__(self, network, rho=0.05):
        super().__init__()
        self.network, self.rho = network, rho

    def train_step(self, data):
        images, labels = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(y=labels, y_pred=self.network(images))
        weights = self.network.trainable_variables
        gradients = tape.gradient(loss, weights)
        scale = self.rho / (tf.norm([tf.norm(one) for one in gradients]) + 1e-12)
        steps = [one * scale for one in gradients]
        for weight, step in zip(weights, steps, strict=True):
            weight.assign_add(step)
        with tf.GradientTape() as tape:
            predicted = self.network(images)
            loss = self.compute_loss(y=labels, y_pred=predicted)
        gradients = tape.gradient(loss, weights)
        for weight, step in zip(weights, steps, strict=True):
            weight.assign_sub(step)
        self.optimizer.apply_gradients(zip(gradients, weights, strict=True))
        return self.compute_metrics(images, labels, predicted)

    def call(self, x):
        return self.network(x)


def sharpness_aware(folder):
    """Sharpness-aware minimization: a step of two passes, an early stop, data repeated by steps."""
    images, labels = digits(64)
    network = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(10)])
    model = Sharpness(network)
    model.compile(
        optimizer="adam",
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    data = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(64).batch(16).repeat()
    history = model.fit(data, steps_per_epoch=3, epochs=2, callbacks=[keras.callbacks.EarlyStopping("loss")])
    return learned(model, history)


class Citations(keras.Model):
    """A graph net: the inputs are numbers of nodes, the model holds the features of all."""

    def __init__(self, features, edges, classes):
        super().__init__()
        self.features, self.edges = ops.convert_to_tensor(features), ops.convert_to_tensor(edges)
        self.prepare = keras.Sequential([layers.Dense(6, activation="gelu"), layers.Dropout(0.2)])
        self.update = layers.Dense(6, activation="gelu")
        self.logits = layers.Dense(classes)

    def call(self, nodes):
        x = self.prepare(self.features)
        messages = ops.take(x, self.edges[1], axis=0)
        sums = ops.segment_sum(messages, self.edges[0], num_segments=self.features.shape[0])
        return self.logits(ops.take(self.update(x + sums), ops.reshape(nodes, (-1,)), axis=0))


def citation_graph(folder):
    """Node classification in a graph of papers: x is the numbers of nodes, the model holds the graph."""
    random = np.random.default_rng(3)
    features = random.random((40, 8)).astype("float32")
    edges = np.sort(random.integers(0, 40, (2, 100)).astype("int32"))
    model = Citations(features, edges, 3)
    model.compile(
        optimizer=keras.optimizers.Adam(0.01),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="acc")],
    )
    stops = keras.callbacks.EarlyStopping(monitor="val_acc", patience=50, restore_best_weights=True)
    nodes, labels = np.arange(40), (features.sum(1) * 3 % 3).astype("int64")
    history = model.fit(
        x=nodes, y=labels, epochs=2, batch_size=16, validation_split=0.2, callbacks=[stops], shuffle=False
    )
    return learned(model, history)


class Tables(torch.utils.data.Dataset):
    """Rows for a DataLoader."""

    def __init__(self, x, y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return torch.tensor(self.x[index]), torch.tensor(self.y[index])


def data_loader(folder):
    """Getting started for engineers: the same model is fed by a DataLoader of PyTorch."""
    x, y = _table()
    data = Tables(x, y)
    train = torch.utils.data.DataLoader(data, batch_size=16, shuffle=False)
    model = keras.Sequential([keras.Input((10,)), layers.Dense(6, "relu"), layers.Dense(1)])
    model.compile(optimizer="adam", loss="mse", metrics=[keras.metrics.RootMeanSquaredError()])
    history = model.fit(train, epochs=2, validation_data=train)
    return learned(model, history, score=model.evaluate(train, verbose=0))


def python_generator(folder):
    """A textbook's generator: endless batches from Python, with steps for an epoch."""
    x, y = _table()

    def batches(size):
        at = 0
        while True:
            rows = np.arange(at, at + size) % len(x)
            at += size
            yield x[rows], y[rows]

    model = keras.Sequential([keras.Input((10,)), layers.Dense(6, "relu"), layers.Dense(1)])
    model.compile(optimizer="rmsprop", loss="mae")
    history = model.fit(
        batches(16), steps_per_epoch=5, epochs=2, validation_data=batches(16), validation_steps=2
    )
    return learned(model, history)


def volumes(folder):
    """3D image classification: the pipeline turns volumes by a Python function of the notebook."""
    random = np.random.default_rng(1)
    x = random.random((24, 6, 6, 4)).astype("float32")
    y = (x.mean(axis=(1, 2, 3)) > 0.5).astype("float32")

    def turned(volume, label):
        volume = tf.numpy_function(lambda one: np.rot90(one).copy(), [volume], tf.float32)
        volume.set_shape((6, 6, 4))
        return tf.expand_dims(volume, axis=3), label

    train = tf.data.Dataset.from_tensor_slices((x[:16], y[:16])).shuffle(16).map(turned).batch(2).prefetch(2)
    checked = tf.data.Dataset.from_tensor_slices((x[16:, ..., None], y[16:])).batch(2)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 4, 1)),
            layers.Conv3D(4, 3, activation="relu"),
            layers.GlobalAveragePooling3D(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    rate = keras.optimizers.schedules.ExponentialDecay(0.0001, 100000, 0.96, staircase=True)
    model.compile(loss="binary_crossentropy", optimizer=keras.optimizers.Adam(rate), metrics=["acc"])
    return learned(model, model.fit(train, validation_data=checked, epochs=2, shuffle=True, verbose=2))
