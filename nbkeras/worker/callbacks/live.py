"""The user's callbacks that Keras calls within an epoch: they run on rank 0, where the model trains."""

from __future__ import annotations

import contextlib
import functools
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import keras

from nbkeras.errors import ModelError
from nbkeras.model import captured, hooks
from nbkeras.plan import Plan

#: What they do is the same on all workers, and nothing of it is seen from outside: they run on each.
EVERYWHERE = (keras.callbacks.SwapEMAWeights,)
#: Each of them would disturb the steps that the workers make together.
_REFUSED = ("fit", "evaluate", "train_on_batch", "test_on_batch")


@dataclass(frozen=True)
class Live:
    """Those of a training.

    Args:
        callbacks: all that run on the workers.
        rank: of this worker.
        plan: of the training, which says what callbacks in the notebook see.
        report: tells the notebook the steps; None on other workers, and where nobody sees them.
    """

    callbacks: list[Any]
    rank: int
    plan: Plan
    report: Any = None

    @functools.cached_property
    def leading(self) -> list[Any]:
        """Those that only rank 0 runs."""
        within = (*hooks.TRAINING, *hooks.TEST)
        apart = (*EVERYWHERE, keras.callbacks.TerminateOnNaN)
        return [one for one in self.callbacks if type(one) not in apart and hooks.has(one, *within)]

    @functools.cached_property
    def names(self) -> str:
        """Their classes, for a sentence."""
        return ", ".join(dict.fromkeys(type(one).__name__ for one in self.leading)) or "callbacks"

    @functools.cached_property
    def before_steps(self) -> bool:
        """Whether one is called before each step."""
        return any(hooks.has(one, *hooks.BATCH_BEGIN) for one in self.leading)

    @functools.cached_property
    def in_steps(self) -> bool:
        """Whether one is called around each step."""
        return any(hooks.has(one, *hooks.TRAINING) for one in self.leading)

    @functools.cached_property
    def may_write(self) -> bool:
        """Whether one that is called around each step may change weights."""
        return any(hooks.has(one, *hooks.TRAINING) and captured.may_write(one) for one in self.leading)

    @functools.cached_property
    def reads_batches(self) -> bool:
        """Whether one is given the logs of each batch."""
        return self.plan.watches_training or any(hooks.has(one, *hooks.BATCH_LOGS) for one in self.leading)

    @functools.cached_property
    def meets_in_tests(self) -> bool:
        """Whether one is called around each step of a validation."""
        return self.plan.watches_validation or any(hooks.has(one, *hooks.TEST_BATCH) for one in self.leading)

    @functools.cached_property
    def in_tests(self) -> list[Any]:
        """Those that this worker calls in a validation."""
        apart = [one for one in self.callbacks if type(one) in EVERYWHERE]
        reports = [] if self.report is None else [self.report]
        return [*apart, *([] if self.rank else self.leading), *reports]

    def refuse(self, model: Any) -> None:
        """Refuse what a callback must not ask the model while it trains with other workers."""
        if not self.leading:
            return
        for name in _REFUSED:
            setattr(model, name, _refuse(name, self.names))

    def enter(self, host: str, folder: str) -> str | None:
        """Work in the folder of the notebook if this machine has it; a note where it has not.

        Args:
            host: name of the notebook's machine.
            folder: that the notebook works in.
        """
        if not self.leading:
            return None
        with contextlib.suppress(OSError):
            os.chdir(folder)
        if host == socket.gethostname():
            return None
        return (
            f"{self.names}: called within an epoch, so on worker 0: what is written to a file is on "
            f"{socket.gethostname()}, in {os.getcwd()} where no other folder is named"  # noqa: PTH109
        )


def _refuse(name: str, names: str) -> Callable[..., NoReturn]:
    def refused(*_: Any, **__: Any) -> NoReturn:
        raise ModelError(
            f"a callback ({names}) calls model.{name} on one of several workers: use on_epoch_end without "
            "hooks of batches, so that it runs in the notebook, or --workers 1 (workers=1)"
        )

    return refused
