"""A clinic's own folder of DICOM files, from nothing but its table to the page of a run."""

import csv
import json
import re

import pytest
from own_folder import make_drawn
from typer.testing import CliRunner

from fedcxr.cli.main import cli
from fedcxr.data.read import read_dataset
from fedcxr.data.synthetic.write import write_synthetic
from fedcxr.data.tokens import load_key
from fedcxr.results.reading import read_result
from partitions.export import export_site
from partitions.plan import read_plan

pytestmark = pytest.mark.slow

FRONTAL = 78
"""Of the 90 films; the others are lateral."""
QUICK = ("--rounds", 2, "--local-epochs", 1, "--image-size", 32, "--workers", 1, "--quiet")


def fedcxr(*words):
    done = CliRunner().invoke(cli, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("own")
    drawings = write_synthetic(place / "drawn", patients=60, size_px=96, workers=1)
    assert make_drawn(place / "klinik", drawings) == FRONTAL
    said = fedcxr("init-data", place / "klinik")
    assert "90 images of" in said
    assert "which 90 of 90 looked at have (frontal 78, lateral 12)" in said
    return place / "klinik"


def test_ninety_dicom_files_and_their_table_become_a_federation_with_its_page(folder, tmp_path):
    assert len(list((folder / "bilder").iterdir())) == 90
    said = fedcxr("check-data", folder, "--workers", 1)
    assert "Clean: no problem was found." in said
    assert re.search(rf"Views +frontal {FRONTAL}, lateral {90 - FRONTAL}\b", said)

    fedcxr("simulate", "--data", folder, "--clients", 3, *QUICK, "--runs-dir", tmp_path / "runs")
    (run,) = (tmp_path / "runs").iterdir()
    plan = read_plan(run / "partition")
    assert (plan.layout, plan.labels) == ("own", ("rundherd", "erguss"))
    sites = json.loads((run / "partition/plan.json").read_text("utf-8"))["sites"]
    assert len(sites) == 3
    images = sum(site["images"] for site in sites)
    head = json.loads((run / "partition/plan.json").read_text("utf-8"))["global"]
    assert images + head["val"]["images"] + head["test"]["images"] == FRONTAL
    tables = "".join(path.read_text("utf-8") for path in run.rglob("*.csv"))
    assert "p-0a" not in tables
    assert "P-0a" not in tables
    page = (run / "report.html").read_text("utf-8")
    assert "rundherd" in page
    assert "erguss" in page


def test_the_same_folder_as_three_hospitals_by_its_site_column(folder, tmp_path):
    words = ("--scheme", "by-attribute", "--attribute", "site", "--clients", 3)
    said = fedcxr("partition", folder, *words, "--views", "all", "--out", tmp_path / "plan")
    for house in ("Nord", "Süd", "West"):
        assert house in said
    plan = read_plan(tmp_path / "plan")
    assert sorted(site.holds for site in plan.sites) == ["Nord", "Süd", "West"]


def test_hospitals_of_a_site_column_are_compared_by_name(folder, tmp_path):
    words = ("--scheme", "by-attribute", "--attribute", "site", "--clients", 3)
    quick = (*QUICK, "--arms", "federated,local", "--seeds", 1, "--runs-dir", tmp_path / "runs")
    fedcxr("compare", "--data", folder, *words, *quick)
    (run,) = (tmp_path / "runs").iterdir()
    matrix = read_result(run).site_matrix
    assert sorted(site.holds for site in matrix.sites) == ["Nord", "Süd", "West"]
    assert sum(site.images for site in matrix.sites) > 0
    assert matrix.title(matrix.sites[0].site_id) in (run / "report.html").read_text("utf-8")
    with (run / "tables/site_matrix.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["holds"] for row in rows] == [site.holds for site in matrix.sites]


def test_a_hospitals_site_csv_is_a_data_folder_for_simulate_and_partition(folder, tmp_path):
    fedcxr("partition", folder, "--clients", 2, "--out", tmp_path / "plan")
    export_site(
        read_plan(tmp_path / "plan"), "site-00", read_dataset(folder), load_key(), tmp_path / "s"
    )
    assert "a hospital's own folder" in fedcxr("check-data", tmp_path / "s", "--workers", 1)
    fedcxr("partition", tmp_path / "s", "--clients", 2, "--out", tmp_path / "plan2")
    assert read_plan(tmp_path / "plan2").layout == "site"
    words = ("--data", tmp_path / "s", "--clients", 2, "--runs-dir", tmp_path / "runs")
    fedcxr("simulate", *words, *QUICK)
    (run,) = (tmp_path / "runs").iterdir()
    assert (run / "report.html").is_file()
