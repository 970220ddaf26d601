"""What a test leaves in a kernel that the next one takes over."""

import sys

import ipywidgets
from IPython import get_ipython


def clear():
    """End the runs, close the panels, and forget all variables; a Spark stays for who asks for one."""
    builder = sys.modules.get("nbkeras.notebook.builder")
    registry = sys.modules.get("nbkeras.run.registry")
    api, fed = sys.modules.get("nbkeras.api"), sys.modules.get("fed")
    runs = [] if api is None else api.runs
    # Nobody trains a run that is made up: it has no model, and may have no end.
    at_work = [*(run for run in runs if run.model is not None), *([] if fed is None else fed.runs)]
    for run in at_work:
        run.stop()
    for run in at_work:
        run.done.wait()  # without what may have ended it
    runs.clear()
    if registry is not None:
        registry.kept.clear()
    if fed is not None:
        fed.runs.clear()
    if builder is not None:
        builder.Builder.newest = None
    ipywidgets.Widget.close_all()
    get_ipython().reset(new_session=False)
