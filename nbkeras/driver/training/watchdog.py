"""Watchdog: misses workers that hang, and says what a training waits for."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping

from pyspark.sql import SparkSession

from nbkeras.errors import ClusterError, NbkerasError, WorkerLost
from nbkeras.job.rendezvous import Rendezvous
from nbkeras.plan import Plan
from nbkeras.run.progress import Phase
from nbkeras.run.run import Run
from nbkeras.spark import cluster, dynamic_allocation
from nbkeras.transport.events import Server

#: Seconds between two counts of the slots while no worker has begun.
_SLOTS_EVERY = 5
#: What a run waits for then.
BEFORE_WORKERS: tuple[Phase, ...] = ("slots", "computing")
#: Seconds that a worker may take to begin once another has: to start Python, and to import Keras.
_BEGIN_SECONDS = 180
#: Seconds without a step after which that is said: workers that live may wait for a layer that never ends.
_STEP_SECONDS = 60
_UNHEARD = (
    "no worker has begun for {seconds} s: Spark computes the rows, or the Python of the executors does not "
    "answer; Spark's own page shows its tasks, and a stop ends them"
)
_STANDS = (
    "no step has ended for {seconds} s: a layer, a callback or the model's size keeps the workers; a stop "
    "waits for the step, a second interrupt or run.abort() does not"
)

_GONE = (
    "an executor was gone before its worker began: see on Spark's page of executors why it has ended, most "
    "often for memory"
)


class Watchdog:
    """Watches one stage of a training, in a thread of its own.

    Args:
        spark: the session.
        plan: of the training.
        run: learns what is waited for.
        stage: the Spark action.
        rendezvous: of the workers.
        fail: called with a worker that is lost.

    Attributes:
        came, left: peers that have spoken, and those that have taken their leave.
        submitted: whether Spark has the stage, whose workers speak to the notebook itself.
    """

    def __init__(
        self,
        spark: SparkSession,
        plan: Plan,
        run: Run,
        stage: cluster.Task,
        rendezvous: Rendezvous,
        fail: Callable[[NbkerasError], None],
    ) -> None:
        self._spark, self._plan, self._run = spark, plan, run
        self._stage, self._rendezvous, self._fail = stage, rendezvous, fail
        self.came: set[str] = set()
        self.left: set[str] = set()
        self.submitted = False

    def watch(self, server: Server, ended: threading.Event) -> None:
        """Find workers that hang, and slots that are gone before a worker has begun.

        Seconds are counted here and not read from a clock: a notebook that was
        asleep itself must not take its workers for dead.

        Args:
            server: of the events.
            ended: set when there is nothing to watch any more.
        """
        counts: dict[str, int] = {}
        silent: dict[str, int] = {}
        waited = alone = stood = 0
        place = self._run.place
        while not ended.wait(1.0):
            if self._run.stopping.is_set() and not self._rendezvous.complete:
                self._stage.cancel()  # A stop is lost on Spark that comes before it has the job.
            before, counts = counts, server.event_counts()
            for peer, number in counts.items():
                spoke = number != before.get(peer) or peer in self.left
                silent[peer] = 0 if spoke else silent.get(peer, 0) + 1
            self.require_alive(silent)
            absent = self._absent()
            alone = alone + 1 if absent and self.came else 0
            if absent and alone > max(_BEGIN_SECONDS, self._plan.heartbeat):
                self._fail(
                    WorkerLost(
                        f"the {absent} has not begun {alone:.0f} s after the first: "
                        "see its log on Spark's page of executors"
                    )
                )
            stood = stood + 1 if self._run.phase == "training" and self._run.place == place else 0
            place = self._run.place
            if stood == _STEP_SECONDS:
                self._run.note(_STANDS.format(seconds=stood))
            if self.submitted and not counts:
                self._say_what_is_waited_for()
            waited = waited + 1 if self.submitted and not counts else 0
            if waited == _BEGIN_SECONDS:
                self._run.note(_UNHEARD.format(seconds=waited))
            if waited and waited % _SLOTS_EVERY == 0:
                # Where Spark cannot say it now, it will at the next time.
                with contextlib.suppress(ClusterError):
                    # Dynamic allocation takes an executor that idles meanwhile, and brings another.
                    patience = dynamic_allocation.PATIENCE if dynamic_allocation.is_on(self._spark) else 0
                    if waited > patience and cluster.slots(self._spark) < self._plan.workers:
                        self._fail(WorkerLost(_GONE))

    def require_alive(self, silent: Mapping[str, float]) -> None:
        """Miss whoever has been silent for longer than a heartbeat.

        Args:
            silent: seconds since each peer has given a sign of life.
        """
        for peer, seconds in silent.items():
            if seconds > self._plan.heartbeat and peer not in self.left:
                self._fail(
                    WorkerLost(
                        f"the {words(peer)} has given no sign of life for {seconds:.0f} s: where a step "
                        "takes so long, raise --heartbeat SECONDS (heartbeat=)"
                    )
                )

    def _absent(self) -> str:
        """A task or a trainer that has never spoken, in words; tasks first: each starts its trainer."""
        expected = (f"{kind}-{rank}" for kind in ("task", "trainer") for rank in range(self._plan.workers))
        return next((words(peer) for peer in expected if peer not in self.came), "")

    def _say_what_is_waited_for(self) -> None:
        now: Phase = "computing" if self._stage.computes() else "slots"
        if self._run.phase in BEFORE_WORKERS and self._run.phase != now:
            self._run.enter(now)


def words(peer: str) -> str:
    """A peer as people read it, such as "trainer 0"."""
    return peer.replace("-", " ")
