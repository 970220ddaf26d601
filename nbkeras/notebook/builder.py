"""The builder in a notebook: a network is built by clicks, is Keras code at any time, and trains there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import anywidget
import ipywidgets
import traitlets
from IPython.core.getipython import get_ipython

from nbkeras import api
from nbkeras.builder.catalogue import KINDS
from nbkeras.builder.editor import Editor
from nbkeras.builder.given import kind_of
from nbkeras.errors import OptionError, one_line
from nbkeras.notebook import frontend, hosts, looks
from nbkeras.notebook.hosts.jupyter import Live
from nbkeras.notebook.view import View
from nbkeras.notebook.words import BUILDER, for_page
from nbkeras.run.display import Display
from nbkeras.run.run import Run

#: Pages, besides the one that speaks, whose last message is remembered.
_PAGES = 8
#: Behind any layers.
_LAST = 1000


class Panel(anywidget.AnyWidget):
    """The fields, the layers and the code.

    Args:
        editor: what is changed and shown.
        on_train: called when the reader presses Train.
        on_use: called at whatever is done.
    """

    _esm = frontend.script("builder.js")
    _css = frontend.style("theme.css", "builder.css")
    words = traitlets.Dict(help="what the panel says, by name").tag(sync=True)
    state = traitlets.Dict(help="see nbkeras.builder.editor.Editor.state").tag(sync=True)
    columns = traitlets.Any(help="see nbkeras.builder.editor.Editor.columns").tag(sync=True)
    training = traitlets.Dict(help="what of a training it waits for, and what went wrong").tag(sync=True)
    heard = traitlets.Dict(help="by page, the number of the last message that was received").tag(sync=True)

    def __init__(self, editor: Editor, on_train: Callable[[], None], on_use: Callable[[], None]) -> None:
        self._editor, self._on_train, self._on_use = editor, on_train, on_use
        colours = {kind: looks.colour(kind) for kind in KINDS}
        super().__init__(
            words=for_page(BUILDER, colours=colours),
            state=editor.state(),
            columns=editor.columns(),
            training={"phase": "", "error": ""},
        )
        self.on_msg(self._receive)

    def _receive(self, _widget: Any, message: Any, _buffers: Any) -> None:
        if not isinstance(message, dict):
            return
        page, number = str(message.get("page")), message.get("number")
        if not isinstance(number, int) or number <= self.heard.get(page, 0):
            return  # said again before the answer had come
        self._on_use()
        if (action := str(message.get("action"))) == "train":
            self._on_train()
        elif (about := self._placed(action, message)) is not None:
            with contextlib.suppress(OptionError):  # nothing that this panel says
                self._editor.act(action, **about)
        with self.hold_sync():
            self.state, self.columns = self._editor.state(), self._editor.columns()
            others = [(one, last) for one, last in self.heard.items() if one != page]
            self.heard = {**dict(others[-_PAGES:]), page: number}

    def _placed(self, action: str, message: dict[str, Any]) -> dict[str, Any] | None:
        """What a message is about, with the places of layers as they are now: None where one is gone.

        A page names layers by their numbers, for it may not have seen yet what was done before.
        """
        about = {key: value for key, value in message.items() if key not in ("action", "page", "number")}
        layers = self._editor.design.network.layers
        if action == "add":
            behind = self._editor.place(about.pop("behind", None))
            name = str(about.get("input", ""))
            if behind is not None and behind[0] == name:
                about["at"] = behind[1] + 1
            else:
                # Before the last layer of the network, which answers; behind those of an input.
                about["at"] = _LAST if name else max(0, len(layers) - 1)
        if action not in ("remove", "move", "set"):
            return about
        found = self._editor.place(about.pop("layer", None))
        if found is None:
            return None
        about["input"], about["at"] = found
        if action == "move":
            onto, by = about.pop("onto", None), about.pop("by", 0)
            last = self._editor.length(found[0]) - 1
            to = (found[0], min(max(found[1] + by, 0), last)) if onto is None else self._editor.place(onto)
            if to is None or to[0] != found[0]:
                return None
            about["to"] = to[1]
        return about


class Builder:
    """Build a network for a DataFrame by clicks, and train it in the same panel.

    Args:
        data: a DataFrame of Spark, pandas, polars or Arrow; or several, by the names of their variables.
        name: of the DataFrame's variable; of several that to begin with, the first if None.
        models: that may be opened, by the names of their variables.

    Attributes:
        editor: what has been built so far; ``editor.design.cell()`` is the notebook's cell.
        run: the last training, None before.
        newest: that was opened or used last in this kernel; None before the first.

    Raises:
        ClusterError: the DataFrame's session was stopped, or what computes it fails.
        DataError: it is no DataFrame, or has nothing that a network could learn.
        OptionError: there is no DataFrame of that name, or it is in no variable of the notebook.

    Example:
        >>> import nbkeras, pandas
        >>> spark = nbkeras.local_spark()
        >>> df = pandas.DataFrame({"a": [1.0, 2.0], "y": [0, 1]})
        >>> builder = nbkeras.Builder(df)
        >>> builder.editor.act("add", kind="Dropout", at=1)
        >>> print(builder.editor.design.network.code())
        model = keras.Sequential(
            [
                keras.Input((1,)),
                keras.layers.Dense(64, activation="relu"),
                keras.layers.Dropout(0.5),
                keras.layers.Dense(32, activation="relu"),
                keras.layers.Dense(1, activation="sigmoid"),
            ]
        )
    """

    newest: ClassVar[Builder | None] = None

    def __init__(self, data: Any, name: str | None = None, models: Mapping[str, Any] | None = None) -> None:
        frames = data if isinstance(data, Mapping) else {name or _name(data): data}
        self.editor = Editor(frames, name, models)
        self.run: Run | None = None
        self._trained = self.editor.design
        self._panel = Panel(self.editor, self._train, self._use)
        self._box = ipywidgets.VBox([self._panel])
        self._use()

    def _use(self) -> None:
        Builder.newest = self

    def build(self) -> Any:
        """Make the network that has been built, compiled and not trained.

        Returns:
            A ``keras.Model``.
        """
        made: dict[str, Any] = {}
        exec(self.editor.design.building(), made)  # noqa: S102  # the cell's own code, which is shown
        return made["model"]

    # -- training ------------------------------------------------------------

    def _train(self) -> None:
        """Have the kernel's main thread train: what the user has set in Keras holds there alone."""
        if self._panel.training["phase"]:
            return
        shell: Any = get_ipython()
        self._panel.training = {"phase": "waits", "error": ""}
        shell.kernel.io_loop.add_callback(self._start, shell)

    def _start(self, shell: Any) -> None:
        design = self._trained = self.editor.design
        where = {"workers": design.workers, "backend": design.backend, "spark": self.editor.spark()}
        self._panel.training = {"phase": "trains", "error": ""}
        try:
            with api.on_spark(**where, background=True, shown_by=self):
                exec(design.code(), shell.user_ns)  # noqa: S102  # as the cell would that it becomes
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # whatever it is, the panel tells it
            self._ended(error)

    def headless(self) -> bool:
        """Never: somebody has pressed Train."""
        return False

    def code(self) -> str:
        """The cell that stands for what is trained."""
        return self._trained.cell()

    def display(self, run: Run) -> Display:
        """Show a run below the panel."""
        self.run = run
        return hosts.display(run, lambda run: _Below(run, self._place, self._ended))

    def _place(self, view: View) -> None:
        _, *before = self._box.children
        self._box.children = (self._panel, view)
        for one in before:
            one.close()

    def _ended(self, error: BaseException | None) -> None:
        reason = "" if error is None else one_line(error)
        self._panel.training = {"phase": "", "error": reason}

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        shown: Any = self._box._repr_mimebundle_(**kwargs)  # IPython's protocol
        # For front ends without widgets, and for the file.
        return None if shown is None else {**shown, "text/plain": self.editor.design.code()}


class _Below(Live):
    """The chart of a run that says when the run has ended."""

    def __init__(
        self, run: Run, place: Callable[[View], None], ended: Callable[[BaseException | None], None]
    ) -> None:
        super().__init__(run, place)
        self._tell = ended

    def finish(self) -> None:
        super().finish()
        self._tell(self._run.error)


def _name(df: Any) -> str:
    """The name of the variable that holds a DataFrame."""
    kind_of(df)  # what is none may well be in a variable, or lie in many
    shell: Any = get_ipython()
    if shell is None:
        return "df"
    found = [name for name, value in shell.user_ns.items() if value is df and name[0] != "_"]
    if not found:
        raise OptionError(
            "the builder writes code that names the DataFrame: assign it to a variable first, as in "
            "rows = df.filter('x > 0'), then nbkeras.Builder(rows)"
        )
    return str(found[0])
