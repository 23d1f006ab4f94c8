"""From flags to dotted keys of the configuration; a flag that was not given changes nothing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.load import load_config
from fedcxr.errors import ConfigError
from fedcxr.home import expanded

KEYS = {
    "name": "name",
    "seed": "seed",
    "runs_dir": "runs_dir",
    "data": "data.root",
    "views": "data.views",
    "labels": "data.labels",
    "score_by": "data.score_by",
    "uncertain": "data.uncertain",
    "label_table": "data.label_table",
    "accept_changed_data": "data.accept_changed_data",
    "follow_links": "data.follow_links",
    "partition": "partition.folder",
    "clients": "partition.clients",
    "scheme": "partition.scheme",
    "alpha": "partition.alpha",
    "exponent": "partition.exponent",
    "attribute": "partition.attribute",
    "sites_file": "partition.sites_file",
    "min_images": "partition.min_images",
    "min_positives": "partition.min_positives",
    "folds": "partition.folds",
    "fold": "partition.fold",
    "model": "model.name",
    "image_size": "model.image_size",
    "weights": "model.weights",
    "local_epochs": "train.local_epochs",
    "batch_size": "train.batch_size",
    "learning_rate": "train.learning_rate",
    "normalization": "train.normalization",
    "rounds": "server.rounds",
    "fraction": "server.fraction",
    "batch_norm": "server.batch_norm",
    "engine": "engine.kind",
    "workers": "engine.workers",
    "threads_per_client": "engine.threads_per_client",
    "device": "engine.device",
    "precision": "engine.precision",
    "compile_": "engine.compile",
    "client_gpus": "engine.client_gpus",
    "ray_address": "engine.ray_address",
    "cpus_per_client": "engine.cpus_per_client",
    "gpus_per_client": "engine.gpus_per_client",
    "codec": "server.codec",
    "topk": "server.topk",
}

COMPARE_KEYS = {
    "seeds": "compare.seeds",
    "arms": "compare.arms",
    "margin": "compare.margin",
    "learning_rates": "compare.learning_rates",
    "at_once": "compare.at_once",
}
"""Of `fedcxr compare` alone."""

LISTS = ("data.labels", "engine.client_gpus", "compare.arms", "compare.learning_rates")
"""Given with commas between."""

SCHEME_OF = {
    "alpha": "dirichlet",
    "exponent": "quantity",
    "attribute": "by-attribute",
    "sites_file": "sites-file",
}
"""The flag of a scheme chooses the scheme; with another scheme it would do nothing."""


def config_from_flags(
    flags: Mapping[str, Any], *, preset: str, file: Path | None, settings: list[str]
) -> ExperimentConfig:
    """Return the configuration: preset, then file, then flags, then `--set`."""
    keys = KEYS | COMPARE_KEYS
    given = {keys[name]: value for name, value in flags.items() if value not in (None, [])}
    for key in LISTS:
        if key in given:
            given[key] = [x.strip() for x in given[key].split(",") if x.strip()]
    if "data.root" in given:
        roots = [str(expanded(root).absolute()) for root in given["data.root"]]
        given["data.root"] = roots[0] if len(roots) == 1 else roots
    for key in ("partition.folder", "partition.sites_file"):
        if key in given:
            given[key] = str(expanded(given[key]).absolute())
    for flag, scheme in SCHEME_OF.items():
        if KEYS[flag] in given and given.setdefault("partition.scheme", scheme) != scheme:
            raise ConfigError(
                f"--{flag.replace('_', '-')} belongs to --scheme {scheme}, not to "
                f"{given['partition.scheme']}: leave one of the two out."
            )
    return load_config(preset, file, given, settings)
