"""The trainer: a process that lives for one training and runs plain ``model.fit``."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import queue
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection
from typing import Any

import keras
import numpy as np

from nbkeras import devices
from nbkeras.errors import PeerLost, one_line
from nbkeras.job import archive, failures
from nbkeras.job.job import Assignment, Spooled
from nbkeras.model import pickling, randomness, state
from nbkeras.plan import Plan
from nbkeras.spark.shared import Inside
from nbkeras.transport import addresses, messages
from nbkeras.transport.channel import Channel
from nbkeras.transport.checking import checked
from nbkeras.transport.wire import Event
from nbkeras.worker import backends, forward, spoken
from nbkeras.worker.alone import Alone
from nbkeras.worker.collectives import Collective, Flag
from nbkeras.worker.data import Shuffles, to_evaluate, to_predict
from nbkeras.worker.fit import Fit
from nbkeras.worker.rows import Rows
from nbkeras.worker.slots import Slot
from nbkeras.worker.steering import Requests


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
        self._files = files
        self._backend = backends.load()
        self._group: Collective = Alone()
        self._fit: Fit | None = None
        self._feeds: Channel | None = None
        self._requests = Requests()

    def work(self) -> None:
        """Do the job and send the outcome to the task."""
        {
            "train": self._train,
            "evaluate": self._evaluate,
            "predict": self._predict,
            "report": self._report,
        }[self._job.kind]()
        self._task.send(("end", None))

    def _train(self) -> None:
        channel = self._channel()
        self._group = self._join(channel)
        contents = self._load()
        model, callbacks = contents["model"], contents["callbacks"]
        self._fit = Fit(
            self._job,
            self._rank,
            self._backend,
            self._group,
            channel,
            self._feed,
            self._task,
            self._requests,
            model,
            callbacks,
            contents["place"],
            contents["batches"],
        )
        try:
            with spoken.forwarded(
                lambda line: channel.send(messages.Said(type="said", rank=self._rank, line=line))
            ):
                self._fit.trace()
                rows = self._rows()
                self._fit.run(rows, checked(channel.ask(rows.ready()), messages.Shards))
        except Exception as error:
            if self._group.broke(error):
                raise PeerLost(f"the sum with the other workers broke off: {one_line(error)}") from error
            raise
        if self._group.size > 1:
            # A sum that has ended here may still be on its way to another worker, from this process.
            channel.ask(messages.Trained(type="trained"))
        if self._feeds is not None:
            self._feeds.close()
        channel.close()

    def _channel(self) -> Channel:
        job = self._job
        return Channel(job.address, job.secret, f"trainer-{self._rank}", self._control, job.certificate)

    def _feed(self) -> Channel:
        """A channel for batches alone: of each, a server keeps a few answers."""
        job = self._job
        self._feeds = Channel(job.address, job.secret, f"feed-{self._rank}", certificate=job.certificate)
        return self._feeds

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

    def _control(self, message: Event) -> None:
        if (event := messages.control(message)) is None:
            return
        if event["type"] == "leave":
            # Another worker has failed: the task says so, and there is nothing to finish.
            os._exit(1)
        if event["type"] == "stop":
            self._group.request(Flag.STOP)
            self._requests.take(event)  # A paused worker wakes up.
            # Where the workers sum in each step of a validation, they leave it together.
            if self._fit is not None and not self._fit.sums_in_validation:
                self._fit.model.stop_evaluating = True
        else:
            # First: the workers may meet at once, and must find what is asked for.
            self._requests.take(event)
            if self._rank == 0:
                self._group.request(Flag.STEER)

    def _load(self) -> dict[str, Any]:
        """The model and its callbacks, with Keras set as in the notebook."""
        contents = pickling.restored(self._job.payload.read())
        # It has become the model; a large one need not be there twice.
        self._job = dataclasses.replace(self._job, payload=Inside(b""))
        self._assignment = dataclasses.replace(self._assignment, job=self._job)
        return contents

    def _rows(self) -> Rows:
        """This worker's rows, when the task has received them all."""
        spooled: Spooled = self._inbox.get()
        return Rows(self._job, self._rank, self._files, spooled, self._group)

    # -- meeting the others --------------------------------------------------

    def _join(self, channel: Channel) -> Collective:
        """Exchange addresses; the backend's runtime must start before anything else of it."""
        host = addresses.towards(self._job.address[0])
        while True:
            with self._backend.reserve(host, gpus=self._job.gpus) as port:
                hello = messages.Hello(
                    type="hello",
                    port=port.getsockname()[1],
                    host=host,
                    executor=self._assignment.executor,
                )
                # The first to arrive waits for the others: the notebook counts them and may give up.
                answer = checked(channel.ask(hello), messages.Addresses)
                if self._plan.workers == 1:
                    self._set_threads(answer["neighbours"])
                    return Alone()
                # A backend may bind once in a process: all look at their ports before one of them does.
                free = messages.Port(type="port", free=self._backend.is_free(port))
                if checked(channel.ask(free), messages.PortsFree)["free"]:
                    self._set_threads(answer["neighbours"])
                    return self._backend.join(
                        port, answer["addresses"], self._rank, self._job.secret, gpus=self._job.gpus
                    )

    def _set_threads(self, neighbours: int) -> None:
        # Alone with a machine, a backend knows best.
        if neighbours > 1 or self._job.cores:
            cores = self._job.cores or devices.cores()
            self._backend.use_threads(max(1, cores // neighbours))

    # -- evaluating and predicting -------------------------------------------

    def _evaluate(self) -> None:
        """Send the metric states of this worker's rows: the notebook adds them up."""
        self._set_threads(self._assignment.neighbours)
        contents = self._load()
        model, rows = contents["model"], self._rows()
        shuffles: Shuffles = dict
        if contents["batches"] is not None:
            batches, shuffles = to_evaluate(contents["batches"], self._rank, self._plan)
        else:
            feed = None if rows.refused else rows.evaluation()
            batches = None if feed is None else self._backend.batches(feed)
        if batches is not None:
            logs = model.evaluate(batches, steps=self._plan.validation_steps, verbose=0, return_dict=True)
            plain = {name: np.asarray(state.plain(value)).tolist() for name, value in logs.items()}
            self._task.send(("result", {"logs": plain, "shuffles": shuffles()}))
            self._task.send(("bytes", state.pack(model.metrics_variables)))

    def _predict_batches(self, model: Any, sent: Any) -> None:
        """Send the outputs for this worker's batches, and how many rows each batch has."""
        batches, steps, shuffles = to_predict(sent, self._rank, self._plan)
        if batches is None:
            return
        rows: list[int] = []

        def count(_: int, logs: Any) -> None:
            rows.append(len(keras.tree.flatten(logs["outputs"])[0]))

        model.steps_per_execution = 1  # so that each batch is counted
        counting = keras.callbacks.LambdaCallback()
        counting.on_predict_batch_end = count
        outputs = model.predict(batches, steps=steps, verbose=0, callbacks=[counting])
        self._task.send(("result", {"shuffles": shuffles()}))
        self._task.send(("bytes", archive.dump_values([{"rows": rows, "outputs": outputs}])))

    def _predict(self) -> None:
        """Answer each batch of inputs with the model's outputs, task by task, until there is none."""
        self._set_threads(self._assignment.neighbours)
        contents = self._load()
        model = contents["model"]
        if contents["batches"] is not None:
            self._inbox.get()  # of rows, which only stand for workers
            self._predict_batches(model, contents["batches"])
            return
        slots = [Slot(one) for one in self._files]
        outputs = forward.of(model, self._plan)
        while True:  # The end of the pipe is the end of this process.
            # Each task draws what a fresh trainer would.
            with randomness.restored(model), randomness.untouched(), state.restored(model):
                while (asked := self._inbox.get()) is not None:
                    place, layout = asked
                    self._task.send(("outputs", outputs(slots[place].read(layout))))

    def _report(self) -> None:
        """Answer as at a prediction; in the end send the metric states of the rows whose labels came too."""
        self._set_threads(self._assignment.neighbours)
        model, slots = self._load()["model"], [Slot(one) for one in self._files]
        if model.compiled:
            model.reset_metrics()
        outputs, measure = forward.of(model, self._plan), forward.measuring(model, self._plan)
        inputs = len(self._plan.schema.features)
        while (asked := self._inbox.get()) is not None:
            place, layout = asked
            values = slots[place].read(layout)
            # Before the answer, which lets the task write the next rows there.
            if len(values) > inputs:
                measure(values)
            self._task.send(("outputs", outputs(values[:inputs])))
        self._task.send(("bytes", state.pack(model.metrics_variables)))
