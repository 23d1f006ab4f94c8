"""A site whose updates are attacked: its images, the model that it is sent, what others know.

One image a patient, of the run's own partition. The server's validation patients are what an
attacker knows of radiographs without any update.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.modules.batchnorm import _BatchNorm

from fedcxr.attacks.protections import Protection
from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.load import read_config
from fedcxr.cores import cores
from fedcxr.data.cache.store import Cache, open_cache
from fedcxr.data.policies import policy_of, train_targets
from fedcxr.data.records import RecordTable
from fedcxr.errors import ArtefactError, ConfigError, DataError, some
from fedcxr.home import home_folder
from fedcxr.inference import Predictor
from fedcxr.models.architectures import head_tensors, random_model
from fedcxr.models.base import CxrModel
from fedcxr.runs.checkpoint_files import checkpoint_file, checkpoint_rounds
from fedcxr.runs.folder import RunFolder
from fedcxr.runs.saved_model import read_weights
from fedcxr.seeding import derive_rng, derive_seed
from fedcxr.training.device import resolve_device
from fedcxr.training.precision import Precision
from partitions.plan import PartitionPlan, read_plan
from partitions.prepare import prepare
from partitions.record_table import take

MOST_CANDIDATES = 300
"""Training patients that a reconstruction is held against."""
FEWEST_PUBLIC = 5
_FP32 = Precision("fp32", channels_last=False, why="an attack differentiates twice")


@dataclass(frozen=True, slots=True, eq=False)
class AttackedSite:
    """M training patients with an image each, P others, and the model of a round."""

    model: Predictor
    run: str
    """The run folder's name; empty = no run."""
    source: str
    site: str
    round_num: int
    """Whose model the site is sent next; 0 = the initial one."""
    pixels: NDArray[np.uint8]
    """(M, H, W); those of the attacked site first."""
    target: NDArray[np.float32]
    """(M, L) as they are trained on; nan = not known."""
    num_own: int
    """Patients of the attacked site."""
    public: NDArray[np.uint8]
    """(P, H, W) of the server's validation patients."""
    public_target: NDArray[np.float32]
    """(P, L) of theirs."""

    @classmethod
    def of_run(cls, folder: Path, site: str | None, round_num: int) -> "AttackedSite":
        """Return a site of a run.

        Args:
            folder: the run's.
            site: its name; none = the first.
            round_num: whose model; 0 = the one that the run began with.

        Raises:
            ArtefactError: not a run, something of it is damaged, or there is no such checkpoint.
            ConfigError: there is no such site.
            DataError: too few patients.
        """
        run = RunFolder.open(folder)
        manifest, config = run.read_json("manifest.json"), read_config(folder / "config.yaml")
        moments = {key: manifest["normalization"][key] for key in ("mean", "std")}
        config = config.model_copy(update={"train": config.train.model_copy(update=moments)})
        model = _predictor(config, manifest["labels"], trained=round_num > 0)
        if round_num:
            file = checkpoint_file(folder / "checkpoints", round_num)
            if not file.is_file():
                kept = some([str(n) for n in checkpoint_rounds(folder / "checkpoints")])
                raise ArtefactError(
                    f"{folder}: no checkpoint of round {round_num} is kept. There are: {kept}; "
                    "--round 0 is the model that the run began with."
                )
            model.load(read_weights(file, model.spec, manifest["config_digest"]))
        plan = read_plan(folder / "partition")
        cache = open_cache(home_folder() / "cache" / manifest["cache_digest"])
        source = str(manifest["data"]["source"])
        return _site_of(plan, cache, model, site, (run.name, source, round_num))

    @classmethod
    def of_config(cls, config: ExperimentConfig, site: str | None) -> "AttackedSite":
        """Return a site of a run that was not made: its partition, and the initial model.

        Raises:
            ConfigError, DataError: as `of_run` raises them.
        """
        prepared = prepare(config, keep_tables=True)
        labels = prepared.plan.labels
        model = _predictor(config, labels, trained=False)
        cache = open_cache(prepared.cache)
        return _site_of(prepared.plan, cache, model, site, ("", prepared.source, 0))

    def network(self, protection: Protection, *, crafted: bool) -> CxrModel:
        """Return the model as a site has it; it may be the attacked one itself.

        Args:
            protection: of the site.
            crafted: put random numbers into the head, as a hostile server may.

        Raises:
            ConfigError: group norms are asked for, and the weights were trained with batch norms.
        """
        config, sent = self.model.config, self.model.model
        made = sent
        if protection.norm == "group" and any(isinstance(m, _BatchNorm) for m in sent.modules()):
            if self.round_num:
                raise ConfigError(
                    "--protection group: this run has batch norms, and its weights were trained "
                    "with them. Attack --round 0, or a run with --batch-norm group."
                )
            seed = derive_seed(config.seed, "initial weights")
            made = random_model(config.model, len(self.model.outputs), seed, group_norm=True)
        if crafted:
            made = deepcopy(made)
            weight = dict(made.named_parameters())[f"{head_tensors(config.model)}.weight"]
            generator = torch.Generator().manual_seed(derive_seed(config.seed, "crafted head"))
            drawn = torch.randn(weight.shape, generator=generator) / weight.shape[1] ** 0.5
            with torch.no_grad():
                weight.copy_(drawn)
        return made.to(self.model.device)

    @property
    def is_synthetic(self) -> bool:
        """Whether the images are computed."""
        return self.model.config.data.root is None


