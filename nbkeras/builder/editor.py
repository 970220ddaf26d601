"""The editor: a design that is changed step by step, and what is to be seen of it after each step.

Nothing that is typed is lost: what cannot be stays in its field, with the reason beside it,
and the design is that of before.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nbkeras.builder import presets, table
from nbkeras.builder.arguments import Argument, Choice, Flag, Number, Whole
from nbkeras.builder.design import FITTING, OPTIMIZERS, Design
from nbkeras.builder.layers import FOREMOST, IMAGES, NORMALIZATION, OFFERED, Layer, offered
from nbkeras.builder.network import Looked, Network
from nbkeras.builder.table import Features, Table, Task
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
    "patience": Whole(0),
}
#: At first.
_VALIDATION = 0.2
#: What a question is made of: whether its parts go together is found for all of them at once.
_ASKED = ("label", "features", "task")
_NETWORKS = ("preset", "model")
_CHOICES = ("data", *_ASKED, *_NETWORKS, "loss", "metrics", "optimizer", "workers", "backend")
_ACTIONS = (*_CHOICES, *_NUMBERS, "add", "remove", "move", "set")

_Rows = list[tuple[int, Layer]]


@dataclass(frozen=True)
class _Question:
    """What is to be learnt from what, as it was chosen last; its parts may not go together.

    Attributes:
        data: the name of a DataFrame.
        label: of its columns.
        ticked: columns to learn from, perhaps the label among them, which is one again when it is no label.
        task: of ``TASKS``.
    """

    data: str
    label: str
    ticked: tuple[str, ...]
    task: str


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
        self._moments: dict[tuple[str, str], tuple[float, float]] = {}
        self._learnt: Task = "regression"
        self._preset = "MLP"
        self._task_before = TASKS[0]
        self._field = ""
        self._numbers: list[int] = []
        self._next = itertools.count()
        self._question: _Question
        self._answer: Layer
        self._taken: Features
        self.design: Design
        if not frames:
            raise OptionError("the builder has no DataFrame to begin with: give it one, nbkeras.Builder(df)")
        self._on_data(next(iter(frames)) if name is None else name)

    # -- what is done ----------------------------------------------------------

    def act(self, action: str, **about: Any) -> None:
        """One change; what is wrong with it is in :meth:`state`.

        Args:
            action: ``data``, ``label``, ``features``, ``task``, ``preset``, ``model``, ``loss``,
                ``metrics``, ``optimizer``, ``learning_rate``, ``batch_size``, ``epochs``,
                ``validation_split``, ``patience``, ``workers``, ``backend``, each with ``value``;
                ``add`` with ``kind`` and ``at``; ``remove`` with ``at``; ``move`` with ``at`` and
                ``to``; ``set`` with ``at``, ``name`` and ``value``.
            about: what it is about.

        Raises:
            OptionError: there is no such action, or it lacks something.
        """
        if action not in _ACTIONS:
            raise OptionError(f"the builder does not know {action}: use one of {', '.join(_ACTIONS)}")
        self._field = action
        try:
            if action in _NUMBERS:
                self._number(action, **about)
            else:
                getattr(self, f"_on_{action}")(**about)
        except NbkerasError as error:
            self._typed[self._field], self._errors[self._field] = about.get("value"), str(error)
        except (KeyError, TypeError, IndexError) as error:
            raise OptionError(f"the builder does not know {action} with {about}") from error
        except Exception as error:  # noqa: BLE001  # Spark may have been stopped, or the rows be gone
            self._typed[self._field], self._errors[self._field] = about.get("value"), one_line(error)
        else:
            self._forget(*(_NETWORKS if action in _NETWORKS else (self._field,)))

    def _forget(self, *fields: str) -> None:
        """Nothing is wrong with some fields any more, nor with those of layers that are gone."""
        numbers = set(map(str, self._numbers))
        gone = [one for one in self._errors if "." in one and one.partition(".")[0] not in numbers]
        for one in (*fields, *gone):
            self._typed.pop(one, None)
            self._errors.pop(one, None)

    def place(self, number: Any) -> int | None:
        """Where the layer of a number in :meth:`state` is by now; None where it is gone."""
        return self._numbers.index(number) if number in self._numbers else None

    def _on_data(self, value: str) -> None:
        name = value
        if name not in self._frames:
            raise OptionError(f"there is no DataFrame {name!r}: use one of {', '.join(self._frames)}")
        found = self._tables.get(name) or Table.of(self._frames[name], name)
        self._tables[name] = found
        label = found.guess_label()
        self._question = _Question(name, label, tuple(found.guess_features(label)), TASKS[0])
        self._forget("data")
        self._fit()

    def _on_label(self, value: str) -> None:
        label, found, ticked = value, self._tables[self._question.data], self._question.ticked
        if label not in found.labels:
            raise OptionError(f"{label!r} has no one number a row: use one of {', '.join(found.labels[:20])}")
        if set(ticked) <= {label}:
            ticked = (*ticked, *found.guess_features(label))
        self._question = replace(self._question, label=label, ticked=ticked)
        self._fit()

    def _on_features(self, value: list[str]) -> None:
        label, ticked = self._question.label, self._question.ticked
        ticked = (*map(str, value), *(one for one in ticked if one == label))
        self._question = replace(self._question, ticked=ticked)
        self._fit()

    def _on_task(self, value: str) -> None:
        if value not in TASKS:
            raise OptionError(f"task={value!r}: use one of {', '.join(TASKS)}")
        self._question = replace(self._question, task=value)
        self._fit()

    def _fit(self) -> None:
        """Take the question, and give the network the input and the last layer that go with it."""
        question, found = self._question, self._tables[self._question.data]
        ticked, label = set(question.ticked), question.label
        features = [one for one in found.features(label) if one in ticked]
        self._forget(*_ASKED)
        # What is wrong is told at the field that it is about, whichever was changed last.
        self._field = "features"
        taken = found.taken(features, question.task == "input")
        learnt: Task
        if question.task == "input":
            learnt, outputs = "input", math.prod(taken.shape)
        else:
            self._field = "label"
            values = self._values(question.data, label)
            self._field = "task"
            wanted: Any = None if question.task == "auto" else question.task
            learnt, outputs = table.task(values, label, wanted)
        answer = presets.last(learnt, outputs)
        network = presets.PRESETS[self._preset](taken.shape, answer)
        losses, metrics = FITTING[learnt]
        if not hasattr(self, "design"):
            self.design = Design(
                question.data, label, (), network, losses[0], metrics[:1], validation_split=_VALIDATION
            )
        elif self._is_own():
            # Only what has to fit is changed.
            before = self.design.network
            layers = before.layers
            if layers and layers[-1] == self._answer:
                layers = (*layers[:-1], answer)
            # A model that was opened takes the numbers in its own shape.
            same = not taken.inputs and math.prod(before.input_shape) == math.prod(taken.shape)
            if (self.design.data, self.design.features) != (question.data, tuple(features)):
                self._field = "features"
                layers = tuple(
                    self._measured(question.data, features, taken) if one.kind == NORMALIZATION else one
                    for one in layers
                )
            network = Network(before.input_shape if same else taken.shape, layers)
        used = {*features, label}
        self.design = replace(
            self.design,
            data=question.data,
            label=None if learnt == "input" else label,
            features=tuple(features),
            loss=self.design.loss if self.design.loss in losses else losses[0],
            metrics=tuple(one for one in self.design.metrics if one in metrics) or metrics[:1],
            unused=tuple(one.name for one in found.columns if one.name not in used),
            inputs=taken.inputs,
            depth=taken.depth,
        )
        self._learnt, self._answer, self._taken = learnt, answer, taken
        self._take(network)
        self._forget("data", *_NETWORKS)

    def _is_own(self) -> bool:
        """Whether the network is no longer what the preset makes."""
        network = self.design.network
        return network != presets.PRESETS[self._preset](network.input_shape, self._answer)

    def _values(self, data: str, label: str) -> list[float]:
        """Values of a label; Spark goes over the rows for them once, and not at every tick of a feature."""
        if (data, label) not in self._known:
            self._known[data, label] = table.values_of(self._frames[data], label)
        return self._known[data, label]

    def _on_preset(self, value: str) -> None:
        if value not in presets.PRESETS:
            raise OptionError(f"preset={value!r}: use one of {', '.join(presets.PRESETS)}")
        asked = self._question.task
        if value == presets.OWN and asked != "input":
            self._task_before = asked
            self._on_task("input")
        elif value != presets.OWN and self._preset == presets.OWN and asked == "input":
            self._on_task(self._task_before)
        self._preset = value
        self._take(presets.PRESETS[value](self._taken.shape, self._answer))

    def _on_model(self, value: str) -> None:
        """Go on with the layers of a model made by hand."""
        if value not in self._models:
            known = f"use one of {', '.join(self._models)}" if self._models else "there is none"
            raise OptionError(f"there is no model {value!r}: {known}")
        network = Network.of(self._models[value])
        numbers = math.prod(self._taken.shape)
        if (wanted := math.prod(network.input_shape)) != numbers:
            raise OptionError(
                f"{value} takes {network.input_shape} for each row, {wanted} numbers; "
                f"the features have {numbers}"
            )
        if self._taken.inputs and network.input_shape != self._taken.shape:
            raise OptionError(
                f"{value} takes {network.input_shape} for each row; several features are {self._taken.shape}"
            )
        self._take(network)

    def _on_loss(self, value: str) -> None:
        losses, _ = FITTING[self._learnt]
        self.design = replace(self.design, loss=Choice(losses).read("loss", value) or losses[0])

    def _on_metrics(self, value: list[str]) -> None:
        _, known = FITTING[self._learnt]
        chosen = {Choice(known).read("metrics", one) for one in value}
        self.design = replace(self.design, metrics=tuple(one for one in known if one in chosen))

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
        design = self.design
        if kind in FOREMOST:
            at = 0
        elif kind in IMAGES:
            at = self._first_image()
        layer = (
            self._measured(design.data, design.features, self._taken)
            if kind == NORMALIZATION
            else Layer.first(kind)
        )
        added = next(self._next), layer
        self._change(lambda rows: [*rows[:at], added, *rows[at:]])

    def _first_image(self) -> int:
        """Where the network has images first, behind what is there for the features."""
        network = self.design.network
        shapes = [network.input_shape, *(one.shape for one in network.looked_at())]
        kinds = [one.kind for one in network.layers]
        first = next((at for at, shape in enumerate(shapes) if shape is not None and len(shape) == 3), 0)
        while first < len(kinds) and kinds[first] in FOREMOST | IMAGES:
            first += 1
        return first

    def _measured(self, data: str, features: Sequence[str], taken: Features) -> Layer:
        """A normalization by mean and variance of each feature, or of all numbers in one of arrays.

        Spark goes over the rows for them, once for each column.
        """
        missing = [name for name in features if (data, name) not in self._moments]
        for name, found in table.moments(self._frames[data], missing).items():
            self._moments[data, name] = found
        inputs = dict(taken.inputs)
        pairs = [self._moments[data, name] for name in features for _ in range(inputs.get(name, 1))]
        means, variances = zip(*pairs, strict=True)
        if len(features) == 1:
            return Layer(NORMALIZATION, {"axis": None, "mean": means[0], "variance": variances[0]})
        return Layer(NORMALIZATION, {"mean": means, "variance": variances})

    def _on_remove(self, at: int) -> None:
        self._change(lambda rows: [*rows[:at], *rows[at + 1 :]])

    def _on_move(self, at: int, to: int) -> None:
        def moved(rows: _Rows) -> _Rows:
            rows.insert(to, rows.pop(at))
            return rows

        self._change(moved)

    def _on_set(self, at: int, name: str, value: Any) -> None:
        self._field = f"{self._numbers[at]}.{name}"
        layers = self.design.network.layers
        changed = Layer(layers[at].kind, {**layers[at].arguments, name: value})
        network = replace(self.design.network, layers=(*layers[:at], changed, *layers[at + 1 :]))
        self.design = replace(self.design, network=network)

    def _change(self, change: Callable[[_Rows], _Rows]) -> None:
        """Some layers in another order, or fewer, or more: each keeps its number."""
        network = self.design.network
        rows = change(list(zip(self._numbers, network.layers, strict=True)))
        self._numbers = [number for number, _ in rows]
        self.design = replace(self.design, network=replace(network, layers=tuple(one for _, one in rows)))

    def _take(self, network: Network) -> None:
        """Another network: as many layers of the same kinds are the same ones with other arguments."""
        kinds = [one.kind for one in self.design.network.layers]
        if len(self._numbers) != len(kinds) or [one.kind for one in network.layers] != kinds:
            self._numbers = [next(self._next) for _ in network.layers]
        self.design = replace(self.design, network=network)

    def spark(self) -> Any:
        """The session of the DataFrame."""
        return self._frames[self.design.data].sparkSession

    # -- what is seen ----------------------------------------------------------

    def columns(self) -> list[dict[str, Any]]:
        """The columns, and why one is left out, as plain data; apart, as there may be thousands."""
        question = self._question
        chosen = {*question.ticked} - {question.label}
        return [
            {
                "name": one.name,
                "kind": one.kind,
                "label": one.single,
                "chosen": one.name in chosen,
                "why": one.why,
            }
            for one in self._tables[question.data].columns
        ]

    def state(self) -> dict[str, Any]:
        """All else that is to be seen, as plain data."""
        design, question = self.design, self._question
        looked = self._looked()
        return {
            "frames": list(self._frames),
            "data": self._typed.get("data", question.data),
            "label": question.label,
            "hints": {"label": self._tables[question.data].hint()},
            "task": self._learnt,
            "chosen": question.task,
            "tasks": list(TASKS),
            "preset": "" if self._is_own() else self._preset,
            "presets": list(presets.PRESETS),
            "models": list(self._models),
            "offered": {group: list(kinds) for group, kinds in OFFERED.items()},
            "input": list(design.network.input_shape),
            "layers": [
                {
                    "number": number,
                    "kind": layer.kind,
                    "group": next(group for group, kinds in OFFERED.items() if layer.kind in kinds),
                    "said": layer.said(),
                    "arguments": [self._argument(number, layer, name) for name in offered(layer.kind)],
                    "shape": None if one.shape is None else list(one.shape),
                    "weights": one.weights,
                    "error": one.error,
                }
                for number, layer, one in zip(self._numbers, design.network.layers, looked, strict=True)
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
            "losses": list(FITTING[self._learnt][0]),
            "loss": design.loss,
            "known_metrics": list(FITTING[self._learnt][1]),
            "metrics": list(design.metrics),
            "errors": {name: words for name, words in self._errors.items() if "." not in name},
            "code": design.cell(),
            # A model that could not be opened has changed nothing.
            "ready": not {*self._errors} - {"model"}
            and not any(one.error for one in looked)
            and bool(looked),
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
        asked = "the features" if self._learnt == "input" else self.design.label
        lacks = "" if answers else f", without {activation}"
        error = (
            f"gives {given} for each row{lacks}; {asked} needs ({wanted},): end with {self._answer.code()}"
        )
        return [*looked[:-1], replace(looked[-1], error=error)]

    def _argument(self, number: int, layer: Layer, name: str) -> dict[str, Any]:
        argument, field = offered(layer.kind)[name], f"{number}.{name}"
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
