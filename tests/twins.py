"""One model trained on Spark and its twin trained by Keras itself, to be compared."""

from __future__ import annotations

import json

import numpy as np


def twins(make, seed=1):
    """Two models with the same weights."""
    import keras

    keras.utils.set_random_seed(seed)
    first = make()
    keras.utils.set_random_seed(seed)
    return first, make()


def eagerly(model):
    """The model, which Keras trains untraced where it can: tracing takes longer than a few steps."""
    import keras

    # JAX compiles each operation by itself then; several steps in one execution come of tracing; and
    # traced alone, Keras averages the losses of several outputs over batches whatever their size.
    several = model.steps_per_execution > 1 or isinstance(model.loss, (list, dict))
    model.run_eagerly = keras.config.backend() != "jax" and not several
    return model


def columns(df, *names):
    """Columns of a Spark DataFrame as arrays, in its order."""
    rows = df.select(*names).collect()
    return [np.array([row[name] for row in rows]) for name in names]


def value(variable):
    """A copy of what a variable holds."""
    import keras

    return keras.ops.convert_to_numpy(variable.value)


def define(source):
    """Names defined as a notebook defines them: in a `__main__` that no worker can import."""
    namespace = {"__name__": "__main__"}
    exec(source, namespace)  # noqa: S102
    return namespace


def assert_trains_like_keras(spark, make, x, y, workers=2, tolerance=1e-5, **options):
    """Train twins, on Spark and by Keras; gives the run."""
    import nbkeras

    ours, theirs = twins(make)
    options = {"epochs": 2, "batch_size": 8, "shuffle": False, **options}
    run = nbkeras.fit(ours, x, y, workers=workers, spark=spark, **options)
    done = eagerly(theirs).fit(x, y, verbose=0, **options)
    assert_same_history(run.history, done.history, tolerance)
    assert_same_model(ours, theirs, tolerance)
    return run


def assert_same_history(ours, theirs, tolerance=1e-5):
    assert list(ours) == list(theirs)
    for name, values in theirs.items():
        assert len(ours[name]) == len(values), name
        np.testing.assert_allclose(ours[name], np.array(values), tolerance, tolerance, err_msg=name)


def assert_same_model(ours, theirs, tolerance=1e-5):
    """Equal in weights and in what their optimizers know."""
    pairs = [*zip(ours.weights, theirs.weights, strict=True)]
    pairs += zip(ours.optimizer.variables, theirs.optimizer.variables, strict=True)
    for one, other in pairs:
        name = json.dumps([one.path, other.path])
        np.testing.assert_allclose(value(one), value(other), tolerance, tolerance, err_msg=name)
