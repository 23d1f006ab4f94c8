"""A run whose VAEs were over-fitted on purpose is attacked, and what cannot be is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest

from fedcxr.cli.attack import print_membership
from fedcxr.config import load_config
from fedcxr.errors import ArtefactError, ConfigError, DataError
from fedcxr.experiments import simulate
from fedcxr.experiments.membership import attack_vaes
from fedcxr.experiments.membership.attack_membership import MembershipDesign, attack_membership
from fedcxr.experiments.membership.attacked_vae import open_vaes
from fedcxr.home import site_state
from fedcxr.results.membership import read_membership
from fedcxr.tensor_file import read_tensor_file
from fedcxr.training import sample_quality

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("hasty_judges")]

OVER_FITTED = {
    "data.synthetic.patients": 240,
    "data.synthetic.size_px": 32,
    "model.image_size": 32,
    "partition.clients": 2,
    "partition.folds": 2,
    "server.rounds": 1,
    "explain.images_per_outcome": 0,
    "explain.max_boxes": 0,
    "engine.precision": "fp32",
    "engine.workers": 1,
    "vae.enabled": True,
    "vae.min_images": 20,
    "vae.samples_per_label": 40,
    "vae.width": 8,
    "vae.latent": 64,
    "vae.beta": 0.02,
    "vae.epochs": 20,
    "vae.patience": 20,
    "vae.kl_warmup_epochs": 0,
}
VAE = MembershipDesign(target="vae")


@pytest.fixture(scope="module")
def hasty_judges():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample_quality, "_STEPS", 10)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory, hasty_judges):
    runs = str(tmp_path_factory.mktemp("runs"))
    return simulate(load_config(overrides={**OVER_FITTED, "runs_dir": runs})).path


@pytest.fixture(scope="module")
def attacked(run):
    return attack_membership(run, VAE).parent


def test_each_sites_vae_is_attacked_by_who_has_it_and_by_who_has_its_samples(run, attacked):
    assert attacked == run / "attacks" / "membership-vae"
    found = read_membership(attacked)
    by_site = ["reconstruction", "elbo", "calibrated", "nearest", "monte-carlo"]
    assert [(each.site, each.method) for each in found.attacks] == [
        (site, method) for site in ("site-00", "site-01") for method in by_site
    ]
    assert [each.attacker for each in found.attacks[:5]] == ["holder"] * 3 + ["recipient"] * 2
    assert (found.target, found.model, found.image_size, found.epochs) == ("vae", "VAE", 32, 20)
    assert found.missing == ()
    by_name = {each.method: each for each in found.attacks[:5]}
    assert by_name["reconstruction"].auroc.value > 0.7
    assert by_name["reconstruction"].auroc.ci[0] > 0.5
    assert by_name["reconstruction"].home_auroc.value > 0.5


def test_members_are_the_patients_whom_the_sites_vae_was_trained_on(run, attacked):
    found = read_membership(attacked)
    plan = json.loads((run / "partition" / "plan.json").read_text())
    for attack in found.attacks:
        folder = site_state(run) / attack.site / run.name
        about = read_tensor_file(folder / "vae-00001.safetensors")[1]
        # all labels of synthetic images are known, so none was left out
        assert attack.member_images == json.loads(about["numbers"])["vae-images"]
        assert attack.non_members == found.non_members
    sites = {each.site: each.members for each in found.attacks}
    assert found.members == sum(sites.values())
    assert len(plan["sites"]) == found.sites == 2
    samples = [np.load(file, mmap_mode="r") for file in site_state(run).rglob("vae-samples-*.npy")]
    assert found.samples == sum(map(len, samples))


def test_page_and_terminal_say_the_same_and_a_second_attack_gives_the_same_bytes(
    run, attacked, capsys
):
    print_membership(attacked)
    printed = capsys.readouterr().out
    page = (attacked / "report.html").read_text()
    assert printed.splitlines()[0] in page
    assert "against the site's own" in printed
    before = (attacked / "result.json").read_bytes()
    attack_membership(run, VAE)
    assert (attacked / "result.json").read_bytes() == before


def test_one_site_one_attacker_and_one_method_can_be_asked_for(run, attacked):
    before = (attacked / "result.json").read_bytes()
    design = MembershipDesign(("recipient",), ("nearest",), site="site-01", target="vae")
    found = read_membership(attack_membership(run, design).parent)
    assert [(each.site, each.method) for each in found.attacks] == [("site-01", "nearest")]
    (attacked / "result.json").write_bytes(before)


@pytest.mark.parametrize(
    ("design", "words"),
    [
        ({"target": "vaes"}, "--target vaes: expected one of model, vae"),
        ({"shadows": 4}, "--shadows 4: shadow models are of the run's model"),
        ({"attackers": ("outsider",)}, "there is no outsider. Known of --target vae: holder"),
        ({"methods": ("loss",)}, "there is no loss. Known of holder and recipient: recon"),
        ({"site": "site-09"}, "--site site-09: no such site trained"),
    ],
)
def test_what_cannot_be_attacked_is_refused_by_name(run, design, words):
    with pytest.raises(ConfigError, match=words):
        attack_membership(run, MembershipDesign(**{"target": "vae", **design}))


def test_a_site_whose_vae_is_gone_is_named_and_so_is_a_folder_of_which_all_are(run, attacked):
    kept_in = site_state(run)
    (kept_in / "site-01").rename(kept_in / "aside")
    try:
        (missing,) = read_membership(attack_membership(run, VAE).parent).missing
        assert missing.startswith("site-01 keeps no VAE: it was in no round, or its files were")
        with pytest.raises(ConfigError, match=r"--site site-01: it keeps no VAE.* another site"):
            attack_membership(run, MembershipDesign(site="site-01", target="vae"))
        with pytest.raises(ConfigError, match=r"--methods calibrated: .* there is no other"):
            attack_membership(run, MembershipDesign(methods=("calibrated",), target="vae"))
    finally:
        (kept_in / "aside").rename(kept_in / "site-01")
    kept_in.rename(kept_in.with_name("aside"))
    try:
        with pytest.raises(ArtefactError, match=r"missing\. The VAEs of the run's sites were"):
            attack_membership(run, VAE)
    finally:
        kept_in.with_name("aside").rename(kept_in)


def test_who_has_no_samples_is_left_out_and_alone_refused(run, attacked, monkeypatch):
    def without_samples(model):
        opened = open_vaes(model)
        found = tuple(replace(vae, samples=vae.samples[:0]) for vae in opened.found)
        return replace(opened, found=found)

    before = (attacked / "result.json").read_bytes()
    monkeypatch.setattr(attack_vaes, "open_vaes", without_samples)
    found = read_membership(attack_membership(run, VAE).parent)
    assert {each.attacker for each in found.attacks} == {"holder"}
    assert found.missing[0] == "site-00 has no samples, so their recipient is left out."
    (attacked / "result.json").write_bytes(before)
    with pytest.raises(DataError, match=r"no samples.* Attack as the holder"):
        attack_membership(run, MembershipDesign(("recipient",), target="vae"))


def test_a_damaged_vae_is_refused(run, attacked):
    file = site_state(run) / "site-00" / run.name / "vae-samples-00001.npy"
    kept = file.read_bytes()
    file.unlink()
    try:
        with pytest.raises(ArtefactError, match="missing or damaged"):
            attack_membership(run, VAE)
    finally:
        file.write_bytes(kept)
