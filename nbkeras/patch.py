"""Patch of Keras' own methods so that they run on Spark: a cell from a tutorial runs unchanged."""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from nbkeras.errors import OptionError
from nbkeras.options import Options
from nbkeras.run.run import calling

_LATER = "until this run ends the model has the weights it had: run.wait() waits for the end"
_METHODS = ("fit", "evaluate", "predict")


class Calls:
    """The methods that replace ``keras.Model.fit``, ``evaluate`` and ``predict`` in a block.

    Args:
        options: where and how to train, for ``fit``.
        fit, evaluate, predict: of :mod:`nbkeras.api`.

    Attributes:
        fits: how often ``fit`` was called.
    """

    def __init__(
        self,
        options: Options,
        fit: Callable[..., Any],
        evaluate: Callable[..., dict[str, Any]],
        predict: Callable[..., Any],
    ) -> None:
        self._options, self._fit, self._evaluate, self._predict = options, fit, evaluate, predict
        self.fits: int = 0

    def call(
        self, name: str, local: Callable[..., Any], model: Any, x: Any, args: Any, kwargs: dict[str, Any]
    ) -> Any:
        """Run a method of ``keras.Model`` on Spark, with the same signature and meaning.

        Args:
            name: of the method.
            local: Keras' own method, for data that stays in this process.
            model, x, args, kwargs: arguments of the call.

        Raises:
            OptionError: the method has no such argument.
        """
        ours: Callable[..., Any] = getattr(self, name)
        if name == "fit":
            self.fits += 1
        if calling() is not None and name != "fit" and not _is_of_spark(x):
            # The workers hold their slots until this callback returns.
            return local(model, x, *args, **kwargs)
        signature = inspect.signature(ours)
        try:
            signature.bind(model, x, *args, **kwargs)
        except TypeError as error:
            _, *known = signature.parameters
            raise OptionError(f"{name} {error}: it takes {', '.join(known)}") from None
        return ours(model, x, *args, **kwargs)

    def fit(
        self,
        model: Any,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
        nulls: Any = "error",
    ) -> Any:
        """Train, and return a ``keras.callbacks.History``; in the background the run."""
        run = self._fit(
            model,
            x,
            y,
            batch_size=batch_size,
            epochs=epochs,
            verbose=verbose,
            callbacks=callbacks,
            validation_split=validation_split,
            validation_data=validation_data,
            shuffle=shuffle,
            class_weight=class_weight,
            sample_weight=sample_weight,
            initial_epoch=initial_epoch,
            steps_per_epoch=steps_per_epoch,
            validation_steps=validation_steps,
            validation_batch_size=validation_batch_size,
            validation_freq=validation_freq,
            nulls=nulls,
            **self._options.changed(),
        )
        if not self._options.background:
            return run.model.history
        # A headless notebook has waited for the run; its later cells use the run all the same.
        if not run.done.is_set():
            run.note(_LATER)
        return run

    def evaluate(
        self,
        model: Any,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Return the loss, or a list of loss and metrics, or a dict of them, as Keras does."""
        if callbacks is not None:
            own = _with_callbacks("evaluate", model, x)
            return own(x, y, batch_size, verbose, sample_weight, steps, callbacks, return_dict)
        _say("Evaluating on Spark.", x, verbose)
        results = self._evaluate(
            model, x, y, sample_weight=sample_weight, batch_size=batch_size, steps=steps, **self._where()
        )
        if return_dict:
            return dict(sorted(results.items()))  # Keras' own order
        return model._flatten_metrics_in_order(results)  # noqa: SLF001  # the order is Keras' own, too

    def predict(
        self,
        model: Any,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
        classes: Any = False,
    ) -> Any:
        """Return an array for arrays; for a DataFrame, a DataFrame of its kind with one more column."""
        if callbacks is not None:
            return _with_callbacks("predict", model, x)(x, batch_size, verbose, steps, callbacks)
        from nbkeras.driver.inference import is_few

        if not _is_of_spark(x) and not is_few(x):  # the prediction of a Spark DataFrame is lazy
            _say("Predicting on Spark.", x, verbose)
        return self._predict(model, x, batch_size=batch_size, steps=steps, classes=classes, **self._where())

    def _where(self) -> dict[str, Any]:
        """Return the options that evaluation and prediction have too."""
        return {"backend": self._options.backend, "spark": self._options.spark}


#: The innermost block of the calling context.
_block: ContextVar[Calls | None] = ContextVar("nbkeras_block", default=None)
_lock = threading.Lock()
#: One entry for each open block of any thread. The last block to end restores Keras' own methods.
_open: list[contextlib.ExitStack] = []


@contextlib.contextmanager
def routed(calls: Calls) -> Iterator[None]:
    """Within the block, route Keras' methods to those of ``calls``.

    Elsewhere, such as in other threads, they stay Keras' own.
    """
    with _lock:
        _open.append(_open[-1] if _open else _replaced())
    token = _block.set(calls)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # the block ends in another context than it began in
            _block.reset(token)
        with _lock:
            last = _open.pop()
            if not _open:
                last.close()


def _replaced() -> contextlib.ExitStack:
    """Replace Keras' methods by ones that look up the block in which they are called."""
    import keras

    stack = contextlib.ExitStack()
    for name in _METHODS:
        # An inherited method is restored by deleting its replacement.
        if (own := vars(keras.Model).get(name)) is None:
            stack.callback(delattr, keras.Model, name)
        else:
            stack.callback(setattr, keras.Model, name, own)
        setattr(keras.Model, name, _routed(name, getattr(keras.Model, name)))
    return stack


def _routed(name: str, local: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(local)
    def call(model: Any, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        if (calls := _block.get()) is None:
            return local(model, x, *args, **kwargs)
        return calls.call(name, local, model, x, args, kwargs)

    return call


def _say(sentence: str, x: Any, verbose: Any) -> None:
    """Print what takes a while, unless ``verbose`` turns off Keras' progress bar; datasets may stay here."""
    from nbkeras.model.reader import kind_of

    if verbose not in (0, False) and kind_of(x) is None:
        print(sentence)  # noqa: T201


def _is_of_spark(x: Any) -> bool:
    """Whether this is a DataFrame of Spark, or of pandas on Spark."""
    return hasattr(x, "sparkSession") or type(x).__module__.startswith("pyspark.pandas")


def _with_callbacks(method: str, model: Any, x: Any) -> Any:
    """Return Keras' own method, which calls callbacks here.

    Raises:
        OptionError: Keras knows no such data.
    """
    from nbkeras.driver import inference

    if _is_of_spark(x):
        raise OptionError(
            f"{method}(callbacks=…) is for arrays and datasets: call {method} without callbacks"
        )
    print(f"{method} runs in this process, where its callbacks are called")  # noqa: T201  # no Spark job
    return getattr(inference.here(model), method)
