"""What a kernel at work hears, in each version of ipykernel: runs that are fed in place of Spark."""

from pathlib import Path

import pytest
from kernels.versions import each_version

BROWSER = Path(__file__).parents[1] / "browser"


@pytest.fixture
def fed(kernel):
    assert not kernel.run(f"import sys; sys.path.append({str(BROWSER)!r}); from fed import show").of("error")
    return kernel


@each_version
def test_an_interrupt_stops_the_run_and_its_cell_ends_normally(fed):
    cell = fed.start("run = show(1000)")
    cell.until(lambda: cell.epochs >= 2)

    fed.manager.interrupt_kernel()
    cell.done()

    assert not cell.of("error"), cell.text()
    assert fed.value("run.status") == "'stopped'"
    [replaced] = cell.of("update_display_data")
    assert "digits stopped after" in replaced["data"]["text/plain"]


@each_version
def test_a_background_run_is_stopped_by_the_buttons_message(fed):
    cell = fed.run("run = show(1000, background=True)")
    cell.until(lambda: cell.epochs >= 1)

    fed.send(cell.view, {"type": "stop"})
    cell.until(lambda: cell.of("update_display_data"))

    assert fed.value("run.wait().status") == "'stopped'"
    assert "digits stopped after" in cell.text()
