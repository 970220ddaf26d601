"""Tutorials on models that make data."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from examples.made import digits, learned
from keras import layers, ops


class Sampling(layers.Layer):
    """Draws a code around its mean."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.generator = keras.random.SeedGenerator(1337)

    def call(self, inputs):
        mean, spread = inputs
        return mean + ops.exp(0.5 * spread) * keras.random.normal(ops.shape(mean), seed=self.generator)


class Autoencoder(keras.Model):
    """A variational autoencoder with a step of its own and three trackers."""

    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.trackers = [keras.metrics.Mean(name=name) for name in ("loss", "reconstruction", "kl")]

    @property
    def metrics(self):
        return self.trackers

    def train_step(self, data):
        with tf.GradientTape() as tape:
            mean, spread, code = self.encoder(data)
            errors = keras.losses.binary_crossentropy(data, self.decoder(code))
            reconstruction = ops.mean(ops.sum(errors, axis=(1, 2)))
            kl = ops.mean(ops.sum(-0.5 * (1 + spread - ops.square(mean) - ops.exp(spread)), axis=1))
            total = reconstruction + kl
        gradients = tape.gradient(total, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        for tracker, value in zip(self.trackers, (total, reconstruction, kl), strict=True):
            tracker.update_state(value)
        return {one.name: one.result() for one in self.trackers}


def variational_autoencoder(folder):
    """A VAE: fit gets pictures alone, the model's own step draws codes."""
    pictures, _ = digits(64)
    start = keras.Input((8, 8, 1))
    x = layers.Flatten()(layers.Conv2D(4, 3, activation="relu", strides=2, padding="same")(start))
    mean, spread = layers.Dense(2, name="mean")(x), layers.Dense(2, name="spread")(x)
    encoder = keras.Model(start, [mean, spread, Sampling()([mean, spread])])
    code = keras.Input((2,))
    x = layers.Reshape((4, 4, 4))(layers.Dense(64, activation="relu")(code))
    decoder = keras.Model(
        code, layers.Conv2DTranspose(1, 3, activation="sigmoid", strides=2, padding="same")(x)
    )
    model = Autoencoder(encoder, decoder)
    model.compile(optimizer=keras.optimizers.Adam())
    history = model.fit(pictures, epochs=2, batch_size=16, shuffle=False)
    return learned(model, history, made=decoder.predict(np.array([[0.0, 1.0]]), verbose=0))


class Adversaries(keras.Model):
    """A generator and a discriminator, an optimizer for each."""

    def __init__(self, discriminator, generator, width):
        super().__init__()
        self.discriminator, self.generator, self.width = discriminator, generator, width
        self.seed = keras.random.SeedGenerator(1337)

    def compile(self, first, second, loss):
        super().compile()
        self.first, self.second, self.loss_of_both = first, second, loss
        self.trackers = [keras.metrics.Mean(name=name) for name in ("d_loss", "g_loss")]

    @property
    def metrics(self):
        return self.trackers

    def _draw(self, pictures):
        return keras.random.normal((ops.shape(pictures)[0], self.width), seed=self.seed)

    def train_step(self, pictures):
        rows = ops.shape(pictures)[0]
        both = ops.concatenate([self.generator(self._draw(pictures)), pictures], axis=0)
        labels = ops.concatenate([ops.ones((rows, 1)), ops.zeros((rows, 1))], axis=0)
        with tf.GradientTape() as tape:
            d_loss = self.loss_of_both(labels, self.discriminator(both))
        weights = self.discriminator.trainable_weights
        self.first.apply_gradients(zip(tape.gradient(d_loss, weights), weights, strict=True))
        with tf.GradientTape() as tape:
            guesses = self.discriminator(self.generator(self._draw(pictures)))
            g_loss = self.loss_of_both(ops.zeros((rows, 1)), guesses)
        weights = self.generator.trainable_weights
        self.second.apply_gradients(zip(tape.gradient(g_loss, weights), weights, strict=True))
        for tracker, value in zip(self.trackers, (d_loss, g_loss), strict=True):
            tracker.update_state(value)
        return {one.name: one.result() for one in self.trackers}


class Shows(keras.callbacks.Callback):
    """Makes pictures at the end of each epoch."""

    def __init__(self, width):
        super().__init__()
        self.width, self.means = width, []

    def on_epoch_end(self, epoch, logs=None):
        made = self.model.generator(ops.ones((2, self.width)))
        self.means.append(float(ops.mean(made)))


def adversaries(folder):
    """A DCGAN from a folder's pictures: no labels, two optimizers, a callback that makes pictures."""
    pictures, _ = digits(48)
    (folder / "faces").mkdir()
    for at, one in enumerate(pictures):
        keras.utils.save_img(folder / "faces" / f"{at:02}.png", one * 255, scale=False)
    data = keras.utils.image_dataset_from_directory(
        folder / "faces",
        label_mode=None,
        image_size=(8, 8),
        batch_size=16,
        color_mode="grayscale",
        verbose=False,
    ).map(lambda x: x / 255.0)
    discriminator = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 4, strides=2, padding="same"),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    generator = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(64),
            layers.Reshape((4, 4, 4)),
            layers.Conv2DTranspose(4, 4, strides=2, padding="same"),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Conv2D(1, 5, padding="same", activation="sigmoid"),
        ]
    )
    model = Adversaries(discriminator, generator, 4)
    first, second = (keras.optimizers.Adam(learning_rate=0.0001) for _ in range(2))
    model.compile(first, second, keras.losses.BinaryCrossentropy())
    shows = Shows(4)
    history = model.fit(data, epochs=2, callbacks=[shows])
    return learned(model, history, shown=shows.means)


