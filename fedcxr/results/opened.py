"""A run or a comparison from Python: its tables as DataFrames.

`fedcxr.results.open("runs/…-compare").auroc` has a row for each arm and label.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from fedcxr.errors import ArtefactError
from fedcxr.results.arms import ArmResult
from fedcxr.results.comparison import Comparison
from fedcxr.results.reading import read_result
from fedcxr.results.run_files import Round, RunFacts, SiteCounts
from fedcxr.results.score import Score
from fedcxr.results.tables import all_tables
from fedcxr.runs.long_predictions import FILE as PREDICTIONS
from fedcxr.runs.long_predictions import TrainingPredictions, long_frame
from fedcxr.runs.predictions import read_prediction_sets

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
    def rounds(self) -> "pd.DataFrame":
        """Losses and scores round by round; of a comparison, of each training."""
        run = self.comparison.run
        if run is None:
            return self.tables["learning"]
        return frame_of([_of_round(line) for line in run.rounds])

    @cached_property
    def sites(self) -> "pd.DataFrame":
        """What each site has and gave; of a comparison, how every model does at each site."""
        run = self.comparison.run
        if run is None:
            return self.tables["site_matrix"]
        return frame_of([_of_site(run, site) for site in run.plan.sites])

    @cached_property
    def predictions(self) -> "pd.DataFrame":
        """A row for each training, image and label; of a run, its one model on val and test.

        Raises:
            ArtefactError: the file was not written.
            ImportError: DuckDB is not installed, which a comparison's file needs.
        """
        run = self.comparison.run
        if run is not None:
            sets, _ = read_prediction_sets(self.path / "predictions.npz", ["test", "val"])
            arm, seed = self.comparison.arms[0].name, run.config.seed
            return long_frame(
                TrainingPredictions(arm, seed, "", split, of) for split, of in sets.items()
            )
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
        return frame_of([row for arm in self.comparison.arms for row in _rows(arm, measure)])


def open(folder: str | Path) -> OpenedResult:
    """Return the result in the folder of a run or of a comparison.

    Raises:
        ArtefactError: there is none, or it is damaged or of another fedcxr.
        ConfigError: a run's configuration is of another fedcxr.
    """
    path = Path(folder)
    return OpenedResult(path, read_result(path))


def frame_of(rows: Sequence[Mapping[str, object]]) -> "pd.DataFrame":
    """Return rows of the same keys as a DataFrame."""
    import pandas as pd

    return pd.DataFrame([dict(row) for row in rows])


def _of_round(line: Round) -> dict[str, object]:
    kept = line.model_dump(exclude={"sites", "refused", "missing"})
    return {
        **kept,
        "sites": len(line.sites),
        "refused": len(line.refused),
        "missing": len(line.missing),
    }


def _of_site(run: RunFacts, site: SiteCounts) -> dict[str, object]:
    row = site.model_dump(exclude={"label_counts"})
    if run.summary is None:
        return row
    scores = {score.site_id: score.val_macro_auroc for score in run.summary.site_scores}
    part = run.summary.participation.get(site.site_id)
    return {
        **row,
        "val_macro_auroc": scores.get(site.site_id),
        "rounds_asked": part.asked if part else 0,
        "rounds_counted": part.counted if part else 0,
    }


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
