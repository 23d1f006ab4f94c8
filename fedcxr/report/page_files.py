"""The files beside a page: every table as CSV and LaTeX; and what an older page left, removed.

What a page wrote is listed beside its tables; nothing that is not in that list is ever removed.
"""

import json
import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from fedcxr.atomic import write_text_atomically
from fedcxr.report.latex import to_latex
from fedcxr.report.page_table import PageTable

LIST = "tables/written.json"

_MOST_ROWS = 60
"""Of a table in LaTeX: what is longer is no table for a paper."""
_OURS = re.compile(r"tables/[^/\\\\]+\.(csv|tex)|figures/[^/\\\\]+\.(svg|pdf|png)")

log = logging.getLogger(__name__)


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


def remove_older(folder: Path, written: Iterable[Path]) -> None:
    """Remove what an older page wrote into a folder and this one did not; keep the new list.

    Args:
        folder: of the page.
        written: all tables and figures of this page.

    Raises:
        OSError: a file cannot be removed, or the list cannot be written.
    """
    now = {path.relative_to(folder).as_posix() for path in written}
    for name in sorted(_listed(folder / LIST) - now):
        (folder / name).unlink(missing_ok=True)
    write_text_atomically(folder / LIST, json.dumps(sorted(now), ensure_ascii=False, indent=1))


def _listed(path: Path) -> set[str]:
    """Return what an older page wrote, by paths below its folder; nothing before there is a list.

    A name that is none of a table or figure was not put there by us, and is left alone.
    """
    if not path.is_file():
        return set()
    try:
        names = json.loads(path.read_text("utf-8"))
    except ValueError:
        names = None
    if not isinstance(names, list):
        log.warning("%s is damaged: tables and figures of an older page may be left there.", path)
        return set()
    return {name for name in names if isinstance(name, str) and _OURS.fullmatch(name)}