class Diffusion(keras.Model):
    """Learns to take noise away; a second network follows the first by a moving average."""

    def __init__(self, make):
        super().__init__()
        self.normalizer = layers.Normalization()
        self.network, self.ema_network = make(), make()
        self.ema_network.set_weights(self.network.get_weights())
        self.seed = keras.random.SeedGenerator(5)

    def compile(self, **kwargs):
        super().compile(**kwargs)
        self.tracker = keras.metrics.Mean(name="n_loss")

    @property
    def metrics(self):
        return [self.tracker]

    def _noisy(self, pictures):
        pictures = self.normalizer(pictures, training=True)
        noise = keras.random.normal(ops.shape(pictures), seed=self.seed)
        share = keras.random.uniform((ops.shape(pictures)[0], 1, 1, 1), seed=self.seed)
        return ops.cos(share) * pictures + ops.sin(share) * noise, noise

    def train_step(self, pictures):
        mixed, noise = self._noisy(pictures)
        with tf.GradientTape() as tape:
            loss = self.loss(noise, self.network(mixed, training=True))
        weights = self.network.trainable_weights
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        self.tracker.update_state(loss)
        for weight, average in zip(self.network.weights, self.ema_network.weights, strict=True):
            average.assign(0.9 * average + 0.1 * weight)
        return {one.name: one.result() for one in self.metrics}

    def test_step(self, pictures):
        mixed, noise = self._noisy(pictures)
        self.tracker.update_state(self.loss(noise, self.ema_network(mixed, training=False)))
        return {one.name: one.result() for one in self.metrics}


def denoising_diffusion(folder):
    """Denoising diffusion: steps of its own for training and test, a moving average of the weights, AdamW."""
    pictures, _ = digits(64)
    data = tf.data.Dataset.from_tensor_slices(pictures).cache()
    train = data.take(48).repeat(2).shuffle(480).batch(16, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
    checked = data.skip(48).batch(16, drop_remainder=True)

    def make():
        return keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                layers.Conv2D(4, 3, padding="same", activation="swish"),
                layers.Conv2D(1, 3, padding="same"),
            ]
        )

    model = Diffusion(make)
    model.compile(
        optimizer=keras.optimizers.AdamW(learning_rate=1e-3, weight_decay=1e-4),
        loss=keras.losses.mean_absolute_error,
    )
    model.normalizer.adapt(pictures)
    stops = keras.callbacks.EarlyStopping(monitor="val_n_loss", mode="min", patience=3)
    history = model.fit(train, epochs=2, validation_data=checked, callbacks=[stops])
    return learned(model, history)


class Quantizer(layers.Layer):
    """Replaces each vector by the nearest of a code book, and adds losses of its own."""

    def __init__(self, number, width):
        super().__init__()
        self.number, self.width = number, width
        self.book = self.add_weight(shape=(width, number), initializer="random_uniform", trainable=True)

    def call(self, x):
        flat = ops.reshape(x, (-1, self.width))
        distances = (
            ops.sum(flat**2, axis=1, keepdims=True)
            + ops.sum(self.book**2, axis=0)
            - 2 * ops.matmul(flat, self.book)
        )
        nearest = ops.one_hot(ops.argmin(distances, axis=1), self.number)
        quantized = ops.reshape(ops.matmul(nearest, ops.transpose(self.book)), ops.shape(x))
        self.add_loss(0.25 * ops.mean((ops.stop_gradient(quantized) - x) ** 2))
        self.add_loss(ops.mean((quantized - ops.stop_gradient(x)) ** 2))
        return x + ops.stop_gradient(quantized - x)


def vector_quantized(folder):
    """A VQ-VAE: a layer that adds losses and passes gradients straight through, x is its own label."""
    pictures, _ = digits(64)
    start = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, activation="relu", strides=2, padding="same")(start)
    x = layers.Conv2DTranspose(1, 3, strides=2, padding="same")(Quantizer(8, 4)(x))
    model = keras.Model(start, x)
    model.compile(keras.optimizers.Adam(), "mse")
    history = model.fit(pictures, pictures, epochs=2, batch_size=16, shuffle=False)
    return learned(model, history, again=model.predict(pictures[:4], verbose=0))
