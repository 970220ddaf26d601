"""Random numbers of a step: all workers draw those of the global batch, and each takes those of its rows.

So N workers draw what one does. A draw belongs to the rows of a batch if its
first axis grows with them: its numbers are made for all rows of the step, from
the same seed on every worker, and cut. Other numbers, such as one for the whole
batch, are the same on all workers. Where neither holds, as where the rows of a
batch are shuffled, each worker draws numbers of its own, and a note says so.

Which is which is found out before the training: the model is called with symbols
in place of two and of three rows, and its draws are compared.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

import keras
import numpy as np
from keras import ops
from keras.src import backend
from keras.src.random.seed_generator import draw_seed

from nbkeras.model import exactness, randomness
from nbkeras.worker.together import Together

#: Keras' functions that draw, and the argument that says how many numbers.
_SIZED = {
    "normal": "shape",
    "uniform": "shape",
    "randint": "shape",
    "truncated_normal": "shape",
    "gamma": "shape",
    "binomial": "shape",
    "beta": "shape",
    "dropout": "inputs",
    "shuffle": "x",
    "categorical": "logits",
    "elastic_transform": "images",
}
#: Those that draw and use the numbers at once: no worker can do it for the rows of another.
_AT_ONCE = ("shuffle", "categorical", "elastic_transform")
#: Layers that choose by Python's own random numbers what they draw.
_BY_CHANCE = ("AugMix",)
#: Between the seeds of two workers where each draws numbers of its own.
_APART = 40_503_161


@dataclass(frozen=True)
class _Draw:
    """A draw of one call of the model.

    Attributes:
        function: the name of Keras' function.
        shape: of what is drawn.
        others: shapes of the function's other arguments.
        layer: class of the layer that draws.
    """

    function: str
    shape: tuple[int | None, ...]
    others: tuple[tuple[int | None, ...], ...]
    layer: str


class Draws:
    """The random numbers of one worker's steps.

    Args:
        group: the workers.
        say: is called once with the class of each layer for which each worker draws numbers of its own.
    """

    def __init__(self, group: Together, say: Callable[[str], None]) -> None:
        self._group, self._say = group, functools.cache(say)
        # By draw: its function, the axes of its numbers, how many each row has (0: they are not of rows).
        self._known: dict[Hashable, tuple[str, int, int]] = {}
        self._met: Counter[Hashable] | None = None
        self._recorded: dict[Hashable, _Draw] | None = None
        self._cut: Callable[..., Any] = group.cut

    def install(self, model: Any, x: Any) -> None:
        """Find out what the model draws, and change Keras' functions that draw, for its steps.

        Args:
            model: compiled and built, not traced yet.
            x: some rows as Keras takes them.
        """
        for module in (backend.random, backend.image):
            for name in _SIZED.keys() & vars(module).keys():
                setattr(module, name, self._changed(getattr(module, name)))
        # A training step of the user's own may call the layers in any order.
        two, three = self._found(model, x) if exactness.plain(model) else ({}, {})
        for key in two.keys() & three.keys():
            if (each := _each(two[key], three[key])) is not None:
                self._known[key] = two[key].function, len(two[key].shape), each
        for name in ("train_step", "test_step"):
            setattr(model, name, self._stepped(getattr(model, name)))

    def _stepped(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            with self.step():
                return step(*arguments)

        return run

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """The draws of the block are those of a step's batch."""
        self._met = Counter()
        try:
            yield
        finally:
            self._met = None

    @contextlib.contextmanager
    def alike(self) -> Iterator[None]:
        """Every row of the one call in the block draws the same numbers, as in any other such block."""
        self._cut = _repeated
        try:
            with randomness.paused(), self.step():
                yield
        finally:
            self._cut = self._group.cut

    # -- before the training ------------------------------------------------------

    def _found(self, model: Any, x: Any) -> Iterator[dict[Hashable, _Draw]]:
        """The draws of the model for two and for three rows; none where it does not take symbols for rows."""

        def call(symbols: Any) -> Any:
            # A backend may try it in one way after the other.
            self._recorded = {}
            with self.step():
                return model(symbols, training=True)

        for rows in (2, 3):
            symbols = keras.tree.map_structure(functools.partial(_symbol, rows), x)
            try:
                backend.compute_output_spec(call, symbols)
            except Exception:  # noqa: BLE001  # whatever code of the user's own does with a symbol
                self._recorded = None
            found, self._recorded = self._recorded or {}, None
            yield found

    # -- in a step ----------------------------------------------------------------

    def _changed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """One of Keras' functions as it draws in a step; outside it draws as always."""
        signature = inspect.signature(function)

        @functools.wraps(function)
        def draw(*args: Any, **kwargs: Any) -> Any:
            if self._met is None:
                return function(*args, **kwargs)
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            # One of these functions may call another.
            met, self._met = self._met, None
            try:
                return self._drawn(met, function, bound.arguments)
            finally:
                self._met = met

        return draw

    def _drawn(self, met: Counter[Hashable], function: Callable[..., Any], given: dict[str, Any]) -> Any:
        seed = given["seed"]
        source = id(seed) if isinstance(seed, keras.random.SeedGenerator) else seed
        # JAX takes a key in place of a seed; it cannot be changed here.
        source, asked = (source, _Seed) if isinstance(source, int | None) else ("key", lambda key, _: key)
        key = (source, met[source])
        met[source] += 1
        if self._recorded is not None:
            return _recorded(self._recorded, key, function, given)
        name, axes, each = self._known.get(key, ("", 0, 0))
        if name != function.__name__:
            if self._cut is not _repeated:
                self._say(_layer())
            return function(**given | {"seed": asked(seed, self._group.rank)})
        if each == 0:
            return function(**given)
        given = given | {"seed": asked(seed, 0)}
        if name == "dropout":
            return self._dropped(function, given, each)
        first, *rest = (given["shape"][axis] for axis in range(axes))
        return self._cut(lambda rows: function(**given | {"shape": (rows, *rest)}), first, each)

    def _dropped(self, function: Callable[..., Any], given: dict[str, Any], each: int) -> Any:
        inputs, (first, *rest) = given["inputs"], _noise_shape(given)

        def scales(rows: Any) -> Any:
            shape = (rows, *rest)
            ones = ops.ones(shape, dtype=inputs.dtype)
            return function(**given | {"inputs": ones, "noise_shape": given["noise_shape"] and shape})

        mask = self._cut(scales, first, each)
        return ops.where(mask > 0, inputs * mask, ops.zeros_like(inputs))


