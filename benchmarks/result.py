"""What a benchmark found, in one form: as JSON, and as the Markdown of `docs/benchmarks.md`.

Every benchmark is `python -m benchmarks.NAME [--short] [--out FOLDER]`: it prints its table, writes
`NAME.json` into the folder (default `build/bench`), and exits with 1 if a goal is missed. Short
forms are for `make bench`; what they cannot judge has no verdict.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from fedcxr.atomic import write_text_atomically
from fedcxr.interrupts import end_on_signals
from fedcxr.runs.versions import machine, versions

OUT = Path("build/bench")


@dataclass(frozen=True)
class Row:
    """One figure against its goal."""

    what: str
    goal: str
    found: str
    met: bool | None = None
    """None = not judged: no goal, or a short form that cannot tell."""


@dataclass(frozen=True)
class Table:
    """Figures beside the goals."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Result:
    """What one benchmark found."""

    name: str
    """Of its module and its JSON file."""
    title: str
    command: str
    """That makes the long form."""
    short: bool
    rows: Sequence[Row] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()
    """One thought each, as Markdown without a bullet."""
    figures: dict[str, Any] = field(default_factory=dict)
    """Every number behind the tables, spread over repeats included."""

    @property
    def missed(self) -> bool:
        """Return whether a goal was judged and missed."""
        return any(row.met is False for row in self.rows)


def run_as_command(measure: Callable[[bool], Result], description: str) -> NoReturn:
    """Measure (True = the short form), print, save; exit with 1 if a goal is missed.

    Whoever ends it, by SIGTERM too, ends what it has started; the exit status is then 130.

    Args:
        measure: the benchmark.
        description: its module's docstring, the first line of which is the command's help.
    """
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("--short", action="store_true", help="What `make bench` runs.")
    parser.add_argument("--out", type=Path, default=OUT, help="Folder of the JSON file.")
    args = parser.parse_args()
    end_on_signals()
    try:
        result = measure(args.short)
    except KeyboardInterrupt:
        sys.exit(130)
    print(to_markdown(result))
    save(result, args.out)
    sys.exit(1 if result.missed else 0)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return the median with the lowest and highest of several.

    >>> spread([3.0, 1.0, 2.0], digits=1), spread([4.0])
    ('2.0 (1.0 to 3.0)', '4.00')
    """
    middle = f"{statistics.median(values):.{digits}f}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def save(result: Result, folder: Path = OUT) -> Path:
    """Write the result with the machine and versions that it was found on; return the file."""
    tree = {**asdict(result), "machine": machine(), "versions": versions()}
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{result.name}.json"
    write_text_atomically(file, json.dumps(tree, indent=2, ensure_ascii=False) + "\n")
    return file


def load(file: Path) -> tuple[Result, dict[str, Any]]:
    """Return a result and the rest of its file: `machine` and `versions`."""
    tree = json.loads(file.read_text("utf-8"))
    rest = {key: tree.pop(key) for key in ("machine", "versions")}
    rows = [Row(**row) for row in tree.pop("rows")]
    tables = [Table(**table) for table in tree.pop("tables")]
    return Result(rows=rows, tables=tables, **tree), rest


def to_markdown(result: Result) -> str:
    """Return the section of one result, below a heading of the second order."""
    form = " (short form)" if result.short else ""
    lines = [f"## {result.title}{form}", "", "```bash", result.command, "```", ""]
    if result.rows:
        rows = [(row.what, row.goal, row.found, verdict(row)) for row in result.rows]
        lines += [*table_lines(("what", "goal", "found", "met"), rows), ""]
    for table in result.tables:
        lines += [
            *([table.caption, ""] if table.caption else []),
            *table_lines(table.header, table.rows),
        ]
        lines += [""]
    lines += [f"- {note}" for note in result.notes]
    return "\n".join(lines).rstrip() + "\n"


def verdict(row: Row) -> str:
    """Return whether a goal is met, in a word; nothing where that is not judged."""
    return {True: "yes", False: "**no**", None: ""}[row.met]


def table_lines(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines]


def _cell(text: str) -> str:
    """Return text that does not end its cell: an error's can hold anything."""
    return " ".join(str(text).split()).replace("|", "\\|")
