"""Gains over what needs no update, ranks, the design's refusals, by hand and by laws."""

import numpy as np
import pytest

from fedcxr.attacks.label_mix import distance, told_shares
from fedcxr.attacks.protections import PROTECTIONS
from fedcxr.errors import ArtefactError, ConfigError
from fedcxr.experiments.inversion.design import InversionDesign
from fedcxr.experiments.inversion.gains import Gallery, psnr_gain, reidentified, ssim_gain
from fedcxr.report.inversion_page import write_inversion_page
from fedcxr.results.inversion import Inversion, InversionResult, InvertedImage, read_inversion


def image(ssim=0.5, mean=0.4, other=0.3, rank=1, **changes):
    fields = {
        "number": 1,
        "mismatch": None,
        "ssim": ssim,
        "psnr": 20.0,
        "mean_ssim": mean,
        "mean_psnr": 15.0,
        "other_ssim": other,
        "other_psnr": 16.0,
        "rank": rank,
    }
    return InvertedImage(**{**fields, **changes})


def gallery(num=110, side=16):
    pixels = np.random.default_rng(0).integers(0, 256, (num, side, side), dtype=np.uint8)
    return Gallery.of(pixels[:100], pixels[100:])


def test_a_reconstruction_that_is_the_best_guess_gains_nothing():
    found = gallery()
    images = []
    for own in range(5):
        guess = found.nearest_other(own)
        measured = found.measure(guess, own, number=own + 1, mismatch=float("nan"))
        best = max(measured.mean_ssim, measured.other_ssim)
        assert measured.ssim <= best
        images.append(measured.model_copy(update={"ssim": best}))
    gain = ssim_gain(images).gain
    assert (gain.value, gain.ci) == (0.0, (0.0, 0.0))


def test_the_true_image_gains_all_that_is_missing_and_is_found():
    found = gallery()
    measured = found.measure(found.candidates[3], 3, number=1, mismatch=0.0)
    assert measured.ssim == pytest.approx(1.0)
    assert measured.rank == 1


def test_a_gain_is_over_the_better_guess_of_each_image_with_students_interval():
    # gains 0.5 - 0.4 = 0.1 and 0.6 - 0.3 = 0.3: mean 0.2, s = 0.1414, t(1) = 12.706, half = 1.2706
    likeness = ssim_gain([image(), image(ssim=0.6, mean=0.2, other=0.3)])
    assert likeness.gain.value == pytest.approx(0.2)
    assert likeness.gain.ci == pytest.approx((0.2 - 1.2706, 0.2 + 1.2706), abs=1e-4)
    assert likeness.gain_over_mean.value == pytest.approx((0.1 + 0.4) / 2)


def test_one_image_has_no_interval():
    gain = psnr_gain([image()]).gain
    assert (gain.value, gain.ci) == (4.0, None)
    assert "an interval needs 2" in gain.reason


def test_shares_have_exact_intervals_among_100_candidates_and_none_among_fewer():
    found = reidentified([image(rank=1)] * 3 + [image(rank=4)], 100)
    # Clopper-Pearson of 3 in 4
    assert found.share.ci == pytest.approx((0.1941, 0.9937), abs=1e-4)
    assert "100 are needed" in reidentified([image()], 99).share.reason


def test_a_label_mix_is_exact_where_the_probabilities_are_known():
    # g = mean over images and both labels of p - y
    probs = np.array([[0.5, 0.25], [0.5, 0.75]])
    target = np.array([[1.0, 0.0], [0.0, 1.0]])
    gradient = (probs - target).mean(axis=0) / 2
    assert told_shares(gradient, probs) == pytest.approx([0.5, 0.5])
    assert distance(np.array([0.5]), np.array([0.25])) == (0.25, 0.25)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"protections": ("none", "wall")}, "there is no 'wall'"),
        ({"protections": ()}, "at least one"),
        ({"method": "magic"}, "known are"),
        ({"images": 0}, "--images 0: expected at least 1"),
        ({"cohort": 1}, "--cohort 1: expected at least 2"),
        ({"clip": 0.0}, "--clip 0: expected a number above 0"),
        ({"noise": -1.0}, "--noise -1: expected 0 or more"),
        ({"noise": 0.0}, "without noise nothing is private"),
    ],
)
def test_a_design_that_cannot_be_is_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        InversionDesign(**changes).check()


def test_a_cohort_needs_as_many_patients():
    design = InversionDesign(images=3, cohort=8)
    assert design.images_for(PROTECTIONS["sum"], 8) == 8
    with pytest.raises(ConfigError, match="8 patients are needed and the site has 7"):
        design.images_for(PROTECTIONS["sum"], 7)


def test_tokens_are_for_transformers():
    assert InversionDesign().method_for("vit_b_16") == "tokens"
    with pytest.raises(ConfigError, match="has no tokens"):
        InversionDesign(method="tokens").method_for("densenet_small")


def result_of(*inversions):
    return InversionResult(
        fedcxr="0",
        run="a-run",
        is_synthetic=True,
        source="synthetic",
        model="densenet_small",
        image_size=32,
        parameters=190_000,
        site="site-00",
        round_num=0,
        crafted=False,
        method="layers",
        per_update=1,
        batch_size=1,
        local_steps=1,
        learning_rate=0.001,
        steps=10,
        restarts=1,
        statistics=0.0,
        clip=1.0,
        noise=1.0,
        public=40,
        level=0.95,
        inversions=inversions,
    )


def inversion_of(protection, images, title):
    return Inversion(
        protection=protection,
        title=title,
        cohort=1,
        ssim=ssim_gain(images),
        psnr=psnr_gain(images),
        reidentified=reidentified(images, 120),
        images=tuple(images),
        seconds=1.0,
    )


def test_the_page_says_what_beats_guessing_and_what_does_not(tmp_path):
    good = [image(ssim=s) for s in (0.90, 0.91, 0.92)]
    bad = [image(ssim=s, psnr=p, rank=50) for s, p in ((0.1, 9.0), (0.2, 8.0), (0.15, 8.5))]
    result = result_of(
        inversion_of("none", good, "No protection"),
        inversion_of("dp", bad, "Clipping and noise"),
    )
    text = write_inversion_page(result, tmp_path).read_text("utf-8")
    assert "3 of 3 (no protection), 0 of 3 (clipping and noise)" in text
    assert "Better than the best guess without the update: no protection. Not by" in text
    assert "images.png is not in the folder" in text
    assert (tmp_path / "tables" / "protections.csv").is_file()


def test_a_result_is_read_back_and_a_damaged_one_refused(tmp_path):
    with pytest.raises(ArtefactError, match="missing"):
        read_inversion(tmp_path)
    result = result_of(inversion_of("none", [image(), image()], "No protection"))
    (tmp_path / "result.json").write_text(result.model_dump_json(), "utf-8")
    assert read_inversion(tmp_path) == result
    (tmp_path / "result.json").write_text("{", "utf-8")
    with pytest.raises(ArtefactError, match="not JSON"):
        read_inversion(tmp_path)