class _Seed(keras.random.SeedGenerator):  # type: ignore[misc]
    """What a layer gives as its seed, asked once however often it is drawn from; apart, each worker's own."""

    def __init__(self, seed: Any, rank: int) -> None:
        # Keras' own would make a state; torch draws by another way where no seed was given.
        self._seed, self._rank, self._drawn = seed, rank, None
        self._initial_seed = getattr(seed, "_initial_seed", seed)

    def next(self, ordered: bool = True) -> Any:
        if self._drawn is None:
            state = draw_seed(self._seed)
            apart = np.array([self._rank * _APART % 2**30, 0])
            self._drawn = state + ops.convert_to_tensor(apart, dtype=state.dtype)
        return self._drawn


def _repeated(draw: Callable[[Any], Any], number: Any, each: int) -> Any:
    """What is drawn for one row, for as many rows as have so many numbers."""
    return ops.concatenate([draw(each)] * (int(number) // each))


def _recorded(
    draws: dict[Hashable, _Draw], key: Hashable, function: Callable[..., Any], given: dict[str, Any]
) -> Any:
    """What a function draws, noted among the draws."""
    name = function.__name__
    drawn = function(**given)
    shape = _noise_shape(given) if name == "dropout" else drawn.shape
    known = {_SIZED[name], "noise_shape", "seed", "dtype"}
    others = tuple(_shape(value) for argument, value in given.items() if argument not in known)
    draws[key] = _Draw(name, tuple(shape), others, _layer())
    return drawn


def _each(two: _Draw, three: _Draw) -> int | None:
    """How many numbers each row has, by the draws of two and of three rows; None where they do not tell."""
    unknown = two.layer in _BY_CHANCE or None in two.shape + three.shape
    if unknown or two.function != three.function or two.others != three.others:
        return None
    if two.shape == three.shape:
        return 0
    each = two.shape[0] // 2  # type: ignore[operator]  # no None
    of_rows = (2 * each, 3 * each) == (two.shape[0], three.shape[0]) and two.shape[1:] == three.shape[1:]
    return each if of_rows and two.function not in _AT_ONCE else None


def _noise_shape(given: dict[str, Any]) -> tuple[Any, ...]:
    """The shape of the numbers that a dropout draws."""
    whole, noise = ops.shape(given["inputs"]), given["noise_shape"]
    if noise is None:
        return tuple(whole)
    return tuple(size if one is None else one for size, one in zip(whole, noise, strict=True))


def _shape(value: Any) -> tuple[int | None, ...]:
    return tuple(value.shape) if hasattr(value, "shape") else np.shape(value)


def _symbol(rows: int, array: Any) -> Any:
    # Text is of objects in NumPy.
    dtype = "string" if array.dtype == object else keras.backend.standardize_dtype(array.dtype)
    return keras.KerasTensor((rows, *array.shape[1:]), dtype)


def _layer() -> str:
    """The class of the layer that draws; of Keras' own layers that hold each other it is the outermost."""
    found: Any = None
    frame: FrameType | None = sys._getframe()  # noqa: SLF001  # documented
    while frame is not None and (found is None or _of_keras(found)):
        caller = frame.f_locals.get("self")
        if isinstance(caller, keras.Layer) and (found is None or _of_keras(caller)):
            found = caller
        frame = frame.f_back
    return "the model" if found is None else type(found).__name__


def _of_keras(layer: Any) -> bool:
    return type(layer).__module__.startswith("keras.src.layers.")
