"""The picture of `docs/benchmarks.md`: fedcxr beside other frameworks, from their JSON files."""

import statistics
from collections.abc import Callable, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.result import load

FILE = "overview.svg"
# Okabe and Ito 2008, "Color Universal Design": told apart with any colour vision.
OURS, THEIRS, INK = "#0072b2", "#e69f00", "#1b2027"
WIDTH_IN = 6.2
BAR_IN = 0.27
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "fedcxr",  # or the ids would change with every drawing
    "font.family": "sans-serif",
    "font.size": 8.5,
    "text.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
}


class Panel(NamedTuple):
    """One comparison: name → every repeat."""

    title: str
    unit: str
    bars: Mapping[str, list[float]]
    log: bool = False


def draw(folder: Path, file: Path) -> bool:
    """Draw what the JSON files in `folder` hold; return whether there was anything."""
    panels = [*end_to_end(folder), *overhead(folder)]
    if not panels:
        return False
    with mpl.rc_context(STYLE):
        heights = [len(panel.bars) * BAR_IN + 0.75 for panel in panels]
        figure = Figure((WIDTH_IN, sum(heights)), layout="constrained", facecolor="white")
        axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
        for panel, place in zip(panels, axes, strict=True):
            draw_panel(place, panel)
        figure.savefig(file, metadata={"Date": None})
    return True


def draw_panel(axes: Axes, panel: Panel) -> None:
    """Draw medians with a line from the lowest repeat to the highest.

    As bars, or on a logarithmic axis, which has no zero for a bar to stand on, as points.
    """
    middle = [statistics.median(values) for values in panel.bars.values()]
    reach = [
        [m - min(values) for m, values in zip(middle, panel.bars.values(), strict=True)],
        [max(values) - m for m, values in zip(middle, panel.bars.values(), strict=True)],
    ]
    colors = [OURS if name.startswith("fedcxr") else THEIRS for name in panel.bars]
    names = list(panel.bars)
    if panel.log:
        axes.errorbar(middle, names, xerr=reach, fmt="none", ecolor=INK)
        axes.scatter(middle, names, color=colors, zorder=3)
        axes.set_xscale("log")
        for name, value in zip(names, middle, strict=True):
            at, right = (max(panel.bars[name]), name), (7, 0)
            axes.annotate(f"{value:.3g}", at, right, textcoords="offset points", va="center")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.grid(axis="x", which="both", color="#e4e7eb")
        axes.set_axisbelow(True)
    else:
        bars = axes.barh(names, middle, xerr=reach, color=colors, ecolor=INK, height=0.7)
        axes.bar_label(bars, [f"{value:.3g}" for value in middle], padding=4)
    axes.invert_yaxis()
    axes.margins(x=0.12, y=0.12)
    axes.set_title(panel.title, fontsize=8.5, fontweight="bold")
    axes.set_xlabel(panel.unit)


def end_to_end(folder: Path) -> list[Panel]:
    """Return a panel a size: images a second over the whole run."""
    return [
        Panel(
            f"From command to result: {size}", "images/s over the whole run, more is better", bars
        )
        for size, arms in _figures(folder, "end_to_end").items()
        if (bars := _repeats(arms, lambda run: run["images"] / run["wall_s"]))
    ]


def overhead(folder: Path) -> list[Panel]:
    """Return two panels: time and memory of a round without training."""
    cases = _figures(folder, "overhead")
    seconds, held = (_repeats(cases, itemgetter(key)) for key in ("round_s", "server_bytes"))
    title, less = "A round without training, 28 MB of parameters", "less is better"
    panels = [
        Panel(title, f"seconds a round, {less}", seconds, log=True),
        Panel(
            "The server process's peak memory in it",
            f"GB (PSS), {less}",
            {name: [size / 1e9 for size in sizes] for name, sizes in held.items()},
            log=True,
        ),
    ]
    return [panel for panel in panels if panel.bars]


def _figures(folder: Path, name: str) -> dict[str, Any]:
    file = folder / f"{name}.json"
    return load(file)[0].figures if file.is_file() else {}


def _repeats(
    arms: Mapping[str, Any], figure: Callable[[Mapping[str, Any]], float]
) -> dict[str, list[float]]:
    """Return one figure of every arm that ran."""
    found = {name: [figure(run) for run in arm.get("runs", ())] for name, arm in arms.items()}
    return {name: values for name, values in found.items() if values}
