import json
import time
from dataclasses import asdict, fields, replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score
from threadpoolctl import threadpool_limits
from typer.testing import CliRunner

import fedcxr.cli.selftest as verb
import fedcxr.experiments.selftest as selftest
from fedcxr.errors import ArtefactError
from fedcxr.experiments import selftest_grid
from fedcxr.experiments.selftest import read_result, run_selftest
from fedcxr.experiments.selftest_grid import GRID
from fedcxr.experiments.selftest_page import MARK, tables, write_page
from fedcxr.metrics import regime, simulated_study
from fedcxr.metrics.count_outcomes import FAMILIES, INTERVALS, count_outcomes, families_of
from fedcxr.metrics.fold_regime import USUAL_FOLDS
from fedcxr.metrics.regime import Cell, read_cell, read_tallies
from fedcxr.metrics.scored_areas import score_models
from fedcxr.metrics.simulated_study import AREA_INTERVALS, Design, areas_of, simulate_study

STORED = Path(regime.__file__).parent / regime.STORED
SMALL = Design()
CELL = Cell(12, 30, 3.0, True, 0.5, 1)
PAIR = (CELL, Cell(10, 20, 1.0, False, 0.0, 2, seeds=1))
OF_FOLDS = Cell(10, 40, 1.0, False, 0.0, 1, seeds=1, folds=3)


def cell_of(family):
    """Return a small cell that has the family."""
    return OF_FOLDS if family == "folds" else CELL


@pytest.fixture(autouse=True)
def one_thread():
    """As the verb's processes have: threads that wait for one another would count as work."""
    with threadpool_limits(1):
        yield


def test_the_intervals_of_a_study_are_those_of_the_product():
    cell = replace(CELL, labels=2, seeds=2)
    study = simulate_study(cell, SMALL, np.random.default_rng(5))
    assert study.scores.shape == (2, 2, len(study.patient), 2)
    target = study.positive[:, study.patient].T.astype(float)
    scored = score_models(target, study.scores.reshape(4, -1, 2), study.patient, ["0", "1"])[
        "auroc"
    ]
    models = scored.difference(np.array([0.5, 0.5, -0.5, -0.5]), [0, 1], 0.95)
    pairs = np.array([[1.0, 0, -1, 0], [0, 1, 0, -1]])
    found = areas_of(study, cell, SMALL)
    assert set(found) == set(AREA_INTERVALS)
    assert found["models"].estimate == models
    assert found["methods"].estimate == scored.method_difference(pairs, [0, 1], 0.95)
    assert found["methods"].truth == -0.01
    # what these very models have: Φ(shift / √2)
    aurocs = stats.norm.cdf(study.shift / np.sqrt(2)).mean(axis=1)
    assert found["models"].truth == pytest.approx(aurocs[0] - aurocs[1])
    assert found["auroc"].truth == pytest.approx(aurocs[1])


def test_one_training_says_nothing_of_methods():
    cell = replace(CELL, seeds=1)
    study = simulate_study(cell, SMALL, np.random.default_rng(5))
    assert "methods" not in areas_of(study, cell, SMALL)


def test_trainings_lie_around_the_arm_as_the_cell_says():
    cell = replace(CELL, seeds=20_000, training_sd=0.02, positives=1, negatives=1, auroc=0.9)
    rng = np.random.default_rng(0)
    aurocs = stats.norm.cdf(simulated_study._shifts(cell, SMALL, rng) / np.sqrt(2))
    assert aurocs.mean(axis=1) == pytest.approx([0.89, 0.9], abs=0.0005)
    assert aurocs.std(axis=1) == pytest.approx([0.02, 0.02], rel=0.05)


@pytest.mark.parametrize(("shift", "prevalence"), [(0.5, 0.5), (1.5, 0.1), (2.7, 0.02)])
def test_the_average_precision_of_a_model_is_that_of_very_many_images(shift, prevalence):
    rng = np.random.default_rng(1)
    target = np.arange(400_000) < 400_000 * prevalence
    found = average_precision_score(target, rng.standard_normal(400_000) + shift * target)
    expected = simulated_study.average_precision_of(np.array([shift]), prevalence)
    assert expected == pytest.approx([found], abs=0.01)


