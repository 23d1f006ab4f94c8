"""From a run's configuration and files to what trackers are told, live and in a replay alike."""

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.load import by_key
from fedcxr.trackers.protocol import RoundNumbers, RunEnd, RunStart, Setting

_SECTIONS = ("model", "train", "algorithm", "partition", "server", "vae", "privacy")
_KEYS = (
    "seed",
    "data.views",
    "data.uncertain",
    "data.blank",
    "data.score_by",
    "data.task",
    "engine.precision",
)
_NEVER = ("model.weights", "partition.folder", "partition.sites_file", "partition.attribute")
"""Files, and a hospital's own names of columns."""
_OF_ROUND = (
    "train_loss",
    "val_loss",
    "val_macro_auroc",
    "val_accuracy",
    "learning_rate",
    "seconds",
    "seconds_train",
    "images",
    "images_per_second",
    "bytes_down",
    "bytes_up",
)


def run_start(
    config: ExperimentConfig, run: Path, *, sites: int, resumed_after: int | None = None
) -> RunStart:
    """Return what is told when a run begins.

    Args:
        config: the run's.
        run: its folder.
        sites: of its partition.
        resumed_after: the last round that was finished before.
    """
    return RunStart(
        run=_name(config, run),
        settings=settings_of(config),
        sites=sites,
        rounds=config.server.rounds,
        resumed_after=resumed_after,
    )


def settings_of(config: ExperimentConfig) -> dict[str, Setting]:
    """Return what decides the training, by key; lists with commas; nothing that looks like a path.

    >>> settings_of(ExperimentConfig())["train.loss"]
    'bce'
    """
    found: dict[str, Setting] = {}
    for key, value in by_key(config).items():
        is_told = key in _KEYS or key.partition(".")[0] in _SECTIONS
        if not is_told or key in _NEVER or value is None:
            continue
        plain = ",".join(map(str, value)) if isinstance(value, list | tuple) else value
        if isinstance(plain, str | int | float) and not _is_path(plain):
            found[key] = plain
    return found


def round_numbers(line: Mapping[str, Any], at: float | None = None) -> RoundNumbers:
    """Return the numbers of a line of rounds.jsonl.

    Args:
        line: as the run wrote it.
        at: when it ended, seconds since 1970; none = now.
    """
    counts = {
        "sites_counted": len(line["sites"]),
        "sites_refused": len(line["refused"]),
        "sites_missing": len(line["missing"]),
    }
    metrics = _defined({**{name: line.get(name) for name in _OF_ROUND}, **counts})
    return RoundNumbers(line["round"], metrics, time.time() if at is None else at)


def run_end(summary: Mapping[str, Any], at: float | None = None) -> RunEnd:
    """Return the result that stands in summary.json."""
    low, high = summary["macro_auroc_ci"] or (None, None)
    of_labels = {f"test_auroc/{name}": row["value"] for name, row in summary["auroc"].items()}
    macro = {
        "test_macro_auroc": summary["macro_auroc"],
        "test_macro_auroc_low": low,
        "test_macro_auroc_high": high,
    }
    ended = time.time() if at is None else at
    return RunEnd("finished", _defined({**macro, **of_labels}), summary["best_round"], ended)


def _name(config: ExperimentConfig, run: Path) -> str:
    folder = run.absolute()
    is_training = folder.parent.name == "arms"
    return f"{folder.parent.parent.name}-{folder.name}" if is_training else folder.name


def _defined(values: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }


def _is_path(value: Setting) -> bool:
    return isinstance(value, str) and ("/" in value or "\\" in value or value.startswith("~"))
