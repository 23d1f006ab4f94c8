"""Attacks on a site's VAE that is over-fitted on purpose, on one as runs train it, and under DP.

Some hundreds of patients at 32 px, and as many who were held out. Who has the over-fitted VAE must
find more members than chance, by the intervals of AUROC and of the rate at 1 % of false alarms. Of
the usual VAE, and of who has samples alone, nothing is asked: what they show is printed. Under
ε = 3 no attack may find more than e^ε·FPR + δ, nor as many as in the over-fitted VAE.

    python -m benchmarks.attacks_vae [--out DIR] [--set KEY=VALUE …]
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.attacks import EPSILON, OVER_FITTED, attacked, control_holds, fewest, told
from fedcxr.results.membership import Attack, MembershipResult

FEWEST = 400
BASE = {
    **{key: value for key, value in OVER_FITTED.items() if not key.startswith("train.")},
    "data.synthetic.patients": 1350,
    "train.local_epochs": 1,
    "vae.enabled": True,
    "vae.samples_per_label": 1000,
    "vae.max_ratio": 5.0,
}
ARMS: dict[str, dict[str, object]] = {
    "over-fitted-vae": {"vae.kl_warmup_epochs": 0},
    "usual-vae": {"partition.site_val_fraction": 0.1},
    "private-vae": {
        "privacy.level": "patient",
        "privacy.epsilon": EPSILON,
        "server.batch_norm": "group",
        "vae.epochs": 20,
    },
}
"""Without validation patients nothing stops the first before its 100 epochs are done."""


def main() -> None:
    """Run the arms; exit 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="where runs go; default a temporary folder")
    parser.add_argument("--set", action="append", default=[], help="any key, for all arms")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = (given.out or Path(folder)).absolute()
        os.environ.setdefault("FEDCXR_HOME", str(out / "home"))
        sys.exit(0 if verify(out, given.set) else 1)


def verify(out: Path, settings: list[str]) -> bool:
    """Return whether all goals are met."""
    good = []
    found: dict[str, MembershipResult] = {}
    for name, keys in ARMS.items():
        keys = {**BASE, "name": name, **keys}
        found[name] = attacked(out, keys, ["--target", "vae"], settings)
        many = fewest(found[name]) >= FEWEST
        good.append(told(f"{name}: {FEWEST} members and as many others", many))
    best = found["over-fitted-vae"].attacks[0]
    auroc, low = best.auroc, lowest(best)
    good += [
        told(f"over-fitted: {best.title}, AUROC", (auroc.ci or (auroc.value or 0.0,))[0] > 0.5),
        told("… and finds more than 1 %", low > 0.01),
        told("… and its control holds 0.5", control_holds(best)),
    ]
    for attack in found["private-vae"].attacks:
        rate = attack.rate(0.01)
        upper = rate.tpr.ci[1] if rate.tpr.ci else 1.0
        good += [
            told(f"ε = {EPSILON:g}, {attack.title}: below the over-fitted", upper < low),
            told("… and within what ε allows", upper <= (rate.private_bound or 0.0)),
        ]
    return all(good)


def lowest(attack: Attack) -> float:
    """Return the lower end of the rate at 1 % of false alarms; 0 where there is none."""
    ci = attack.rate(0.01).tpr.ci
    return ci[0] if ci else 0.0


if __name__ == "__main__":
    main()
