"""What an update codec costs in AUROC and saves in bytes.

For each seed one federation without a codec and one with it, equal in all else: data, partition,
first weights, order of images. Each is judged on the same held-out patients, and the figure is the
difference of the macro AUROC, its mean over the seeds. It has two intervals of 95 %: one over the
patients (drawn with replacement, the same ones for both arms and all seeds), one over the seeds
(Student's t), which holds what chance makes of two trainings that differ in their last bits. The
wider one is judged. The share of the bytes is judged on densenet121.

    python -m benchmarks.codecs            # about 23 minutes
    python -m benchmarks.codecs --short    # half a minute: one seed, few patients, no verdict
"""

import json
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.result import Result, Row, Table, run_as_command
from fedcxr.config.load import load_config
from fedcxr.experiments.simulate import simulate
from fedcxr.metrics.auroc import rank, weighted_auroc
from fedcxr.seeding import derive_rng

GOAL_DIFFERENCE = 0.005
GOAL_SHARE = 0.251
GOAL_PATIENTS = 5000
JUDGED = "int8"
STUDENT_T = {5: 2.776}
"""The 97.5 % point of Student's t for so many seeds (4 degrees of freedom)."""
CHUNK = 100
"""Resamples at once: 10 MB for 12,000 images."""

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run."""

    patients: int
    """A fifth is left out (the official test set), half of the rest is held out."""
    rounds: int
    resamples: int
    seeds: dict[str, int]
    """By codec; those other than int8 are for information."""
    workers: int | None = None
    """None = what keeps every core busy."""


FULL = Plan(12_600, 10, 1000, {"none": 5, "int8": 5, "fp16": 1, "topk": 1})
SHORT = Plan(300, 3, 200, {"none": 1, "int8": 1, "fp16": 1, "topk": 1}, workers=1)


@dataclass(frozen=True, slots=True)
class Arm:
    """One finished federation, judged."""

    codec: str
    seed: int
    probs: NDArray[np.float64] = field(repr=False)
    """(N, L) of the held-out images."""
    macro_auroc: float
    bytes_up: int


@dataclass(frozen=True, slots=True)
class Held:
    """The held-out images: the same for all arms."""

    target: NDArray[np.float64]
    """(N, L) in {0, 1, nan}."""
    patient: NDArray[np.intp]
    """(N,) from 0."""

    @property
    def num_patients(self) -> int:
        """Return how many patients they are of."""
        return int(self.patient.max()) + 1


def codecs(short: bool) -> Result:
    """Run every arm and return the differences with their intervals."""
    plan = SHORT if short else FULL
    with tempfile.TemporaryDirectory(prefix="fedcxr-codecs-") as place:
        held, arms = run_arms(plan, Path(place))
        share = densenet121_share(Path(place))
    draws = macro_draws(held, arms, plan.resamples)
    found = {c: difference(arms, draws, c) for c in plan.seeds if c != "none"}
    return Result(
        name="codecs",
        title="Update codecs: AUROC and bytes against none",
        command="python -m benchmarks.codecs",
        short=short,
        rows=judged_rows(found[JUDGED], share, held.num_patients, short),
        tables=[arms_table(arms, found)],
        notes=notes(plan, held, arms),
        figures={
            "plan": asdict(plan),
            "test_patients": held.num_patients,
            "test_images": len(held.patient),
            "densenet121_share": share,
            "differences": found,
            "arms": [[arm.codec, arm.seed, arm.macro_auroc, arm.bytes_up] for arm in arms],
        },
    )


def run_arms(plan: Plan, folder: Path) -> tuple[Held, list[Arm]]:
    """Run the federations over one partition, the arms of a seed one after the other."""
    arms: list[Arm] = []
    partition: dict[str, Any] = {"partition.folds": 2}
    held: Held | None = None
    for seed in range(max(plan.seeds.values())):
        for codec in (c for c, seeds in plan.seeds.items() if seed < seeds):
            settings = {**recipe(plan), **partition, "seed": seed, "server.codec": codec}
            run = simulate(load_config(overrides={**settings, "runs_dir": str(folder)})).path
            if held is None:
                held, partition = held_of(run), {"partition.folder": str(run / "partition")}
            arms.append(arm_of(run, codec, seed, held))
    assert held is not None
    return held, arms


def recipe(plan: Plan) -> dict[str, Any]:
    """Return what all arms have in common.

    Chosen so that two trainings that differ in their last bits end near one another. Over 1,000
    patients and 8 rounds two arms of one seed differed by 0.010 and 0.008 at a rate of 3e-3, where
    the model overfits and chance chooses the best round, and by 0.001 and 0.004 at 1e-3. So: the
    lower rate, a cosine that ends low, and four times these patients, each image ten times.
    """
    return {
        "data.synthetic.patients": plan.patients,
        "data.synthetic.size_px": 64,
        "model.name": "densenet_small",
        "model.image_size": 64,
        "partition.clients": 5,
        "partition.site_val_fraction": 0.0,
        "train.batch_size": 32,
        "train.local_epochs": 1,
        "train.learning_rate": 1e-3,
        "train.lr_schedule": "cosine",
        "server.rounds": plan.rounds,
        "engine.workers": plan.workers,
        "explain.max_boxes": 0,
        "explain.images_per_outcome": 0,
    }


def held_of(run: Path) -> Held:
    """Return the held-out images of a run."""
    with np.load(run / "predictions.npz", allow_pickle=False) as file:
        _, patient = np.unique(file["patient_id"], return_inverse=True)
        return Held(file["target"].astype(np.float64), patient)


def arm_of(run: Path, codec: str, seed: int, held: Held) -> Arm:
    """Return what a run predicts and what it sent."""
    with np.load(run / "predictions.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["target"], held.target)
        probs = file["probs"].astype(np.float64)
    summary = json.loads((run / "summary.json").read_text("utf-8"))
    return Arm(codec, seed, probs, summary["macro_auroc"], bytes_of(run)[1])


def bytes_of(run: Path) -> tuple[int, int]:
    """Return the bytes that a run's server sent to the sites, and got from them."""
    lines = [json.loads(x) for x in (run / "rounds.jsonl").read_text("utf-8").splitlines()]
    down, up = (sum(x.get(key, 0) for x in lines) for key in ("bytes_down", "bytes_up"))
    return down, up


