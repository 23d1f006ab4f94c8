"""What the columns of an unknown table may mean, by their names and their cells.

A guess that a person reads before it is used: each has its reason, and nothing is taken for certain
that the cells contradict.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fedcxr.data.readers.own_cells import age_of
from fedcxr.data.readers.own_findings import same_cell
from fedcxr.data.readers.tables import CsvTable

NAMES = {
    "patient": r"pat(ient)?(id|nr|number|enid)?|pid|subject(id)?|mrn|person(id)?",
    "study": r"study(id|uid|instanceuid)?|accession(number)?|visit(id)?|exam(id)?|untersuchung",
    "view": r"views?(position)?|projection|position|frontallateral|appa|aufnahme|blick",
    "sex": r"(patient)?(sex|gender)|geschlecht|sexe",
    "age": r"(patient)?age(years|atstudy)?|alter",
    "site": r"(site|hospital|institution|center|centre|clinic|klinik|haus)(id|name)?",
    "split": r"split|(sub)?set|fold|partition",
    "findings": r"findings?(labels?)?|labels?|diagnos(is|es|en)|befunde?",
}
"""Of each thing the names that its column often has, in small letters and digits alone."""

WORDS: Mapping[str, Mapping[str, frozenset[str]]] = {
    "view": {
        "frontal": frozenset({"frontal", "front", "ap", "pa", "ap supine", "frontal ap"}),
        "lateral": frozenset({"lateral", "lat", "ll", "rl", "l", "side", "seitlich"}),
    },
    "sex": {
        "F": frozenset({"f", "female", "w", "weiblich", "femme", "woman"}),
        "M": frozenset({"m", "male", "männlich", "homme", "man"}),
        "blank": frozenset({"", "u", "o", "unknown", "na", "nan", "d", "x"}),
    },
    "split": {
        "train": frozenset({"train", "training", "trn"}),
        "val": frozenset({"val", "valid", "validate", "validation", "dev"}),
        "test": frozenset({"test", "testing", "holdout"}),
    },
    "label": {
        "present": frozenset({"1", "yes", "true", "present", "positive", "pos", "y", "ja", "oui"}),
        "absent": frozenset({"0", "no", "false", "absent", "negative", "neg", "n", "nein", "non"}),
        "uncertain": frozenset({"-1", "uncertain", "maybe", "possible", "unclear", "?", "unklar"}),
        "blank": frozenset({"", "na", "nan", "n/a", "none", "null", "unknown", "-2"}),
    },
}
NO_FINDING = frozenset(
    {"no finding", "no findings", "normal", "none", "o.b.", "unauffällig", "negative"}
)
SEPARATORS = ("|", ";", ",", "/")

_MOST_WORDS = 64


@dataclass(frozen=True, slots=True)
class Guess:
    """A column that may say a thing."""

    column: str
    reason: str
    rules: Mapping[str, tuple[str, ...]]
    """The cells of each meaning, as the table spells them."""
    uncovered: tuple[str, ...] = ()
    """Cells of which nothing is known."""


def plain_name(name: str) -> str:
    """Return a column's name in small letters and digits alone.

    >>> plain_name("Patient ID"), plain_name("Frontal/Lateral")
    ('patientid', 'frontallateral')
    """
    return re.sub(r"[\W_]+", "", name.casefold())


def guess_named(table: CsvTable, thing: str) -> Guess | None:
    """Return the column of a name that `thing` often has, whatever its cells are."""
    found = [name for name in table.columns if re.fullmatch(NAMES[thing], plain_name(name))]
    if not found:
        return None
    more = f"; so are {', '.join(map(repr, found[1:]))}" if len(found) > 1 else ""
    return Guess(found[0], f"named like a {thing}{more}", {})


def guess_words(table: CsvTable, thing: str) -> Guess | None:
    """Return the column that says `view`, `sex` or `split`: by its name, else none.

    Raises nothing: cells of which nothing is known are in the guess.
    """
    found = guess_named(table, thing)
    if found is None:
        return None
    rules, uncovered = sort_cells(table.columns[found.column], thing)
    if not any(rules.get(meaning) for meaning in WORDS[thing] if meaning != "blank"):
        return None
    return Guess(found.column, found.reason, rules, uncovered)


def guess_age(table: CsvTable) -> Guess | None:
    """Return the column of ages, if all its cells are ages."""
    found = guess_named(table, "age")
    if found is None or any(age_of(cell.strip().upper()) == -1 for cell in table[found.column]):
        return None
    return found


def guess_labels(table: CsvTable, taken: Iterable[str]) -> list[Guess]:
    """Return the columns whose cells are all words of presence and absence."""
    rest = [name for name in table.columns if name not in set(taken)]
    found = []
    for name in rest:
        rules, uncovered = sort_cells(table.columns[name], "label")
        if not uncovered and (rules["present"] or rules["absent"]):
            counts = Counter(same_cell(cell) for cell in table.columns[name])
            shown = ", ".join(f"{cell or 'blank'} {n}" for cell, n in counts.most_common(4))
            found.append(Guess(name, shown, rules))
    return found


def guess_findings(table: CsvTable, taken: Iterable[str]) -> tuple[Guess, str, Counter[str]] | None:
    """Return a column that lists findings, its separator, and how often it has each word."""
    rest = [name for name in table.columns if name not in set(taken)]
    named = [name for name in rest if re.fullmatch(NAMES["findings"], plain_name(name))]
    for name in [*named, *(name for name in rest if name not in named)]:
        cells = table.columns[name]
        for separator in SEPARATORS:
            if not any(separator in cell for cell in cells):
                continue
            words = Counter(part.strip() for cell in cells for part in cell.split(separator))
            del words[""]
            if 0 < len(words) <= min(_MOST_WORDS, max(4, len(cells) // 2)):
                return Guess(name, f"cells list words with {separator!r}", {}), separator, words
    return None


def sort_cells(
    cells: Sequence[str], thing: str
) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Return the distinct cells by what they mean, and those of which nothing is known.

    >>> sort_cells(["ja", "Nein", "ja", "evtl."], "label")[1]
    ('evtl.',)
    """
    rules: dict[str, list[str]] = {meaning: [] for meaning in WORDS[thing]}
    uncovered = []
    for cell in dict.fromkeys(cell.strip() for cell in cells):
        meanings = [name for name, words in WORDS[thing].items() if same_cell(cell) in words]
        if meanings:
            rules[meanings[0]].append(cell)
        elif cell:
            uncovered.append(cell)
    return {name: tuple(words) for name, words in rules.items()}, tuple(uncovered)
