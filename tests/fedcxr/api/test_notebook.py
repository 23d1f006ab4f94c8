import sys
from types import SimpleNamespace

import pytest

from fedcxr.api import notebook
from fedcxr.api.notebook import CellDisplay, CellTrainings, is_notebook, run_display
from fedcxr.cli.clock import Clock
from fedcxr.cli.progress import PlainDisplay
from fedcxr.cli.trainings_display import TrainingsDisplay


@pytest.fixture
def cell(monkeypatch):
    """What is shown in a notebook's cell, one text after the other."""
    shown = []
    handle = SimpleNamespace(update=lambda made: shown.append(made._repr_html_()))
    monkeypatch.setattr(notebook, "_new_output", lambda: handle)
    return shown


def show(display, clock, **event):
    event = {"time": 0.0, **event}
    clock.take(event)
    display.show(event, clock)


def test_a_cell_shows_the_round_and_keeps_a_line_for_each(cell):
    display, clock = CellDisplay(), Clock()
    assert "Preparing data" in cell[-1]
    show(display, clock, event="preparing", done=3, total=10)
    assert '<progress value="3" max="10">' in cell[-1]
    show(display, clock, event="run_started", rounds=2, sites=2, images=10)
    show(display, clock, event="round_started", round=1, cohort=["a", "b"])
    show(display, clock, event="site_done", site_id="a", outcome="done", images=5)
    assert "Round 1/2, sites" in cell[-1]
    assert "1/2" in cell[-1]
    show(
        display,
        clock,
        event="round_done",
        round=1,
        train_loss=0.5,
        val_macro_auroc=None,
        images=5,
        seconds=1.0,
    )
    show(display, clock, event="phase", name="test")
    assert "Scoring held-out patients" in cell[-1]
    display.close()
    assert "Round 1/2: loss 0.500, val macro AUROC not defined" in cell[-1]
    assert "<progress" not in cell[-1]


def test_what_an_event_says_is_text_and_no_html(cell):
    display = CellDisplay()
    show(display, Clock(), event="site_changed", site_id="<b>x</b>", what="came back")
    display.close()
    assert "&lt;b&gt;x&lt;/b&gt;: came back" in cell[-1]


def test_a_comparison_shows_its_trainings_in_the_cell(cell):
    display = CellTrainings()
    of = SimpleNamespace(trainings=1, total_trainings=2, images=50, total_images=100)
    display.show(of)
    assert "1 of 2 trainings" in cell[-1]
    assert '<progress value="50" max="100">' in cell[-1]
    display.close()
    assert "<progress" not in cell[-1]


def test_a_kernel_is_told_from_a_terminal(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert not is_notebook()
    assert isinstance(run_display(), PlainDisplay)
    assert type(notebook.trainings_display()) is TrainingsDisplay
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert is_notebook()
