"""A run or a comparison from Python: its tables as DataFrames.

`fedcxr.results.open("runs/…-compare").auroc` has a row for each arm and label.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from fedcxr.errors import ArtefactError
from fedcxr.results.arms import ArmResult
from fedcxr.results.comparison import Comparison
from fedcxr.results.reading import read_result
from fedcxr.results.score import Score
from fedcxr.results.tables import all_tables
from fedcxr.runs.long_predictions import FILE as PREDICTIONS

if TYPE_CHECKING:
    import pandas as pd

MACRO = "macro mean"
"""What the rows of `OpenedResult.auroc` call the mean over labels."""


@dataclass(frozen=True)
class OpenedResult:
    """A result whose tables are DataFrames; title, units and notes are in their `attrs`."""

    path: Path
    comparison: Comparison
    """Everything, as typed values."""

    @cached_property
    def tables(self) -> "Mapping[str, pd.DataFrame]":
        """Every table of the page by the stem of its file."""
        return {name: table.frame() for name, table in all_tables(self.comparison).items()}

    @cached_property
    def auroc(self) -> "pd.DataFrame":
        """AUROC of each arm: the macro mean first, then label by label."""
        return self._by_label("auroc")

    @cached_property
    def ap(self) -> "pd.DataFrame":
        """Average precision of each arm: the macro mean first, then label by label."""
        return self._by_label("ap")

    @cached_property
    def differences(self) -> "pd.DataFrame":
        """Every pair of arms, with the verdict."""
        return self.tables["differences"]

    @cached_property
    def predictions(self) -> "pd.DataFrame":
        """A row for each training, image and label.

        Raises:
            ArtefactError: the file was not written.
            ImportError: DuckDB is not installed.
        """
        path = self.path / PREDICTIONS
        if not path.is_file():
            raise ArtefactError(
                f"{path}: not there. Install `fedcxr[parquet]` and write it with "
                f"`fedcxr report {self.path}`."
            )
        import duckdb  # an extra, and only here

        with duckdb.connect() as database:
            found: pd.DataFrame = database.read_parquet(str(path)).df()
            return found

    def _by_label(self, measure: str) -> "pd.DataFrame":
        import pandas as pd

        rows = [row for arm in self.comparison.arms for row in _rows(arm, measure)]
        return pd.DataFrame(rows)


def open(folder: str | Path) -> OpenedResult:
    """Return the result in the folder of a run or of a comparison.

    Raises:
        ArtefactError: there is none, or it is damaged or of another fedcxr.
        ConfigError: a run's configuration is of another fedcxr.
    """
    path = Path(folder)
    return OpenedResult(path, read_result(path))


def _rows(arm: ArmResult, measure: str) -> list[dict[str, object]]:
    found = [_row(arm.name, MACRO, getattr(arm, f"macro_{measure}"), measure)]
    for label, scores in arm.by_label.items():
        row = _row(arm.name, label, getattr(scores, measure), measure)
        found.append({**row, "positives": scores.positives, "negatives": scores.negatives})
    return found


def _row(arm: str, label: str, score: Score, measure: str) -> dict[str, object]:
    import pandas as pd

    low, high = score.ci or (None, None)
    return {
        "arm": arm,
        "label": label,
        measure: score.value,
        "low": low,
        "high": high,
        "reason": score.reason,
        "positives": pd.NA,
        "negatives": pd.NA,
    }
