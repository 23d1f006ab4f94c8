"""A check of a data set as text that fits 80 columns."""

import sys
import textwrap
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fedcxr.data.quality.counts import WHOLE
from fedcxr.data.quality.findings import PROBLEM, DataReport, Finding
from fedcxr.report.data_page import STATES, age_words, layout_words, notes_words, verdict
from fedcxr.report.wording import MISSING, count, counted, duration, fixed, png_depth, size

WIDTH = 80
_EXAMPLES = 5


def print_report(report: DataReport) -> None:
    """Print the report: the verdict, findings, labels, splits, patients, disk."""
    console = Console(
        width=None if sys.stdout.isatty() else WIDTH, highlight=False, soft_wrap=False
    )
    _head(console, report)
    for title, severity in (("Problems", PROBLEM), ("Worth knowing", "notice")):
        mine = [finding for finding in report.findings if finding.severity == severity]
        if mine:
            console.print(f"\n[bold]{title}[/]")
        for finding in mine:
            _finding(console, finding)
    _labels(console, report)
    _splits(console, report)
    _people(console, report)
    _disk(console, report)


def _head(console: Console, report: DataReport) -> None:
    console.print(Text(f"{layout_words(report.layout)}: {report.root}", style="bold"))
    seen = "" if report.images is None else f" ({count(report.images.good)} can be read)"
    console.print(
        f"{counted(report.patients, 'patient', 'patients')}, "
        f"{counted(report.studies, 'study', 'studies')}, "
        f"{counted(report.num_images, 'image', 'images')}{seen}"
    )
    if report.images is not None and report.images.png_bits is not None:
        console.print(Text(f"  {png_depth(report.images.png_bits)}", style="dim"))
    for note in notes_words(report):
        console.print(Text(_filled(note, "  "), style="dim"))
    console.print(Text(verdict(report), style="bold green" if report.is_clean else "bold red"))


def _finding(console: Console, finding: Finding) -> None:
    mark, style = ("✗", "red") if finding.severity == PROBLEM else ("·", "yellow")
    console.print(Text(f"{mark} {finding.title}: {count(finding.count)}", style=style))
    console.print(Text(_filled(finding.text, "    ")))
    for example in finding.examples[:_EXAMPLES]:
        console.print(Text(f"    - {example}", style="dim"), soft_wrap=True)
    more = finding.count - len(finding.examples[:_EXAMPLES])
    if finding.examples and more > 0:
        console.print(Text(f"      and {count(more)} more", style="dim"))
    console.print(Text(_filled(f"To mend: {finding.mend}", "    ")))


def _labels(console: Console, report: DataReport) -> None:
    whole = report.label_counts.get(WHOLE)
    if not whole:
        return
    states = [state for state in STATES if any(c.get(state, 0) for c in whole.values())]
    table = _table("Labels", *states)
    for label, counts in whole.items():
        table.add_row(Text(label), *(count(counts[state]) for state in states))
    console.print()
    console.print(table)


def _splits(console: Console, report: DataReport) -> None:
    if not report.pairs:
        return
    table = _table("Splits", "patients", "shared", "shared images")
    for pair in report.pairs:
        table.add_row(
            Text(f"{pair.first} / {pair.second} ({pair.group})"),
            f"{count(pair.patients_of_first)} / {count(pair.patients_of_second)}",
            count(pair.shared_patients),
            count(pair.shared_images),
        )
    console.print()
    console.print(table)


def _people(console: Console, report: DataReport) -> None:
    people = report.people
    images, studies = people.images_per_patient, people.studies_per_patient
    rows = {
        "Images a patient": f"mean {fixed(images.mean, 2)}, median {fixed(images.median, 1)}, "
        f"at most {images.most}",
        "Studies a patient": f"mean {fixed(studies.mean, 2)}, median {fixed(studies.median, 1)}, "
        f"at most {studies.most}",
        "Views": _words(people.views),
        "Projections": _words(people.projections),
        "Sexes (patients)": _words(people.sexes),
        "Ages": age_words(people.ages),
    }
    console.print()
    _pairs(console, "Patients", rows)


def _disk(console: Console, report: DataReport) -> None:
    disk = report.disk
    if disk is None:
        return
    caches = ", ".join(f"{size(n)} at {px} px" for px, n in disk.cache_bytes.items())
    rows = {
        "Image files": f"{count(disk.files)}, {size(disk.total_bytes)}",
        "Reading": f"{disk.megabytes_per_s:,.0f} MB/s, {disk.files_per_s:,.0f} files/s "
        f"(perhaps from memory)",
        "Decoding": f"{disk.decoded_per_s:,.0f} images/s on one core, to 320 px",
        "Cache": caches,
        "Free for caches": size(disk.free_bytes),
        "To prepare 320 px": f"about {duration(disk.prepare_s)} on "
        f"{counted(disk.cores, 'core', 'cores')}",
    }
    console.print()
    _pairs(console, "Files and disk", rows)


def _pairs(console: Console, title: str, rows: Mapping[str, str]) -> None:
    console.print(f"[bold]{title}[/]")
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in rows.items():
        table.add_row(name, Text(value))
    console.print(table)


def _table(title: str, *columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(title)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{word} {count(number)}" for word, number in counts.items()) or MISSING


def _filled(text: str, indent: str) -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False
    )
