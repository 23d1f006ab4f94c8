"""What a verb gives back: it shows itself, and has its tables as DataFrames and its figures.

In a notebook the last line of a cell is enough; `print` gives the same in words.
"""

import base64
import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from fedcxr.data.quality.findings import DataReport
from fedcxr.report.data_page import verdict
from fedcxr.report.figures_dots import draw_forest, draw_scores
from fedcxr.report.page import render, view_of
from fedcxr.report.partition_figure import NAME
from fedcxr.report.pictures import Picture, file_svg
from fedcxr.results.opened import MACRO, OpenedResult
from partitions.plan_folder import PartitionPlan

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_WIDEST_PX = 760


@dataclass(frozen=True, slots=True)
class ShownFigure:
    """A figure of a result, as a notebook shows it."""

    name: str
    figure: "Figure" = field(repr=False)
    """Matplotlib's, to change or to save."""
    svg: str = field(repr=False)
    """The text of an SVG file."""

    def _repr_html_(self) -> str:
        return _image(self.svg.encode(), "image/svg+xml", self.name)


class Result(OpenedResult):
    """A finished run or comparison; `auroc`, `rounds`, `sites`, `predictions` are DataFrames.

    `tables` has all of the page, `figures` its figures, `comparison` everything as typed values.
    """

    @property
    def report(self) -> Path:
        """The page to look at."""
        return self.path / "report.html"

    @cached_property
    def figure(self) -> ShownFigure | None:
        """The figure that says most: the primary difference by label, or the scores."""
        found = self.comparison
        primary = found.primary
        forest = draw_forest(found, primary) if primary else None
        picture = forest or draw_scores(found)
        return None if picture is None else _shown(picture)

    @cached_property
    def figures(self) -> Mapping[str, ShownFigure]:
        """Every figure of the page by its name; to draw all takes seconds."""
        _, pictures = render(view_of(self.comparison, self.path))
        drawn = (one() if callable(one) else one for one in pictures)
        return {one.name: _shown(one) for one in drawn}

    def __repr__(self) -> str:
        return "\n".join([*self._lines(), f"Report: {self.report}"])

    def _repr_html_(self) -> str:
        found = self.comparison
        lines = "<br>".join(html.escape(line) for line in self._lines())
        figure = "" if self.figure is None else self.figure._repr_html_()
        table = self.auroc if len(found.arms) == 1 else self.tables["arms"]
        page = html.escape(str(self.report))
        return f"<div><p>{lines}</p>{figure}{_table(table)}<p>Report: <code>{page}</code></p></div>"

    def _lines(self) -> list[str]:
        """Return what was found, in words."""
        found = self.comparison
        lines = []
        for _, row in self.auroc[self.auroc["label"] == MACRO].iterrows():
            what = found.arm(str(row["arm"])).title if len(found.arms) > 1 else found.name
            has_bounds = row["low"] is not None and row["low"] == row["low"]
            ci_text = f" (95 % CI {row['low']:.3f}–{row['high']:.3f})" if has_bounds else ""
            is_defined = row["auroc"] is not None and row["auroc"] == row["auroc"]
            value = f"{row['auroc']:.3f}{ci_text}" if is_defined else "not defined"
            lines.append(f"{what}: macro AUROC {value}")
        for pair in found.differences:
            lines.append(f"{pair.arm} minus {pair.against}: {pair.verdict.word}")
        data = found.data
        lines.append(f"{data.test_images} images of {data.test_patients} held-out patients")
        return lines


@dataclass(frozen=True)
class MadePartition:
    """A partition folder: who has what, as a DataFrame and a picture."""

    plan: PartitionPlan = field(repr=False)

    @property
    def path(self) -> Path:
        """The folder, for `partition=` of `fedcxr.simulate`."""
        return self.plan.folder

    @property
    def picture(self) -> Path:
        """The sites and how unlike they are, as PNG; an SVG lies beside it."""
        return self.path / f"{NAME}.png"

    @cached_property
    def sites(self) -> "pd.DataFrame":
        """A row a site."""
        from fedcxr.results.opened import frame_of

        rows = []
        for site in self.plan.sites:
            label, count = site.fewest_positives()
            rows.append(
                {
                    "site_id": site.site_id,
                    "holds": site.holds,
                    "patients": site.patients,
                    "images": site.images,
                    "train_images": site.train_images,
                    "val_images": site.val_images,
                    "js_distance": site.js_distance,
                    "fewest_positives": count,
                    "of_label": label,
                }
            )
        return frame_of(rows)

    def __repr__(self) -> str:
        sites = len(self.plan.sites)
        return (
            f"{sites} sites of {self.plan.source} by {self.plan.scheme}, no patient in two of them "
            f"({self.plan.pairs_checked} pairs checked): {self.path}"
        )

    def _repr_html_(self) -> str:
        picture = _image(self.picture.read_bytes(), "image/png", "partition")
        return f"<div><p>{html.escape(repr(self))}</p>{picture}{_table(self.sites)}</div>"


@dataclass(frozen=True)
class DataCheck:
    """What is wrong with a data set, and what is in it."""

    report: DataReport = field(repr=False)
    """Everything, as typed values."""

    @property
    def is_clean(self) -> bool:
        """Whether there is no problem."""
        return self.report.is_clean

    @cached_property
    def findings(self) -> "pd.DataFrame":
        """A row a finding, problems first: what, how often, and the way to mend it."""
        from fedcxr.results.opened import frame_of

        rows = [
            {
                "severity": found.severity,
                "kind": found.kind,
                "title": found.title,
                "count": found.count,
                "text": found.text,
                "mend": found.mend,
            }
            for found in self.report.findings
        ]
        return frame_of(rows)

    def write_page(self, path: Path | str) -> Path:
        """Write the report as a page and return its path."""
        from fedcxr.report.data_page import write_data_page

        return write_data_page(self.report, Path(path))

    def __repr__(self) -> str:
        report = self.report
        lines = [
            f"{report.root}: {report.patients} patients, {report.studies} studies, "
            f"{report.num_images} images. {verdict(report)}"
        ]
        lines += [f"{found.severity}: {found.title} ({found.count})" for found in report.findings]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = html.escape(repr(self).partition("\n")[0])
        return f"<div><p>{head}</p>{_table(self.findings)}</div>"


def _shown(picture: Picture) -> ShownFigure:
    return ShownFigure(picture.name, picture.figure, file_svg(picture.drawing))


def _image(data: bytes, kind: str, name: str) -> str:
    """Return an image element that holds its file: its style touches nothing else of the page."""
    text = base64.b64encode(data).decode()
    style = f"max-width: min(100%, {_WIDEST_PX}px)"
    return f'<img alt="{html.escape(name)}" style="{style}" src="data:{kind};base64,{text}">'


def _table(frame: "pd.DataFrame") -> str:
    shown: str = frame.to_html(index=False, na_rep="", float_format="{:.3f}".format, border=0)
    return shown
