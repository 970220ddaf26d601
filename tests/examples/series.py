"""Tutorials on series."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from examples.made import learned, record, waves
from keras import layers


def weather(folder):
    """Weather forecasting: windows of a long record, early stopping, the best weights in a file.

    Single batches are predicted at the end, as tensors of a dataset.
    """
    data = record(120)
    train, checked = (
        keras.utils.timeseries_dataset_from_array(
            part[:-12], part[12:, 1], sequence_length=10, sampling_rate=2, batch_size=16
        )
        for part in (data[:90], data[60:])
    )
    for batch in train.take(1):
        inputs, _ = batch
    start = keras.Input(shape=(inputs.shape[1], inputs.shape[2]))
    model = keras.Model(inputs=start, outputs=layers.Dense(1)(layers.LSTM(6)(start)))
    model.compile(optimizer=keras.optimizers.Adam(learning_rate=0.01), loss="mse")
    path = folder / "model_checkpoint.weights.h5"
    stops = keras.callbacks.EarlyStopping(monitor="val_loss", min_delta=0, patience=5)
    saves = keras.callbacks.ModelCheckpoint(
        monitor="val_loss", filepath=path, verbose=1, save_weights_only=True, save_best_only=True
    )
    history = model.fit(train, epochs=3, validation_data=checked, callbacks=[stops, saves])
    saved = path.exists()
    ahead = [model.predict(x)[0] for x, _ in checked.take(2)]
    return learned(model, history, saved=saved, ahead=np.stack(ahead))


def quick_and_slow(folder):
    """Time series classification from scratch: convolutions with normalisation, a rate that falls.

    The best model is loaded from its file and evaluated.
    """
    x, y = waves(72, 20)
    start = layers.Input(x.shape[1:])
    hidden = start
    for _ in range(2):
        hidden = layers.Conv1D(filters=6, kernel_size=3, padding="same")(hidden)
        hidden = layers.ReLU()(layers.BatchNormalization()(hidden))
    hidden = layers.GlobalAveragePooling1D()(hidden)
    model = keras.models.Model(inputs=start, outputs=layers.Dense(2, activation="softmax")(hidden))
    callbacks = [
        keras.callbacks.ModelCheckpoint(folder / "best_model.keras", save_best_only=True, monitor="val_loss"),
        keras.callbacks.ReduceLROnPlateau(monitor="val_loss", factor=0.5, patience=1, min_lr=0.0001),
        keras.callbacks.EarlyStopping(monitor="val_loss", patience=50, verbose=1),
    ]
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["sparse_categorical_accuracy"])
    history = model.fit(
        x, y, batch_size=16, epochs=3, callbacks=callbacks, validation_split=0.2, verbose=1, shuffle=False
    )
    best = keras.models.load_model(folder / "best_model.keras")
    return learned(model, history, best=best.evaluate(x, y))


def anomalies(folder):
    """Anomaly detection: an autoencoder of convolutions learns windows by themselves, x is y."""
    x, _ = waves(64, 24)
    model = keras.Sequential(
        [
            layers.Input((24, 1)),
            layers.Conv1D(6, kernel_size=7, padding="same", strides=2, activation="relu"),
            layers.Dropout(rate=0.2),
            layers.Conv1DTranspose(6, kernel_size=7, padding="same", strides=2, activation="relu"),
            layers.Conv1DTranspose(1, kernel_size=7, padding="same"),
        ]
    )
    model.compile(optimizer=keras.optimizers.Adam(learning_rate=0.001), loss="mse")
    stops = keras.callbacks.EarlyStopping(monitor="val_loss", patience=5, mode="min")
    history = model.fit(x, x, epochs=2, batch_size=16, validation_split=0.1, callbacks=[stops], shuffle=False)
    losses = np.mean(np.abs(model.predict(x) - x), axis=1)
    return learned(model, history, threshold=np.max(losses))


class Feedback(keras.Model):
    """Predicts several steps, each from the one before."""

    def __init__(self, units, steps, features):
        super().__init__()
        self.steps = steps
        self.cell = layers.LSTMCell(units)
        self.warm = layers.RNN(self.cell, return_state=True)
        self.dense = layers.Dense(features)

    def call(self, inputs, training=None):
        x, *state = self.warm(inputs)
        ahead = [self.dense(x)]
        for _ in range(1, self.steps):
            x, state = self.cell(ahead[-1], states=state, training=training)
            ahead.append(self.dense(x))
        return tf.transpose(tf.stack(ahead), [1, 0, 2])


def several_steps_ahead(folder):
    """Several steps ahead: windows that a map splits, an LSTM that feeds itself, results as a dict."""

    def windows(data):
        made = keras.utils.timeseries_dataset_from_array(
            data=data, targets=None, sequence_length=12, sequence_stride=1, shuffle=True, batch_size=16
        )
        return made.map(lambda window: (window[:, :8, :], window[:, 8:, :]))

    data = record(90)
    train, checked, test = windows(data[:60]), windows(data[50:75]), windows(data[65:])
    model = Feedback(6, 4, 3)
    stops = keras.callbacks.EarlyStopping(monitor="val_loss", patience=2, mode="min")
    model.compile(
        loss=keras.losses.MeanSquaredError(),
        optimizer=keras.optimizers.Adam(),
        metrics=[keras.metrics.MeanAbsoluteError()],
    )
    history = model.fit(train, epochs=2, validation_data=checked, callbacks=[stops])
    score = model.evaluate(test, return_dict=True)
    return learned(model, history, score=[score["loss"], score["mean_absolute_error"]])


def sunspots(folder):
    """A course's windowed dataset: window, flat_map, shuffle; Huber's loss, a rate that rises."""
    data = record(90, features=1)[:, 0]
    made = tf.data.Dataset.from_tensor_slices(tf.expand_dims(data, axis=-1)).window(
        11, shift=1, drop_remainder=True
    )
    made = made.flat_map(lambda window: window.batch(11)).shuffle(50)
    made = made.map(lambda window: (window[:-1], window[-1])).batch(16).prefetch(1)
    model = keras.Sequential(
        [
            keras.Input((10, 1)),
            layers.Conv1D(filters=6, kernel_size=3, activation="relu", padding="causal"),
            layers.LSTM(6),
            layers.Dense(1),
            layers.Lambda(lambda x: x * 4.0),
        ]
    )
    model.compile(loss=keras.losses.Huber(), optimizer=keras.optimizers.SGD(momentum=0.9), metrics=["mae"])
    rate = keras.callbacks.LearningRateScheduler(lambda epoch: 1e-4 * 10 ** (epoch / 2))
    history = model.fit(made, epochs=3, callbacks=[rate])

    ahead = tf.data.Dataset.from_tensor_slices(data[:, None]).window(10, shift=1, drop_remainder=True)
    ahead = ahead.flat_map(lambda window: window.batch(10)).batch(32).prefetch(1)
    return learned(model, history, ahead=model.predict(ahead))


class GraphConvolution(layers.Layer):
    """Each node takes the mean of its neighbours."""

    def __init__(self, neighbours, width):
        super().__init__()
        self.neighbours = tf.constant(neighbours / neighbours.sum(1, keepdims=True), tf.float32)
        self.dense = layers.Dense(width, activation="relu")

    def call(self, features):
        return self.dense(tf.einsum("ij,btjf->btif", self.neighbours, features))


def traffic(folder):
    """Traffic forecasting: a layer with the graph of the roads, an LSTM, and data given as one big batch."""
    roads = (np.abs(np.subtract.outer(range(4), range(4))) < 2).astype("float32")
    data = record(80, features=4)

    def windows(part, **how):
        inputs = keras.utils.timeseries_dataset_from_array(
            np.expand_dims(part[:-3], axis=-1), None, sequence_length=6, shuffle=False, **how
        )
        targets = keras.utils.timeseries_dataset_from_array(
            part[8:], None, sequence_length=1, shuffle=False, **how
        )
        return tf.data.Dataset.zip((inputs, targets)).shuffle(8).prefetch(8).cache()

    start = keras.Input((6, 4, 1))
    x = GraphConvolution(roads, 3)(start)
    x = layers.LSTM(6, activation="relu")(layers.Reshape((6, 12))(x))
    model = keras.Model(start, layers.Reshape((1, 4))(layers.Dense(4)(x)))
    model.compile(loss="mean_squared_error", optimizer=keras.optimizers.RMSprop(learning_rate=0.0002))
    history = model.fit(
        windows(data[:60], batch_size=16),
        validation_data=windows(data[50:], batch_size=8),
        epochs=2,
        callbacks=[keras.callbacks.EarlyStopping(patience=10)],
    )
    return learned(model, history)


def stateful_lstm(folder):
    """An LSTM that keeps its state from batch to batch, reset between epochs by hand."""
    data = record(50, features=1)
    x, y = data[:48].reshape(48, 1, 1), data[2:50]
    model = keras.Sequential(
        [keras.Input(batch_shape=(8, 1, 1)), layers.LSTM(6, stateful=True), layers.Dense(1)]
    )
    model.compile(loss="mse", optimizer="rmsprop")
    for _ in range(2):
        history = model.fit(x, y, batch_size=8, epochs=1, verbose=1, shuffle=False)
        model.layers[0].reset_states()
    return learned(model, history, ahead=model.predict(x, batch_size=8))
