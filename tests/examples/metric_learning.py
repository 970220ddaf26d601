"""Tutorials on likeness: pairs, triplets and contrasts."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from examples.made import digits, learned
from keras import layers, ops


def _encoder(width=4):
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, strides=2, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(width),
            layers.UnitNormalization(),
        ]
    )


class AnchorsAndPositives(keras.utils.PyDataset):
    """Two pictures of each class: the first axis of a batch is which of the two, the second one the class."""

    def __init__(self, number, images, labels):
        super().__init__()
        self.number, self.images, self.labels = number, images, labels

    def __len__(self):
        return self.number

    def __getitem__(self, index):
        random = np.random.default_rng(index)
        chosen = [random.choice(np.flatnonzero(self.labels == one), 2, replace=False) for one in range(5)]
        return self.images[np.transpose(chosen)]


class Likeness(keras.Model):
    """Anchors must be like their own positives, and unlike the others of the batch."""

    def train_step(self, data):
        if isinstance(data, tuple):
            data = data[0]
        anchors, positives = data[0], data[1]
        with tf.GradientTape() as tape:
            alike = tf.einsum("ae,pe->ap", self(anchors, training=True), self(positives, training=True))
            labels = tf.range(5)
            loss = self.compute_loss(y=labels, y_pred=alike / 0.2)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(labels, alike)
        return {one.name: one.result() for one in self.metrics}


def anchors_and_positives(folder):
    """Metric learning for image similarity: a PyDataset whose batches stack anchors and positives."""
    images, labels = digits(80, classes=5)
    net = _encoder()
    model = Likeness(net.inputs, net.outputs)
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    history = model.fit(AnchorsAndPositives(6, images, labels), epochs=2, shuffle=False)
    return learned(model, history, near=model.predict(images[:10]) @ model.predict(images[:10]).T)


def _contrastive(margin=1.0):
    def loss(y_true, y_pred):
        apart = ops.square(ops.maximum(margin - y_pred, 0))
        return ops.mean((1 - y_true) * ops.square(y_pred) + y_true * apart)

    return loss


def siamese_pairs(folder):
    """Siamese networks with a contrastive loss: two arrays, one net for both, a Lambda between."""
    images, labels = digits(97)
    y = (labels[:-1] != labels[1:]).astype("float32")[:, None]
    left, right = layers.Input((8, 8, 1)), layers.Input((8, 8, 1))
    net = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(8, activation="tanh")])

    def distance(both):
        squares = ops.sum(ops.square(both[0] - both[1]), axis=1, keepdims=True)
        return ops.sqrt(ops.maximum(squares, keras.backend.epsilon()))

    merged = layers.Lambda(distance, output_shape=(1,))([net(left), net(right)])
    normal = layers.BatchNormalization()(merged)
    model = keras.Model([left, right], layers.Dense(1, activation="sigmoid")(normal))
    model.compile(loss=_contrastive(), optimizer="RMSprop", metrics=["accuracy"])
    history = model.fit(
        [images[:80], images[1:81]],
        y[:80],
        validation_data=([images[80:96], images[81:97]], y[80:]),
        batch_size=16,
        epochs=2,
        shuffle=False,
    )
    return learned(model, history, score=model.evaluate([images[80:96], images[81:97]], y[80:]))


class Triplets(keras.Model):
    """Measures how far positives and negatives are from their anchors; steps and tracker of its own."""

    def __init__(self, network, margin=0.5):
        super().__init__()
        self.network, self.margin = network, margin
        self.loss_tracker = keras.metrics.Mean(name="loss")

    def call(self, inputs):
        anchor, positive, negative = map(self.network, inputs)
        return ops.sum((anchor - positive) ** 2, -1), ops.sum((anchor - negative) ** 2, -1)

    def _loss(self, data):
        near, far = self(data)
        return ops.maximum(near - far + self.margin, 0.0)

    def train_step(self, data):
        with tf.GradientTape() as tape:
            loss = self._loss(data)
        gradients = tape.gradient(loss, self.network.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.network.trainable_weights, strict=True))
        self.loss_tracker.update_state(loss)
        return {"loss": self.loss_tracker.result()}

    def test_step(self, data):
        self.loss_tracker.update_state(self._loss(data))
        return {"loss": self.loss_tracker.result()}

    @property
    def metrics(self):
        return [self.loss_tracker]


def triplets(folder):
    """Image similarity by triplets: three datasets of files are zipped, decoded, cut into two parts."""
    images, _ = digits(48)
    for at, one in enumerate(images):
        keras.utils.save_img(folder / f"{at:02}.png", one * 255, scale=False)
    names = sorted(str(one) for one in folder.glob("*.png"))

    def read(name):
        picture = tf.image.decode_png(tf.io.read_file(name), channels=1)
        return tf.image.resize(tf.image.convert_image_dtype(picture, tf.float32), (8, 8))

    anchors, positives = (tf.data.Dataset.from_tensor_slices(one) for one in (names, names[1:] + names[:1]))
    random = np.random.RandomState(seed=32)  # as tutorials draw
    mixed = list(names)
    random.shuffle(mixed)
    negatives = tf.data.Dataset.from_tensor_slices(mixed).shuffle(buffer_size=4096, seed=3)
    data = tf.data.Dataset.zip((anchors, positives, negatives)).shuffle(buffer_size=1024, seed=5)
    data = data.map(lambda *names: tuple(map(read, names)))
    train = data.take(36).batch(12, drop_remainder=False).prefetch(tf.data.AUTOTUNE)
    checked = data.skip(36).batch(12, drop_remainder=False).prefetch(tf.data.AUTOTUNE)
    model = Triplets(_encoder())
    model.compile(optimizer=keras.optimizers.Adam(0.001), weighted_metrics=[])
    return learned(model, model.fit(train, epochs=2, validation_data=checked))


class SupervisedContrast(keras.losses.Loss):
    """Rows of a class must be like each other: it compares all rows of a batch."""

    def __init__(self, temperature=0.05, name=None):
        super().__init__(name=name)
        self.temperature = temperature

    def __call__(self, labels, vectors, sample_weight=None):
        labels = ops.reshape(labels, (-1, 1))
        same = ops.cast(ops.equal(labels, ops.transpose(labels)), "float32")
        logits = ops.matmul(vectors, ops.transpose(vectors)) / self.temperature
        share = same / ops.sum(same, axis=1, keepdims=True)
        return -ops.mean(ops.sum(share * ops.log_softmax(logits, axis=1), axis=1))


def supervised_contrast(folder):
    """Supervised contrastive learning: a loss over whole batches, then a classifier on the frozen encoder."""
    images, labels = digits(64)
    encoder = _encoder()
    start = keras.Input((8, 8, 1))
    contrast = keras.Model(start, layers.UnitNormalization()(encoder(start)))
    contrast.compile(optimizer=keras.optimizers.Adam(0.001), loss=SupervisedContrast())
    first = contrast.fit(x=images, y=labels, batch_size=32, epochs=1, shuffle=False)
    encoder.trainable = False
    classifier = keras.Model(start, layers.Dense(10, activation="softmax")(encoder(start, training=False)))
    classifier.compile(
        optimizer=keras.optimizers.Adam(0.001),
        loss=keras.losses.SparseCategoricalCrossentropy(),
        metrics=[keras.metrics.SparseCategoricalAccuracy()],
    )
    history = classifier.fit(x=images, y=labels, batch_size=32, epochs=1, shuffle=False)
    return learned(classifier, history, contrast=first.history["loss"])


class Contrasts(keras.Model):
    """SimCLR: two views of unlabelled pictures against each other, and a probe on the labelled ones."""

    def __init__(self):
        super().__init__()
        noise = layers.GaussianNoise(0.1, seed=3)
        self.augment = keras.Sequential([keras.Input((8, 8, 1)), noise])
        self.encoder = _encoder()
        self.probe = keras.Sequential([layers.Input((4,)), layers.Dense(10)])

    def compile(self, contrast_optimizer, probe_optimizer, **kwargs):
        super().compile(**kwargs)
        self.optimizers = contrast_optimizer, probe_optimizer
        self.probe_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.trackers = [keras.metrics.Mean(name="c_loss"), keras.metrics.Mean(name="p_loss")]

    @property
    def metrics(self):
        return self.trackers

    def _contrast(self, one, other):
        alike = ops.matmul(one, ops.transpose(other)) / 0.1
        labels = ops.arange(ops.shape(one)[0])
        both = [
            keras.losses.sparse_categorical_crossentropy(labels, each, from_logits=True)
            for each in (alike, ops.transpose(alike))
        ]
        return ops.mean(both[0] + both[1]) / 2

    def train_step(self, data):
        unlabelled, (labelled, labels) = data
        pictures = ops.concatenate((unlabelled, labelled), axis=0)
        with tf.GradientTape() as tape:
            one, other = (
                self.encoder(self.augment(pictures, training=True), training=True) for _ in range(2)
            )
            contrast = self._contrast(one, other)
        weights = self.encoder.trainable_weights
        self.optimizers[0].apply_gradients(zip(tape.gradient(contrast, weights), weights, strict=True))
        with tf.GradientTape() as tape:
            loss = self.probe_loss(labels, self.probe(self.encoder(labelled, training=False), training=True))
        weights = self.probe.trainable_weights
        self.optimizers[1].apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        for tracker, value in zip(self.trackers, (contrast, loss), strict=True):
            tracker.update_state(value)
        return {one.name: one.result() for one in self.trackers}

    def test_step(self, data):
        pictures, labels = data
        guesses = self.probe(self.encoder(pictures, training=False), training=False)
        self.trackers[1].update_state(self.probe_loss(labels, guesses))
        return {"p_loss": self.trackers[1].result()}


def semi_supervised(folder):
    """Semi-supervised SimCLR: batches of many unlabelled and few labelled pictures, zipped."""
    images, labels = digits(80)
    unlabelled = tf.data.Dataset.from_tensor_slices(images[:48]).shuffle(buffer_size=480).batch(12)
    labelled = (
        tf.data.Dataset.from_tensor_slices((images[48:64], labels[48:64])).shuffle(buffer_size=80).batch(4)
    )
    train = tf.data.Dataset.zip((unlabelled, labelled)).prefetch(buffer_size=tf.data.AUTOTUNE)
    test = tf.data.Dataset.from_tensor_slices((images[64:], labels[64:])).batch(8)
    model = Contrasts()
    model.compile(keras.optimizers.Adam(), keras.optimizers.Adam())
    return learned(model, model.fit(train, epochs=2, validation_data=test))
