"""The trainer: a process that lives for one training and runs plain ``model.fit``."""

from __future__ import annotations

import operator
import os
import queue
import socket
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from nbkeras.engine import collectives, failures, feed, schedule, shipping, state, tensorflow
from nbkeras.engine.channel import Channel
from nbkeras.engine.feed import Arrays
from nbkeras.engine.job import Assignment, Shard, Spooled
from nbkeras.engine.rank import Combine, Follow, Terminate
from nbkeras.engine.spool import mapped, pages, scratch
from nbkeras.errors import ModelError
from nbkeras.plan import ORDER, Plan


def main(pipe: int, log: int, files: list[int]) -> None:
    """Work for the task at the other end of the pipe, then end the process.

    Args:
        pipe: descriptor of the pipe; its end is the end of this process.
        log: descriptor that takes what is printed.
        files: descriptors of the spools' files, training rows first.
    """
    os.dup2(log, 1)
    os.dup2(log, 2)
    task = Connection(pipe)
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
        self._job, self._rank = self._assignment.job, self._assignment.rank
        self._plan: Plan = self._job.plan
        names = [ORDER, *(one.name for one in self._plan.structure.fields)]
        self._files = dict(zip(names, files, strict=False))
        self._validation_files = dict(zip(names, files[len(names) :], strict=True))
        self._group: collectives.Collective = collectives.Alone()
        self._model: Any = None

    def work(self) -> None:
        """Do the job and send the outcome to the task."""
        {"train": self._train, "evaluate": self._evaluate, "predict": self._predict}[self._job.kind]()
        self._task.send(("end", None))

    def _train(self) -> None:
        channel = Channel(self._job.address, self._job.secret, f"trainer-{self._rank}", self._control)
        self._group = self._join(channel)
        contents = self._load()
        spooled: Spooled = self._inbox.get()
        self._fit(channel, spooled, self._agree(channel, spooled), contents["deciders"])
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

    def _control(self, event: dict[str, Any]) -> None:
        if event.get("type") == "stop":
            self._group.request_stop()
            if self._model is not None:
                self._model.stop_evaluating = True

    def _load(self) -> dict[str, Any]:
        """The model, with Keras set as in the notebook."""
        contents: dict[str, Any] = shipping.loads(self._job.payload)
        settings = contents["settings"]
        keras.config.set_floatx(settings["floatx"])
        keras.config.set_image_data_format(settings["image_data_format"])
        keras.config.set_epsilon(settings["epsilon"])
        self._model = contents["model"]
        return contents

    # -- meeting the others --------------------------------------------------

    def _join(self, channel: Channel) -> collectives.Collective:
        """Exchange addresses; the backend's runtime must start before anything else of it."""
        with collectives.reserve_port("") as holder:
            event = {
                "type": "hello",
                "port": holder.getsockname()[1],
                "host": _own_address(self._job.address[0]),
                "executor": self._assignment.executor,
            }
            # The first to arrive waits for the others: the notebook counts them and may give up.
            answer = channel.ask(event)
        self._set_threads(int(answer["neighbours"]))
        if self._plan.workers == 1:
            return collectives.Alone()
        return tensorflow.Ring(answer["addresses"], self._rank)

    def _set_threads(self, neighbours: int) -> None:
        # Alone with a machine, a backend knows best.
        if neighbours > 1 or self._job.cores:
            cores = self._job.cores or _cores()
            tensorflow.use_threads(max(1, cores // neighbours))

    def _agree(self, channel: Channel, spooled: Spooled) -> dict[str, Any]:
        """Tell what has arrived and learn what has arrived elsewhere."""
        positions = self._mapped(self._files, spooled.train, ORDER)
        self._canonical = scratch(spooled.train.rows)
        self._canonical[:] = np.argsort(positions, kind="stable")
        complete = True
        if self._plan.ordered and self._plan.workers > 1:
            dealt = self._rank + self._plan.workers * np.arange(len(positions))
            complete = bool(np.array_equal(positions[self._canonical], dealt))
        return channel.ask(
            {
                "type": "ready",
                "rows": spooled.train.rows,
                "validation": spooled.validation.rows,
                "layout": spooled.train.layout or spooled.validation.layout,
                "nulls": spooled.nulls,
                "complete": complete,
            }
        )

    def _mapped(self, files: dict[str, int], shard: Shard, name: str) -> npt.NDArray[Any]:
        dtype, shape = shard.layout.get(name, ("<i8", ()))
        return mapped(files[name], dtype, (shard.rows, *shape))

    def _arrays(self, files: dict[str, int], shard: Shard) -> Arrays:
        return {one.name: self._mapped(files, shard, one.name) for one in self._plan.structure.fields}

    # -- training ------------------------------------------------------------

    def _fit(self, channel: Channel, spooled: Spooled, shards: dict[str, Any], deciders: list[Any]) -> None:
        plan, model, group = self._plan, self._model, self._group
        if plan.ordered:
            table = schedule.dealt(sum(shards["rows"]), plan.workers, plan.batch_size)
        else:
            table = schedule.proportional(shards["rows"], plan.batch_size)
        counts = table[:, self._rank]
        seed = None if plan.seed is None else (plan.seed, self._rank)
        arrays = self._filled(self._arrays(self._files, spooled.train), shards)
        canonical = self._canonical if len(self._canonical) else scratch(1)
        rows = feed.feed(arrays, canonical, counts, plan.structure, seed)
        if group.size > 1:
            self._refuse_coupled(rows)
        group.synchronise(model, (counts / table.sum(axis=1)).astype(np.float32))
        self._separate_seeds()
        callbacks: list[Any] = [
            Combine(group, channel, plan, rows, self._validation(spooled), table, self._rank),
            *self._own(deciders),
            Follow(group, channel, plan, self._rank),
        ]
        model.fit(
            tensorflow.dataset(rows),
            epochs=plan.epochs,
            initial_epoch=plan.initial_epoch,
            verbose=0,
            callbacks=callbacks,
            class_weight=plan.class_weight,
            shuffle=False,
        )
        if self._rank == 0:
            report = {
                "epochs": callbacks[-1].epochs,
                "partial": callbacks[0].partial,
                "deciders": [_attributes(one) for one in deciders],
            }
            self._task.send(("result", report))
            self._task.send(("bytes", state.pack(state.variables(model))))

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

    def _filled(self, arrays: Arrays, shards: dict[str, Any]) -> Arrays:
        """The arrays, or one row of another worker where there is none to stand in for missing ones."""
        rows: list[int] = shards["rows"]
        if all(rows):
            return arrays
        giver = next(rank for rank, number in enumerate(rows) if number)
        filled = {}
        for name, array in arrays.items():
            dtype, shape = shards["layout"][name]
            row = np.zeros(shape, dtype=dtype) if self._rank != giver else array[0]
            # As bytes: the sum is of float64, which does not hold every int64.
            summed = self._group.sum(np.frombuffer(row.tobytes(), dtype=np.uint8).astype(np.float64))
            received = np.frombuffer(pages(summed.astype(np.uint8).tobytes()), dtype=dtype)
            filled[name] = array if len(array) else received.reshape(1, *shape)
        return filled

    def _validation(self, spooled: Spooled) -> Any:
        """The batches to validate on, None where this worker has none."""
        shard = spooled.validation
        if not shard.rows:
            return None
        size = self._plan.validation_batch_size or self._plan.batch_size
        order = scratch(shard.rows)
        order[:] = np.argsort(self._mapped(self._validation_files, shard, ORDER), kind="stable")
        counts = np.diff([*range(0, shard.rows, size), shard.rows])
        arrays = self._arrays(self._validation_files, shard)
        return tensorflow.dataset(feed.feed(arrays, order, counts, self._plan.structure))

    def _separate_seeds(self) -> None:
        """Give each worker random numbers of its own (Dropout, augmentation)."""
        if self._rank:
            for variable in self._model.variables:
                if variable.path.endswith("seed_generator_state"):
                    seed = np.asarray(variable.value)
                    variable.assign(seed ^ np.array([0, self._rank], dtype=seed.dtype))

    def _refuse_coupled(self, rows: feed.Feed) -> None:
        """Refuse a loss that is not the mean of its rows' losses: its parts cannot be added up.

        Raises:
            ModelError: the loss of some rows differs from the mean of theirs.
        """
        several = rows.rows(4)
        number = len(keras.tree.flatten(several)[0])
        if number < 2:
            return
        together = self._loss(several)
        singles = [keras.tree.map_structure(operator.itemgetter([row]), several) for row in range(number)]
        apart = [self._loss(single) for single in singles]
        if not np.isclose(together, np.mean(apart), rtol=1e-3, atol=1e-5, equal_nan=True):
            raise ModelError(
                f"the loss of {number} rows is {together:.6g}, the mean of their losses is "
                f"{np.mean(apart):.6g}: with several workers a loss must be the mean over rows, "
                "so use --workers 1"
            )

    def _loss(self, batch: tuple[Any, ...]) -> float:
        x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
        predicted = self._model(x, training=False)
        return float(self._model.compute_loss(x=x, y=y, y_pred=predicted, sample_weight=weights))

    # -- evaluating and predicting -------------------------------------------

    def _evaluate(self) -> None:
        """Send the metric states of this worker's rows: the notebook adds them up."""
        self._set_threads(self._assignment.neighbours)
        self._load()
        spooled: Spooled = self._inbox.get()
        batches = None if spooled.nulls else self._validation(spooled)
        if batches is not None:
            self._model.evaluate(batches, verbose=0)
            self._task.send(("result", {"rows": spooled.validation.rows}))
            self._task.send(("bytes", state.pack(self._model.metrics_variables)))

    def _predict(self) -> None:
        """Answer each batch of inputs with the model's outputs, until the task has no more."""
        self._set_threads(self._assignment.neighbours)
        self._load()
        names = self._plan.structure.inputs
        while (inputs := self._inbox.get()) is not None:
            x = inputs[0] if len(inputs) == 1 else dict(zip(names, inputs, strict=True))
            outputs = self._model.predict_on_batch(x)
            self._task.send(("outputs", [np.asarray(one) for one in keras.tree.flatten(outputs)]))


def _cores() -> int:
    """Cores that this process may run on."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _attributes(callback: Any) -> dict[str, Any]:
    """What a deciding callback has found out, such as ``best`` and ``stopped_epoch``."""
    plain = (bool, int, float, str, type(None), np.number)
    return {
        key: value.item() if isinstance(value, np.number) else value
        for key, value in vars(callback).items()
        if isinstance(value, plain) and not key.startswith("_")
    }


def _own_address(notebook: str) -> str:
    """The address of this machine on the way to the notebook."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # Connecting a datagram socket sends nothing; it only chooses the route.
        probe.connect((notebook, 9))
        return str(probe.getsockname()[0])
