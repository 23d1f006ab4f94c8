"""From a hand-made comparison to the plan, by Python and by the command line."""

import csv
import json
import logging
import sys

import pytest
from comparison_example import make_comparison

from fedcxr.cli.main import main
from fedcxr.errors import ArtefactError, ConfigError
from fedcxr.experiments.plan_study import plan_study
from fedcxr.metrics.study_power import Variances
from fedcxr.report.pilot import read_pilot

VARIANCE = {"patients": 9e-6, "patients_df": 60.0, "trainings": 3e-5, "seeds": 3}


def make_tree(**changes):
    """Return a comparison of three arms; `changes` are of the first difference's variance."""
    tree = make_comparison(labels=("Edema",), undefined=(), clients=1, name="a-pilot")
    tree["data"]["test_patients"] = 1000
    tree["statistics"]["margin"] = 0.02
    ours, theirs = tree["differences"]
    for each in (ours, theirs):
        each["macro_auroc"] = {"value": -0.004, "ci": [-0.01, 0.002], "reason": None}
    ours["variance"] = {**VARIANCE, **changes}
    theirs["variance"] = {**VARIANCE, "trainings": 1e-4}
    return tree


def put(folder, tree):
    folder.mkdir(exist_ok=True)
    (folder / "comparison.json").write_text(json.dumps(tree), "utf-8")
    return folder


@pytest.fixture
def pilot(tmp_path):
    return put(tmp_path / "pilot", make_tree())


