"""One barrier stage of a training: submitted, watched, and ended, by itself or from outside."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from nbkeras.data.decoder import Decoder
from nbkeras.driver.training.inbox import EpochEnd, Inbox, Steps
from nbkeras.driver.training.producer import Producer
from nbkeras.driver.training.relay import Relay, reached
from nbkeras.driver.training.watchdog import Watchdog
from nbkeras.errors import ClusterError, NbkerasError, PeerLost, WorkerLost
from nbkeras.job import archive, failures
from nbkeras.job.checkpoint import Checkpoint
from nbkeras.job.job import Job
from nbkeras.job.rendezvous import Rendezvous
from nbkeras.plan import Plan
from nbkeras.run.run import Run
from nbkeras.spark import cluster, dynamic_allocation, exceptions, gpus, preflight, protection, session
from nbkeras.spark.shared import INSIDE, Shared
from nbkeras.transport import messages, tls
from nbkeras.transport.events import Server
from nbkeras.transport.wire import Event
from nbkeras.worker import task

#: Seconds in which the cause may still come of what the other workers notice.
_GRACE = 2.0


class Cancelled(Exception):
    """The stage was ended from outside before it had anything to give."""


class Submission:
    """One barrier stage and its event channel.

    Args:
        spark: the session.
        plan: of the training.
        df: its rows, from :func:`nbkeras.data.rows.exchanged`.
        run: takes phases, rows and epochs.
        payload: the model and its callbacks, from :func:`nbkeras.spark.cluster.share`.
        resume: the checkpoint to go on from.
        epoch_end: called in the thread that waits for the run, when ``plan.asks``.
        steps: called there with steps of the training and validation.
        producers: give workers the batches that the notebook reads, by the number of their source.
        size: bytes of the model's weights and the optimizers' at most: no event brings more.
        again: whether another attempt has trained before it.
        preprocessing: of the rows; None where they are trained on as they arrive.
    """

    def __init__(
        self,
        spark: SparkSession,
        plan: Plan,
        df: DataFrame,
        run: Run,
        payload: Shared,
        resume: Checkpoint | None,
        epoch_end: EpochEnd,
        steps: Steps,
        producers: Mapping[int, Producer],
        size: int,
        *,
        again: bool,
        preprocessing: Decoder | None = None,
    ) -> None:
        self._again, self._is_fed = again, bool(producers)
        self._spark, self._plan, self._df, self._run = spark, plan, df, run
        self._payload, self._resume, self._preprocessing = payload, resume, preprocessing
        self._size = size
        self._secret = secrets.token_bytes(32)
        self._rendezvous = Rendezvous(plan, None if resume is None else resume.origin)
        self._failure: NbkerasError | None = None
        self._aborted = False
        self._ended = threading.Event()
        self._stage = cluster.task(spark, f"nbkeras: {run.name}")
        self._watchdog = Watchdog(spark, plan, run, self._stage, self._rendezvous, self.fail)
        self._inbox = Inbox(
            plan, run, self._stage, self._rendezvous, self._watchdog, epoch_end, steps, producers, self.fail
        )
        self._inbox.saved = None if resume is None else resume.epoch
        self._server: Server | Relay | _Nobody | None = None

    @property
    def weights(self) -> bytes | None:
        """Those of the trained model, where they came as an event and not as rows."""
        return self._inbox.weights

    @property
    def saved(self) -> int | None:
        """The epoch of the last checkpoint, from 0, or None."""
        return self._inbox.saved

    def collect(self) -> list[Any]:
        """The rows that rank 0 returns.

        Raises:
            NbkerasError: what a worker, or Spark, has come to.
            Cancelled: a stop before anything was trained, or an abort.
        """
        try:
            with ExitStack() as stack:
                rows = self._run_stage(stack)
        except NbkerasError as error:
            # Spark says of a job that was cancelled that it has failed.
            if self._failure is None and not self._watchdog.submitted and self._run.stopping.is_set():
                raise Cancelled from error
            raise
        except Exception as error:
            raise self._cause(error) from error
        if self._failure is not None:
            raise self._failure
        if self._aborted:
            raise Cancelled  # it ended by itself in the same moment
        if failed := [row for row in rows if row["kind"] == "failure"]:
            event = json.loads(bytes(failed[0]["data"]))
            raise failures.of_worker(failures.from_event(event), int(event["rank"]), str(event["host"]))
        return rows

    def _cause(self, error: Exception) -> Exception:
        """Why the stage has ended, of all that was said."""
        translated = exceptions.translate(error, stopped=session.is_stopped(self._spark))
        if self._failure is None or (
            isinstance(translated, WorkerLost) and isinstance(self._failure, PeerLost)
        ):
            stopped = self._aborted or self._run.stopping.is_set()
            return Cancelled() if stopped and not isinstance(translated, WorkerLost) else translated
        return self._failure

    def _prepare(self, stack: ExitStack) -> Job:
        """The workers' job, and the event channel as long as they do it."""
        bind, known = cluster.hosts(self._spark)
        certificate, context = None, None
        if (setting := protection.encrypts_network(self._spark)) is not None:
            made = tls.certificate(setting)
            certificate, context = made.pem, tls.notebook(made)
        server = stack.enter_context(Server(bind, self._secret, self._inbox.take, self._size, context))
        self._server = server
        self.steer()
        watch = threading.Thread(
            target=self._watchdog.watch, args=(server, self._ended), name="nbkeras-watch", daemon=True
        )
        watch.start()
        stack.callback(watch.join)
        stack.callback(self._ended.set)
        resume = None
        if self._resume is not None:
            resume = cluster.share(self._spark, archive.dumps(self._resume))
            stack.callback(resume.forget)
        return Job(
            "train",
            self._plan,
            self._payload,
            (known, server.address[1]),
            self._secret,
            cores=cluster.cores(self._spark),
            gpus=gpus.own(self._spark, self._plan),
            encrypted=protection.encrypts_disks(self._spark),
            certificate=certificate,
            resume=resume,
            origin=None if self._resume is None else self._resume.origin,
            driver=cluster.driver(self._spark),
            weights=self._size,
            again=self._again,
            preprocessing=self._preprocessing,
        )

    def _by_relay(self, stack: ExitStack, job: Job, hosts: list[str]) -> Job:
        """The job of workers that cannot reach the notebook."""
        workers, (host, port) = self._plan.workers, job.address
        unheard = f"the workers cannot reach this notebook at {host}:{port}"
        if job.certificate is not None:
            raise ClusterError(f"{unheard}, and Spark encrypts the network: let them through to that address")
        if cluster.slots(self._spark) > workers:
            relay = Relay(
                self._spark,
                self._secret,
                hosts,
                self._inbox.take,
                self._watchdog.require_alive,
                self._lost_relay,
            )
            self._server = stack.enter_context(relay)
            self.steer()
            self._run.note(f"{unheard}: epochs come through Spark jobs, a second or two late")
            return replace(job, address=("", 0))
        unheard += f" and hold all {workers} slots"
        fewer = f"use --workers {workers - 1}" if workers > 1 else "give Spark more cores"
        if self._plan.asks:
            raise ClusterError(f"{unheard}, so callbacks in the notebook would see no epoch: {fewer}")
        if self._is_fed:
            raise ClusterError(f"{unheard}, so they would get no batches of it: {fewer}")
        self._server = _Nobody()
        self._run.steering.refuse(f"{unheard}: {fewer}")
        self._run.note(
            f"{unheard}: epochs come at the end, and Stop drops what was trained; "
            f"{fewer} to see them as they end"
        )
        self._run.enter("starting")
        return replace(job, address=("", 0), mute=True)

    def _lost_relay(self, error: NbkerasError) -> None:
        # Large weights come as an event too, and rank 0 would wait for who takes them.
        if self._plan.asks or self._is_fed or self._size > INSIDE:
            self.fail(error)
            return
        self._server = None
        lost = f"no epochs can be fetched any more: {error}"
        self._run.steering.refuse(lost)
        self._run.note(f"{lost}; they come at the end, and Stop drops what was trained")
        if self._run.stopping.is_set():
            self._stage.cancel()

    def _run_stage(self, stack: ExitStack) -> list[Any]:
        job = self._prepare(stack)
        self._run.enter("slots")
        with (
            dynamic_allocation.stage(self._spark, self._plan.workers, self._run),
            cluster.bounded_batches(self._spark, self._plan.schema.row_bytes),
        ):
            self._stage.run(lambda: preflight.require(self._spark, job.plan.backend, job.packages))
            hosts = reached(self._spark, self._stage, job.address, self._secret)
            routed = job if hosts is None else self._by_relay(stack, job, hosts)

            def work(batches: Any) -> Any:
                return task.train(routed, batches)

            # Spark 3.5 knows no such argument.
            profile = gpus.profile(self._spark, self._plan)
            asked = {} if profile is None else {"profile": profile}
            staged = self._df.mapInArrow(work, task.RESULT, barrier=True, **asked)
            if self._run.stopping.is_set():
                raise Cancelled  # Spark cannot cancel a job that it does not have yet.
            # Over the relay, no worker connects to the notebook.
            self._watchdog.submitted = hosts is None
            rows: list[Any] = self._stage.run(staged.collect)
        return rows

    # -- stop and abort --------------------------------------------------------

    def stop(self) -> None:
        """Stop after the batch in work; with nothing trained there is nothing to keep."""
        if not self._rendezvous.complete or self._server is None:
            self._stage.cancel()
        elif not self._ended.is_set():
            self._server.control(messages.Stop(type="stop"), standing=True)

    def steer(self) -> None:
        """Tell the workers whether to stand still, and the learning rate that was set by hand."""
        if self._server is None or self._ended.is_set():
            return
        steering = self._run.steering
        with steering.lock:
            pause = messages.Pause(type="pause", pausing=steering.pausing.is_set())
            self._server.control(pause, standing=True)
            rate = steering.rate
            before = self._plan.initial_epoch - 1 if self._resume is None else self._resume.epoch
            if rate is None or rate.lies_before(before):
                return  # There is none, or the checkpoint has it, or what became of it since.
            set_rate = messages.SetLearningRate(type="learning_rate", number=rate.number, rate=rate.value)
            self._server.control(set_rate, standing=True)

    def abort(self) -> None:
        """End at once and keep nothing."""
        self._aborted = True
        if self._server is not None:
            # Spark ends the Python of a cancelled task seconds later, and its trainer would go on.
            self._server.control(messages.Leave(type="leave"), standing=True)
        self._stage.cancel()

    def fail(self, error: NbkerasError) -> None:
        """End the stage, which has failed; from any thread."""
        if self._failure is not None and not isinstance(self._failure, WorkerLost):
            return
        if self._failure is None or not isinstance(error, PeerLost):
            first, self._failure = self._failure is None, error
            if first or not isinstance(error, WorkerLost):
                # Not from this thread: it must go on hearing the workers.
                threading.Thread(target=self._cancel, args=(error,), daemon=True).start()

    def _cancel(self, error: NbkerasError) -> None:
        if isinstance(error, PeerLost):
            # What the others notice may come before what has happened.
            self._ended.wait(_GRACE)
        self._stage.cancel()


class _Nobody:
    """Stands for the event server where no worker can be reached before the end."""

    def control(self, event: Event, *, standing: bool) -> None:
        """Nothing."""
