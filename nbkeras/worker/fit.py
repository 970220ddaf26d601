"""The fit of one worker: prepares model and callbacks, calls Keras' own ``model.fit``, reports the result."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import keras
import numpy as np

from nbkeras.job import archive
from nbkeras.job.checkpoint import Checkpoint, Origin
from nbkeras.job.job import Job
from nbkeras.job.store import Store
from nbkeras.model import exactness, labels, randomness, state
from nbkeras.transport.channel import Channel
from nbkeras.transport.messages import Note, Shards, Weights
from nbkeras.worker.backends import Backend
from nbkeras.worker.callbacks.combine import Combine
from nbkeras.worker.callbacks.follow import Follow
from nbkeras.worker.callbacks.reseed import Reseed
from nbkeras.worker.callbacks.save import Save, attributes
from nbkeras.worker.callbacks.terminate import Terminate
from nbkeras.worker.collectives import Collective
from nbkeras.worker.draws import Draws
from nbkeras.worker.feed import Feed
from nbkeras.worker.readahead import ReadAhead
from nbkeras.worker.rows import Rows
from nbkeras.worker.scaling import Scaling
from nbkeras.worker.schedule import Steps
from nbkeras.worker.steering import Requests, Steering
from nbkeras.worker.together import Together


@dataclass
class Fit:
    """The fit of one worker.

    Args:
        job: what the workers do.
        rank: of this worker.
        backend: the functions of the backend.
        group: the workers.
        channel: to the notebook.
        task: pipe to the Spark task.
        requests: of the user.
        model: compiled and built.
        callbacks: the callbacks that run on the workers.

    Attributes:
        scaling: the model's losses and metrics where several workers share them.
    """

    job: Job
    rank: int
    backend: Backend
    group: Collective
    channel: Channel
    task: Connection
    requests: Requests
    model: Any
    callbacks: list[Any]
    scaling: Scaling | None = None

    @property
    def sums_in_validation(self) -> bool:
        """Whether the workers sum in each step of a validation."""
        return self.scaling is not None and self.scaling.messages

    def run(self, rows: Rows, shards: Shards) -> None:
        """Train, and give the task what has come of it; all workers must come here.

        Args:
            rows: of this worker.
            shards: the rows of all workers.
        """
        plan, model = self.job.plan, self.model
        resume = None if self.job.resume is None else archive.loads(self.job.resume.read())
        if resume is not None:
            resume.restore(model, randomness.Common())
        begins = plan.initial_epoch if resume is None else resume.next_epoch(plan.epochs)
        steps, data = rows.training(shards)
        checked, validation = rows.validation(shards) if plan.validates else (None, None)
        with randomness.restored(model):
            self._check_labels(rows, data)
        self._join_group(steps, checked, data)
        meets = self.scaling is None or self.sums_in_validation
        steering = Steering(self.group, self.channel, self.requests)
        batches = None if validation is None else self.backend.batches(validation)
        combine = Combine(
            self.group, self.channel, plan, data, steps, batches, checked, steering, meets=meets
        )
        follow = Follow(self.group, self.channel, plan, self.rank, combine)
        callbacks: list[Any] = [Reseed(self.backend, self.rank), combine, *self._own_callbacks(), follow]
        if len(rows):
            callbacks.append(ReadAhead(data, rows.files))
        if self.rank == 0:
            callbacks.append(self._save(combine, follow, resume, begins, shards))
        model.fit(
            self.backend.batches(data),
            epochs=plan.epochs,
            initial_epoch=begins,
            verbose=0,
            callbacks=callbacks,
            class_weight=self._class_weight(rows),
            steps_per_epoch=plan.steps_per_epoch,
            shuffle=False,
        )
        if self.rank == 0:
            self._report(combine, follow)

    def _check_labels(self, rows: Rows, data: Feed) -> None:
        for arrays in (rows.training_arrays(), rows.validation_arrays()):
            note = labels.check(self.model, self.job.plan.schema, arrays, lambda: data.rows(4)[0])
            if note:
                self.channel.send(Note(type="note", sentence=note))

    def _join_group(self, steps: Steps, checked: Steps | None, data: Feed) -> None:
        """Make this worker's model one of the group."""
        self.group.local = self.job.plan.sync_every > 1
        self.group.synchronise(self.model, steps, checked)
        if isinstance(self.group, Together):
            Draws(self.group, self._note_apart).install(self.model, data.rows(4)[0])
            self.scaling = Scaling(self.model, self.group)
            self.scaling.install(steps, checked, data.rows(4))
            if self.scaling.coupled:
                self._note(
                    f"{exactness.COUPLED}: each worker sees its own part of it, "
                    "so the result is not that of one process, which --workers 1 gives"
                )

    def _note_apart(self, layer: str) -> None:
        self._note(
            f"{layer}: each of the {self.group.size} workers draws random numbers of its own, "
            "so the result is close to that of one process, not equal"
        )

    def _note(self, sentence: str) -> None:
        """Note what all workers know."""
        if self.rank == 0:
            self.channel.send(Note(type="note", sentence=sentence))

    def _own_callbacks(self) -> list[Any]:
        """The callbacks of this worker: they run where the summed logs are judged."""
        if self.group.size == 1:
            return self.callbacks
        terminates = [one for one in self.callbacks if type(one) is keras.callbacks.TerminateOnNaN]
        own = [] if self.rank else [one for one in self.callbacks if one not in terminates]
        return [*own, Terminate(self.group)] if terminates else own

    def _save(
        self, combine: Combine, follow: Follow, resume: Checkpoint | None, begins: int, shards: Shards
    ) -> Save:
        plan = self.job.plan
        store = None if plan.checkpoint is None else Store(plan.checkpoint)
        # Later, an epoch that cannot be saved is a note and does not end the training.
        if store is not None and begins < plan.epochs and not self.job.again:
            store.require_writable(f"worker {self.rank} on {socket.gethostname()}", plan.training)
        origin = Origin.of(plan, shards["number"], shards["checksum"])
        return Save(combine, follow, self.channel, store, origin, self.callbacks, resume, plan)

    def _class_weight(self, rows: Rows) -> dict[int, float] | None:
        """The weight of every class: Keras looks them up in a table where it reads a ``tf.data.Dataset``.

        What is not named weighs 1, as where Keras reads arrays.
        """
        given: dict[int, float] | None = self.job.plan.class_weight
        fields = self.job.plan.schema.labels
        if not given or len(fields) != 1:
            return given  # Keras says what it takes.
        y = rows.training_arrays()[fields[0].name]
        encoded = y.ndim > 1 and y.shape[-1] > 1
        top = y.shape[-1] - 1 if encoded else round(float(y.max(initial=0, where=np.isfinite(y))))
        return dict.fromkeys(range(top + 1), 1.0) | given

    def _report(self, combine: Combine, follow: Follow) -> None:
        """Give the task the result of the training, with the weights."""
        report = {
            "epochs": follow.epochs,
            "partial": combine.partial,
            "callbacks": [attributes(one) for one in self.callbacks],
            "optimizers": state.built(self.model),
            "generator": randomness.Common().state,
        }
        self.task.send(("result", report))
        weights = state.pack(state.variables(self.model))
        if len(weights) > self.job.rows and not self.job.mute:
            # Past Spark: its driver takes no gigabyte of results, nor has it the memory for one.
            self.channel.ask(Weights(type="weights"), weights)
        else:
            self.task.send(("bytes", weights))