def _predictor(config: ExperimentConfig, labels: Sequence[str], *, trained: bool) -> Predictor:
    device = resolve_device(config.engine.device)
    return Predictor(
        config, labels, precision=_FP32, device=device, threads=cores(), trained=trained
    )


def _site_of(
    plan: PartitionPlan,
    cache: Cache,
    model: Predictor,
    site: str | None,
    told: tuple[str, str, int],
) -> AttackedSite:
    if plan.is_export:
        raise ArtefactError(
            f"{plan.folder}: its sites' tables are with the sites, so there is nothing here to "
            "attack. Attack a simulated run."
        )
    names = [each.site_id for each in plan.sites]
    chosen = names[0] if site is None else site
    if chosen not in names:
        raise ConfigError(f"--site {site}: no such site. Known: {some(names)}.")
    seed = model.config.seed
    tables = [plan.site_table(name) for name in (chosen, *(n for n in names if n != chosen))]
    parts = [
        _one_each(take(table, table.rows("train")), cache, model, seed, is_trained=True)
        for table in tables
    ]
    pixels, target = (np.concatenate(each)[:MOST_CANDIDATES] for each in zip(*parts, strict=True))
    public, known = _one_each(plan.table("global/val.csv"), cache, model, seed, is_trained=False)
    if len(public) < FEWEST_PUBLIC:
        raise DataError(
            f"{plan.folder}: {len(public)} validation patients at the server; an attack needs "
            f"{FEWEST_PUBLIC} to know what radiographs look like. Raise partition.val_fraction."
        )
    run, source, round_num = told
    own = min(len(parts[0][0]), len(pixels))
    return AttackedSite(model, run, source, chosen, round_num, pixels, target, own, public, known)


def _one_each(
    table: RecordTable, cache: Cache, model: Predictor, seed: int, *, is_trained: bool
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return an image and its target for each patient of a table, in an order drawn by the seed.

    Of the patients that are trained on, images without a known label are left out: they give no
    gradient.
    """
    columns = [table.labels.index(label) for label in model.labels]
    policy = policy_of(model.config.data, rounds=model.config.server.rounds)
    states, ids = table.states[:, columns], table.image_id
    target = train_targets(states, model.labels, policy, image_id=ids, seed=seed)
    usable = np.array([cache.has(image_id) for image_id in ids], dtype=bool)
    if is_trained:
        usable &= ~np.isnan(target).all(axis=1)
    order = derive_rng(seed, "inversion", "patients").permutation(len(table))
    first: dict[str, int] = {}
    for row in order[usable[order]].tolist():
        first.setdefault(table.patient_id[row], row)
    rows = list(first.values())
    places = cache.rows([ids[row] for row in rows])
    return np.asarray(cache.images[places]), target[rows]
