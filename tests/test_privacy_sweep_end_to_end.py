"""A privacy sweep, tiny: arms, ε, curve, page; written again and resumed."""

import json

import pytest
from typer.testing import CliRunner

from fedcxr.cli.main import cli
from fedcxr.cli.privacy_sweep import STUDY
from fedcxr.config import load_config
from fedcxr.errors import ConfigError
from fedcxr.experiments.compare import comparing
from fedcxr.experiments.sweep.privacy_sweep import sweep_privacy, write_curve
from fedcxr.results.comparison import read_comparison
from fedcxr.results.inversion import read_inversion
from fedcxr.results.privacy_sweep import InversionSettings, read_design, read_sweep

TINY = {
    **STUDY,
    "data.synthetic.patients": 90,
    "data.synthetic.size_px": 48,
    "data.labels": ["Edema"],
    "partition.clients": 2,
    "train.max_steps": 2,
    "server.rounds": 1,
    "compare.seeds": 1,
    "engine.precision": "fp32",
}


def config_in(folder, **changes):
    keys = {key.replace("__", "."): value for key, value in changes.items()}
    return load_config(overrides={**TINY, "runs_dir": str(folder), **keys})


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    config = config_in(tmp_path_factory.mktemp("sweep"), privacy__clip=0.5)
    folder = sweep_privacy(
        config,
        epsilons=[2.5],
        levels=["patient"],
        inversion=InversionSettings(images=2, steps=2),
    )
    told = []
    write_curve(folder, lambda *each: told.append(each))
    assert told[0] == ("federated: Inverting: group norm", 1, 4)
    assert told[-1] == ("Attacking: membership", 3, 4)
    return folder


@pytest.mark.slow
def test_every_arm_is_trained_as_the_sweep_says(sweep):
    design, found = read_design(sweep), read_comparison(sweep)
    assert [arm.name for arm in found.arms] == [
        "federated",
        "centralized",
        "centralized-patient-2_5",
        "patient-2_5",
    ]
    private = json.loads((sweep / "arms" / "patient-2_5-seed-0" / "manifest.json").read_text())
    assert private["privacy"]["epsilon"] == 2.5
    assert private["privacy"]["clip"] == 0.5
    assert private["privacy"]["delta"] == design.delta
    pooled = sweep / "arms" / "centralized-patient-2_5-seed-0" / "manifest.json"
    (one_place,) = json.loads(pooled.read_text())["privacy"]["sites"]
    counts = [site["patients"] for site in private["privacy"]["sites"]]
    assert one_place["patients"] == sum(counts)
    assert design.delta == pytest.approx(0.1 / sum(counts))
    plain = json.loads((sweep / "arms" / "federated-seed-0" / "manifest.json").read_text())
    assert plain.get("privacy") is None


@pytest.mark.slow
def test_the_curve_has_what_was_spent_and_what_it_costs(sweep):
    unprotected, private, centralized, pooled = read_sweep(sweep).points
    found = read_comparison(sweep)
    assert (unprotected.level, unprotected.epsilon, unprotected.spent) == ("none", None, None)
    assert (centralized.trained, centralized.level, centralized.cost) == (
        "centralized",
        "none",
        None,
    )
    for arm, plain in ((private, unprotected), (pooled, centralized)):
        assert 2.4 < arm.spent.rdp <= 2.5
        assert arm.spent.prv <= arm.spent.rdp
        assert arm.auroc.value == found.arm(arm.arm).macro_auroc.value
        assert arm.cost.value == pytest.approx(arm.auroc.value - plain.auroc.value)
    # Of 90 patients too few are held out for an attack, and that is said.
    assert private.membership_tpr.value is None
    assert "an attack needs 20 of each" in private.membership_tpr.reason
    assert str(sweep) not in private.membership_tpr.reason
    assert (sweep / "privacy.html").is_file()
    assert (sweep / "report.html").is_file()