def test_the_arms_have_the_aurocs_that_the_design_says():
    # 4,000 × 4,000 patients: DeLong's standard error of an AUROC of 0.85 is about 0.003
    cell = Cell(4000, 4000, 1.0, False, 0.0, 1)
    study = simulate_study(replace(cell, training_sd=0.0), SMALL, np.random.default_rng(0))
    ill = study.positive[0]
    for arm, auroc in enumerate((0.84, 0.85)):
        scores = study.scores[arm, 0, :, 0]
        found = stats.mannwhitneyu(scores[ill], scores[~ill]).statistic / 4000**2
        assert found == pytest.approx(auroc, abs=0.015)


def test_noise_has_variance_1_and_the_correlations_that_the_design_says():
    cell = Cell(1, 20_000, 2.0, False, 0.5, 1, seeds=2)
    study = simulate_study(cell, SMALL, np.random.default_rng(0))
    well = ~study.positive[0, study.patient]
    images = study.scores[:, :, well, 0].reshape(4, -1, 2)  # (arm and training, patient, image)
    assert images.var(axis=(1, 2)) == pytest.approx(np.ones(4), abs=0.03)
    assert np.corrcoef(images[0].T)[0, 1] == pytest.approx(0.5, abs=0.03)
    among = np.corrcoef(images.reshape(4, -1))
    assert among[0, 1] == pytest.approx(0.9, abs=0.03)
    assert among[0, 2] == pytest.approx(0.8, abs=0.03)


def test_uneven_patients_have_as_many_images_on_average():
    cell = Cell(2000, 8000, 3.0, True, 0.5, 1)
    sizes = np.bincount(simulate_study(cell, SMALL, np.random.default_rng(0)).patient)
    assert sizes.min() == 1
    assert sizes.mean() == pytest.approx(3, abs=0.1)
    assert sizes.var() == pytest.approx(6, abs=0.5)  # geometric: (1 - 1/3) / (1/3)^2


@pytest.mark.parametrize("family", FAMILIES)
def test_a_cell_counts_every_study_once_however_they_are_shared_out(family):
    cell = cell_of(family)
    whole = count_outcomes(cell, SMALL, family, range(30))
    parts = [count_outcomes(cell, SMALL, family, some) for some in (range(11), range(11, 30))]
    assert np.array_equal(whole[0], parts[0][0] + parts[1][0])
    assert whole[1] == pytest.approx(parts[0][1] + parts[1][1], rel=1e-12)
    assert np.all(whole[0].sum(axis=1) == 30)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_truth_is_covered_about_as_often_as_the_interval_says(family):
    cell = OF_FOLDS if family == "folds" else Cell(40, 200, 1.0, False, 0.0, 1)
    counts, _ = count_outcomes(cell, Design(), family, range(200))
    covered = dict(zip(FAMILIES[family], counts[:, 0] / 200, strict=True))
    # 200 studies of 95 %: 99.9 % of counts lie above 88 %
    assert all(share > 0.88 for share in covered.values())


@pytest.mark.alone
def test_a_study_of_40_positives_and_200_negatives_takes_a_few_milliseconds():
    cell = Cell(40, 200, 1.0, False, 0.0, 1)
    for family in families_of(cell):
        count_outcomes(cell, Design(), family, range(2))
    start = time.process_time()
    for family in families_of(cell):
        count_outcomes(cell, Design(), family, range(2, 22))
    assert time.process_time() - start < 20 * 0.06


def test_the_grid_is_that_of_the_page():
    on_one = [cell for cell in GRID if cell.folds == 1]
    assert {cell.positives for cell in on_one} == {10, 40, 200}
    assert {cell.cluster for cell in on_one} == {1.0, 3.0, 10.0}
    assert {cell.correlation for cell in on_one} == {0.0, 0.5}
    assert {cell.auroc for cell in on_one} == {0.85, 0.9, 0.95, 0.97}
    assert {cell.seeds for cell in on_one} == {2, 3, 5}
    assert {cell.training_sd for cell in on_one} == {0.003, 0.01, 0.03}
    assert len({cell.name for cell in GRID}) == len(GRID)


def test_cross_validations_of_the_usual_folds_are_tried_with_every_size_and_auroc():
    # One training on each of 5 folds speaks for other numbers of folds and trainings.
    usual = [cell for cell in GRID if (cell.folds, cell.seeds) == (USUAL_FOLDS, 1)]
    tried = {(cell.positives, cell.cluster, cell.uneven, cell.auroc) for cell in usual}
    for positives in (10, 40, 200):
        assert {(positives, 1.0, False, 0.97), (positives, 3.0, True, 0.97)} <= tried
        assert (positives, 10.0, True, 0.85) in tried
    folded = [cell for cell in GRID if cell.folds > 1]
    assert {(cell.folds, cell.seeds) for cell in folded} == set(product((3, 5), (1, 3)))
    assert {cell.training_sd for cell in folded} == {0.01, 0.02}
    assert {cell.positives for cell in folded} == {10, 40, 200}


