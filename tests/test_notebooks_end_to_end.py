"""Every notebook of the examples is executed, as a reader would from top to bottom."""

import shutil
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "examples/notebooks").glob("*.py"))
ROOT = Path(__file__).resolve().parent.parent
CELL_S = 300
"""Longest wait for one cell."""


def execute(notebook, folder):
    """Run a notebook's cells in a kernel of their own, in a folder; return their outputs."""
    reason = "fedcxr[notebooks] is not installed"
    jupytext = pytest.importorskip("jupytext", reason=reason)
    nbclient = pytest.importorskip("nbclient", reason=reason)
    pytest.importorskip("ipykernel", reason=reason)
    cells = jupytext.read(shutil.copy(notebook, folder))
    client = nbclient.NotebookClient(
        cells, timeout=CELL_S, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    return [output for cell in cells.cells for output in cell.get("outputs", ())]


def html_of(outputs):
    return "".join(output.get("data", {}).get("text/html", "") for output in outputs)


def test_there_is_a_notebook_for_each_task():
    wanted = ["comparison", "first_run", "own_data", "own_parts"]
    assert [path.stem for path in NOTEBOOKS] == wanted


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # jupyter_client's and zmq's own
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the kernel's sockets
def test_a_notebook_runs_from_top_to_bottom(notebook, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    outputs = execute(notebook, tmp_path)
    shown = html_of(outputs)
    assert "data:image/svg+xml;base64," in shown
    assert "<table" in shown
    if notebook.stem == "first_run":
        assert "Round 2/2: loss" in shown  # the progress that is left in its cell
    if notebook.stem == "own_parts":
        text = "".join(output.get("text", "") for output in outputs)
        assert "train.loss = __main__:brier: of this script or notebook" in text
        assert "engine.workers = 2 needs such" in text
