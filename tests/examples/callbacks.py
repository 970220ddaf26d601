"""Guides and textbooks on callbacks, rates, and many fits in a row."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import tensorflow as tf
from examples.made import digits, learned
from keras import layers
from sklearn import datasets, metrics, model_selection


def _diabetes():
    x, y = datasets.load_diabetes(return_X_y=True)
    return (20 * x).astype("float32"), (y / 100).astype("float32")


def _regressor(width=6, **compiled):
    model = keras.Sequential([keras.Input((10,)), layers.Dense(width, "relu"), layers.Dense(1)])
    model.compile(
        **{"optimizer": keras.optimizers.RMSprop(0.01), "loss": "mse", "metrics": ["mae"], **compiled}
    )
    return model


class StopsAtMinimum(keras.callbacks.Callback):
    """Stops when the loss has its minimum, and puts the best weights back."""

    def __init__(self, patience=0):
        super().__init__()
        self.patience, self.best_weights = patience, None

    def on_train_begin(self, logs=None):
        self.wait, self.stopped_epoch, self.best = 0, 0, np.inf

    def on_epoch_end(self, epoch, logs=None):
        current = logs.get("loss")
        if np.less(current, self.best):
            self.best, self.wait = current, 0
            self.best_weights = self.model.get_weights()
            return
        self.wait += 1
        if self.wait >= self.patience:
            self.stopped_epoch = epoch
            self.model.stop_training = True
            self.model.set_weights(self.best_weights)


def own_early_stopping(folder):
    """Writing your own callbacks: an early stop that puts the best weights back by itself."""
    x, y = _diabetes()
    model = _regressor(optimizer=keras.optimizers.RMSprop(learning_rate=0.1))
    stops = StopsAtMinimum(patience=1)
    history = model.fit(x[:96], y[:96], batch_size=16, epochs=12, callbacks=[stops], verbose=0, shuffle=False)
    return learned(model, history, stopped=stops.stopped_epoch, best=stops.best)


class Notes(keras.callbacks.Callback):
    """Writes down what each hook gets, as the guide's callback prints it."""

    def __init__(self):
        super().__init__()
        self.losses, self.errors = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(logs["loss"])

    def on_test_batch_end(self, batch, logs=None):
        self.losses.append(logs["loss"])

    def on_epoch_end(self, epoch, logs=None):
        self.errors.append(logs["mae"])


class Rates(keras.callbacks.Callback):
    """Sets the rate of each epoch by a table."""

    def on_epoch_begin(self, epoch, logs=None):
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        self.model.optimizer.learning_rate = {1: 0.05, 2: 0.01}.get(epoch, rate)


def losses_and_rates(folder):
    """Writing your own callbacks: losses of batches, and a rate for each epoch."""
    x, y = _diabetes()
    model = _regressor(optimizer=keras.optimizers.RMSprop(learning_rate=0.1))
    notes = Notes()
    how = {"batch_size": 32, "verbose": 0}
    history = model.fit(
        x[:96], y[:96], epochs=3, validation_split=0.5, callbacks=[notes, Rates()], shuffle=False, **how
    )
    return learned(model, history, losses=notes.losses, errors=notes.errors)


def losses_of_an_evaluation(folder):
    """Writing your own callbacks: evaluate takes callbacks too."""
    x, y = _diabetes()
    model, notes = _regressor(), Notes()
    history = model.fit(x[:96], y[:96], epochs=1, batch_size=32, verbose=0, shuffle=False)
    score = model.evaluate(x[96:160], y[96:160], batch_size=32, verbose=0, callbacks=[notes])
    return learned(model, history, losses=notes.losses, score=score)


class Reports(keras.callbacks.Callback):
    """Scores of scikit-learn at the end of each epoch, from predictions of the model."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y, self.scores = x, y, []

    def on_epoch_end(self, epoch, logs=None):
        predicted = np.argmax(self.model.predict(self.x, verbose=0), axis=1)
        self.scores.append(metrics.jaccard_score(self.y, predicted, average="macro"))


def scores_of_scikit_learn(folder):
    """Metrics of scikit-learn in a callback that predicts after each epoch."""
    images, labels = digits(96)
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(10)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    reports = Reports(images[64:], labels[64:])
    data = tf.data.Dataset.from_tensor_slices((images[:64], labels[:64])).batch(16)
    history = model.fit(data, epochs=2, callbacks=[reports])
    return learned(model, history, scores=reports.scores)


class OneCycle(keras.callbacks.Callback):
    """A textbook's one cycle: the rate of each batch rises, then falls."""

    def __init__(self, steps, highest):
        super().__init__()
        self.steps, self.highest, self.step, self.rates = steps, highest, 0, []

    def on_batch_begin(self, batch, logs=None):
        half = self.steps // 2
        share = self.step / half if self.step < half else (self.steps - self.step) / (self.steps - half)
        self.model.optimizer.learning_rate = self.highest * (0.1 + 0.9 * share)
        self.step += 1

    def on_batch_end(self, batch, logs=None):
        self.rates.append(float(self.model.optimizer.learning_rate.numpy()))


