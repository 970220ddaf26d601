"""What the examples share: small data, generated or from scikit-learn, and what an example returns."""

from __future__ import annotations

import keras
import numpy as np
from sklearn import datasets


def learned(model, history, **results):
    """Everything of an example that can be compared: history, weights, results."""
    weights = [keras.ops.convert_to_numpy(one).ravel() for one in model.weights]
    return {**history.history, "weights": np.concatenate(weights), **results}


def digits(number, classes=10):
    """Pictures of 8 x 8 pixels from 0 to 1, and the digits on them."""
    images, labels = datasets.load_digits(n_class=classes, return_X_y=True)
    return (images[:number].reshape(-1, 8, 8, 1) / 16).astype("float32"), labels[:number].astype("int64")


def waves(rows, steps, features=1):
    """Series of two classes, quick and slow waves, and their classes."""
    random = np.random.default_rng(1)
    classes = np.arange(rows) % 2
    at = np.linspace(0, 6, steps)[None, :, None] * (1 + 2 * classes[:, None, None])
    noise = random.normal(scale=0.1, size=(rows, steps, features))
    return (np.sin(at + np.arange(features)) + noise).astype("float32"), classes.astype("int64")


def record(steps, features=3):
    """One long record of several sensors."""
    at = np.arange(steps)[:, None] / (4 + np.arange(features))
    return (np.sin(at) + np.random.default_rng(2).normal(scale=0.1, size=at.shape)).astype("float32")


GOOD = ["a", "fine", "warm", "and", "moving", "film", "with", "great", "actors"]
BAD = ["the", "dull", "plot", "was", "awful", "boring", "and", "far", "too", "long"]


def reviews(number):
    """Sentences of films, and whether they praise: every other one does."""
    random = np.random.default_rng(3)
    labels = np.arange(number) % 2
    words = [random.choice(GOOD if praises else BAD, size=random.integers(4, 9)) for praises in labels]
    return [" ".join(one) for one in words], labels.astype("int64")


def ratings(number, users=12, films=9):
    """Who has seen which film, and a rating from 1 to 5."""
    random = np.random.default_rng(4)
    user, film = random.integers(0, users, number), random.integers(0, films, number)
    return user, film, (1 + (user + 2 * film) % 5).astype("float32")
