"""The page of a privacy sweep, and its words, by figures made by hand."""

import pytest

from fedcxr.errors import ArtefactError
from fedcxr.report.figures_sweep import draw_sweep
from fedcxr.report.sweep_page import MEANING, cost_sentence, write_sweep_page
from fedcxr.results.privacy_sweep import FILE, PrivacySweep, SweepPoint, read_sweep
from fedcxr.results.run_privacy import RunEpsilon
from fedcxr.results.score import Score

SCORES = {("none", None): 0.8, ("patient", 1.0): 0.6, ("patient", 8.0): 0.75, ("client", 8.0): 0.7}


def point_of(level, epsilon, auroc, *, ci=True):
    cost = Score(value=auroc - 0.8, ci=(auroc - 0.85, auroc - 0.75) if ci else None)
    return SweepPoint(
        arm=f"{level}-{epsilon}",
        title="Federated" if epsilon is None else f"{level}-{epsilon:g}",
        level=level,
        epsilon=epsilon,
        spent=None if epsilon is None else RunEpsilon(rdp=epsilon - 0.01, prv=0.9 * epsilon),
        auroc=Score(value=auroc, ci=(auroc - 0.05, auroc + 0.05) if ci else None),
        cost=None if epsilon is None else cost,
    )


def sweep_of(scores=SCORES, **changes):
    fields = {
        "fedcxr": "0",
        "name": "a-sweep",
        "source": "synthetic data",
        "is_synthetic": True,
        "model": "densenet_small",
        "image_size": 32,
        "sites": 3,
        "rounds": 5,
        "seeds": (0, 1, 2),
        "test_images": 359,
        "test_patients": 160,
        "interval": 0.95,
        "delta": 1e-4,
        "points": tuple(point_of(*key, auroc) for key, auroc in scores.items()),
    }
    return PrivacySweep(**(fields | changes))


def test_the_page_has_every_point_what_each_epsilon_is_of_and_that_attacks_are_missing(tmp_path):
    page = write_sweep_page(sweep_of(), tmp_path).read_text("utf-8")
    for words in (
        "patient, ε = 1: macro AUROC 0.600, −0.200 (−0.250 to −0.150) against no protection.",
        "client, ε = 8: macro AUROC 0.700",
        "not computed",
        "Synthetic data.",
        "not against the server",
    ):
        assert words in page
    assert MEANING["update"] not in page  # no arm has it


def test_table_and_figure_are_files_too(tmp_path):
    write_sweep_page(sweep_of(), tmp_path)
    rows = (tmp_path / "privacy_sweep" / "privacy_sweep.csv").read_text("utf-8").splitlines()
    assert len(rows) == 5
    assert rows[0].startswith("arm,level,epsilon,epsilon_rdp,epsilon_prv,auroc,auroc_low")
    assert rows[1].startswith("Federated,none,∞,,,0.8,")
    assert rows[2].startswith("patient-1,patient,1,0.99,0.9,0.6,")
    for kind in ("svg", "pdf", "png"):
        assert (tmp_path / "privacy_sweep" / f"auroc-by-epsilon.{kind}").is_file()


def test_what_an_attack_finds_stands_in_table_and_figure(tmp_path):
    sweep = sweep_of()
    found = [Score(value=share, reason="no interval: a mean") for share in (0.4, 0.01, 0.02, 0.03)]
    points = [
        point.model_copy(update={"membership_tpr": score})
        for point, score in zip(sweep.points, found, strict=True)
    ]
    sweep = sweep.model_copy(update={"points": tuple(points)})
    write_sweep_page(sweep, tmp_path)
    rows = (tmp_path / "privacy_sweep" / "privacy_sweep.csv").read_text("utf-8").splitlines()
    assert "membership_tpr" in rows[0]
    assert ",0.4," in rows[1]
    assert "members found at 1 % FPR" in draw_sweep(sweep).drawing.svg


def test_the_figure_tells_what_it_shows():
    drawn = draw_sweep(sweep_of())
    assert "Test macro AUROC by ε: Federated 0.800, patient-1 0.600" in drawn.drawing.svg
    assert "∞" in drawn.drawing.svg


def test_a_sweep_without_any_auroc_has_no_figure_and_still_a_page(tmp_path):
    nothing = point_of("none", None, 0.8).model_copy(update={"auroc": Score(value=None)})
    assert draw_sweep(sweep_of(points=(nothing,))) is None
    assert (
        "No AUROC is defined."
        in write_sweep_page(sweep_of(points=(nothing,)), tmp_path).read_text()
    )


def test_a_cost_without_an_interval_has_none_in_words():
    told = cost_sentence(point_of("patient", 1.0, 0.6, ci=False))
    assert told == "patient, ε = 1: macro AUROC 0.600, −0.200 against no protection."


def test_a_sweep_is_read_as_it_was_written_and_a_damaged_one_refused(tmp_path):
    (tmp_path / FILE).write_text(sweep_of().model_dump_json(), "utf-8")
    assert read_sweep(tmp_path) == sweep_of()
    (tmp_path / FILE).write_text("{}", "utf-8")
    with pytest.raises(ArtefactError, match="Go on with `fedcxr resume"):
        read_sweep(tmp_path)
    (tmp_path / FILE).unlink()
    with pytest.raises(ArtefactError, match=r"missing\. Go on with `fedcxr resume"):
        read_sweep(tmp_path)
