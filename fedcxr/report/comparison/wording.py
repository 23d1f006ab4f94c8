"""Differences, verdicts, p values and what was counted, as a reader wants to see them."""

import re
from collections.abc import Sequence

from fedcxr.report.wording import MISSING, as_number

VERDICTS = {
    "better": "better: the whole interval lies above 0",
    "non-inferior, and worse": "non-inferior, and worse: there is a loss, smaller than that",
    "non-inferior": "non-inferior: any loss is smaller than that",
    "inferior": "inferior: the loss is larger than that",
    "inconclusive": "inconclusive: the interval reaches across it",
}
"""What a verdict says of the margin, by its word."""

POINTS = {
    "youden": "Youden",
    "sens90": "Sensitivity of 90 %",
    "spec90": "Specificity of 90 %",
}
"""What an operating point is called, by its name."""

POINT_RULES = {
    "youden": "the threshold with the largest sum of sensitivity and specificity on validation",
    "sens90": "of the thresholds with at least 90 % sensitivity on validation, the most specific",
    "spec90": "of the thresholds with at least 90 % specificity on validation, the most sensitive",
}
"""How an operating point was chosen, by its name."""


def signed(value: object, digits: int = 3) -> str:
    """Return a number with its sign, a dash for none; what rounds to zero has no sign.

    >>> signed(0.0123), signed(-0.5, 1), signed(-0.0001), signed(None)
    ('+0.012', '−0.5', '0.000', '–')
    """
    number = as_number(value)
    if number is None:
        return MISSING
    text = f"{abs(number):.{digits}f}"
    if not text.strip("0."):
        return text
    return f"{'−' if number < 0 else '+'}{text}"


def signed_interval(bounds: Sequence[object] | None, digits: int = 3) -> str:
    """Return "low to high" with signs, a dash for none.

    >>> signed_interval((-0.02, 0.004))
    '−0.020 to +0.004'
    """
    if not bounds or len(bounds) != 2 or as_number(bounds[0]) is None:
        return MISSING
    return f"{signed(bounds[0], digits)} to {signed(bounds[1], digits)}"


def p_value(value: object) -> str:
    """Return a p value to three decimals, a dash for none.

    >>> p_value(0.04321), p_value(1e-9), p_value(None)
    ('0.043', '<0.001', '–')
    """
    number = as_number(value)
    if number is None:
        return MISSING
    return "<0.001" if number < 0.0005 else f"{number:.3f}"


def level_words(level: float) -> str:
    """Return a level in percent.

    >>> level_words(0.95), level_words(0.995)
    ('95 %', '99.5 %')
    """
    return f"{round(100 * level, 6):g} %"


def unit_words(score_by: object) -> tuple[str, str]:
    """Return what is scored and counted on the test set: one, and many.

    >>> unit_words("image"), unit_words("study"), unit_words(None)
    (('image', 'images'), ('study', 'studies'), ('image', 'images'))
    """
    return ("study", "studies") if score_by == "study" else ("image", "images")


def file_stem(name: str) -> str:
    """Return a name as a part of a file's name and of an id in the page.

    >>> file_stem("FedProx, mu = 0.1")
    'FedProx-mu-0.1'
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "unnamed"


def joined(parts: Sequence[str]) -> str:
    """Return the parts as a list in a sentence.

    >>> joined(["a"]), joined(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
