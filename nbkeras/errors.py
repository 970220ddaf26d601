"""The errors that nbkeras raises on purpose: each is one line in a notebook.

NbkerasError
├── OptionError     an option or argument with an invalid name or value
│   └── TaskError   a task that says what cannot be, a line for each fault
├── DataError       a DataFrame or array that does not fit the model
├── ModelError      a model that cannot be trained as it is
├── ClusterError    Spark, Java or an executor that lacks something
│   └── PortTaken   a port that another program uses: a new attempt may succeed
├── ZeppelinError   a Zeppelin server that cannot be reached or set up
├── TrainingError   an exception on a worker, with its traceback
│   └── WorkerLost  a worker that ended or stopped responding
│       └── PeerLost  the same, as noticed by another worker
└── Aborted         a training, evaluation or prediction that the user interrupted
"""

from __future__ import annotations

from collections.abc import Iterable


class NbkerasError(Exception):
    """Base of all errors that nbkeras raises on purpose.

    The message says what is wrong, what was received and what to type next.

    Example:
        >>> from nbkeras.errors import NbkerasError
        >>> NbkerasError("no rows")._render_traceback_()
        ['NbkerasError: no rows']
    """

    def _render_traceback_(self) -> list[str]:
        # IPython shows these lines in place of a traceback.
        return [f"{type(self).__name__}: {self}"]


class OptionError(NbkerasError):
    """An option or argument has an invalid name or value."""


class TaskError(OptionError):
    """A task says what cannot be.

    Args:
        faults: a line for each: where, what was received, and what to write.

    Example:
        >>> from nbkeras.errors import TaskError
        >>> print(TaskError(["task.yaml:3: epochs: got 0: write a whole number from 1"]))
        task.yaml:3: epochs: got 0: write a whole number from 1
    """

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults: tuple[str, ...] = tuple(faults)
        super().__init__("\n".join(self.faults))

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {one}" for one in self.faults]


class DataError(NbkerasError):
    """The DataFrame or the arrays do not fit the model."""


class ModelError(NbkerasError):
    """The model cannot be trained or shipped as it is."""


class ClusterError(NbkerasError):
    """Spark, Java or an executor is missing or lacks something."""


class PortTaken(ClusterError):
    """Another program listens on a port that a worker has reserved."""


class ZeppelinError(NbkerasError):
    """The settings of a Zeppelin server cannot be read or written."""


class TrainingError(NbkerasError):
    """An exception was raised on a worker while it trained.

    Attributes:
        worker_traceback: the traceback of the worker as text, empty when the
            cause lies outside the user's own code.
    """

    def __init__(self, message: str, worker_traceback: str = "") -> None:
        super().__init__(message)
        self.worker_traceback = worker_traceback

    def _render_traceback_(self) -> list[str]:
        return [*self.worker_traceback.splitlines(), *super()._render_traceback_()]


class WorkerLost(TrainingError):
    """A worker ended or stopped responding: killed, out of memory, hanging, or its machine is down."""


class PeerLost(WorkerLost):
    """An all-reduce failed because another worker was lost or raised an error."""


class Aborted(NbkerasError):
    """The user interrupted a training twice, or an evaluation or a prediction once: it ended at once."""


def one_line(error: BaseException) -> str:
    """Format an exception's class and text in one line of bounded length.

    Example:
        >>> from nbkeras.errors import one_line
        >>> one_line(ValueError("a   b"))
        'ValueError: a b'
    """
    return f"{type(error).__name__}: {' '.join(words(error).split())[:400]}"


def words(error: BaseException) -> str:
    """Return an exception's text, also if ``str`` of it raises.

    Example:
        >>> from nbkeras.errors import words
        >>> class Wordless(Exception):
        ...     def __str__(self):
        ...         return self.reason
        >>> words(Wordless())
        'it cannot be said, for AttributeError'
    """
    try:
        return str(error)
    except Exception as wordless:  # noqa: BLE001  # the user's own code
        return f"it cannot be said, for {type(wordless).__name__}"
