"""The editor: a design that is changed step by step.

Nothing that the user types is lost: an invalid value stays in its field, with the
reason beside it, and the design stays as it was.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from nbkeras.builder import front, presets, table
from nbkeras.builder.arguments import Choice, Whole
from nbkeras.builder.catalogue import NORMALIZATION
from nbkeras.builder.chains import Chains
from nbkeras.builder.choices import BACKEND_CHOICES, NUMBERS, TASKS, Question
from nbkeras.builder.design import FITTING, OPTIMIZERS, Design
from nbkeras.builder.layers import Layer
from nbkeras.builder.network import Network
from nbkeras.builder.table import Task
from nbkeras.errors import NbkerasError, OptionError, one_line
from nbkeras.run import registry

#: The share of the rows that a new design validates on.
_VALIDATION = 0.2
#: The fields of a question, which are checked together.
_ASKED = ("label", "features", "task")
_NETWORKS = ("preset", "model")
_CHOICES = ("data", *_ASKED, *_NETWORKS, "loss", "metrics", "optimizer", "workers", "backend")
_ACTIONS = (*_CHOICES, *NUMBERS, "column", "add", "remove", "move", "set")


class Editor(Chains):
    """Changes a design by actions, each with a name and arguments.

    Args:
        frames: DataFrames by the names of their variables, at least one.
        name: the DataFrame to begin with; the first if None.
        models: the models that the user may open, by the names of their variables.

    Raises:
        ClusterError: its session was stopped, or what computes it fails.
        DataError: it is no DataFrame, or has nothing that a network could learn.
        OptionError: there is no such DataFrame.
    """

    def __init__(
        self, frames: Mapping[str, Any], name: str | None = None, models: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(frames, models or {})
        self._task_before = TASKS[0]
        self._on_data(next(iter(frames)) if name is None else name)

    # -- actions ----------------------------------------------------------

    def act(self, action: str, **about: Any) -> None:
        """Make one change; :meth:`state` has the error of an invalid one.

        Args:
            action: ``data``, ``label``, ``features``, ``task``, ``preset``, ``model``, ``loss``,
                ``metrics``, ``optimizer``, ``learning_rate``, ``batch_size``, ``epochs``,
                ``validation_split``, ``patience``, ``workers``, ``backend``, each with ``value``;
                ``column``, whose layers are shown, with ``value``; ``add`` with ``kind`` and ``at``;
                ``remove`` with ``at``; ``move`` with ``at`` and ``to``; ``set`` with ``at``, ``name`` and
                ``value``; these four with ``input``, where the layers are those of an input.
            about: the arguments of the action.

        Raises:
            OptionError: the action or one of its arguments does not exist.
        """
        if action not in _ACTIONS:
            raise OptionError(f"the builder does not know {action}: use one of {', '.join(_ACTIONS)}")
        self._field = action
        try:
            if action in NUMBERS:
                self._number(action, **about)
            else:
                getattr(self, f"_on_{action}")(**about)
        except NbkerasError as error:
            self._typed[self._field], self._errors[self._field] = about.get("value"), str(error)
        except (KeyError, TypeError, IndexError) as error:
            raise OptionError(f"the builder does not know {action} with {about}") from error
        except Exception as error:  # noqa: BLE001  # Spark may have stopped, or the rows may be gone
            self._typed[self._field], self._errors[self._field] = about.get("value"), one_line(error)
        else:
            self._forget("add", "preset", *(_NETWORKS if action in _NETWORKS else (self._field,)))

    def _forget(self, *fields: str) -> None:
        """Drop the errors of some fields, and those of layers that were removed."""
        numbers = {str(number) for some in self._numbers.values() for number in some}
        gone = [one for one in self._errors if "." in one and one.partition(".")[0] not in numbers]
        for one in (*fields, *gone):
            self._typed.pop(one, None)
            self._errors.pop(one, None)

    def _on_data(self, value: str) -> None:
        found = self._frames.table(value)
        label = found.guess_label()
        names = front.guessed(found, label, lambda: self._frames.encodings(value))
        self._question = Question(value, label, tuple(names), TASKS[0])
        self._forget("data")
        self._fit()

    def _on_label(self, value: str) -> None:
        label, found, ticked = value, self._table(), self._question.ticked
        if label not in found.labels:
            raise OptionError(
                f"{label!r} has no one number or word a row: use one of {', '.join(found.labels[:20])}"
            )
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

    def _fit(self, preset: str = "") -> None:
        """Apply the question: give the network the input and the last layer that fit it.

        Args:
            preset: to make the network afresh of; empty to keep the user's own layers.
        """
        question, found = self._question, self._table()
        features = self._features()
        self._forget(*_ASKED)
        # An error is shown at the field that it is about, whichever was changed last.
        self._field = "features"
        chosen, taken = self._front(preset)
        learnt, outputs = self._learn(taken)
        answer = presets.last(learnt, outputs)
        losses, metrics = FITTING[learnt]
        fresh = presets.PRESETS[chosen](taken.shape, answer)
        if not hasattr(self, "design"):
            self.design = Design(
                question.data, question.label, (), fresh, losses[0], metrics[:1], validation_split=_VALIDATION
            )
        elif not preset and self._is_own():
            fresh = self._adapted(features, taken, answer)
        used = {*features, question.label}
        self.design = replace(
            self.design,
            data=question.data,
            kind=self._frames.kinds[question.data],
            label=None if learnt == "input" else question.label,
            features=tuple(features),
            loss=self.design.loss if self.design.loss in losses else losses[0],
            metrics=tuple(name for name in self.design.metrics if name in metrics) or metrics[:1],
            unused=tuple(column.name for column in found.columns if column.name not in used),
            inputs=taken.inputs,
            depth=taken.depth,
            nulls=taken.nulls,
        )
        self._learnt, self._answer, self._taken, self._preset = learnt, answer, taken, chosen
        self._take(fresh)
        self._give_numbers()
        self._forget("data", *_NETWORKS)

    def _features(self) -> list[str]:
        """The columns that are ticked, without the label."""
        ticked = set(self._question.ticked)
        return [name for name in self._table().features(self._question.label) if name in ticked]

    def _front(self, preset: str) -> tuple[str, front.Features]:
        """What the network takes by a preset; by the last one, or another that fits, if none is named."""
        question, found, features = self._question, self._table(), self._features()
        encodings = partial(self._frames.encodings, question.data)
        chosen, learnt = preset or self._preset, question.task == "input"
        if not preset and not learnt and not front.fits(chosen, found.chosen(features)):
            chosen = front.fitting(found, features, encodings)
        taken = front.taken(found, features, chosen, encodings, learnt=learnt)
        return chosen, taken if preset else self._with_edits(taken)

    def _learn(self, taken: front.Features) -> tuple[Task, int]:
        """The task of the question, and how many numbers the network has to give for a row."""
        question = self._question
        if question.task == "input":
            return "input", math.prod(taken.shape)
        self._field = "label"
        values = self._frames.label_values(question.data, question.label)
        self._field = "task"
        chosen: Any = None if question.task == "auto" else question.task
        (label,) = self._table().chosen([question.label])
        return table.task(values, question.label, chosen, label.holds == "words")

    def _adapted(self, features: list[str], taken: front.Features, answer: Layer) -> Network:
        """The user's own network, changed only where it has to fit another question."""
        data, before = self._question.data, self.design.network
        layers = before.layers
        if layers and layers[-1] == self._answer:
            layers = (*layers[:-1], answer)
        asked_before = self.design.data, self.design.features
        measured = not any(one.network.layers for one in taken.inputs) and not taken.dtype
        if measured and asked_before != (data, tuple(features)):
            self._field = "features"
            layers = tuple(
                self._frames.normalization(data, features, taken) if layer.kind == NORMALIZATION else layer
                for layer in layers
            )
        # A model that was opened takes the numbers in its own shape.
        same = not taken.inputs and math.prod(before.input_shape) == math.prod(taken.shape)
        return Network(before.input_shape if same else taken.shape, layers, taken.dtype)

    def _on_preset(self, value: str) -> None:
        if value not in presets.PRESETS:
            raise OptionError(f"preset={value!r}: use one of {', '.join(presets.PRESETS)}")
        asked = self._question.task
        task = asked
        if value == presets.OWN and asked != "input":
            task = "input"
        elif value != presets.OWN and self._preset == presets.OWN and asked == "input":
            task = self._task_before
        encodings = partial(self._frames.encodings, self._question.data)
        # A preset that does not fit changes nothing.
        front.taken(self._table(), self._features(), value, encodings, learnt=task == "input")
        if value == presets.OWN and asked != "input":
            self._task_before = asked
        self._question = replace(self._question, task=task)
        for data, name in [*self._edited]:
            if data == self._question.data:
                del self._edited[data, name]
        self._fit(value)

    def _on_model(self, value: str) -> None:
        """Take over the layers of a model that the user has written."""
        if value not in self._models:
            known = f"use one of {', '.join(self._models)}" if self._models else "there is none"
            raise OptionError(f"there is no model {value!r}: {known}")
        self._ask_as_trained(self._models[value])
        network = Network.of(self._models[value])
        numbers = math.prod(self._taken.shape)
        if network.dtype != self._taken.dtype:
            takes, hold = ("words", "numbers") if network.dtype else ("numbers", "words")
            raise OptionError(f"{value} takes {takes}; the features hold {hold}: tick others, or choose text")
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

    def _ask_as_trained(self, model: Any) -> None:
        """Choose the label and the features that a model was trained on, where the DataFrame has them."""
        schema, found = registry.schema(model), self._table()
        labels = () if schema is None else schema.targets
        if schema is None or len(labels) != 1 or labels[0] not in found.labels:
            return
        if set(schema.columns) <= set(found.features(labels[0])):
            self._question = replace(self._question, label=labels[0], ticked=schema.columns)
            self._fit()
            self._field = "model"

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
        self.design = replace(
            self.design, backend=Choice(BACKEND_CHOICES).read("backend", value) or BACKEND_CHOICES[0]
        )

    def _number(self, name: str, value: Any) -> None:
        self.design = replace(self.design, **{name: NUMBERS[name].read(name, value)})  # type: ignore[arg-type]

    def spark(self) -> Any:
        """The session of the DataFrame."""
        return self._frames[self.design.data].sparkSession
