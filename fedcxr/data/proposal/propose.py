"""A folder and its tables, looked at: the `dataset.yaml` that would read them, line by line."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fedcxr.data.paths import Fence
from fedcxr.data.proposal.columns import (
    NO_FINDING,
    WORDS,
    Guess,
    guess_age,
    guess_findings,
    guess_labels,
    guess_named,
    guess_words,
    sort_cells,
)
from fedcxr.data.proposal.image_column import ImageColumn, find_image_column, image_paths
from fedcxr.data.readers.dicom_facts import DicomFacts, read_facts
from fedcxr.data.readers.own_findings import same_cell
from fedcxr.data.readers.presets import preset_file, presets_in
from fedcxr.data.readers.tables import CsvTable, read_table_file
from fedcxr.errors import DataError, RecordError, some

_PLAIN = re.compile(r"\w[\w ./-]*(?<! )")
_HEADERS_LOOKED_AT = 200
_SHOWN = 8


@dataclass
class _Lines:
    """The lines of the proposal, each with its reason."""

    lines: list[tuple[str, str]] = field(default_factory=list)

    def add(self, text: str, reason: str = "") -> None:
        self.lines.append((text, reason))

    def __str__(self) -> str:
        width = min(48, max(len(text) for text, reason in self.lines if reason))
        return "".join(
            f"{text.ljust(width)}  # {reason}\n"
            if reason and text
            else f"{text or '# ' + reason}\n"
            for text, reason in self.lines
        )


def propose(root: Path, table_name: str | None = None, images: str | None = None) -> str:
    """Return the text of a `dataset.yaml` for a folder, with a reason for each line.

    Args:
        root: the folder with the images and a table.
        table_name: the table; none = the one that names most of the images.
        images: the folder of the images in it; none = where the table's names are found.

    Raises:
        DataError: there is no table or no image, or which are meant cannot be told.
    """
    if not root.is_dir():
        raise DataError(f"{root}: there is no such folder. Name the folder with the images.")
    known = [] if table_name else presets_in(root)
    if len(known) == 1:
        about = f"# The shipped preset {known[0]}. Correct it, then: fedcxr check-data\n"
        return about + preset_file(known[0]).read_text("utf-8")
    paths = image_paths(root)
    folder = None if images is None else images.removeprefix("./").strip("/").removeprefix(".")
    table, column = _choose(root, table_name, paths, folder)
    start = f"{column.folder}/" if column.folder else ""
    cells = [cell.strip().removeprefix("./") for cell in table[column.column] if cell.strip()]
    sample = [f"{start}{cell}{column.suffix}" for cell in cells[:_HEADERS_LOOKED_AT]]
    facts = read_facts(sample, Fence(root))
    lines = _Lines()
    lines.add(
        "", "Proposed by fedcxr init-data. Read each line, correct it, then: fedcxr check-data"
    )
    _add_files(lines, root, table, column, len(paths))
    taken = _add_people(lines, table, column, facts)
    _add_labels(lines, table, taken)
    return str(lines)


def _choose(
    root: Path, name: str | None, paths: list[str], folder: str | None
) -> tuple[CsvTable, ImageColumn]:
    """Return the table that names most of the images, with its column of them."""
    files = [root / name] if name else sorted([*root.glob("*.csv"), *root.glob("*/*.csv")])
    if not files:
        raise DataError(f"{root}: no CSV table is here or one folder below. Add the table.")
    found: list[tuple[CsvTable, ImageColumn]] = []
    unread = []
    for file in files:
        try:
            table = read_table_file(file)
        except RecordError as err:
            unread.append(str(err))
            continue
        column = find_image_column(root, table, paths, folder)
        if column is not None:
            found.append((table, column))
    if not found:
        said = "\n  ".join(["", *unread])
        raise DataError(
            f"{root}: no column of {some([file.name for file in files])} names one of the "
            f"{len(paths)} image files, such as {paths[0]}. Correct the names in the table.{said}"
        )
    found.sort(key=lambda one: -one[1].found)
    same = [table for table, column in found if column.found == found[0][1].found]
    if len(same) > 1:
        names = [table.csv_path.relative_to(root).as_posix() for table in same]
        raise DataError(
            f"{root}: {some(names)} name the same number of images, and which is meant cannot be "
            f"told. Say it with --table, as in --table {names[0]}."
        )
    return found[0]


def _add_files(
    lines: _Lines, root: Path, table: CsvTable, column: ImageColumn, num_files: int
) -> None:
    name = table.csv_path.relative_to(root).as_posix()
    lines.add(f"table: {_text(name)}", f"{len(table)} rows, {len(table.columns)} columns")
    parts = {"column": _text(column.column)}
    parts |= {"folder": _text(column.folder)} if column.folder else {}
    parts |= {"suffix": column.suffix} if column.suffix else {}
    also = f"; files of these names are also in {some([*column.also_in], 3)}"
    lines.add(
        f"path: {_flow(parts)}",
        f"{column.found} of {len(table)} rows name a file that is there; {num_files} image files"
        + (also if column.also_in else ""),
    )


def _add_people(
    lines: _Lines, table: CsvTable, column: ImageColumn, facts: Mapping[str, DicomFacts]
) -> list[str]:
    """Add what is known of patients, and return the columns that are spoken for."""
    taken = [column.column]
    elements = {
        "patient": ("PatientID", [one.patient for one in facts.values()]),
        "study": ("StudyInstanceUID", [one.study for one in facts.values()]),
        "view": ("ViewPosition or PatientOrientation", [one.view for one in facts.values()]),
        "sex": ("PatientSex", [one.sex for one in facts.values()]),
        "age": ("PatientAge", ["" if one.age is None else "x" for one in facts.values()]),
    }
    for thing in ("patient", "study", "view", "sex", "age", "site", "split"):
        guess = _guess(table, thing, taken)
        if guess is not None:
            taken.append(guess.column)
            lines.add(_line(thing, guess), _reason(thing, guess, table))
        elif thing in elements:
            _add_of_header(lines, thing, *elements[thing])
    return taken


def _guess(table: CsvTable, thing: str, taken: list[str]) -> Guess | None:
    if thing == "age":
        guess = guess_age(table)
    elif thing in WORDS:
        guess = guess_words(table, thing)
    else:
        guess = guess_named(table, thing)
    return None if guess is None or guess.column in taken else guess


def _line(thing: str, guess: Guess) -> str:
    rules = {meaning: words for meaning, words in guess.rules.items() if words}
    if not rules:
        return f"{thing}: {_text(guess.column)}"
    parts = {"column": _text(guess.column)}
    return f"{thing}: " + _flow(parts | {name: _words(words) for name, words in rules.items()})


def _reason(thing: str, guess: Guess, table: CsvTable) -> str:
    count = len(set(table[guess.column]))
    reason = f"{guess.reason}; {count} different cells"
    if thing == "site":
        reason += "; --scheme by-attribute --attribute site makes them the sites"
    if guess.uncovered:
        reason += f"; ADD what these mean: {some([*map(repr, guess.uncovered)], _SHOWN)}"
    return reason


def _add_of_header(lines: _Lines, thing: str, element: str, values: list[str]) -> None:
    known = [value for value in values if value]
    if known:
        shown = ""
        if thing in ("view", "sex"):
            counts = Counter(known)
            shown = f" ({', '.join(f'{name} {n}' for name, n in counts.most_common())})"
        lines.add(
            "",
            f"{thing}: no column; of the DICOM headers, {element}, which {len(known)} of "
            f"{len(values)} looked at have{shown}",
        )
    elif thing == "patient":
        lines.add("", "patient: NO COLUMN FOUND and no header says it; name the column: patient: …")
    elif thing == "view":
        lines.add("view: {unknown: frontal}", "NOTHING SAYS IT: true only if all are frontal")
    else:
        lines.add("", f"{thing}: no column found, and no header says it: unknown")
    if thing == "view" and 0 < len(known) < len(values):
        lines.add(
            "view: {unknown: left out}",
            f"{len(values) - len(known)} headers of {len(values)} do not say it; else frontal",
        )


def _add_labels(lines: _Lines, table: CsvTable, taken: Iterable[str]) -> None:
    labels = guess_labels(table, taken)
    if labels:
        lines.add("labels:", "one column each; take out what is no finding")
        for guess in labels:
            lines.add(f"  {_text(guess.column)}: {_text(guess.column)}", guess.reason)
        cells = [cell for guess in labels for cell in table[guess.column]]
        rules, _ = sort_cells(cells, "label")
        counts = Counter(cell.strip() for cell in cells)
        lines.add("values:", "what the cells of these columns mean")
        for meaning, words in rules.items():
            number = sum(counts[word] for word in words)
            lines.add(f"  {meaning}: {_words(words)}", f"{number} cells" if words else "none found")
        return
    found = guess_findings(table, taken)
    if found is None:
        lines.add(
            "labels: {}",
            "NO COLUMN FOUND whose cells say present or absent; name them: Nodule: its column",
        )
        return
    guess, separator, listed = found
    none = [word for word in listed if same_cell(word) in NO_FINDING]
    lines.add("labels:", "the words of one column; take out what is no finding")
    for word, count in listed.most_common():
        if word not in none:
            lines.add(f"  {_text(word)}: [{_text(word)}]", f"in {count} rows")
    parts = {"column": _text(guess.column), "separator": _text(separator)}
    parts |= {"none": _words(none)} if none else {}
    lines.add(f"findings: {_flow(parts)}", guess.reason)


def _words(words: Iterable[str]) -> str:
    return "[" + ", ".join(_text(word) for word in words) + "]"


def _flow(parts: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in parts.items()) + "}"


def _text(word: str) -> str:
    """Return a word as YAML has it, in quotes where it would not be plain."""
    return word if _PLAIN.fullmatch(word) else json.dumps(word, ensure_ascii=False)
