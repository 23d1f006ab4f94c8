r"""A table as LaTeX for a paper: booktabs, every column that the page shows, its reasons below.

The file is a whole `table` environment that `\input` takes; its document needs the packages
`booktabs` and `graphicx`.
"""

import textwrap
from collections.abc import Sequence

from fedcxr.report.page_table import PageColumn, PageTable, Shown

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    "–": "--",
    "<": "$<$",
    ">": "$>$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "α": r"$\alpha$",
    "μ": r"$\mu$",
    "…": r"\ldots{}",
    "«": r"\guillemotleft{}",
    "»": r"\guillemotright{}",
}


_WIDEST = 105
"""Signs that a row may have before its intervals go below their numbers and its texts wrap."""
_LONG_TEXT = 28


def to_latex(table: PageTable, level: str) -> str:
    """Return a table as LaTeX, each interval behind its number or, in a wide table, below it.

    Args:
        table: what to write.
        level: of its intervals, in words: "95 %".
    """
    columns, shown = table.page_columns, table.shown()
    rows = [[f"{cell.text} {cell.interval}".strip() for cell in row] for row in shown]
    widths = [max([len(text) for text in column], default=0) for column in zip(*rows, strict=True)]
    is_wide = sum(widths) + 2 * len(widths) > _WIDEST
    layout = [
        "r" if column.is_number else r"p{3.4cm}" if is_wide and width > _LONG_TEXT else "l"
        for column, width in zip(columns, widths or [0] * len(columns), strict=True)
    ]
    lines = [
        r"\begin{table}[htbp]",
        r"\centering",
        rf"\caption{{{_escape(_caption(table, level, shown))}}}",
        rf"\label{{tab:{table.name.replace('_', '-')}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{''.join(layout)}}}",
        r"\toprule",
        " & ".join(_heading(column, is_wide=is_wide) for column in columns) + r" \\",
        r"\midrule",
        *(" & ".join(_cell(cell, is_wide=is_wide) for cell in row) + r" \\" for row in shown),
        r"\bottomrule",
        r"\end{tabular}}",
        *_below(table.reasons(), table.table.notes),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _caption(table: PageTable, level: str, shown: Sequence[Sequence[Shown]]) -> str:
    has_intervals = any(cell.interval for row in shown for cell in row)
    return f"{table.table.title}{f', with {level} intervals' if has_intervals else ''}."


def _below(reasons: Sequence[tuple[str, str]], notes: Sequence[str]) -> list[str]:
    told = [rf"\textsuperscript{{{mark}}} {_escape(why)}." for mark, why in reasons]
    told += [_escape(note) for note in notes]
    if not told:
        return []
    return ["", r"\smallskip", r"\parbox{\linewidth}{\footnotesize " + " ".join(told) + "}"]


def _heading(column: PageColumn, *, is_wide: bool) -> str:
    """Return a heading, of a number's column in a wide table in lines of few signs."""
    if not is_wide or not column.is_number:
        return _escape(column.heading)
    lines = textwrap.wrap(column.heading, 16, break_long_words=False)
    return _stacked([_escape(line) for line in lines], "b")


def _cell(cell: Shown, *, is_wide: bool) -> str:
    mark = rf"\textsuperscript{{{cell.mark}}}" if cell.mark else ""
    if not cell.interval:
        return _escape(cell.text) + mark
    bounds = f"({_escape(cell.interval)}){mark}"
    if is_wide:
        return _stacked([_escape(cell.text), rf"\footnotesize {bounds}"], "t")
    return f"{_escape(cell.text)} {bounds}"


def _stacked(lines: Sequence[str], where: str) -> str:
    """Return lines below one another, level with their row at the top or the bottom."""
    return rf"\begin{{tabular}}[{where}]{{@{{}}r@{{}}}}" + r"\\ ".join(lines) + r"\end{tabular}"


def _escape(text: str) -> str:
    r"""Return a text with what LaTeX would read otherwise escaped.

    >>> _escape("Pleural_Thickening, 50 %: −0.1")
    'Pleural\\_Thickening, 50 \\%: $-$0.1'
    """
    return "".join(_SPECIAL.get(sign, sign) for sign in text)
