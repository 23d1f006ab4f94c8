"""The page of a privacy sweep, and its words, by figures made by hand."""

import pytest

from fedcxr.errors import ArtefactError
from fedcxr.report.figures_sweep import draw_group_costs, draw_sweep
from fedcxr.report.sweep_page import (
    MEANING,
    cost_sentence,
    inversion_sentence,
    write_sweep_page,
)
from fedcxr.results.privacy_sweep import (
    FILE,
    GroupCost,
    InversionFacts,
    PrivacySweep,
    SweepPoint,
    read_sweep,
)
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


def centralized(point):
    own = {"trained": "centralized", "arm": f"centralized-{point.arm}"}
    return point.model_copy(update=own)


def group_of(name, cost, *, attribute="sex", reason=None):
    change = None if cost is None else Score(value=cost, reason=reason)
    return GroupCost(
        attribute=attribute,
        group=name,
        labels=("Edema", "Pneumonia"),
        patients=40,
        images=70,
        auroc=Score(value=0.75 + (cost or 0.0)),
        cost=change,
        beyond=None if cost is None else Score(value=cost / 2),
    )


def test_centralized_training_has_lines_of_its_own_and_its_own_reference(tmp_path):
    plain, private = point_of("none", None, 0.8), point_of("patient", 1.0, 0.6)
    sweep = sweep_of(points=(plain, private, centralized(plain), centralized(private)))
    page = write_sweep_page(sweep, tmp_path).read_text("utf-8")
    assert "centralized, unprotected: macro AUROC 0.800." in page
    assert "centralized, patient, ε = 1: macro AUROC 0.600, −0.200" in page
    assert "only patients are protected there" in page
    assert "patient, centralized" in draw_sweep(sweep).drawing.svg
    assert "only patients are protected there" not in write_sweep_page(
        sweep_of(), tmp_path
    ).read_text("utf-8")


def test_what_it_costs_each_group_is_a_table_a_figure_and_a_file(tmp_path):
    plain, private = point_of("none", None, 0.8), point_of("patient", 1.0, 0.6)
    why = "6 patients have Edema; the interval was shown to hold from 10 on"
    of_plain = (group_of("F", None), group_of("80+", None, attribute="age band"))
    of_private = (
        group_of("F", -0.25),
        group_of("80+", -0.125, attribute="age band", reason=why),
    )
    points = (
        plain.model_copy(update={"groups": of_plain}),
        private.model_copy(update={"groups": of_private}),
    )
    sweep = sweep_of(points=points)
    page = write_sweep_page(sweep, tmp_path).read_text("utf-8")
    assert "What it costs whom" in page
    assert why in page
    rows = (tmp_path / "privacy_sweep" / "privacy_groups.csv").read_text("utf-8").splitlines()
    assert len(rows) == 5
    assert rows[3].startswith("patient-1,patient,federated,patient,1,sex,F,40,0.5,")
    assert ",-0.25," in rows[3]
    svg = draw_group_costs(sweep).drawing.svg
    assert all(text in svg for text in ("age band", "80+", "change in AUROC"))
    assert (tmp_path / "privacy_sweep" / "group-costs.png").is_file()


def test_without_groups_there_is_no_word_of_them(tmp_path):
    assert draw_group_costs(sweep_of()) is None
    assert "What it costs whom" not in write_sweep_page(sweep_of(), tmp_path).read_text("utf-8")
    assert not (tmp_path / "privacy_sweep" / "privacy_groups.csv").exists()


def test_an_inverted_update_stands_beside_the_best_guess(tmp_path):
    facts = InversionFacts(
        images=8, steps=60, site="site-00", candidates=300, best_guess=Score(value=0.69)
    )
    found = {
        "inversion_ssim": Score(value=0.39, ci=(0.17, 0.6)),
        "inversion_gain": Score(value=-0.3, ci=(-0.52, -0.08)),
        "inversion_found": Score(value=0.25, ci=(0.01, 0.81)),
    }
    points = tuple(point.model_copy(update=found) for point in sweep_of().points)
    sweep = sweep_of(inversion=facts, points=points)
    page = write_sweep_page(sweep, tmp_path).read_text("utf-8")
    for words in (
        "SSIM 0.690",
        "Under client the server sees each update before the noise",
        "the nearest among 300",
        "−0.300",
    ):
        assert words in page
    assert inversion_sentence(points[1]) == (
        "patient, ε = 1: inverted to SSIM 0.390, −0.300 (−0.520 to −0.080) against the best guess; "
        "re-identified: 25 %."
    )
    few = points[1].model_copy(update={"inversion_found": Score(value=None, reason="too few")})
    assert inversion_sentence(few).endswith("re-identified: too few.")
    assert inversion_sentence(point_of("patient", 1.0, 0.6)) is None
    assert "SSIM of inverted" in draw_sweep(sweep).drawing.svg
    rows = (tmp_path / "privacy_sweep" / "privacy_sweep.csv").read_text("utf-8").splitlines()
    assert ",0.39,0.17,0.6," in rows[1]


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
    assert rows[0].startswith("arm,trained,level,epsilon,epsilon_rdp,epsilon_prv,auroc,auroc_low")
    assert rows[1].startswith("Federated,federated,none,∞,,,0.8,")
    assert rows[2].startswith("patient-1,federated,patient,1,0.99,0.9,0.6,")
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
    svg = draw_sweep(sweep).drawing.svg
    assert "members found" in svg
    assert "SSIM" not in svg  # no panel of what was not done


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