def densenet121_share(folder: Path) -> float:
    """Return int8's share of the bytes for densenet121, from a round of a tiny federation.

    Down go the parameters as they are, so they are what the updates would be without a codec.
    """
    tiny = {"data.synthetic.patients": 60, "model.image_size": 32, "partition.clients": 2}
    own = {"model.name": "densenet121", "server.rounds": 1, "server.codec": JUDGED}
    settings = {**recipe(SHORT), **tiny, **own}
    run = simulate(load_config(overrides={**settings, "runs_dir": str(folder)})).path
    down, up = bytes_of(run)
    return up / down


def macro_draws(held: Held, arms: Sequence[Arm], resamples: int) -> NDArray[np.float64]:
    """Return the (R, A) macro AUROCs under patients drawn with replacement, the same for all arms.

    A label is left out of a resample in which it has one class only, of all arms alike.
    """
    ranks = [
        [rank(held.target[:, label], arm.probs[:, label]) for label in range(held.target.shape[1])]
        for arm in arms
    ]
    rng = derive_rng(0, "benchmark", "codecs")
    parts = []
    for start in range(0, resamples, CHUNK):
        size = min(CHUNK, resamples - start), held.num_patients
        drawn = rng.integers(0, held.num_patients, size)
        times = np.stack([np.bincount(row, minlength=held.num_patients) for row in drawn])
        weights = times[:, held.patient]  # (R, N)
        scores = [[weighted_auroc(label, weights) for label in arm] for arm in ranks]
        parts.append(np.nanmean(scores, axis=1).T)
    return np.concatenate(parts)


