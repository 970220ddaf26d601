"""The trainer: a process that lives for one training and runs plain ``model.fit``."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import queue
import socket
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from nbkeras import devices
from nbkeras.errors import PeerLost, one_line
from nbkeras.job import archive, failures
from nbkeras.job.checkpoint import Origin
from nbkeras.job.job import Assignment, Shard, Spooled
from nbkeras.job.store import Store
from nbkeras.model import exactness, labels, pickling, state
from nbkeras.plan import Plan
from nbkeras.schema import ORDER
from nbkeras.spark.shared import Inside
from nbkeras.transport import addresses
from nbkeras.transport.channel import Channel
from nbkeras.worker import backends, feed, schedule, spoken
from nbkeras.worker.alone import Alone
from nbkeras.worker.callbacks.combine import Combine
from nbkeras.worker.callbacks.follow import Follow
from nbkeras.worker.callbacks.save import Save, attributes
from nbkeras.worker.callbacks.terminate import Terminate
from nbkeras.worker.collectives import Collective
from nbkeras.worker.feed import Arrays
from nbkeras.worker.files import mapped, pages, scratch
from nbkeras.worker.parts import Parts
from nbkeras.worker.readahead import ReadAhead
from nbkeras.worker.steering import Steering, Wishes


def main(pipe: int, log: int, files: list[int]) -> None:
    """Work for the task at the other end of the pipe, then end the process.

    Args:
        pipe: descriptor of the pipe; its end is the end of this process.
        log: descriptor that takes what is printed.
        files: descriptors of the spools' files, training rows first.
    """
    os.dup2(log, 1)
    os.dup2(log, 2)
    task = _Pipe(pipe)
    status = 1
    try:
        Trainer(task, files).work()
        status = 0
    except BaseException as error:  # noqa: BLE001  # the task tells it to the notebook
        traceback.print_exc()
        task.send(("failure", failures.describe(error)))
    finally:
        # No interpreter shutdown: the backend's threads may never come to an end.
        os._exit(status)


#: Rows that go through the model together where nobody says how many.
_PREDICTED = 1024
#: Seconds between two signs of life to a task that has nobody else who would miss its trainer.
_SIGN_SECONDS = 2.0


class _Pipe(Connection):
    """A pipe that several threads may send by."""

    def __init__(self, handle: int) -> None:
        super().__init__(handle)
        self._sending = threading.Lock()

    def send(self, obj: Any) -> None:
        with self._sending:
            super().send(obj)


class Trainer:
    """One worker's part of a job.

    Args:
        task: pipe to the Spark task.
        files: descriptors of the spools' files, training rows first.
    """

    def __init__(self, task: Connection, files: list[int]) -> None:
        self._task = task
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._receive, daemon=True).start()
        self._assignment: Assignment = self._inbox.get()
        sys.path.extend(entry for entry in self._assignment.path if entry not in sys.path)
        devices.see(self._assignment.gpus)
        devices.share_memory()
        self._job, self._rank = self._assignment.job, self._assignment.rank
        if self._job.kind != "train":
            threading.Thread(target=self._live, daemon=True).start()
        self._plan: Plan = self._job.plan
        names = [ORDER, *(one.name for one in self._plan.schema.fields)]
        self._files = dict(zip(names, files, strict=False))
        self._validation_files = dict(zip(names, files[len(names) :], strict=True))
        self._backend = backends.load()
        self._group: Collective = Alone()
        self._model: Any = None
        self._parts: Parts | None = None
        self._wishes = Wishes()

    def work(self) -> None:
        """Do the job and send the outcome to the task."""
        {"train": self._train, "evaluate": self._evaluate, "predict": self._predict}[self._job.kind]()
        self._task.send(("end", None))

    def _train(self) -> None:
        job = self._job
        name = f"trainer-{self._rank}"
        channel = Channel(job.address, job.secret, name, self._control, job.certificate)
        self._group = self._join(channel)
        contents = self._load()
        spooled: Spooled = self._inbox.get()
        try:
            with spoken.heard(lambda line: channel.send({"type": "said", "rank": self._rank, "line": line})):
                self._fit(channel, self._agree(channel, spooled), spooled, contents["deciders"])
        except Exception as error:
            if self._group.broke(error):
                raise PeerLost(f"the sum with the other workers broke off: {one_line(error)}") from error
            raise
        if self._group.size > 1:
            # A sum that has ended here may still be on its way to another worker, from this process.
            channel.ask({"type": "trained"})
        channel.close()

    def _receive(self) -> None:
        """Take in what the task sends; its end is ours, whatever we wait for or compute."""
        try:
            while True:
                self._inbox.put(self._task.recv())
        except (EOFError, OSError):
            os._exit(1)

    def _live(self) -> None:
        """Give signs of life; those of a training go to the notebook, by its channel."""
        with contextlib.suppress(OSError):  # the task has gone
            while True:
                self._task.send(("alive", None))
                time.sleep(_SIGN_SECONDS)

    def _control(self, event: dict[str, Any]) -> None:
        if event.get("type") == "leave":
            # Another worker has failed: the task says so, and there is nothing to finish.
            os._exit(1)
        if event.get("type") == "stop":
            self._group.request_stop()
            self._wishes.obey(event)  # A worker that stands still is woken.
            # Where the workers meet in each step of a validation, they leave it together.
            if self._model is not None and not (self._parts and self._parts.messages):
                self._model.stop_evaluating = True
        else:
            # First: who meets at once has to find the wish.
            self._wishes.obey(event)
            if self._rank == 0:
                self._group.request_steering()

    def _load(self) -> dict[str, Any]:
        """The model and its callbacks, with Keras set as in the notebook."""
        contents = pickling.restored(self._job.payload.read())
        # It has become the model; a large one need not be there twice.
        self._job = dataclasses.replace(self._job, payload=Inside(b""))
        self._assignment = dataclasses.replace(self._assignment, job=self._job)
        self._model = contents["model"]
        return contents

    # -- meeting the others --------------------------------------------------

    def _join(self, channel: Channel) -> Collective:
        """Exchange addresses; the backend's runtime must start before anything else of it."""
        host = addresses.towards(self._job.address[0])
        while True:
            with self._backend.reserve(host, gpus=self._job.gpus) as port:
                event = {
                    "type": "hello",
                    "port": port.getsockname()[1],
                    "host": host,
                    "executor": self._assignment.executor,
                }
                # The first to arrive waits for the others: the notebook counts them and may give up.
                answer = channel.ask(event)
                if self._plan.workers == 1:
                    self._set_threads(int(answer["neighbours"]))
                    return Alone()
                # A backend may bind once in a process: all look at their ports before one of them does.
                if channel.ask({"type": "port", "free": self._backend.is_free(port)})["free"]:
                    self._set_threads(int(answer["neighbours"]))
                    return self._backend.join(
                        port, answer["addresses"], self._rank, self._job.secret, gpus=self._job.gpus
                    )

    def _set_threads(self, neighbours: int) -> None:
        # Alone with a machine, a backend knows best.
        if neighbours > 1 or self._job.cores:
            cores = self._job.cores or _cores()
            self._backend.use_threads(max(1, cores // neighbours))

    def _agree(self, channel: Channel, spooled: Spooled) -> dict[str, Any]:
        """Tell what has arrived and learn what has arrived elsewhere."""
        positions = self._mapped(self._files, spooled.train, ORDER)
        self._canonical = scratch(spooled.train.rows, encrypted=self._job.encrypted)
        self._canonical[:] = np.argsort(positions, kind="stable")
        checked = self._mapped(self._validation_files, spooled.validation, ORDER)
        complete = self._complete(positions) and self._complete(checked)
        return channel.ask(
            {
                "type": "ready",
                "rows": spooled.train.rows,
                "validation": spooled.validation.rows,
                "layout": spooled.train.layout or spooled.validation.layout,
                "nulls": spooled.nulls,
                "checksum": spooled.checksum,
                "complete": complete,
            }
        )

    def _complete(self, positions: npt.NDArray[Any]) -> bool:
        """Whether these are the rows that were dealt to this worker."""
        if not self._plan.ordered or self._plan.workers == 1:
            return True
        dealt = self._rank + self._plan.workers * np.arange(len(positions))
        return bool(np.array_equal(np.sort(positions), dealt))

    def _mapped(
        self, files: dict[str, int], shard: Shard, name: str, *, scattered: bool = False
    ) -> npt.NDArray[Any]:
        dtype, shape = shard.layout.get(name, ("<i8", ()))
        return mapped(files[name], dtype, (shard.rows, *shape), scattered=scattered)

    def _arrays(self, files: dict[str, int], shard: Shard, *, shuffled: bool = False) -> Arrays:
        # In the order of their hashes, rows lie as if they were shuffled.
        scattered = shuffled or not self._plan.ordered
        fields = self._plan.schema.fields
        return {one.name: self._mapped(files, shard, one.name, scattered=scattered) for one in fields}

    # -- training ------------------------------------------------------------

    def _fit(self, channel: Channel, shards: dict[str, Any], spooled: Spooled, deciders: list[Any]) -> None:
        plan, model, group = self._plan, self._model, self._group
        resume = None if self._job.resume is None else archive.loads(self._job.resume.read())
        if resume is not None:
            resume.restore(model)
        begins = plan.initial_epoch if resume is None else resume.next_epoch(plan.epochs)
        steps = self._steps(shards["rows"], plan.batch_size, plan.steps_per_epoch)
        seed = None if plan.seed is None else (plan.seed, self._rank)
        own = self._arrays(self._files, spooled.train, shuffled=seed is not None)
        arrays = self._filled(own, shards["rows"], shards["layout"])
        canonical = self._canonical if len(self._canonical) else scratch(1)
        encrypted = self._job.encrypted
        rows = feed.feed(arrays, canonical, steps.counts, plan.schema, seed, encrypted=encrypted)
        checked, validation = self._validation(spooled, shards)
        self._look_at_labels(channel, own, spooled, rows)
        group.local = plan.sync_every > 1
        group.synchronise(model, steps, checked)
        if group.size > 1:
            self._divide(channel, steps, checked, rows.rows(4))
        seeds = self._separate_seeds()
        meets = self._parts.messages if self._parts is not None else True
        steering = Steering(group, channel, self._wishes)
        combine = Combine(group, channel, plan, rows, steps, validation, checked, steering, meets=meets)
        follow = Follow(group, channel, plan, self._rank, combine)
        # Each epoch has its own numbers, also one before which a training was broken off.
        draw = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, _: self._backend.draw([*seeds, self._rank, epoch])
        )
        callbacks: list[Any] = [draw, combine, *self._own(deciders), follow]
        if spooled.train.rows:
            callbacks.append(ReadAhead(rows, self._files))
        if self._rank == 0:
            store = None if plan.checkpoint is None else Store(plan.checkpoint)
            # Once it has trained, an epoch that cannot be kept is a note and ends nothing.
            if store is not None and begins < plan.epochs and not self._job.again:
                store.require_writable(f"worker {self._rank} on {socket.gethostname()}", plan.training)
            origin = Origin.of(plan, shards["number"], shards["checksum"])
            callbacks.append(Save(combine, follow, channel, store, origin, deciders, resume, plan))
        model.fit(
            self._backend.batches(rows),
            epochs=plan.epochs,
            initial_epoch=begins,
            verbose=0,
            callbacks=callbacks,
            class_weight=self._class_weight(own),
            steps_per_epoch=plan.steps_per_epoch,
            shuffle=False,
        )
        if self._rank == 0:
            self._report(channel, combine, follow, deciders)

    def _divide(self, channel: Channel, steps: schedule.Steps, checked: Any, sample: tuple[Any, ...]) -> None:
        """Make losses and metrics this worker's parts of the whole."""
        self._parts = Parts(self._model, self._group)
        self._parts.install(steps, checked, sample)
        if self._parts.coupled and self._rank == 0:
            sentence = (
                f"{exactness.COUPLED}: each worker sees its own part of it, "
                "so the result is not that of one process, which --workers 1 gives"
            )
            channel.send({"type": "note", "sentence": sentence})

    def _report(self, channel: Channel, combine: Combine, follow: Follow, deciders: list[Any]) -> None:
        """Give the task what the training has come to, with the weights."""
        report = {
            "epochs": follow.epochs,
            "partial": combine.partial,
            "deciders": [attributes(one) for one in deciders],
            "optimizers": state.built(self._model),
        }
        self._task.send(("result", report))
        weights = state.pack(state.variables(self._model))
        if len(weights) > self._job.rows and not self._job.mute:
            # Past Spark: its driver takes no gigabyte of results, nor has it the memory for one.
            channel.ask({"type": "weights"}, weights)
        else:
            self._task.send(("bytes", weights))

    def _look_at_labels(self, channel: Channel, own: Arrays, spooled: Spooled, rows: feed.Feed) -> None:
        for arrays in (own, self._arrays(self._validation_files, spooled.validation)):
            said = labels.check(self._model, self._plan.schema, arrays, lambda: rows.rows(4)[0])
            if said:
                channel.send({"type": "note", "sentence": said})

    def _class_weight(self, arrays: Arrays) -> dict[int, float] | None:
        """The weight of every class: Keras looks them up in a table where it reads a ``tf.data.Dataset``.

        What is not named weighs 1, as where Keras reads arrays.
        """
        given: dict[int, float] | None = self._plan.class_weight
        fields = self._plan.schema.labels
        if not given or len(fields) != 1:
            return given  # Keras says what it takes.
        y = arrays[fields[0].name]
        encoded = y.ndim > 1 and y.shape[-1] > 1
        top = y.shape[-1] - 1 if encoded else round(float(y.max(initial=0, where=np.isfinite(y))))
        return dict.fromkeys(range(top + 1), 1.0) | given

    def _own(self, deciders: list[Any]) -> list[Any]:
        """The deciding callbacks of this worker: they run where the summed logs are judged."""
        if self._group.size == 1:
            return deciders
        own = (
            [] if self._rank else [one for one in deciders if type(one) is not keras.callbacks.TerminateOnNaN]
        )
        if any(type(one) is keras.callbacks.TerminateOnNaN for one in deciders):
            own.append(Terminate(self._group))
        return own

    def _steps(self, shards: list[int], batch_size: int | None, number: int | None) -> schedule.Steps:
        """This worker's part in the batches of some rows.

        Args:
            shards: rows of each worker.
            batch_size, number: rows and number of batches, as given.
        """
        size = schedule.batch_rows(sum(shards), batch_size, number)
        if self._plan.ordered:
            table = schedule.dealt(sum(shards), self._plan.workers, size)
        else:
            table = schedule.proportional(shards, size)
        return schedule.Steps(table, self._rank, self._plan.ordered)

    def _filled(self, arrays: Arrays, rows: list[int], layout: dict[str, Any]) -> Arrays:
        """The arrays, or one row of another worker where there is none to stand in for missing ones."""
        if all(rows):
            return arrays
        giver = next(rank for rank, number in enumerate(rows) if number)
        filled = {}
        for name, array in arrays.items():
            dtype, shape = layout[name]
            row = np.zeros(shape, dtype=dtype) if self._rank != giver else array[0]
            # As bytes: the sum is of float64, which does not hold every int64.
            summed = self._group.sum(np.frombuffer(row.tobytes(), dtype=np.uint8).astype(np.float64))
            received = np.frombuffer(pages(summed.astype(np.uint8).tobytes()), dtype=dtype)
            filled[name] = array if len(array) else received.reshape(1, *shape)
        return filled

    def _validation(self, spooled: Spooled, shards: dict[str, Any]) -> tuple[schedule.Steps | None, Any]:
        """This worker's steps of a validation and their batches; None where there is none."""
        plan = self._plan
        if not plan.validates:
            return None, None
        steps = self._steps(
            shards["validation"], plan.validation_batch_size or plan.batch_size, plan.validation_steps
        )
        if plan.validation_steps is not None:
            steps = dataclasses.replace(steps, table=steps.table[: plan.validation_steps])
        arrays = self._arrays(self._validation_files, spooled.validation)
        filled = self._filled(arrays, shards["validation"], shards["layout"])
        order = self._order(spooled.validation) if spooled.validation.rows else scratch(1)
        return steps, self._backend.batches(feed.feed(filled, order, steps.counts, plan.schema))

    def _order(self, shard: Shard) -> npt.NDArray[np.int64]:
        """Positions of the validation rows in an order that does not depend on how they came."""
        order = scratch(shard.rows, encrypted=self._job.encrypted)
        order[:] = np.argsort(self._mapped(self._validation_files, shard, ORDER), kind="stable")
        return order

    def _separate_seeds(self) -> list[int]:
        """Give each worker random numbers of its own (Dropout, augmentation); the seeds before that.

        The seed is changed and not the count of numbers drawn, so that a worker
        that goes on from a checkpoint of rank 0 draws what it would have drawn.
        """
        seeds = []
        for variable in self._model.variables:
            if variable.path.endswith("seed_generator_state"):
                seed = state.value(variable)
                variable.assign(seed ^ np.array([self._rank, 0], dtype=seed.dtype))
                seeds.append(int(seed[0]) % 2**32)
        return seeds

    # -- evaluating and predicting -------------------------------------------

    def _evaluate(self) -> None:
        """Send the metric states of this worker's rows: the notebook adds them up."""
        self._set_threads(self._assignment.neighbours)
        self._load()
        spooled: Spooled = self._inbox.get()
        shard = spooled.validation
        if shard.rows and not spooled.nulls:
            size = schedule.batch_rows(shard.rows, self._plan.batch_size, None)
            counts = np.diff([*range(0, shard.rows, size), shard.rows])
            arrays = self._arrays(self._validation_files, shard)
            batches = feed.feed(arrays, self._order(shard), counts, self._plan.schema)
            self._model.evaluate(self._backend.batches(batches), verbose=0)
            self._task.send(("result", {"rows": shard.rows}))
            self._task.send(("bytes", state.pack(self._model.metrics_variables)))

    def _predict(self) -> None:
        """Answer each batch of inputs with the model's outputs, until the task has no more."""
        self._set_threads(self._assignment.neighbours)
        self._load()
        names = self._plan.schema.inputs
        while (inputs := self._inbox.get()) is not None:
            found = []
            # Spark's batches have thousands of rows, of which the layers may give far more numbers.
            for start in range(0, len(inputs[0]), self._plan.batch_size or _PREDICTED):
                cut = [one[start : start + (self._plan.batch_size or _PREDICTED)] for one in inputs]
                x = cut[0] if len(cut) == 1 else dict(zip(names, cut, strict=True))
                outputs = self._model.predict_on_batch(x)
                found.append([np.asarray(one) for one in keras.tree.flatten(outputs)])
            self._task.send(("outputs", [np.concatenate(parts) for parts in zip(*found, strict=True)]))


def _cores() -> int:
    """Cores that this process may run on."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