def test_the_page_tells_cross_validations_apart(tmp_path):
    result = run_selftest(5, tmp_path / "r.json", workers=1, design=SMALL, grid=(CELL, OF_FOLDS))
    text = tables(result)
    assert "| folds | positives | images a patient |" in text
    assert "| 3 | 10 | 1 | – | 1 | 0.85 | 1 | 0.01 | " in text
    assert "| folds | trainings | their SD | AUROC up to 0.85 |" in text


def test_a_run_stores_counts_and_what_follows_from_them(tmp_path):
    told = []
    result = run_selftest(
        60,
        tmp_path / "result.json",
        workers=1,
        design=SMALL,
        grid=PAIR,
        show=lambda cell, more, found: told.append((cell.name, more, found is not None)),
    )
    assert json.loads((tmp_path / "result.json").read_text()) == result
    assert [read_cell(cell) for cell in result["cells"]] == list(PAIR)
    assert sum(more for _, more, _ in told) == 60 * (len(families_of(CELL)) + 1)
    assert [name for name, _, is_done in told if is_done] == [cell.name for cell in PAIR]
    assert list(result["cells"][0]["intervals"]) == [
        name for name in INTERVALS if name not in FAMILIES["folds"]
    ]
    # one training, and two labels: only the areas are tried
    assert list(result["cells"][1]["intervals"]) == list(AREA_INTERVALS[1:])
    for cell in result["cells"]:
        for name, tally in read_tallies(cell).items():
            counts = cell["intervals"][name]
            assert tally.covered + tally.above + tally.below + tally.undefined == 60
            assert counts["coverage"] == tally.covered / 60
            assert counts["rejected"] == tally.rejected(0.95, one_sided=name in regime.ONE_SIDED)
    assert not (tmp_path / "result.json.part").exists()


def test_a_rejected_cell_is_judged_by_three_times_as_many_further_studies(tmp_path, monkeypatch):
    ranges = {family: [] for family in FAMILIES}

    def bad_at_first(cell, design, family, studies):
        """Return no area's interval that holds in the first 100 studies, all that hold later."""
        ranges[family].extend(studies)
        counts = np.zeros((len(FAMILIES[family]), 4), np.int64)
        counts[:, 1 if family == "areas" and studies.start < 100 else 0] = len(studies)
        return counts, np.zeros(len(counts))

    monkeypatch.setattr(selftest, "count_outcomes", bad_at_first)
    result = run_selftest(100, tmp_path / "r.json", workers=1, design=SMALL, grid=PAIR[:1])
    assert sorted(ranges["areas"]) == list(range(400))
    assert sorted(ranges["rates"]) == list(range(100))  # nothing of these was rejected
    found = result["cells"][0]["intervals"]
    assert (found["models"]["studies"], found["rate"]["studies"]) == (400, 100)
    assert found["models"]["coverage"] == 0.75
    assert found["models"]["rejected"]


def test_the_number_of_processes_changes_no_count(tmp_path):
    runs = [
        run_selftest(110, tmp_path / f"{n}.json", workers=n, design=SMALL, grid=PAIR)
        for n in (1, 2)
    ]
    one, two = ([cell["intervals"] for cell in run["cells"]] for run in runs)
    assert one == two


def test_a_stopped_run_goes_on_after_its_last_finished_cell(tmp_path, monkeypatch):
    out = tmp_path / "result.json"

    def stop_in_the_second(cell, more, result):
        if cell == PAIR[1]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_selftest(20, out, workers=1, design=SMALL, grid=PAIR, show=stop_in_the_second)
    assert not out.exists()
    simulated = []

    def watched(cell, design, family, studies):
        simulated.append(cell)
        return count_outcomes(cell, design, family, studies)

    monkeypatch.setattr(selftest, "count_outcomes", watched)
    result = run_selftest(20, out, workers=1, design=SMALL, grid=PAIR)
    assert set(simulated) == {PAIR[1]}
    whole = run_selftest(20, tmp_path / "whole.json", workers=1, design=SMALL, grid=PAIR)
    for one, other in zip(result["cells"], whole["cells"], strict=True):
        assert one["intervals"] == other["intervals"]


