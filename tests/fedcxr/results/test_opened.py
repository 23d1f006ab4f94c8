"""A comparison from Python: what the files hold, as DataFrames."""

import csv
import io

import pytest
from fake_run import write_run

import fedcxr.results
from benchmarks.judging import fill, make_comparison
from fedcxr.errors import ArtefactError
from fedcxr.experiments.compare.judge import judge
from fedcxr.results.tables import all_tables, detail_tables


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("opened") / "comparison"
    config = make_comparison(folder, 400, 150)
    judge(folder, *fill(folder, config))
    return fedcxr.results.open(folder)


def test_auroc_is_long_with_the_macro_mean_first(result):
    frame = result.auroc
    arm = result.comparison.arms[0]
    first = frame.iloc[0]
    assert (first["arm"], first["label"]) == (arm.name, "macro mean")
    assert first["auroc"] == arm.macro_auroc.value
    assert len(frame) == len(result.comparison.arms) * (1 + len(result.comparison.data.labels))
    label = frame.set_index(["arm", "label"]).loc[arm.name, "Support Devices"]
    scores = arm.by_label["Support Devices"]
    assert (label["auroc"], label["positives"]) == (scores.auroc.value, scores.positives)
    assert (label["low"], label["high"]) == scores.auroc.ci
    assert result.ap["ap"].iloc[0] == arm.macro_ap.value


def test_a_run_opens_as_a_comparison_does(tmp_path):
    run = write_run(tmp_path / "run", labels=("Edema", "Mass"), undefined=(), num_sites=2, rounds=2)
    opened = fedcxr.results.open(run)
    assert opened.auroc["label"].tolist() == ["macro mean", "Edema", "Mass"]
    assert opened.auroc["auroc"].iloc[0] == opened.comparison.main_arm.macro_auroc.value
    assert opened.tables["learning"]["round"].max() == 2


def test_every_table_has_names_of_its_own_and_rows_as_long(result):
    for table in all_tables(result.comparison).values():
        keys, *rows = csv.reader(io.StringIO(table.to_csv()))
        assert len(keys) == len(set(keys)), table.name
        assert all(len(row) == len(keys) for row in rows), table.name
        assert len(rows) == len(table.rows), table.name
        assert table.title, table.name


def test_the_tables_hold_what_the_typed_result_holds(result):
    found, tables = result.comparison, result.tables
    points = sum(len(arm.operating_points) for arm in found.arms)
    assert len(tables["operating_points"]) == points
    primary = found.primary
    assert tables["differences"].iloc[0]["macro_auroc"] == primary.macro_auroc.value
    assert tables["seeds"]["seed_sd"].tolist() == [arm.seed_sd for arm in found.arms]
    row = tables["label_frequencies"].iloc[0]
    assert row["test_share"] == pytest.approx(row["test_positive"] / row["test_known"])
    assert tables["arms"]["verdict"].tolist().count("reference") == 1


def test_predictions_are_those_of_every_training_image_and_label(result):
    frame = result.predictions
    trainings = frame.groupby(["arm", "seed", "site"]).ngroups
    assert trainings == sum(arm.models for arm in result.comparison.arms)
    test = frame[frame["split"] == "test"]
    assert len(test) == trainings * 400 * len(result.comparison.data.labels)


def test_without_the_file_of_predictions_it_is_said_how_to_have_it(result, tmp_path):
    bare = fedcxr.results.OpenedResult(tmp_path, result.comparison)
    with pytest.raises(ArtefactError, match=r"Install `fedcxr\[parquet\]`"):
        bare.predictions  # noqa: B018  # asked for to be refused


def test_a_rate_at_a_prevalence_is_there_where_one_is_stated(result):
    keys = [column.key for column in all_tables(result.comparison)["operating_points"].columns]
    assert "ppv_at_prevalence" not in keys
    arm = result.comparison.arms[0]
    point = arm.operating_points[0].model_copy(update={"prevalence": 0.1})
    stated = arm.model_copy(update={"operating_points": (point,)})
    changed = result.comparison.model_copy(update={"arms": (stated,)})
    keys = [column.key for column in detail_tables.operating_points(changed).columns]
    assert "ppv_at_prevalence" in keys
