"""Attacks on a site's VAE that is over-fitted on purpose, and on one as runs train it.

Some hundreds of patients at 32 px, and as many who were held out. Who has the over-fitted VAE must
find more members than chance, by the intervals of AUROC and of the rate at 1 % of false alarms. Of
the other VAE, and of who has samples alone, nothing is asked: what they show is printed.

    python -m benchmarks.attacks_vae [--out DIR] [--set KEY=VALUE …]
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.attacks import OVER_FITTED, attacked, control_holds, fewest, told

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
}
"""Without validation patients nothing stops the first before its 100 epochs are done."""


def main() -> None:
    """Run both arms; exit 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="where runs go; default a temporary folder")
    parser.add_argument("--set", action="append", default=[], help="any key, for both arms")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = (given.out or Path(folder)).absolute()
        os.environ.setdefault("FEDCXR_HOME", str(out / "home"))
        sys.exit(0 if verify(out, given.set) else 1)


def verify(out: Path, settings: list[str]) -> bool:
    """Return whether all goals are met."""
    good = []
    for name, keys in ARMS.items():
        result = attacked(out, {**BASE, "name": name, **keys}, ["--target", "vae"], settings)
        assert result is not None, "nothing of it is refused"
        good.append(told(f"{name}: {FEWEST} members and as many others", fewest(result) >= FEWEST))
        if name != "over-fitted-vae":
            continue
        best = result.attacks[0]
        auroc, rate = best.auroc, best.rate(0.01)
        good += [
            told(
                f"{name}: {best.title} tells members", (auroc.ci or (auroc.value or 0.0,))[0] > 0.5
            ),
            told("… and finds more than 1 %", rate.tpr.ci is not None and rate.tpr.ci[0] > 0.01),
            told("… and its control holds 0.5", control_holds(best)),
        ]
    return all(good)


if __name__ == "__main__":
    main()
