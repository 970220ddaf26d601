"""The editor: a design that is changed step by step, and what is to be seen of it after each step.

Nothing that is typed is lost: what cannot be stays in its field, with the reason beside it,
and the design is that of before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from nbkeras.builder import presets, table
from nbkeras.builder.arguments import Argument, Choice, Flag, Number, Whole
from nbkeras.builder.design import FITTING, OPTIMIZERS, Design
from nbkeras.builder.layers import OFFERED, Layer, offered
from nbkeras.builder.network import Looked, Network
from nbkeras.builder.table import Table, Task
from nbkeras.errors import NbkerasError, OptionError, one_line
from nbkeras.plan import BACKENDS

#: What is learnt, by the name of the choice; by itself, the label's values tell.
TASKS: tuple[str, ...] = ("auto", "binary", "classes", "regression", "input")
_BACKENDS = ("auto", *BACKENDS)
_NUMBERS: dict[str, Argument] = {
    "learning_rate": Number(above=True),
    "batch_size": Whole(),
    "epochs": Whole(),
    "validation_split": Number(end=1.0),
}
#: At first.
_VALIDATION = 0.2
#: Choices that hang together: when one is right, none of the others is wrong any more.
_LEARNT = ("data", "label", "features", "task", "preset", "model")
_CHOICES = (*_LEARNT, "optimizer", "workers", "backend")
_ACTIONS = (*_CHOICES, *_NUMBERS, "add", "remove", "move", "set")


class Editor:
    """Changes a design by actions, each a word and what it is about.

    Args:
        frames: DataFrames by the names of their variables, at least one.
        name: of the one to begin with; the first if None.
        models: that may be opened, by the names of their variables.

    Raises:
        ClusterError: its session was stopped, or what computes it fails.
        DataError: it is no Spark DataFrame, or has nothing that a network could learn.
        OptionError: there is no such DataFrame.
    """

    def __init__(
        self, frames: Mapping[str, Any], name: str | None = None, models: Mapping[str, Any] | None = None
    ) -> None:
        self._frames, self._models = frames, models or {}
        self._typed: dict[str, Any] = {}
        self._errors: dict[str, str] = {}
        self._tables: dict[str, Table] = {}
        self._known: dict[tuple[str, str], list[float]] = {}
        self._learnt: Task = "regression"
        self._chosen = "auto"
        self._preset = "MLP"
        self._label = ""
        self._answer: Layer
        self.design: Design
        if not frames:
            raise OptionError("the builder has no DataFrame to begin with: give it one, nbkeras.Builder(df)")
        self._on_data(next(iter(frames)) if name is None else name)

    # -- what is done ----------------------------------------------------------

    def act(self, action: str, **about: Any) -> None:
        """One change; what is wrong with it is in :meth:`state`.

        Args:
            action: ``data``, ``label``, ``features``, ``task``, ``preset``, ``model``, ``optimizer``,
                ``learning_rate``, ``batch_size``, ``epochs``, ``validation_split``, ``workers``,
                ``backend``, each with ``value``; ``add`` with
                ``kind`` and ``at``; ``remove`` with ``at``; ``move`` with ``at`` and ``to``;
                ``set`` with ``at``, ``name`` and ``value``.
            about: what it is about.

        Raises:
            OptionError: there is no such action, or it lacks something.
        """
        if action not in _ACTIONS:
            raise OptionError(f"the builder does not know {action}: use one of {', '.join(_ACTIONS)}")
        field = f"{about.get('at')}.{about.get('name')}" if action == "set" else action
        try:
            if action in _NUMBERS:
                self._number(action, **about)
            else:
                getattr(self, f"_on_{action}")(**about)
        except NbkerasError as error:
            self._typed[field], self._errors[field] = about.get("value"), str(error)
        except (KeyError, TypeError, IndexError) as error:
            raise OptionError(f"the builder does not know {action} with {about}") from error
        except Exception as error:  # noqa: BLE001  # Spark may have been stopped, or the rows be gone
            self._typed[field], self._errors[field] = about.get("value"), one_line(error)
        else:
            for one in _LEARNT if field in _LEARNT else (field,):
                self._typed.pop(one, None)
                self._errors.pop(one, None)

    def _on_data(self, value: str) -> None:
        name = value
        if name not in self._frames:
            raise OptionError(f"there is no DataFrame {name!r}: use one of {', '.join(self._frames)}")
        found = self._tables.get(name) or Table.of(self._frames[name], name)
        self._tables[name] = found
        label = found.guess_label()
        self._fit(name, label, found.guess_features(label), "auto")

    def _on_label(self, value: str) -> None:
        found = self._tables[self.design.data]
        label = value
        if label not in found.labels:
            raise OptionError(f"{label!r} has no one number a row: use one of {', '.join(found.labels[:20])}")
        features = [one for one in self.design.features if one != label] or found.guess_features(label)
        self._fit(self.design.data, label, features, self._chosen)

    def _on_features(self, value: list[str]) -> None:
        known, wanted = self._tables[self.design.data].features(self._label), set(value)
        self._fit(self.design.data, self._label, [one for one in known if one in wanted], self._chosen)

    def _on_task(self, value: str) -> None:
        if value not in TASKS:
            raise OptionError(f"task={value!r}: use one of {', '.join(TASKS)}")
        self._fit(self.design.data, self._label, list(self.design.features), value)

    def _fit(self, data: str, label: str, features: list[str], chosen: str) -> None:
        """Take rows, and give the network the input and the last layer that go with them."""
        width = self._tables[data].width(features)
        learnt: Task
        if chosen == "input":
            learnt, outputs = "input", width
        else:
            wanted: Any = None if chosen == "auto" else chosen
            learnt, outputs = table.task(self._values(data, label), label, wanted)
        answer = presets.last(learnt, outputs)
        network = presets.PRESETS[self._preset](width, answer)
        if hasattr(self, "design"):
            before, old = self.design.network, math.prod(self.design.network.input_shape)
            if before != presets.PRESETS[self._preset](old, self._answer):
                # It is the user's own by now: only what has to fit is changed.
                layers = before.layers
                if layers and layers[-1] == self._answer:
                    layers = (*layers[:-1], answer)
                network = Network(before.input_shape if old == width else (width,), layers)
            rest = self.design
        else:
            rest = Design(
                data, label, tuple(features), network, *FITTING[learnt], validation_split=_VALIDATION
            )
        loss, metric = FITTING[learnt]
        used = {*features, label}
        self.design = replace(
            rest,
            data=data,
            label=None if learnt == "input" else label,
            features=tuple(features),
            network=network,
            loss=loss,
            metric=metric,
            unused=tuple(one.name for one in self._tables[data].columns if one.name not in used),
        )
        self._learnt, self._chosen, self._answer, self._label = learnt, chosen, answer, label

    def _values(self, data: str, label: str) -> list[float]:
        """Values of a label; Spark goes over the rows for them once, and not at every tick of a feature."""
        if (data, label) not in self._known:
            self._known[data, label] = table.values_of(self._frames[data], label)
        return self._known[data, label]

    def _on_preset(self, value: str) -> None:
        if value not in presets.PRESETS:
            raise OptionError(f"preset={value!r}: use one of {', '.join(presets.PRESETS)}")
        if value == presets.OWN:
            self._on_task("input")
        elif self._preset == presets.OWN and self._chosen == "input":
            self._on_task("auto")
        width = math.prod(self.design.network.input_shape)
        self._preset = value
        self._change(lambda _: presets.PRESETS[value](width, self._answer))

    def _on_model(self, value: str) -> None:
        """Go on with the layers of a model made by hand."""
        if value not in self._models:
            known = f"use one of {', '.join(self._models)}" if self._models else "there is none"
            raise OptionError(f"there is no model {value!r}: {known}")
        network = Network.of(self._models[value])
        numbers = self._tables[self.design.data].width(list(self.design.features))
        if (wanted := math.prod(network.input_shape)) != numbers:
            raise OptionError(
                f"{value} takes {network.input_shape} for each row, {wanted} numbers; "
                f"the features have {numbers}"
            )
        self._change(lambda _: network)

    def _on_optimizer(self, value: str) -> None:
        self.design = replace(
            self.design, optimizer=Choice(OPTIMIZERS).read("optimizer", value) or OPTIMIZERS[0]
        )

    def _on_workers(self, value: Any) -> None:
        auto = str(value).strip() in ("", "auto")
        self.design = replace(self.design, workers="auto" if auto else Whole().read("workers", value))

    def _on_backend(self, value: str) -> None:
        self.design = replace(self.design, backend=Choice(_BACKENDS).read("backend", value) or _BACKENDS[0])

    def _number(self, name: str, value: Any) -> None:
        self.design = replace(self.design, **{name: _NUMBERS[name].read(name, value)})  # type: ignore[arg-type]

    # -- layers ----------------------------------------------------------------

    def _on_add(self, kind: str, at: int) -> None:
        layer = Layer.first(kind)
        self._change_layers(lambda layers: (*layers[:at], layer, *layers[at:]))

    def _on_remove(self, at: int) -> None:
        self._change_layers(lambda layers: (*layers[:at], *layers[at + 1 :]))

    def _on_move(self, at: int, to: int) -> None:
        def moved(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
            rest = [*layers[:at], *layers[at + 1 :]]
            return (*rest[:to], layers[at], *rest[to:])

        self._change_layers(moved)

    def _on_set(self, at: int, name: str, value: Any) -> None:
        layer = self.design.network.layers[at]
        changed = Layer(layer.kind, {**layer.arguments, name: value})
        layers = self.design.network.layers
        network = replace(self.design.network, layers=(*layers[:at], changed, *layers[at + 1 :]))
        self.design = replace(self.design, network=network)

    def _change_layers(self, change: Callable[[tuple[Layer, ...]], tuple[Layer, ...]]) -> None:
        self._change(lambda network: replace(network, layers=change(network.layers)))

    def _change(self, change: Callable[[Network], Network]) -> None:
        """Other layers, or in another order: what was typed at their places is gone with them."""
        self.design = replace(self.design, network=change(self.design.network))
        for one in [one for one in self._errors if "." in one]:
            del self._typed[one], self._errors[one]

    def spark(self) -> Any:
        """The session of the DataFrame."""
        return self._frames[self.design.data].sparkSession

    # -- what is seen ----------------------------------------------------------

    def columns(self) -> list[dict[str, Any]]:
        """The columns that may be learnt or learnt from, as plain data; apart, as there may be thousands."""
        typed = self._typed.get("features")
        chosen = set(self.design.features if typed is None else map(str, typed))
        return [
            {"name": one.name, "kind": one.kind, "label": one.size == 1, "chosen": one.name in chosen}
            for one in self._tables[self.design.data].columns
            if one.size != 0
        ]

    def state(self) -> dict[str, Any]:
        """All else that is to be seen, as plain data."""
        design = self.design
        looked = self._looked()
        return {
            "frames": list(self._frames),
            "data": self._typed.get("data", design.data),
            "label": self._typed.get("label", self._label),
            "hints": {"label": self._tables[design.data].hint()},
            "task": self._learnt,
            "chosen": self._typed.get("task", self._chosen),
            "tasks": list(TASKS),
            "preset": self._preset,
            "presets": list(presets.PRESETS),
            "models": list(self._models),
            "offered": {group: list(kinds) for group, kinds in OFFERED.items()},
            "input": list(design.network.input_shape),
            "layers": [
                {
                    "kind": layer.kind,
                    "group": next(group for group, kinds in OFFERED.items() if layer.kind in kinds),
                    "said": layer.said(),
                    "arguments": [self._argument(index, layer, name) for name in offered(layer.kind)],
                    "shape": None if one.shape is None else list(one.shape),
                    "weights": one.weights,
                    "error": one.error,
                }
                for index, (layer, one) in enumerate(zip(design.network.layers, looked, strict=True))
            ],
            "answer": self._answer.code(),
            "weights": sum(one.weights for one in looked),
            "memory": design.footprint(looked).alone,
            "optimizers": list(OPTIMIZERS),
            "optimizer": design.optimizer,
            **{name: self._typed.get(name, getattr(design, name)) for name in _NUMBERS},
            "workers": self._typed.get("workers", design.workers),
            "backends": list(_BACKENDS),
            "backend": design.backend,
            "loss": design.loss,
            "metric": design.metric,
            "errors": {name: words for name, words in self._errors.items() if "." not in name},
            "code": design.code(),
            "ready": not self._errors and not any(one.error for one in looked) and bool(looked),
        }

    def _looked(self) -> list[Looked]:
        """What each layer gives; the last one has to answer what is asked."""
        looked = self.design.network.looked_at()
        if not looked or looked[-1].shape is None:
            return looked
        wanted, given = int(str(self._answer.arguments["units"])), looked[-1].shape
        classes = self._learnt == "classes"
        fits = len(given) == 1 and (given[0] == wanted or (classes and (given[0] or 0) > wanted))
        # A loss of classes takes probabilities; a quantity may come of any activation.
        activation = self._answer.arguments.get("activation")
        answers = activation is None or self.design.network.activation() == activation
        if fits and answers:
            return looked
        asked = "the features" if self._learnt == "input" else self._label
        lacks = "" if answers else f", without {activation}"
        error = (
            f"gives {given} for each row{lacks}; {asked} needs ({wanted},): end with {self._answer.code()}"
        )
        return [*looked[:-1], replace(looked[-1], error=error)]

    def _argument(self, index: int, layer: Layer, name: str) -> dict[str, Any]:
        argument, field = offered(layer.kind)[name], f"{index}.{name}"
        value = layer.arguments.get(name, layer.defaults().get(name))
        shown = ", ".join(map(str, value)) if isinstance(value, tuple) else value
        kind = "flag" if isinstance(argument, Flag) else "choice" if isinstance(argument, Choice) else "text"
        return {
            "name": name,
            "type": kind,
            "value": self._typed.get(field, shown),
            "options": list(argument.options) if isinstance(argument, Choice) else [],
            "error": self._errors.get(field, ""),
        }
