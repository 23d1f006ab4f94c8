import pytest
from comparison_example import write_comparison_file
from fake_run import write_run
from sklearn.metrics import roc_auc_score

import fedcxr
from fedcxr.api.found import Result
from fedcxr.errors import ArtefactError
from fedcxr.results.opened import MACRO

LABELS = ("Edema", "Mass")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("found") / "run"
    write_run(folder, labels=LABELS, undefined=(), num_sites=2, rounds=3)
    return fedcxr.open(folder)


def test_a_run_shows_its_score_a_figure_and_a_table(run):
    shown = run._repr_html_()
    macro = run.auroc.loc[run.auroc["label"] == MACRO, "auroc"].iloc[0]
    assert f"macro AUROC {macro:.3f}" in repr(run)
    assert f"macro AUROC {macro:.3f}" in shown
    assert "data:image/svg+xml;base64," in shown
    assert "<table" in shown
    assert "Edema" in shown
    assert str(run.report) in repr(run)


def test_the_tables_of_a_run_are_data_frames(run):
    assert list(run.rounds["round"]) == [0, 1, 2, 3]
    assert (
        run.rounds["val_macro_auroc"].max()
        == run.comparison.run.rounds[run.comparison.run.best_round].val_macro_auroc
    )
    assert list(run.sites["site_id"]) == ["site-00", "site-01"]
    assert {"train_images", "val_macro_auroc", "rounds_counted"} <= set(run.sites.columns)


def test_the_auroc_is_that_of_the_predictions(run):
    found = run.predictions
    assert set(found["label"]) == set(LABELS)
    mass = found[(found["label"] == "Mass") & (found["split"] == "test")].dropna()
    wanted = run.auroc.set_index("label").loc["Mass", "auroc"]
    assert roc_auc_score(mass["target"].astype(int), mass["probability"]) == pytest.approx(
        wanted, abs=1e-4
    )


def test_figures_show_themselves_and_are_matplotlibs(run):
    figure = run.figure
    assert figure.name in run.figures
    assert figure.svg.startswith("<?xml")
    assert "data:image/svg+xml;base64," in figure._repr_html_()
    assert figure.figure.get_axes()


def test_a_comparison_shows_its_verdicts(tmp_path):
    write_comparison_file(tmp_path)
    found = fedcxr.open(tmp_path)
    assert isinstance(found, Result)
    primary = found.comparison.primary
    assert f"{primary.arm} minus {primary.against}: {primary.verdict.word}" in repr(found)
    assert found.comparison.arms[0].title in found._repr_html_()
    assert len(found.rounds)
    assert "site_id" in found.sites.columns


def test_what_is_not_finished_has_no_score_and_says_so(tmp_path):
    folder = write_run(tmp_path / "run", labels=LABELS, undefined=(), rounds=2, finished=False)
    found = fedcxr.open(folder)
    assert "macro AUROC not defined" in repr(found)
    assert "val_macro_auroc" not in found.sites.columns
    assert "<table" in found._repr_html_()


def test_no_folder_of_a_run_is_refused(tmp_path):
    with pytest.raises(ArtefactError):
        fedcxr.open(tmp_path / "nothing")
