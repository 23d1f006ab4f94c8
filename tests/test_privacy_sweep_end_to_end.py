"""A privacy sweep, tiny: arms, ε, curve, page; written again and resumed."""

import json

import pytest
from typer.testing import CliRunner

from fedcxr.cli.main import cli
from fedcxr.cli.privacy_sweep import STUDY
from fedcxr.config import load_config
from fedcxr.errors import ConfigError
from fedcxr.experiments.privacy_sweep import sweep_privacy
from fedcxr.results.comparison import read_comparison
from fedcxr.results.privacy_sweep import read_design, read_sweep

TINY = {
    **STUDY,
    "data.synthetic.patients": 90,
    "data.synthetic.size_px": 48,
    "data.labels": ["Cardiomegaly", "Edema"],
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
    return sweep_privacy(config, epsilons=[2.5], levels=["patient"])


@pytest.mark.slow
def test_every_arm_is_trained_as_the_sweep_says(sweep):
    design, found = read_design(sweep), read_comparison(sweep)
    assert [arm.name for arm in found.arms] == ["federated", "patient-2_5"]
    private = json.loads((sweep / "arms" / "patient-2_5-seed-0" / "manifest.json").read_text())
    assert private["privacy"]["epsilon"] == 2.5
    assert private["privacy"]["clip"] == 0.5
    assert private["privacy"]["delta"] == design.delta
    assert design.delta < 1 / max(site["patients"] for site in private["privacy"]["sites"])
    plain = json.loads((sweep / "arms" / "federated-seed-0" / "manifest.json").read_text())
    assert plain.get("privacy") is None


@pytest.mark.slow
def test_the_curve_has_what_was_spent_and_what_it_costs(sweep):
    unprotected, private = read_sweep(sweep).points
    found = read_comparison(sweep)
    assert (unprotected.level, unprotected.epsilon, unprotected.spent) == ("none", None, None)
    assert 2.4 < private.spent.rdp <= 2.5
    assert private.spent.prv <= private.spent.rdp
    assert private.auroc.value == found.arm("patient-2_5").macro_auroc.value
    assert private.cost.value == pytest.approx(private.auroc.value - unprotected.auroc.value)
    # Of 90 patients too few are held out for an attack, and that is said.
    assert private.membership_tpr.value is None
    assert "an attack needs 20 of each" in private.membership_tpr.reason
    assert str(sweep) not in private.membership_tpr.reason
    assert (sweep / "privacy.html").is_file()
    assert (sweep / "report.html").is_file()


@pytest.mark.slow
def test_a_finished_sweep_is_resumed_and_written_again_to_the_same_bytes(sweep):
    files = ("privacy.html", "privacy_sweep.json", "report.html")
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
