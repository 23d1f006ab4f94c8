"""Every table of a page as files beside it: CSV with every digit, LaTeX as the page shows it."""

from collections.abc import Mapping
from pathlib import Path

from fedcxr.atomic import write_text_atomically
from fedcxr.report.latex import to_latex
from fedcxr.report.page_table import PageTable

_MOST_ROWS = 60
"""Of a table in LaTeX: what is longer is no table for a paper."""


def write_table_files(tables: Mapping[str, PageTable], folder: Path, level: str) -> list[Path]:
    """Write each table as `<name>.csv`, and as `<name>.tex` what fits a page; return the paths.

    Args:
        tables: by name.
        folder: is made.
        level: of the intervals, in words.

    Raises:
        OSError: the folder cannot be written.
    """
    texts = {}
    for name, table in tables.items():
        texts[folder / f"{name}.csv"] = table.table.to_csv()
        if 0 < len(table.rows) <= _MOST_ROWS:
            texts[folder / f"{name}.tex"] = to_latex(table, level)
    for path, text in texts.items():
        write_text_atomically(path, text)
    return list(texts)