def test_a_part_of_another_run_is_not_gone_on_with(tmp_path):
    out = tmp_path / "result.json"
    out.with_name("result.json.part").write_text('{"head": {}, "cells": {"x": 1}}')
    assert run_selftest(5, out, workers=1, design=SMALL, grid=PAIR)["studies"] == 5


def test_the_page_keeps_its_head_and_has_every_cell(tmp_path):
    result = run_selftest(10, tmp_path / "r.json", workers=1, design=SMALL, grid=PAIR)
    page = tmp_path / "statistics.md"
    page.write_text(f"# By hand\n\nKept.\n\n{MARK}\n\nold tables\n")
    write_page(page, result)
    text = page.read_text()
    assert text.startswith("# By hand\n\nKept.\n")
    assert "old tables" not in text
    assert "10 studies in each of 2 cells, seed 1988" in text
    assert "| 12 | 3, uneven | 0.5 | 1 | 0.85 | 3 | 0.01 |" in text
    write_page(page, result)
    assert page.read_text() == text


def test_the_verb_writes_the_result_and_the_page_and_tells_each_cell(tmp_path, monkeypatch):
    monkeypatch.setattr(selftest_grid, "GRID", PAIR)
    monkeypatch.setattr(
        selftest.run_selftest,
        "__kwdefaults__",
        {**selftest.run_selftest.__kwdefaults__, "grid": PAIR, "design": SMALL},
    )
    out, page = tmp_path / "r.json", tmp_path / "p.md"
    arguments = ["stats", "--studies", "5", "--workers", "1", "--out", out, "--page", page]
    done = CliRunner().invoke(verb.selftest, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    assert done.stdout.split() == [str(out), str(page)]
    assert done.stderr.count("coverage") == 2
    assert json.loads(out.read_text())["studies"] == 5


def test_the_page_can_be_written_again_from_the_result_alone(tmp_path):
    out, page = tmp_path / "r.json", tmp_path / "p.md"
    result = run_selftest(5, out, workers=1, design=SMALL, grid=PAIR)
    arguments = ["stats", "--out", str(out), "--page", str(page), "--write-only"]
    done = CliRunner().invoke(verb.selftest, arguments)
    assert done.exit_code == 0, done.output
    assert page.read_text() == f"# Statistics\n\n{MARK}\n\n{tables(result)}"


def test_a_result_that_cannot_be_read_says_how_to_write_one(tmp_path):
    with pytest.raises(ArtefactError, match=r"no result of the self-test.*selftest stats --out"):
        read_result(tmp_path / "none.json")


def test_the_stored_result_is_of_this_grid_and_its_judgements_follow_from_its_counts():
    stored = json.loads(STORED.read_text("utf-8"))
    assert tuple(read_cell(cell) for cell in stored["cells"]) == GRID
    assert {field.name: stored[field.name] for field in fields(Design)} == asdict(Design())
    for cell in stored["cells"]:
        families = families_of(read_cell(cell))
        tried = [name for family in families for name in FAMILIES[family]]
        assert list(cell["intervals"]) == tried
        for name, tally in read_tallies(cell).items():
            counts = cell["intervals"][name]
            one_sided = name in regime.ONE_SIDED
            assert counts["rejected"] == tally.rejected(stored["level"], one_sided=one_sided)
            total = tally.covered + tally.above + tally.below + tally.undefined
            assert total == tally.studies
            assert total in (stored["studies"], 4 * stored["studies"])


def test_the_page_in_docs_is_that_of_the_stored_result():
    page = Path(__file__).parents[3] / "docs" / "statistics.md"
    stored = json.loads(STORED.read_text("utf-8"))
    assert page.read_text("utf-8").partition(MARK)[2].strip() == tables(stored).strip()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_first_stored_studies_are_those_that_are_simulated_now(family):
    # 200 of the 3,000: the share of all lies in the exact 99.9 % interval of theirs
    cells = json.loads(STORED.read_text("utf-8"))["cells"]
    stored = next(each for each in cells if FAMILIES[family][0] in each["intervals"])
    counts, _ = count_outcomes(read_cell(stored), Design(), family, range(200))
    for place, name in enumerate(FAMILIES[family]):
        low, high = regime.clopper_pearson(int(counts[place, 0]), 200, 0.999)
        assert low <= stored["intervals"][name]["coverage"] <= high
