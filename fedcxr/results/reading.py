"""One door to what a page shows: a comparison's file, or the files of a run (`one_arm.py`)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from fedcxr.config.load import read_config
from fedcxr.errors import ArtefactError, some
from fedcxr.metrics.studies import read_scored
from fedcxr.results.byzantine import KIND as BYZANTINE
from fedcxr.results.comparison import FILE, Comparison, read_comparison
from fedcxr.results.one_arm import as_comparison
from fedcxr.results.run_files import Manifest, Round, RunFacts, RunPlan, RunSummary
from fedcxr.results.validation import what_misfits
from fedcxr.runs.folder import RunFolder
from fedcxr.runs.predictions import Predictions

KIND = "comparison"
"""What the manifest of a comparison calls it."""

Model = TypeVar("Model", bound=BaseModel)


def read_result(folder: Path) -> Comparison:
    """Return the comparison or the run in `folder`.

    Raises:
        ArtefactError: neither is there, or a file is damaged or of another fedcxr.
        ConfigError: a run's configuration is of another fedcxr.
    """
    if (folder / FILE).is_file() or is_comparison(folder):
        return read_comparison(folder)
    return read_run(folder)


def is_comparison(folder: Path) -> bool:
    """Return whether a folder is a comparison's."""
    return _kind(folder) == KIND


def is_byzantine(folder: Path) -> bool:
    """Return whether a folder is that of a study of hostile sites."""
    return _kind(folder) == BYZANTINE


def _kind(folder: Path) -> object:
    if not (folder / "manifest.json").is_file():
        return None
    return RunFolder(folder).read_json("manifest.json").get("kind")


def read_run(folder: Path) -> Comparison:
    """Return the run in `folder` as a comparison of one arm.

    A run that was stopped has no summary and no predictions yet.

    Raises:
        ArtefactError: not a run folder, or a file is damaged or of another fedcxr.
        ConfigError: its configuration is of another fedcxr.
    """
    run = RunFolder.open(folder)
    test, val = _predictions(folder / "predictions.npz")
    return as_comparison(_facts(run), test, val)


def read_summary(folder: Path) -> RunSummary:
    """Return the summary of a finished run.

    Raises:
        ArtefactError: there is none, or it is damaged.
    """
    return _checked(RunSummary, RunFolder(folder), "summary.json")


def read_rounds(folder: Path) -> tuple[Round, ...]:
    """Return the rounds of a run by number, one line each: a resumed run may have written it twice.

    Raises:
        ArtefactError: the log is damaged, or of another fedcxr.
    """
    path = folder / "rounds.jsonl"
    try:
        lines = RunFolder(folder).read_lines("rounds.jsonl")
    except (json.JSONDecodeError, UnicodeDecodeError) as err:
        raise ArtefactError(
            f"{path}: a line is not a round ({err}). The file was changed after the run; restore "
            "it, or remove the bad line."
        ) from err
    by_round: dict[int, Round] = {}
    for number, line in enumerate(lines, start=1):
        found = _fitting(Round, line, f"{path}: line {number}")
        by_round[found.round] = found
    return tuple(by_round[number] for number in sorted(by_round))


def _facts(run: RunFolder) -> RunFacts:
    config_file = run.path / "config.yaml"
    has_summary = (run.path / "summary.json").is_file()
    return RunFacts(
        folder=run.path,
        manifest=_checked(Manifest, run, "manifest.json"),
        record=run.read_json("manifest.json"),
        plan=_checked(RunPlan, run, "partition/plan.json"),
        config=read_config(config_file),
        config_text=config_file.read_text("utf-8"),
        rounds=read_rounds(run.path),
        summary=read_summary(run.path) if has_summary else None,
    )


def _checked(model: type[Model], run: RunFolder, file: str) -> Model:
    return _fitting(model, run.read_json(file), f"{run.path / file}")


def _fitting(model: type[Model], tree: Mapping[str, Any], where: str) -> Model:
    """Return a tree as its type, or raise ArtefactError with what does not fit."""
    found, wrong = what_misfits(model, tree)
    if found is None:
        raise ArtefactError(
            f"{where}: {some(wrong)}. The file was changed after the run, or is of another "
            "fedcxr; restore it, or write the page with the fedcxr that made the run."
        )
    return found


def _predictions(path: Path) -> tuple[Predictions | None, Predictions | None]:
    """Return the predictions on test and val as they are scored, None before there are any."""
    if not path.is_file():
        return None, None
    found = read_scored(path, ["test", "val"])
    return found["test"], found["val"]
