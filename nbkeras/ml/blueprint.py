"""Blueprint: the model that an estimator trains copies of, or the function that builds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from nbkeras.data.adaptation.learning import has_learned, title
from nbkeras.driver import checks
from nbkeras.errors import ModelError, OptionError
from nbkeras.model import pickling


@dataclass(frozen=True)
class Blueprint:
    """Makes the models of trainings, which have nothing in common: trials in threads train theirs at once.

    Attributes:
        owner: the class of the estimator, for messages.
        pickled: the model as it was when the estimator got it: layers, compiled settings, weights.
        build: the function, if there is one.
        lost: why there is none in what was read from a file; empty if nothing was lost.
    """

    owner: str
    pickled: bytes | None = None
    build: Callable[..., Any] | None = None
    lost: str = ""

    @classmethod
    def of(cls, owner: str, model: Any) -> Blueprint:
        """Keep a model, or the function that builds it.

        Raises:
            ModelError: it is neither, is not compiled, or cannot be copied.
            OptionError: a run trains the model.

        Example:
            >>> import keras
            >>> from nbkeras.ml.blueprint import Blueprint
            >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
            >>> model.compile("sgd", "mse")
            >>> one = Blueprint.of("KerasRegressor", model)
            >>> one.made({}) is one.made({})
            False
        """
        if model is None:
            return cls(owner)
        if callable(model) and not isinstance(model, keras.Model):
            return cls(owner, build=model)
        checks.require_compiled(model, owner)
        checks.require_free(model)
        return cls(owner, pickling.dumps(model, unlearned=True))

    def made(self, arguments: Mapping[str, Any]) -> Any:
        """Make a compiled model.

        Args:
            arguments: of the function.

        Raises:
            ModelError: there is no model, or the function gives none that is compiled.
            OptionError: there are arguments, but no function.
        """
        if self.build is not None:
            model = self.build(**arguments)
            checks.require_compiled(model, f"{self.owner}(model=build)")
            return model
        if self.pickled is None:
            why = f"was saved without its model, since {self.lost}" if self.lost else "has no model"
            raise ModelError(f"{self.owner} {why}: give it one, setModel(model), compiled")
        if arguments:
            raise OptionError(
                f"modelArguments={dict(arguments)!r} are of a function that builds the model, and "
                f"{self.owner} has a model: give it the function, {self.owner}(model=build, …)"
            )
        return pickling.loads(self.pickled)

    def saved(self) -> tuple[str, Any]:
        """The model for a file, or None and why a model is lost."""
        if self.build is not None:
            return "a function is not saved", None
        if self.pickled is None:
            return self.lost, None
        model = self.made({})
        for layer in model._flatten_layers():  # nested ones too
            if hasattr(layer, "get_vocabulary") and not has_learned(layer):
                return f"Keras does not read {title(layer)} again, which has not learned from data", None
        return "", model