@pytest.mark.slow
def test_each_group_has_its_own_cost_by_the_comparisons_groups(sweep):
    unprotected, private, *_ = read_sweep(sweep).points
    assert {each.attribute for each in private.groups} == {"sex", "age band"}
    rows = read_comparison(sweep).arm("patient-2_5").subgroups.rows
    for plain, each in zip(unprotected.groups, private.groups, strict=True):
        assert (plain.group, plain.cost, plain.beyond) == (each.group, None, None)
        own = [row for row in rows if (row.attribute, row.group) == (each.attribute, each.group)]
        areas = [row.auroc.value for row in own if row.label in each.labels]
        if areas:
            assert each.auroc.value == pytest.approx(sum(areas) / len(areas))
            assert each.cost.value == pytest.approx(each.auroc.value - plain.auroc.value)
        else:
            assert each.auroc.reason.startswith("left out: ")
    table = (sweep / "privacy_sweep" / "privacy_groups.csv").read_text("utf-8").splitlines()
    assert len(table) == 1 + 4 * len(private.groups)


@pytest.mark.slow
def test_an_update_is_inverted_under_each_protection_that_there_is(sweep):
    found = read_sweep(sweep)
    unprotected, private, *at_one_place = found.points
    assert found.inversion.images == 2
    for point, protection in ((unprotected, "group"), (private, "dp")):
        (own,) = read_inversion(sweep / "inversion" / point.arm).inversions
        assert own.protection == protection
        assert point.inversion_ssim == own.ssim.found
        assert point.inversion_gain.value == pytest.approx(
            own.ssim.found.value - found.inversion.best_guess.value
        )
        assert "not estimable" in point.inversion_found.reason  # among fewer than 100 patients
    sites = json.loads((sweep / "arms" / "patient-2_5-seed-0" / "manifest.json").read_text())
    attacked = read_inversion(sweep / "inversion" / "patient-2_5")
    assert attacked.noise == sites["privacy"]["sites"][0]["noise"]
    assert attacked.clip == 0.5
    assert all("no update is sent" in each.inversion_ssim.reason for each in at_one_place)


@pytest.mark.slow
def test_a_finished_sweep_is_resumed_and_written_again_to_the_same_bytes(sweep, monkeypatch):
    # That a comparison is judged again to the same bytes is tested where comparisons are.
    monkeypatch.setattr(comparing, "judge", lambda *given: None)
    monkeypatch.setattr(comparing, "write_report", lambda folder: folder / "report.html")
    files = ("privacy.html", "privacy_sweep.json")
    before = {file: (sweep / file).read_bytes() for file in files}
    for verb in ("resume", "report"):
        done = CliRunner().invoke(cli, [verb, str(sweep)])
        assert done.exit_code == 0, done.output
        assert "privacy.html" in done.output
        assert {file: (sweep / file).read_bytes() for file in files} == before


@pytest.mark.parametrize(
    ("epsilons", "levels", "changes", "words"),
    [
        ([3.0, 3.0], ["patient"], {}, r"--epsilon: 3\.0 given twice"),
        ([], ["patient"], {}, r"--epsilon: none"),
        ([3.0], [], {}, r"--level: none"),
        ([3.0], ["nurse"], {}, r"--level: there is no nurse\. Known: patient, client, update"),
        ([3.0], ["patient"], {"server__batch_norm": "average"}, r"batch_norm=average computes"),
        ([300.0], ["patient"], {}, r"privacy\.epsilon = 300: expected up to 100"),
        ([3.0], ["patient"], {"compare__arms": ["local"]}, r"compare\.arms: a sweep holds every"),
        (
            [3.0],
            ["patient"],
            {"privacy__level": "patient", "privacy__noise": 1.0},
            r"privacy\.level, privacy\.epsilon, privacy\.noise: a sweep sets these itself",
        ),
    ],
)
def test_what_cannot_be_swept_is_refused_before_anything_is_made(
    tmp_path, epsilons, levels, changes, words
):
    config = config_in(tmp_path / "runs", **changes)
    with pytest.raises(ConfigError, match=words):
        sweep_privacy(config, epsilons=epsilons, levels=levels)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("budgets", ["1,two", "0,3", "-1", "nan"])
def test_budgets_that_are_none_are_refused(budgets):
    done = CliRunner().invoke(cli, ["privacy-sweep", "--epsilon", budgets])
    assert isinstance(done.exception, ConfigError)
    assert f"--epsilon {budgets}: " in str(done.exception)
