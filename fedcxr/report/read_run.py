"""Everything the report shows, read from a run folder.

Only the manifest must be there. A run that was stopped has no summary, predictions or heat maps
yet, and its page says so; a file that is there but damaged is an error.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.load import read_config
from fedcxr.data.origin import TestSet
from fedcxr.errors import ArtefactError, ConfigError
from fedcxr.metrics.studies import as_scored
from fedcxr.runs.folder import RunFolder
from fedcxr.runs.predictions import Predictions, read_predictions

Tree = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RunView:
    """One run as its files tell it; what a stopped run lacks is empty or None."""

    path: Path
    manifest: Tree
    config_text: str
    config: ExperimentConfig | None  # None if missing, or of another version of fedcxr
    rounds: tuple[Tree, ...]  # by round number, the last line of each round
    summary: Tree | None
    plan: Tree
    test_set: TestSet | None  # where the test patients came from, None if the run does not say
    predictions: Predictions | None
    heat_maps: tuple[str, ...]  # relative POSIX paths of the PNG files

    @property
    def labels(self) -> tuple[str, ...]:
        """The label vocabulary, from the first file that has it."""
        for source in (self.manifest.get("labels"), self.plan.get("labels")):
            if source:
                return tuple(str(label) for label in source)
        return tuple((self.summary or {}).get("auroc", {}))

    @property
    def sites(self) -> tuple[Tree, ...]:
        """The sites of the summary, or of the plan while there is no summary."""
        return tuple((self.summary or {}).get("sites") or self.plan.get("sites") or ())

    @property
    def is_synthetic(self) -> bool:
        """True if the images are computed, not taken of people."""
        data = self.manifest.get("data") or {}
        words = (data.get("layout"), data.get("source"), self.plan.get("source"))
        return any("synthetic" in str(word).lower() for word in words)


def read_run(folder: Path) -> RunView:
    """Return the run in `folder`.

    Raises:
        ArtefactError: no manifest, or a file that is damaged.
    """
    run = RunFolder.open(folder)
    manifest = run.read_json("manifest.json")
    config_path = folder / "config.yaml"
    return RunView(
        path=folder,
        manifest=manifest,
        config_text=config_path.read_text("utf-8") if config_path.is_file() else "",
        config=_read_config(config_path),
        rounds=_read_rounds(run),
        summary=_read_if_there(run, "summary.json"),
        plan=_read_if_there(run, "partition/plan.json") or {},
        test_set=read_test_set(manifest, folder / "manifest.json"),
        predictions=_read_predictions(folder / "predictions.npz"),
        heat_maps=tuple(
            path.relative_to(folder).as_posix() for path in sorted(folder.glob("gradcam/*.png"))
        ),
    )


def read_test_set(tree: Tree, path: Path) -> TestSet | None:
    """Return what `data.test_set` says of where the test patients came from, None if nothing.

    Raises:
        ArtefactError: it is there and says nothing that can be.
    """
    data = tree.get("data")
    found = data.get("test_set") if isinstance(data, Mapping) else None
    try:
        return None if found is None else TestSet.from_json(found)
    except ValueError as err:
        raise ArtefactError(
            f"{path}: data.test_set is no description of a test set. The file was changed after "
            f"the run; restore it."
        ) from err


def _read_if_there(run: RunFolder, file: str) -> Tree | None:
    return run.read_json(file) if (run.path / file).is_file() else None


def _read_config(path: Path) -> ExperimentConfig | None:
    """Return the configuration if this version can read it; the page shows its text anyway."""
    try:
        return read_config(path) if path.is_file() else None
    except ConfigError:
        return None


def _read_rounds(run: RunFolder) -> tuple[Tree, ...]:
    """Return one line a round: a resumed run may have written a round twice."""
    try:
        lines = run.read_lines("rounds.jsonl")
        by_round = {int(line["round"]): line for line in lines}
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as err:
        raise ArtefactError(
            f"{run.path / 'rounds.jsonl'}: a line is not a round ({err}). "
            f"The file was changed after the run; restore it, or remove the bad line."
        ) from err
    return tuple(by_round[number] for number in sorted(by_round))


def _read_predictions(path: Path) -> Predictions | None:
    """Return the test predictions as they are scored, None if there are none yet."""
    if not path.is_file():
        return None
    predictions, score_by = read_predictions(path)
    return as_scored(predictions, score_by)
