"""Attacks on membership, at the size that their goals are about: `make verify-attacks`.

A run that is over-fitted on purpose, on 1,000 patients or more, is attacked with as many patients
who were held out: at 1 % of false alarms at least 10 % of its members must be found. Then the same
training, epoch for epoch, with differential privacy of each patient, ε = 3: fewer must be found,
and no more than e^ε·FPR + δ, by the intervals.

    python -m benchmarks.attacks [--out DIR] [--shadows 4]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fedcxr.results.membership import Attack, MembershipResult, read_membership

GOAL = 0.1
"""True positive rate at 1 % of false alarms of the over-fitted run; chance finds 0.01."""
FEWEST = 1000
EPSILON = 3.0
OVER_FITTED = {
    "name": "over-fitted",
    "seed": 0,
    "data.synthetic.patients": 2700,
    "data.synthetic.size_px": 32,
    "model.image_size": 32,
    "partition.clients": 1,
    "partition.folds": 2,
    "partition.val_fraction": 0.02,
    "partition.site_val_fraction": 0.0,
    "server.batch_norm": "group",
    "engine.precision": "fp32",
    "train.local_epochs": 40,
    "train.learning_rate": 1e-3,
    "train.augment.min_crop_area": 1.0,
    "train.augment.max_aspect": 1.0,
    "train.augment.flip": 0.0,
    "train.augment.max_rotation_deg": 0.0,
    "server.rounds": 1,
    "explain.images_per_outcome": 0,
    "explain.max_boxes": 0,
}
"""No augmentation, no weight decay, many epochs on few images: what no study should train. In
float32, as under privacy: which precision a probe takes depends on what else the machine does."""
PRIVATE = {
    "name": "private",
    "privacy.level": "patient",
    "privacy.epsilon": EPSILON,
}
"""What differs, and nothing else: the same patients, network, epochs and learning rate."""


def main() -> None:
    """Run both arms; exit 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="where runs go; default a temporary folder")
    parser.add_argument("--shadows", type=int, default=4)
    parser.add_argument("--set", action="append", default=[], help="any key, for both arms")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = (given.out or Path(folder)).absolute()
        os.environ.setdefault("FEDCXR_HOME", str(out / "home"))
        sys.exit(0 if verify(out, given.shadows, given.set) else 1)


def verify(out: Path, shadows: int, settings: list[str]) -> bool:
    """Return whether all goals are met."""
    own = ["--shadows", str(shadows)]
    open_run = attacked(out, OVER_FITTED, own, settings)
    best = strongest(open_run)
    found = best.rate(0.01).tpr
    good = [
        told(f"{FEWEST} members and as many others", fewest(open_run) >= FEWEST),
        told(f"over-fitted: {best.title} finds {GOAL:.0%} at 1 %", (found.value or 0.0) >= GOAL),
        told("… and its control holds 0.5", control_holds(best)),
    ]
    private_run = attacked(out, {**OVER_FITTED, **PRIVATE}, own, settings)
    for attack in private_run.attacks:
        rate = attack.rate(0.01)
        if rate.tpr.ci is None or found.ci is None or rate.private_bound is None:
            good.append(told(f"ε = {EPSILON:g}, {attack.title}: an interval", False))
            continue
        upper = rate.tpr.ci[1]
        good += [
            told(f"ε = {EPSILON:g}, {attack.title}: below the other run", upper < found.ci[0]),
            told(f"… and within {rate.private_bound:.3f}", upper <= rate.private_bound),
        ]
    return all(good)


def attacked(
    out: Path, keys: dict[str, object], options: list[str], settings: list[str]
) -> MembershipResult:
    """Return what the attacks on such a run find.

    Args:
        out: where runs go.
        keys: of the run.
        options: of the attack.
        settings: keys besides, as on the command line.

    Raises:
        SystemExit: a command failed.
    """
    runs = out / "runs"
    before = set(runs.glob("*"))
    texts = [f"{key}={json.dumps(value)}" for key, value in keys.items()]
    chosen = [word for text in [*texts, *settings] for word in ("--set", text)]
    code = run("simulate", "--quiet", *chosen, "--set", f"runs_dir={runs}")
    (folder,) = set(runs.glob("*")) - before if code == 0 else (None,)
    if folder is None or run("attack", "membership", str(folder), *options):
        raise SystemExit(1)
    (found,) = (folder / "attacks").iterdir()
    return read_membership(found)


def run(*words: str) -> int:
    """Run `fedcxr WORDS`, print its time, and return its exit code."""
    begun = time.monotonic()
    print(f"\n$ fedcxr {' '.join(words[:3])} …", flush=True)
    code = subprocess.run([sys.executable, "-m", "fedcxr", *words], check=False).returncode
    print(f"[exit {code}; {time.monotonic() - begun:.1f} s]", flush=True)
    return code


def strongest(result: MembershipResult) -> Attack:
    """Return the attack that finds most at 1 % of false alarms."""
    return max(result.attacks, key=lambda attack: attack.rate(0.01).tpr.value or 0.0)


def fewest(result: MembershipResult) -> int:
    """Return how many members or others there are, whichever are fewer."""
    return min(result.members, result.non_members)


def control_holds(attack: Attack) -> bool:
    """Return whether members look alike to the attack."""
    return attack.control.ci is not None and attack.control.ci[0] <= 0.5 <= attack.control.ci[1]


def told(goal: str, is_met: bool) -> bool:
    """Print whether a goal is met, and return it."""
    print(f"{'met' if is_met else 'MISSED'}: {goal}", flush=True)
    return is_met


if __name__ == "__main__":
    main()