def one_cycle(folder):
    """A textbook's schedule for each batch, from a dataset that knows its length."""
    x, y = _diabetes()
    data = tf.data.Dataset.from_tensor_slices((x[:96], y[:96])).shuffle(96, seed=42).batch(16).prefetch(1)
    model = _regressor(optimizer=keras.optimizers.SGD())
    cycle = OneCycle(steps=12, highest=0.05)
    history = model.fit(data, epochs=2, validation_data=(x[96:128], y[96:128]), callbacks=[cycle])
    return learned(model, history, rates=cycle.rates)


class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Rises for some steps, then falls with their root: a transformer's schedule."""

    def __init__(self, width, warm=4):
        super().__init__()
        self.width, self.warm = width, warm

    def __call__(self, step):
        step = tf.cast(step, dtype=tf.float32)
        rate = tf.math.minimum(tf.math.rsqrt(step + 1.0), step * self.warm**-1.5)
        return tf.math.rsqrt(float(self.width)) * rate


def regularized_with_many_callbacks(folder):
    """Overfit and underfit: repeated data with steps, weight decay, a log file, an early stop, a schedule."""
    x, y = _diabetes()
    data = tf.data.Dataset.from_tensor_slices((x[:128], y[:128]))
    checked = data.take(32).cache().batch(16)
    train = data.skip(32).take(96).cache().shuffle(96).repeat().batch(16)
    model = keras.Sequential(
        [
            keras.Input((10,)),
            layers.Dense(8, activation="elu", kernel_regularizer=keras.regularizers.l2(0.0001)),
            layers.Dropout(0.5),
            layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.Adam(WarmUp(8), beta_2=0.98, clipnorm=1.0), "mse", metrics=["mae"])
    path = folder / "log.csv"
    history = model.fit(
        train,
        steps_per_epoch=6,
        epochs=3,
        validation_data=checked,
        callbacks=[
            keras.callbacks.CSVLogger(path),
            keras.callbacks.EarlyStopping(monitor="val_mae", patience=200),
            keras.callbacks.TerminateOnNaN(),
        ],
        verbose=0,
    )
    logged = np.loadtxt(path, delimiter=",", skiprows=1)
    return learned(model, history, logged=logged)


def four_folds(folder):
    """K-fold validation: a new model for each part, and the histories are averaged."""
    x, y = _diabetes()
    histories, scores = [], []
    for fold in range(3):
        held = slice(fold * 20, (fold + 1) * 20)
        rest_x, rest_y = (np.concatenate([one[: held.start], one[held.stop : 60]]) for one in (x, y))
        model = _regressor()
        history = model.fit(
            rest_x,
            rest_y,
            validation_data=(x[held], y[held]),
            epochs=2,
            batch_size=16,
            verbose=0,
            shuffle=False,
        )
        histories.append(history.history["val_mae"])
        scores.append(model.evaluate(x[held], y[held], verbose=0))
    return learned(model, history, average=np.mean(histories, axis=0), scores=scores)


def _classifier(X, y):  # noqa: N803  # as the wrapper calls it
    model = keras.Sequential([keras.Input(X.shape[1:]), layers.Dense(6, "relu"), layers.Dense(3, "softmax")])
    model.compile("adam", "categorical_crossentropy")
    return model


def cross_validation_by_scikit_learn(folder):
    """The wrapper for scikit-learn: cross_val_score fits it once for each fold."""
    x, y = datasets.load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))[:90]
    wrapped = keras.wrappers.SKLearnClassifier(
        _classifier, fit_kwargs={"epochs": 2, "batch_size": 16, "verbose": 0, "shuffle": False}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's, of the wrapper's tags
        scores = model_selection.cross_val_score(wrapped, x[order].astype("float32"), y[order], cv=3)
        wrapped.fit(x[order].astype("float32"), y[order])
    return {"scores": scores, "chances": wrapped.predict(x[:20].astype("float32"))}


def saved_and_restored(folder):
    """Save and restore: weights after every epoch, a backup, training goes on from a loaded model."""
    x, y = _diabetes()
    model = _regressor(optimizer="adam")
    how = {"batch_size": 32, "verbose": 0, "shuffle": False}
    saves = keras.callbacks.ModelCheckpoint(folder / "cp-{epoch:04d}.weights.h5", save_weights_only=True)
    backup = keras.callbacks.BackupAndRestore(folder / "backup")
    model.fit(x[:96], y[:96], epochs=2, callbacks=[saves, backup], **how)
    fresh = _regressor(optimizer="adam")
    fresh.load_weights(folder / "cp-0002.weights.h5")
    score = fresh.evaluate(x[:96], y[:96], verbose=0)
    model.save(folder / "my_model.keras")
    again = keras.models.load_model(folder / "my_model.keras")
    history = again.fit(x[:96], y[:96], initial_epoch=2, epochs=4, **how)
    return learned(again, history, score=score, epochs=history.epoch)