@pytest.fixture
def run_main(monkeypatch, capsys):
    """Run `fedcxr plan-study` in this process; return its exit code, stdout and stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["fedcxr", "plan-study", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        told = capsys.readouterr()
        return caught.value.code or 0, told.out, told.err

    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setenv("FLWR_TELEMETRY_ENABLED", "0")
    level = logging.getLogger("flwr").level
    yield run
    logging.getLogger("flwr").setLevel(level)


def test_the_pilot_is_the_main_difference_with_its_variances(pilot):
    found = read_pilot(pilot)
    assert (found.arm, found.against, found.margin) == ("federated", "centralized", 0.02)
    assert found.variances == Variances(9e-6, 60.0, 3e-5, 3, 1000)
    assert read_pilot(pilot, "local").variances.trainings == 1e-4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seeds": 1, "trainings": None}, "seeds is 1: one training of each arm does not tell"),
        ({"patients": None}, "patients is null: too few test patients have the finding"),
        ({"patients_df": 0.5}, "patients_df is 0.5, expected a number from 1"),
    ],
)
def test_a_variance_that_cannot_be_planned_from_is_named(tmp_path, change, words):
    folder = put(tmp_path / "p", make_tree(**change))
    where = "comparison.json: variance of federated minus centralized: "
    with pytest.raises(ArtefactError, match=where + words):
        read_pilot(folder)


@pytest.mark.parametrize(
    ("variance", "words"),
    [
        ([1.0], r"differences\[0\].variance is \[1.0\]"),
        ({"seeds": 3}, r"differences\[0\].variance.patients is missing"),
        ({**VARIANCE, "trainings": -1.0}, r"variance.trainings is -1.0: input should be greater"),
    ],
)
def test_a_variance_that_is_none_is_refused(tmp_path, variance, words):
    tree = make_tree()
    tree["differences"][0]["variance"] = variance
    with pytest.raises(ArtefactError, match=words):
        read_pilot(put(tmp_path / "p", tree))


def test_a_comparison_of_one_arm_has_no_difference(tmp_path):
    tree = make_tree() | {"differences": []}
    with pytest.raises(ArtefactError, match="differences is empty: there is one arm alone"):
        read_pilot(put(tmp_path / "p", tree))


def test_a_folder_that_is_no_comparison_is_said_so(tmp_path):
    with pytest.raises(ArtefactError, match=r"no finished comparison \(no comparison.json\)"):
        plan_study(tmp_path)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"margin": 0.0}, "--margin 0: expected a number above 0 and below 0.5"),
        ({"margin": float("nan")}, "--margin nan: expected a number above 0"),
        ({"power": 0.3}, "--power 0.3: expected a number from 0.5 to below 1"),
        ({"true_difference": -0.02}, "--true-difference -0.02: expected a number above minus"),
        ({"pair": "fedprox"}, "--pair fedprox: .* It has those of federated, local"),
    ],
)
def test_what_is_asked_out_of_range_is_refused(pilot, asked, words):
    with pytest.raises(ConfigError, match=words):
        plan_study(pilot, **asked)
    assert [path.name for path in pilot.iterdir()] == ["comparison.json"]


def test_a_pilot_without_a_margin_needs_one(tmp_path):
    statistics = {"level": 0.95, "margin": None}
    folder = put(tmp_path / "p", make_tree() | {"statistics": statistics})
    with pytest.raises(ConfigError, match=r"--margin: the pilot a-pilot has none"):
        plan_study(folder)
    assert plan_study(folder, margin=0.01).plan.aim.margin == 0.01


def test_a_file_in_the_place_of_the_folder_is_refused(pilot, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match=r"--out .*file: is a file. Give a folder"):
        plan_study(pilot, out=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_the_plan_is_written_beside_the_pilot_with_the_same_bytes_each_time(pilot):
    names = ("study_plan.json", "study_plan.csv", "study_plan.html")
    assert plan_study(pilot).page == pilot / "study_plan.html"
    before = [(pilot / name).read_bytes() for name in names]
    plan_study(pilot)
    assert [(pilot / name).read_bytes() for name in names] == before


def test_json_and_csv_tell_the_same_plan(pilot, tmp_path):
    found = plan_study(pilot, margin=0.01, pair="local", out=tmp_path / "new" / "folder")
    tree = json.loads(found.page.with_name("study_plan.json").read_text())
    table = found.page.with_name("study_plan.csv").read_text()
    lines = list(csv.DictReader(table.splitlines()))
    assert tree["aim"] == {"margin": 0.01, "power": 0.8, "true_difference": 0.0, "level": 0.95}
    assert tree["pilot"]["arm"] == "local"
    assert [line["seeds"] for line in lines] == [str(row["seeds"]) for row in tree["needed"]]
    for line, row, lucky in zip(lines, tree["needed"], tree["needed_upper"], strict=True):
        assert line["patients"] == str(row["patients"] or "")
        assert line["patients_if_lucky"] == str(lucky["patients"] or "")
        assert line["trainings"] == line["seeds"]
    assert len(tree["curves"][0]["power"]) == len(tree["curves"][0]["patients"])


def test_the_command_says_the_answer_first_and_then_the_table(pilot, run_main):
    code, out, err = run_main(pilot, "--margin", "0.01", "--power", "0.9")
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[0].startswith("With ")
    assert "test patients show non-inferiority at a margin of 0.01 with 90 % power" in lines[0]
    assert lines[1].startswith("If the pilot was lucky and its variances are larger")
    assert "The margin of 0.01 is not the pilot's, 0.02. A margin must be fixed before" in lines[2]
    assert lines[4].split() == ["seeds", "test", "patients", "if", "the", "pilot", "was", "lucky"]
    assert [line.split()[0] for line in lines[5:24]] == [str(seeds) for seeds in range(2, 21)]
    assert "how far another partition would move the result is unknown" in out
    assert lines[-1] == f"Report: {pilot / 'study_plan.html'}"


def test_with_the_pilots_margin_nothing_is_said_of_it(pilot, run_main):
    assert "must be fixed" not in run_main(pilot)[1]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["none"], 4, "none: no finished comparison"),
        (["pilot", "--margin", "0.7"], 2, "--margin 0.7: expected"),
        (["pilot", "--pair", "x"], 2, "--pair x: "),
        (["pilot", "--power", "high"], 2, "not a valid float"),
    ],
)
def test_what_is_wrong_is_one_line_and_its_exit_code(
    pilot, run_main, monkeypatch, arguments, code, words
):
    monkeypatch.chdir(pilot.parent)
    found, out, err = run_main(*arguments)
    assert (found, out) == (code, "")
    assert words in err
    assert "Traceback" not in err
