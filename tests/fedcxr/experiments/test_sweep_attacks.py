"""Which protections of a sweep are inverted, what stands for the others, and what is kept."""

import json
from pathlib import Path

import pytest

from fedcxr.errors import DataError
from fedcxr.experiments.inversion.design import InversionDesign
from fedcxr.experiments.inversion.gains import psnr_gain, reidentified, ssim_gain
from fedcxr.experiments.sweep import attacks
from fedcxr.experiments.sweep.attacks import inversions
from fedcxr.results.inversion import FILE, Inversion, InversionResult, InvertedImage
from fedcxr.results.privacy_sweep import InversionSettings, SweepDesign, SweptArm

ASKED = InversionSettings(images=2, steps=5)
ARMS = (
    SweptArm(name="patient-3", level="patient", epsilon=3.0),
    SweptArm(name="client-3", level="client", epsilon=3.0),
    SweptArm(name="update-3", level="update", epsilon=3.0),
    SweptArm(name="centralized-patient-3", level="patient", epsilon=3.0, trained="centralized"),
)
DESIGN = SweepDesign(delta=1e-4, arms=ARMS, inversion=ASKED)


def result(protection, ssim, *, run="a-run", noise=1.0):
    """Return what an attack on two images found, both as alike."""
    images = [
        InvertedImage(
            number=number,
            mismatch=0.1,
            ssim=ssim + 0.01 * number,
            psnr=10.0,
            mean_ssim=0.5,
            mean_psnr=12.0,
            other_ssim=0.6,
            other_psnr=13.0,
            rank=number,
        )
        for number in (1, 2)
    ]
    found = Inversion(
        protection=protection,
        title=protection,
        cohort=1,
        ssim=ssim_gain(images),
        psnr=psnr_gain(images),
        reidentified=reidentified(images, 300),
        images=tuple(images),
        seconds=1.0,
    )
    return InversionResult(
        fedcxr="0",
        run=run,
        is_synthetic=True,
        source="synthetic",
        model="densenet_small",
        image_size=32,
        parameters=10,
        site="site-00",
        round_num=0,
        crafted=False,
        method="layers",
        per_update=1,
        batch_size=1,
        local_steps=1,
        learning_rate=1e-3,
        steps=5,
        restarts=1,
        statistics=0.01,
        clip=1.0,
        noise=noise,
        public=20,
        level=0.95,
        inversions=(found,),
    )


@pytest.fixture
def runs(tmp_path):
    """A run folder an arm, of which the noise of two sites is known."""
    names = ["federated", "centralized", *(arm.name for arm in ARMS)]
    sites = [{"site_id": "site-00", "noise": 1.25}, {"site_id": "site-01", "noise": 2.0}]
    for name in names:
        (tmp_path / name).mkdir()
        manifest = {"privacy": {"clip": 0.5, "sites": sites}}
        (tmp_path / name / "manifest.json").write_text(json.dumps(manifest))
    return {name: [tmp_path / name] for name in names}


def test_each_protection_against_the_server_is_attacked_once_with_its_own_noise(
    tmp_path, runs, monkeypatch
):
    asked = []

    def inverted(out, run, settings, noise, on_progress):
        asked.append((out.name, run.name, noise))
        return result("group" if noise is None else "dp", 0.4 if noise is None else 0.3)

    monkeypatch.setattr(attacks, "_inverted", inverted)
    facts, found = inversions(tmp_path, DESIGN, runs)
    # C and σ of the first site; the server sees what a site under client sends before the noise
    assert asked == [("federated", "federated", None), ("patient-3", "patient-3", (0.5, 1.25))]
    assert found["federated"]["inversion_ssim"].value == pytest.approx(0.415)
    assert found["patient-3"]["inversion_gain"].value == pytest.approx(0.315 - 0.6)
    assert found["patient-3"]["inversion_found"].value == 0.5  # one of two is the nearest
    assert found["client-3"] == found["federated"]
    assert "not computed" in found["update-3"]["inversion_ssim"].reason
    for name in ("centralized", "centralized-patient-3"):
        assert "no update is sent" in found[name]["inversion_found"].reason
    assert (facts.images, facts.steps, facts.candidates) == (2, 5, 300)
    assert facts.best_guess.value == pytest.approx(0.6)


def test_a_sweep_without_inversion_attacks_nothing(tmp_path, runs):
    design = DESIGN.model_copy(update={"inversion": None})
    assert inversions(tmp_path, design, runs) == (None, {})


def test_too_few_patients_are_told_without_the_path(tmp_path, runs, monkeypatch):
    def inverted(out, run, settings, noise, on_progress):
        raise DataError(f"{run / 'partition'}: 3 validation patients at the server.")

    monkeypatch.setattr(attacks, "_inverted", inverted)
    facts, found = inversions(tmp_path, DESIGN, runs)
    assert facts is None
    told = {scores["inversion_ssim"].reason for scores in found.values()}
    assert told == {"3 validation patients at the server."}


@pytest.mark.parametrize(
    ("changes", "is_kept"),
    [
        ({}, True),
        ({"noise": 2.0}, False),
        ({"run": "another"}, False),
    ],
)
def test_what_was_found_by_the_same_design_is_not_sought_again(tmp_path, changes, is_kept):
    kept = result("dp", 0.3, **changes)
    (tmp_path / FILE).write_text(kept.model_dump_json(), "utf-8")
    design = InversionDesign(images=2, steps=5, protections=("dp",))
    found = attacks._kept(tmp_path, design, Path("runs/a-run"))
    assert found == (kept if is_kept else None)


def test_a_damaged_result_is_sought_again(tmp_path):
    (tmp_path / FILE).write_text("{}", "utf-8")
    design = InversionDesign(images=2, steps=5, protections=("dp",))
    assert attacks._kept(tmp_path, design, Path("a-run")) is None
