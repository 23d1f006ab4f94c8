"""A column that lists what an image has, in the words of `dataset.yaml`."""

import re
from collections.abc import Sequence

from fedcxr.config.dataset_sections import ALL_OTHERS, DatasetConfig
from fedcxr.data.labels import BLANK, NEGATIVE, POSITIVE, UNCERTAIN

STATES = {"present": POSITIVE, "absent": NEGATIVE, "uncertain": UNCERTAIN, "blank": BLANK}

_WHOLE_AS_FLOAT = re.compile(r"([+-]?[0-9]+)\.0+")


def same_cell(cell: str) -> str:
    """Return a cell as it is compared: without blanks around it, case, or the `.0` of a number.

    >>> same_cell(" Yes"), same_cell("1.0"), same_cell("-1")
    ('yes', '1', '-1')
    """
    text = cell.strip().casefold()
    whole = _WHOLE_AS_FLOAT.fullmatch(text)
    return whole[1] if whole else text


def listed_states(
    cells: Sequence[str], says: DatasetConfig, labels: Sequence[str]
) -> list[list[int] | None]:
    """Return the states of the labels by each cell's list; None where a word is not known.

    Args:
        cells: (N,) lists of words.
        says: which words mean what.
        labels: those to return.
    """
    findings = says.findings
    assert findings is not None
    words: dict[str, list[tuple[str, int]]] = {}
    for label in says.labels:
        for name, own in says.rules_of(label).items():
            for word in own:
                words.setdefault(same_cell(word), []).append((label, STATES[name]))
    incomplete = {same_cell(word) for word in findings.incomplete}
    silent = {same_cell(word) for word in (*findings.none, *findings.ignored)} | incomplete
    blank = {same_cell(word) for word in says.values.blank} - silent
    by_cell: dict[str, list[int] | None] = {}
    for cell in set(cells):
        whole = cell.strip().strip(findings.strip)
        if same_cell(whole) in blank:
            by_cell[cell] = [BLANK] * len(labels)
            continue
        parts = [
            same_cell(part.strip().strip(findings.strip))
            for part in whole.split(findings.separator)
        ]
        # present after uncertain, so that it counts where a cell has both
        found = dict(sorted(one for part in parts for one in words.get(part, ())))
        unlisted = BLANK if incomplete.intersection(parts) else NEGATIVE
        is_known = ALL_OTHERS in silent or all(part in words or part in silent for part in parts)
        by_cell[cell] = [found.get(label, unlisted) for label in labels] if is_known else None
    return [by_cell[cell] for cell in cells]
