"""The fit of one worker: prepares model and callbacks, calls Keras' own ``model.fit``, reports the result."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import keras

from nbkeras.job import archive
from nbkeras.job.checkpoint import Checkpoint, Origin
from nbkeras.job.job import Job
from nbkeras.job.store import Store
from nbkeras.model import captured, exactness, labels, randomness, state
from nbkeras.model.portable import loaders, seed_generators
from nbkeras.transport.channel import Channel
from nbkeras.transport.messages import Note, Shards, Weights
from nbkeras.worker.backends import Backend
from nbkeras.worker.callbacks.changes import Changes
from nbkeras.worker.callbacks.combine import Combine
from nbkeras.worker.callbacks.follow import Follow
from nbkeras.worker.callbacks.live import EVERYWHERE, Live
from nbkeras.worker.callbacks.report import Report
from nbkeras.worker.callbacks.reseed import Reseed
from nbkeras.worker.callbacks.save import Save
from nbkeras.worker.callbacks.terminate import Terminate
from nbkeras.worker.collectives import Collective
from nbkeras.worker.data import Data, made
from nbkeras.worker.draws import Draws
from nbkeras.worker.feed import Feed
from nbkeras.worker.readahead import ReadAhead
from nbkeras.worker.rows import Rows
from nbkeras.worker.scaling import Scaling
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
        feed: opens another one, by which the notebook gives batches.
        task: pipe to the Spark task.
        requests: of the user.
        model: compiled and built.
        callbacks: the callbacks that run on the workers.
        place: the notebook's machine and folder.
        batches: from :meth:`nbkeras.data.stream.Streams.for_workers`.

    Attributes:
        scaling: the model's losses and metrics where several workers share them.
    """

    job: Job
    rank: int
    backend: Backend
    group: Collective
    channel: Channel
    feed: Callable[[], Channel]
    task: Connection
    requests: Requests
    model: Any
    callbacks: list[Any]
    place: tuple[str, str]
    batches: tuple[Any, Any, Any] = (None, None, ())
    scaling: Scaling | None = None

    def __post_init__(self) -> None:
        plan = self.job.plan
        watched = self.rank == 0 and (plan.watches_training or plan.watches_validation)
        self._live = Live(self.callbacks, self.rank, plan, Report(self.channel, plan) if watched else None)
        self._before = [captured.snapshot(one) for one in self.callbacks]

    @property
    def sums_in_validation(self) -> bool:
        """Whether the workers sum in each step of a validation."""
        return self.scaling is not None and (self.scaling.messages or self._live.meets_in_tests)

    def trace(self) -> None:
        """Trace the step while rows are on their way, where nobody can change the model before it."""
        plan = self.job.plan
        changed = self.group.size > 1 or self.job.resume or self.callbacks or plan.class_weight
        plain = type(self.model).train_step is keras.Model.train_step
        if plain and not changed and self.batches[0] is None:
            self.backend.trace(self.model, plan.schema)

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
        begins = self._begins(resume)
        data = made(rows, shards, plan, self.backend, self.group, model, self.batches, self.feed)
        if data.feed is not None:
            with randomness.restored(model):
                self._check_labels(rows, data.feed)
        elif resume is not None and data.shares is not None and (kind := data.shares.repeats):
            self._note(
                f"the {kind} begins again with the shuffles and random steps of its first epoch, "
                "so the result is not that of a training without a break"
            )
        if data.reads:
            self._note(data.reads)
        self._join_group(data)
        if (sentence := self._live.enter(*self.place)) is not None and self.rank == 0:
            self.channel.send(Note(type="note", sentence=sentence))
        meets = self.scaling is None or self.sums_in_validation
        steering = Steering(self.group, self.channel, self.requests)
        combine = Combine(self.group, self.channel, plan, data, steering, self._live, meets=meets)
        looks = self._live.leading and self.group.size > 1 and self.rank == 0
        changes = Changes(within=self._live.may_write) if looks else None
        follow = Follow(self.group, self.channel, plan, self.rank, combine, self._live, changes)
        callbacks: list[Any] = [Reseed(self.backend, self.rank), combine, *([changes] if changes else [])]
        callbacks += [*self._own_callbacks(), self._recall(resume)]
        callbacks += [follow] if self._live.report is None else [self._live.report, follow]
        if data.feed is not None and len(rows):
            callbacks.append(ReadAhead(data.feed, rows.files))
        if self.rank == 0:
            callbacks.append(self._save(combine, follow, resume, begins, shards))
        model.fit(
            data.batches,
            epochs=plan.epochs,
            initial_epoch=begins,
            verbose=0,
            callbacks=callbacks,
            class_weight=data.class_weight,
            steps_per_epoch=plan.steps_per_epoch,
            shuffle=False,
        )
        if self.rank == 0:
            self._report(combine, follow, data)

    def _check_labels(self, rows: Rows, data: Feed) -> None:
        for arrays in (rows.training_arrays(), rows.validation_arrays()):
            note = labels.check(self.model, self.job.plan.schema, arrays, lambda: data.rows(4)[0])
            if note:
                self.channel.send(Note(type="note", sentence=note))

    def _join_group(self, data: Data) -> None:
        """Make this worker's model one of the group."""
        self.group.local = self.job.plan.sync_every > 1
        self.group.synchronise(self.model, data.steps, data.checked)
        if isinstance(self.group, Together):
            draws = Draws(self.group, self._note_apart)
            draws.install(self.model, data.sample[0])
            self.scaling = Scaling(self.model, self.group, draws)
            self.scaling.install(data.steps, data.checked, data.sample)
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

    def _begins(self, resume: Checkpoint | None) -> int:
        """The epoch to begin with, from 0; a BackupAndRestore in the notebook may have set it."""
        restored, self.model._initial_epoch = self.model._initial_epoch, None  # noqa: SLF001  # as Keras does
        if resume is not None:
            return resume.next_epoch(self.job.plan.epochs)
        return int(restored or self.job.plan.initial_epoch)

    def _recall(self, resume: Checkpoint | None) -> Any:
        """Give the callbacks back what they knew: their own beginning has made them forget."""

        def recall(_: Any) -> None:
            for one, changed in zip(self.callbacks, resume.callbacks if resume else [], strict=True):
                captured.give(one, changed)

        return keras.callbacks.LambdaCallback(on_train_begin=recall if resume is not None else None)

    def _changed(self) -> list[dict[str, Any]]:
        """What each callback has changed."""
        pairs = zip(self.callbacks, self._before, strict=True)
        return [captured.changes(one, before) for one, before in pairs]

    def _own_callbacks(self) -> list[Any]:
        """The callbacks of this worker: they run where the summed logs are judged."""
        if self.group.size == 1:
            return self.callbacks
        terminates = [one for one in self.callbacks if type(one) is keras.callbacks.TerminateOnNaN]
        rest = [one for one in self.callbacks if one not in terminates]
        own = [one for one in rest if type(one) in EVERYWHERE] if self.rank else rest
        raises = any(getattr(one, "raise_error", False) for one in terminates)
        return [*own, Terminate(self.group, raises=raises)] if terminates else own

    def _save(
        self, combine: Combine, follow: Follow, resume: Checkpoint | None, begins: int, shards: Shards
    ) -> Save:
        plan = self.job.plan
        store = None if plan.checkpoint is None else Store(plan.checkpoint)
        # Later, an epoch that cannot be saved is a note and does not end the training.
        if store is not None and begins < plan.epochs and not self.job.again:
            store.require_writable(f"worker {self.rank} on {socket.gethostname()}", plan.training)
        origin = Origin.of(plan, shards["number"], shards["checksum"])
        return Save(combine, follow, self.channel, store, origin, self._changed, resume, plan)

    def _note_left(self) -> None:
        """Name what a callback has changed and cannot return."""
        for one, before in zip(self.callbacks, self._before, strict=True):
            if names := captured.left(one, before):
                sentence = (
                    f"{type(one).__name__} ran on worker 0, which returns numbers, words, arrays, lists and "
                    f"dicts: {', '.join(names)} stay there"
                )
                self.channel.send(Note(type="note", sentence=sentence))

    def _report(self, combine: Combine, follow: Follow, data: Data) -> None:
        """Give the task the result of the training, with the weights."""
        report = {
            "epochs": follow.epochs,
            "partial": combine.partial,
            "optimizers": state.built(self.model),
            "generator": randomness.Common().state,
            "shuffles": seed_generators.given(*data.read) | loaders.given(),
        }
        self.task.send(("result", report))
        self.task.send(("callbacks", archive.dump_values(self._changed())))
        self._note_left()
        weights = state.pack(state.variables(self.model))
        if len(weights) > self.job.rows and not self.job.mute:
            # Past Spark: its driver takes no gigabyte of results, nor has it the memory for one.
            self.channel.ask(Weights(type="weights"), weights)
        else:
            self.task.send(("bytes", weights))
