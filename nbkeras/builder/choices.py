"""The choices in a builder, and what the page shows of them, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nbkeras.builder import presets
from nbkeras.builder.arguments import Argument, Choice, Flag, Number, Whole
from nbkeras.builder.catalogue import OFFERED, offered
from nbkeras.builder.design import FITTING, OPTIMIZERS, Design
from nbkeras.builder.frames import Frames
from nbkeras.builder.front import Features
from nbkeras.builder.layers import Layer
from nbkeras.builder.network import Looked
from nbkeras.builder.table import Column, Table, Task
from nbkeras.plan import BACKENDS

if TYPE_CHECKING:
    from nbkeras.driver.columns.encoding import Encoding

#: What the network learns; with ``auto`` the values of the label decide.
TASKS: tuple[str, ...] = ("auto", "binary", "classes", "regression", "input")
BACKEND_CHOICES = ("auto", *BACKENDS)
NUMBERS: dict[str, Argument] = {
    "learning_rate": Number(above=True),
    "batch_size": Whole(),
    "epochs": Whole(),
    "validation_split": Number(end=1.0),
    "patience": Whole(0),
}
#: Where something wrong has changed nothing: what is shown may be trained.
_HARMLESS = {"preset", "model", "add"}


@dataclass(frozen=True)
class Question:
    """What the network learns from which columns, as chosen last; the choices may contradict each other.

    Attributes:
        data: the name of a DataFrame.
        label: the name of a column.
        ticked: the columns to learn from; the label among them counts once another label is chosen.
        task: of ``TASKS``.
    """

    data: str
    label: str
    ticked: tuple[str, ...]
    task: str


class Choices:
    """A design, the question that it answers, and what is wrong with the fields.

    Args:
        frames: DataFrames by the names of their variables.
        models: the models that the user may open, by the names of their variables.

    Raises:
        OptionError: there is no DataFrame.
    """

    def __init__(self, frames: Mapping[str, Any], models: Mapping[str, Any]) -> None:
        self._frames, self._models = Frames(frames), models
        self._typed: dict[str, Any] = {}
        self._errors: dict[str, str] = {}
        self._learnt: Task = "regression"
        self._preset = "MLP"
        self._numbers: dict[str, list[int]] = {"": []}
        self._edited: dict[tuple[str, str], tuple[Layer, ...]] = {}
        self._column = ""
        self._question: Question
        self._answer: Layer
        self._taken: Features
        self.design: Design

    def _table(self) -> Table:
        return self._frames.table(self._question.data)

    def _is_own(self) -> bool:
        """Whether the network is no longer what the preset makes."""
        network, data = self.design.network, self.design.data
        if any((data, one.name) in self._edited for one in self.design.inputs):
            return True
        return network != presets.PRESETS[self._preset](network.input_shape, self._answer)

    def columns(self) -> list[dict[str, Any]]:
        """The columns, with the reason for each that is left out; not in the state, as they may be many."""
        question, known = self._question, self._frames.known(self._question.data)
        chosen = {*question.ticked} - {question.label}
        fronts: dict[str, list[str]] = {}
        for branch in self.design.inputs:
            kinds = " → ".join(layer.kind for layer in branch.network.layers)
            fronts.setdefault(branch.column, []).append(kinds or branch.name)
        return [
            {
                "name": one.name,
                "kind": one.kind,
                "label": one.learnable,
                "chosen": one.name in chosen,
                "why": one.why or _why(one, known),
                "front": ", ".join(fronts.get(one.name, ())),
            }
            for one in self._table().columns
        ]

    def state(self) -> dict[str, Any]:
        """Everything else that the page shows, as plain data."""
        design, question = self.design, self._question
        looked = self._looked()
        inputs = [(one, one.looked_at()) for one in design.inputs]
        every = [*looked, *(each for _, some in inputs for each in some)]
        return {
            "frames": list(self._frames),
            "data": self._typed.get("data", question.data),
            "label": question.label,
            "hints": {"label": self._table().hint()},
            "task": self._learnt,
            "chosen": question.task,
            "tasks": list(TASKS),
            "preset": "" if self._is_own() else self._preset,
            "presets": list(presets.PRESETS),
            "models": list(self._models),
            "offered": {group: list(kinds) for group, kinds in OFFERED.items()},
            "input": list(design.network.input_shape),
            "layers": self._layers("", design.network.layers, looked),
            "columns": len({one.column for one in design.inputs}),
            "column": self._column if any(one.column == self._column for one in design.inputs) else "",
            "inputs": [
                {
                    "name": one.name,
                    "shape": list(one.network.input_shape),
                    "layers": self._layers(one.name, one.network.layers, some),
                    "error": "" if one.network.layers else one.error(),
                }
                for one, some in inputs
                if one.column == self._column
            ],
            "answer": self._answer.code(),
            "weights": sum(one.weights for one in every),
            "memory": design.footprint(every).alone,
            "optimizers": list(OPTIMIZERS),
            "optimizer": design.optimizer,
            **{name: self._typed.get(name, getattr(design, name)) for name in NUMBERS},
            "workers": self._typed.get("workers", design.workers),
            "backends": list(BACKEND_CHOICES),
            "backend": design.backend,
            "losses": list(FITTING[self._learnt][0]),
            "loss": design.loss,
            "known_metrics": list(FITTING[self._learnt][1]),
            "metrics": list(design.metrics),
            "errors": self._said(),
            "code": design.cell(),
            "ready": not {*self._errors} - _HARMLESS
            and not any(one.error() for one, _ in inputs)
            and not any(one.error for one in looked)
            and bool(looked),
        }

    def _said(self) -> dict[str, str]:
        """What is wrong, by field; of the layers of columns only what no field of the page shows."""
        said = {name: words for name, words in self._errors.items() if "." not in name}
        for one in self.design.inputs:
            numbers = set(map(str, self._numbers.get(one.name, ())))
            typed = (words for name, words in self._errors.items() if name.partition(".")[0] in numbers)
            error = one.error() or next(typed, "")
            if error and one.column != self._column:
                said.setdefault("column", f"{one.name}: {error}")
        return said

    def _layers(self, name: str, layers: Sequence[Layer], looked: list[Looked]) -> list[dict[str, Any]]:
        numbers = self._numbers.get(name, ())
        return [
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
            for number, layer, one in zip(numbers, layers, looked, strict=True)
        ]

    def _looked(self) -> list[Looked]:
        """The output of each layer, with an error if the last one does not fit the task."""
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


def _why(one: Column, known: Mapping[str, Encoding]) -> str:
    """Why the look at a column leaves it out: words of their own in each row may still be text or paths."""
    why = known[one.name].why if one.name in known else ""
    return "" if why == "unique" or (why == "array" and one.holds) else why
