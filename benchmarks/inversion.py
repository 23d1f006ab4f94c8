"""Gradient inversion against its goals: one image without protection is found, and under DP not.

A vision transformer after its first round, whose image is solved for, and a small convolutional
network, whose images are sought. An honest server sends both models.

    python -m benchmarks.inversion
    python -m benchmarks.inversion --short   # fewer images and steps of the search

Exit code 1 where a goal is missed.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.load import load_config
from fedcxr.experiments.inversion.attack_inversion import attack_inversion
from fedcxr.experiments.inversion.attacked_site import AttackedSite
from fedcxr.experiments.inversion.design import InversionDesign
from fedcxr.experiments.simulate import simulate
from fedcxr.report import inversion_words as words
from fedcxr.results.inversion import InversionResult, read_inversion


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--out", type=Path, default=None)
    chosen = parser.parse_args()
    out = chosen.out or Path(tempfile.mkdtemp(prefix="inversion-"))
    small = InversionDesign(
        images=4 if chosen.short else 8,
        steps=60 if chosen.short else 300,
        protections=("frozen", "dp") if chosen.short else ("frozen", "group", "dp", "sum"),
        cohort=4,
    )
    config = _config("densenet_small", 32, out)
    site = AttackedSite.of_config(config, None)
    missed = _missed_by_search(_attack(site, small, out / "densenet_small"))
    solved = InversionDesign(images=8, protections=("none", "dp", "sum"))
    run = simulate(_config("vit_b_16", 64, out)).path
    missed += _missed_by_solving(_attack(AttackedSite.of_run(run, None, 1), solved, out / "vit"))
    for goal in missed:
        print(f"MISSED: {goal}")
    print(f"Pages: {out}")
    return 1 if missed else 0


def _config(model: str, size_px: int, out: Path) -> ExperimentConfig:
    return load_config(
        overrides={
            "runs_dir": str(out / "runs"),
            "data.synthetic.patients": 400,
            "data.synthetic.size_px": max(size_px, 48),
            "partition.clients": 2,
            "model.name": model,
            "model.image_size": size_px,
            "server.rounds": 1,
            "train.local_epochs": 1,
            "explain.images_per_outcome": 0,
            "explain.max_boxes": 0,
        }
    )


def _attack(site: AttackedSite, design: InversionDesign, folder: Path) -> InversionResult:
    attack_inversion(site, design, folder)
    result = read_inversion(folder)
    config = site.model.config.model
    print(f"{config.name}, {config.image_size} px: {words.sentence(result)}")
    for found in result.inversions:
        print(f"  {words.line(found)}")
    for mix in result.label_mix:
        print(f"  {words.mix_line(mix)}")
    return result


def _missed_by_search(result: InversionResult) -> list[str]:
    """A small network: re-identified more often than by chance without noise, and not with it."""
    missed = []
    frozen, noised = result.of("frozen"), result.of("dp")
    for found, is_found in ((frozen, True), (noised, False)):
        assert found is not None
        assert found.reidentified.share.ci is not None
        is_beyond = found.reidentified.share.ci[0] > 1 / found.reidentified.candidates
        if is_beyond != is_found:
            missed.append(f"{found.title}: re-identified {found.reidentified.first}")
    return missed


def _missed_by_solving(result: InversionResult) -> list[str]:
    """A transformer: beats the best guess and finds all without protection, not under DP."""
    plain, noised = result.of("none"), result.of("dp")
    assert plain is not None
    assert noised is not None
    missed = []
    if not plain.beats_prior or plain.reidentified.first < plain.reidentified.images:
        missed.append("no protection: no gain over the best guess, or not all are re-identified")
    if noised.beats_prior or noised.reidentified.first:
        missed.append("clipping and noise: a gain, or someone is re-identified")
    return missed


if __name__ == "__main__":
    sys.exit(main())