def difference(arms: Sequence[Arm], draws: NDArray[np.float64], codec: str) -> dict[str, Any]:
    """Return codec minus none: by seed, the mean, and both intervals."""
    place = {(arm.codec, arm.seed): number for number, arm in enumerate(arms)}
    seeds = [arm.seed for arm in arms if arm.codec == codec]
    mine, none = ([place[name, seed] for seed in seeds] for name in (codec, "none"))
    by_seed = [arms[a].macro_auroc - arms[b].macro_auroc for a, b in zip(mine, none, strict=True)]
    resampled = (draws[:, mine] - draws[:, none]).mean(axis=1)
    low, high = np.quantile(resampled, [0.025, 0.975])
    return {
        "by_seed": by_seed,
        "mean": statistics.fmean(by_seed),
        "over_patients": (float(low), float(high)),
        "over_seeds": student(by_seed),
    }


def student(values: Sequence[float]) -> Interval | None:
    """Return the 95 % interval of a mean over seeds; None for another number than five.

    >>> student([1.0, 1.0, 1.0, 1.0, 1.0]), student([1.0])
    ((1.0, 1.0), None)
    """
    if len(values) not in STUDENT_T:
        return None
    mean, deviation = statistics.fmean(values), statistics.stdev(values)
    half = STUDENT_T[len(values)] * deviation / len(values) ** 0.5
    return mean - half, mean + half


def judged_rows(found: dict[str, Any], share: float, patients: int, short: bool) -> list[Row]:
    """Return the figures that have goals; a short form cannot judge the AUROC."""
    intervals = [x for x in (found["over_patients"], found["over_seeds"]) if x is not None]
    low, high = max(intervals, key=lambda x: x[1] - x[0])
    met = max(-low, high) <= GOAL_DIFFERENCE and patients >= GOAL_PATIENTS
    return [
        Row(
            f"macro AUROC, {JUDGED} minus none: 95 % interval, the wider of two",
            f"within ± {GOAL_DIFFERENCE}",
            f"{found['mean']:+.4f} ({low:+.4f} to {high:+.4f})",
            None if short else met,
        ),
        Row(
            f"bytes of a round's replies, densenet121, {JUDGED} to none",
            f"<= {100 * GOAL_SHARE:.1f} %",
            f"{100 * share:.2f} %",
            share <= GOAL_SHARE,
        ),
    ]


def arms_table(arms: Sequence[Arm], found: dict[str, dict[str, Any]]) -> Table:
    """Return every codec with its AUROC, its differences and its bytes."""
    plain = statistics.fmean(arm.bytes_up for arm in arms if arm.codec == "none")
    rows = []
    for codec in dict.fromkeys(arm.codec for arm in arms):
        mine = [arm for arm in arms if arm.codec == codec]
        cells = ["", "", "", ""]
        if codec in found:
            by_seed = ", ".join(f"{x:+.4f}" for x in found[codec]["by_seed"])
            intervals = (between(found[codec][key]) for key in ("over_patients", "over_seeds"))
            cells = [f"{found[codec]['mean']:+.4f}", by_seed, *intervals]
        auroc = statistics.fmean(arm.macro_auroc for arm in mine)
        share = statistics.fmean(arm.bytes_up for arm in mine) / plain
        rows.append([codec, f"{auroc:.4f}", *cells, f"{100 * share:.1f} %"])
    header = ["codec", "macro AUROC", "minus none", "by seed", "95 % over patients"]
    return Table("", [*header, "95 % over seeds", "bytes up"], rows)


def between(interval: Interval | None) -> str:
    """Return an interval in words."""
    return "" if interval is None else f"{interval[0]:+.4f} to {interval[1]:+.4f}"


def notes(plan: Plan, held: Held, arms: Sequence[Arm]) -> list[str]:
    """Return what to know of the figures."""
    plain = [arm.macro_auroc for arm in arms if arm.codec == "none"]
    return [
        f"densenet_small at 64 px, 5 sites, {plan.rounds} rounds, judged on {len(held.patient):,} "
        f"images of {held.num_patients:,} held-out patients, {plan.resamples} resamples of them. "
        f"Without a codec the AUROC is {min(plain):.4f} to {max(plain):.4f} by seed.",
        "So small a network has more headers and scales for its bytes than densenet121.",
    ]


if __name__ == "__main__":
    run_as_command(codecs, __doc__)
