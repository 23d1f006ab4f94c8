"""The page of all benchmarks, `docs/benchmarks.md`, from the JSON files that they have written.

Figures of long forms are committed as `docs/benchmarks/NAME.json`; short forms of the last
`make bench` lie in `build/bench`. A short form never takes a long one's place on the page. One that
is committed, of a machine that is seldom at hand, stands where the last run measured nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.overview import FILE, draw
from benchmarks.result import OUT, Result, load, table_lines, to_markdown, verdict
from fedcxr.atomic import write_text_atomically

PAGE = Path("docs/benchmarks.md")
LONG = Path("docs/benchmarks")
NAMES = (
    *(
        "end_to_end",
        "overhead",
        "deployment",
        "deployment_soak",
        "supernodes",
        "train_loop",
        "gpu",
        "scaling",
        "soak",
        "digests",
        "codecs",
        "secagg",
    ),
    *("vae", "evaluation", "judging", "data", "quickstart"),
)
"""In the order of the page."""

INTRODUCTION = """\
# Benchmarks

Written by `benchmarks/run_all.py` from what each benchmark found; not edited by hand. Ratios are of
runs side by side, in turn, on one machine. Spreads are median (lowest to highest).

```bash
make bench                          # short forms of all, in under 10 minutes, and this page
make verify-bench                   # long forms of all, some hours, and this page
python -m benchmarks.NAME           # one of them; --short for its short form
```

Long forms judge their goals; short ones judge only what they can. The numbers behind each table are
in [`docs/benchmarks/`](benchmarks/), one JSON file a benchmark, with every repeat. Some things are
checked by `make test-slow` instead, such as the server's memory: `tests/test_server_memory.py` has
it grow by less than two parameter vectors from 5 to 50 clients, and catches a strategy that keeps
all replies."""

BESIDE = "## The last short run beside the long forms"


@dataclass(frozen=True)
class Found:
    """A result and where it was found."""

    result: Result
    machine: Mapping[str, Any]
    versions: Mapping[str, str]


def write_page(page: Path = PAGE, long: Path = LONG, short: Path = OUT) -> None:
    """Write the page, and the picture beside its JSON files."""
    picture = draw(long, long / FILE)
    kept, last = read_results(long, short=True), read_results(short, short=True)
    last = {name: one for name, one in last.items() if one.result.tables or name not in kept}
    text = page_text(read_results(long, short=False), kept | last, picture)
    write_text_atomically(page, text)


def read_results(folder: Path, *, short: bool) -> dict[str, Found]:
    """Return the results of one form in a folder, in the order of the page."""
    found = {}
    for name in NAMES:
        file = folder / f"{name}.json"
        if file.is_file():
            result, rest = load(file)
            if result.short == short:
                found[name] = Found(result, rest["machine"], rest["versions"])
    return found


def page_text(long: Mapping[str, Found], short: Mapping[str, Found], picture: bool) -> str:
    """Return the whole page."""
    shown = {name: long.get(name) or short[name] for name in NAMES if name in {*long, *short}}
    beside = {name: one for name, one in short.items() if name in long}
    parts = [INTRODUCTION]
    parts += [f"## {title}\n\n{machines(found)}" for title, found in _forms(long, short)]
    parts.append("\n".join(["## The goals", "", *row_lines(shown, only_goals=True)]))
    if picture:
        parts.append(f"![fedcxr beside others](benchmarks/{FILE})")
    if beside:
        parts.append("\n".join([BESIDE, "", *row_lines(beside, only_goals=False)]))
    parts += [to_markdown(found.result).strip() for found in shown.values()]
    return "\n\n".join(parts) + "\n"


def _forms(
    long: Mapping[str, Found], short: Mapping[str, Found]
) -> list[tuple[str, Mapping[str, Found]]]:
    forms = [("Where the long forms ran", long), ("Where the last short forms ran", short)]
    return [form for form in forms if form[1]]


def machines(found: Mapping[str, Found]) -> str:
    """Return each machine with its versions once, and what ran on it."""
    names: dict[str, list[str]] = {}
    for name, one in found.items():
        host = ", ".join(
            f"{value}{' cores' * (key == 'cores')}" for key, value in one.machine.items()
        )
        libraries = ", ".join(f"{key} {value}" for key, value in one.versions.items())
        names.setdefault(f"{host}; {libraries}.", []).append(name)
    if len(names) == 1:
        return next(iter(names))
    return "\n".join(f"- {', '.join(those)}: {where}" for where, those in names.items())


def row_lines(found: Mapping[str, Found], *, only_goals: bool) -> list[str]:
    """Return the table of all rows, or of those that have a goal."""
    rows = [
        (_link(name, one.result), row.what, row.goal, row.found, verdict(row))
        for name, one in found.items()
        for row in one.result.rows
        if row.goal or not only_goals
    ]
    return table_lines(("benchmark", "what", "goal", "found", "met"), rows)


def _link(name: str, result: Result) -> str:
    """Return a link to a result's section; GitHub makes its anchor from the heading's words."""
    if result.short:
        return f"{name} (short form)"
    anchor = re.sub(r"[^\w\- ]", "", result.title.lower()).replace(" ", "-")
    return f"[{name}](#{anchor})"
