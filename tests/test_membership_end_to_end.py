"""A run that is over-fitted on purpose is attacked: everybody is found, and the files say so."""

import json

import numpy as np
import pytest

from fedcxr.cli.attack import print_membership
from fedcxr.config import load_config
from fedcxr.errors import ArtefactError, ConfigError, DataError
from fedcxr.experiments import simulate
from fedcxr.experiments.membership.attack_membership import MembershipDesign, attack_membership
from fedcxr.results.membership import read_membership
from fedcxr.runs.kept_updates import given_file, kept_rounds, update_file
from fedcxr.tensor_file import read_tensor_file

TINY = {
    "data.synthetic.patients": 300,
    "data.synthetic.size_px": 32,
    "model.image_size": 32,
    "partition.clients": 2,
    "partition.folds": 2,
    "partition.site_val_fraction": 0.0,
    "train.local_epochs": 1,
    "train.learning_rate": 2e-3,
    "server.rounds": 2,
    "server.keep_updates": True,
    "explain.images_per_outcome": 0,
    "explain.max_boxes": 0,
    "engine.precision": "fp32",
    "engine.workers": 1,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = load_config(overrides={**TINY, "runs_dir": str(tmp_path_factory.mktemp("runs"))})
    return simulate(config).path


@pytest.fixture(scope="module")
def attacked(run):
    design = MembershipDesign(("outsider", "server", "client"), shadows=4)
    return attack_membership(run, design).parent


@pytest.mark.slow
def test_the_server_keeps_what_it_saw_of_each_site_and_the_mean_of_it_is_the_next_model(run):
    assert kept_rounds(run) == [1, 2]

    def vector(file):
        return read_tensor_file(file)[0]["vector"].numpy()

    lines = [json.loads(text) for text in (run / "rounds.jsonl").read_text().splitlines()]
    weight = {row["site_id"]: row["num_examples"] for row in lines[1]["sites"]}
    models = [vector(update_file(run, 1, site)) * n for site, n in weight.items()]
    mean = sum(models) / sum(weight.values())
    np.testing.assert_allclose(mean, vector(given_file(run, 2)), atol=1e-5)


@pytest.mark.slow
def test_each_attacker_is_judged_over_patients_with_every_method(attacked):
    found = read_membership(attacked)
    assert (found.shadows, found.sites, found.best_round) == (4, 2, found.best_round)
    who = [(each.attacker, each.site) for each in found.attacks if each.method == "loss"]
    assert who == [
        ("outsider", ""),
        ("server", "site-00"),
        ("server", "site-01"),
        ("client", "site-00"),
    ]
    assert {each.method for each in found.attacks} == {
        "loss",
        "lira-online",
        "lira-offline",
        "rmia",
    }
    outsider, server = found.attacks[0], found.attacks[4]
    assert (outsider.members, outsider.non_members) == (found.members, found.non_members)
    assert server.models == 2
    assert server.members < outsider.members
    assert all(0 <= each.auroc.value <= 1 for each in found.attacks)
    # 120 held out: 1 % can be estimated, 0.1 % cannot
    assert outsider.rate(0.01).tpr.value is not None
    assert "1,000 are needed" in outsider.rate(0.001).tpr.reason
    assert {group.attribute for group in outsider.groups} == {"sex", "age band"}
    assert found.identified[0].reason == "not estimable: 4 target models, 64 are needed"


@pytest.mark.slow
def test_page_tables_figure_and_terminal_say_the_same(attacked, capsys):
    page = (attacked / "report.html").read_text()
    print_membership(attacked)
    printed = capsys.readouterr().out
    sentence = printed.splitlines()[0]
    assert sentence.startswith("The best attack, ")
    for words in (sentence, "LiRA, offline", "not estimable"):
        assert words in page
        assert words in printed
    assert (attacked / "figures" / "membership-roc.svg").is_file()
    assert (attacked / "tables" / "attacks.csv").read_text().startswith("method,attacker,site,")
    assert len((attacked / "tables" / "roc.csv").read_text().splitlines()) > 100


@pytest.mark.slow
def test_shadow_models_are_kept_and_a_second_attack_gives_the_same_bytes(run, attacked):
    stamp = {file: file.stat().st_mtime_ns for file in (attacked / "shadows").iterdir()}
    assert len(stamp) == 4
    before = (attacked / "result.json").read_bytes()
    attack_membership(run, MembershipDesign(("outsider", "server", "client"), shadows=4))
    assert {file: file.stat().st_mtime_ns for file in stamp} == stamp
    assert (attacked / "result.json").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("design", "words"),
    [
        ({"attackers": ("insider",)}, r"--attackers: there is no insider\. Known: outsider"),
        ({"attackers": ()}, "--attackers: name each once, at least one"),
        ({"methods": ("lyra",)}, r"--methods: there is no lyra"),
        (
            {"methods": ("rmia",)},
            r"--methods rmia: RMIA, offline needs 0 models .* Raise --shadows",
        ),
        ({"shadows": 3}, "--shadows 3: expected an even number from 0"),
        ({"shadows": -2}, "--shadows -2: expected an even number from 0"),
        ({"site": "site-09"}, r"--site site-09: no such site trained\. Known: site-00, site-01"),
    ],
)
def test_what_cannot_be_attacked_is_refused_by_name(run, design, words):
    with pytest.raises(ConfigError, match=words):
        attack_membership(run, MembershipDesign(**design))


@pytest.mark.slow
def test_a_run_that_kept_no_updates_and_one_with_few_patients_are_refused(tmp_path):
    config = load_config(
        overrides={
            **TINY,
            "runs_dir": str(tmp_path),
            "data.synthetic.patients": 40,
            "server.keep_updates": False,
            "server.rounds": 1,
        }
    )
    few = simulate(config).path
    with pytest.raises(DataError, match=r"training patients and \d+ who were held out; an attack"):
        attack_membership(few, MembershipDesign())
    with pytest.raises(ArtefactError, match="not a run folder"):
        attack_membership(tmp_path, MembershipDesign())
