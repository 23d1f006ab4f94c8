"""Which arms a study of augmentation has, and what is held against what."""

import pytest

from fedcxr.cli.augment_study import STUDY
from fedcxr.config.load import load_config
from fedcxr.config.partition import PartitionConfig
from fedcxr.config.vae import VaeConfig
from fedcxr.data.tokens import SYNTHETIC_KEY
from fedcxr.errors import ConfigError, DataError
from fedcxr.experiments.compare.arms import arms_of, check_arms, presentations
from fedcxr.experiments.compare.freezing import plan_protocol
from fedcxr.experiments.compare.variants import check_site_vaes, study_pairs, variants_of
from fedcxr.training.samples import plan_samples
from partitions.plan import make_partition, read_plan
from server.vae_check import check_vae


def study(**overrides):
    keys = {key.replace("__", "."): value for key, value in overrides.items()}
    return load_config(overrides={**STUDY, **keys})


@pytest.fixture(scope="module")
def plan(tmp_path_factory, make_dataset):
    return make_partition(
        make_dataset(60),
        config=PartitionConfig(clients=3, scheme="quantity"),
        seed=0,
        key=SYNTHETIC_KEY,
        views="all",
        out=tmp_path_factory.mktemp("study") / "partition",
    )


def test_every_way_of_training_is_crossed_with_everything_that_is_added(plan, tmp_path):
    arms = arms_of(study(compare__arms=["federated", "centralized"]), plan, tmp_path, {})
    kinds = ("none", "copies", "classical", "vae")
    ways = ("federated", "centralized")
    assert [arm.name for arm in arms] == [f"{way}-{kind}" for way in ways for kind in kinds]
    assert arms[1].title == "Federated (FedAvg): Copies"
    assert arms[1].budget.endswith("; copies of real images added, in as many steps")
    alone = arms_of(study(), plan, tmp_path / "alone", {})
    assert [arm.title for arm in alone] == [
        "Real images alone",
        "Copies",
        "Classical views",
        "VAE samples",
    ]


def test_all_arms_of_a_study_may_be_run_and_spend_as_much(plan, tmp_path):
    arms = arms_of(study(vae__latent=8, vae__refuse_copies=True), plan, tmp_path, {})
    by_kind = {arm.variant.augmentation: arm.config.vae for arm in arms}
    for arm in arms:
        check_vae(arm.config)
    assert by_kind["none"] == VaeConfig()
    assert (by_kind["vae"].latent, by_kind["copies"].latent) == (8, VaeConfig().latent)
    images = {presentations(arm.config, read_plan(plan.folder)) for arm in arms}
    assert len(images) == 1


def test_all_that_is_added_has_the_same_label_vectors(plan, tmp_path):
    arms = arms_of(study(vae__max_ratio=0.5), plan, tmp_path, {})
    target = (plan.site_table("site-00").states == 1).astype("float32")
    rows = {
        tuple(plan_samples(target, arm.config.vae, plan.labels, seed=3).row.tolist())
        for arm in arms
        if arm.config.vae.enabled
    }
    assert len(rows) == 1


def test_one_place_adds_what_its_sites_would(plan, tmp_path):
    config = study(compare__arms=["federated", "centralized"], vae__samples_per_label=7)
    by_name = {arm.name: arm.config.vae for arm in arms_of(config, plan, tmp_path, {})}
    assert by_name["federated-vae"].samples_per_label == 7
    assert by_name["centralized-copies"].samples_per_label == 3 * 7


def test_the_first_question_is_whether_the_vae_beats_copies():
    config = study()
    names = [variant.name("federated") for variant in variants_of(config)]
    pairs = study_pairs(config, [*names, "wide"])
    plain = [tuple(name.removeprefix("federated-") for name in pair) for pair in pairs]
    assert plain[:4] == [
        ("vae", "copies"),
        ("vae", "classical"),
        ("vae", "none"),
        ("copies", "none"),
    ]
    assert plain[-1] == ("wide", "vae")


def test_with_two_places_each_question_is_asked_at_both_before_the_next():
    config = study(compare__arms=["federated", "centralized"])
    names = [f"{way}-{kind}" for way in config.compare.arms for kind in ("none", "copies", "vae")]
    assert study_pairs(config, names)[:2] == [
        ("federated-vae", "federated-copies"),
        ("centralized-vae", "centralized-copies"),
    ]


def test_each_network_is_crossed_with_everything_and_asked_by_itself(plan, tmp_path):
    config = study(compare__models=["densenet_small", "alexnet"])
    arms = {arm.name: arm for arm in arms_of(config, plan, tmp_path, {})}
    assert len(arms) == 8
    assert arms["federated-alexnet-vae"].config.model.name == "alexnet"
    assert arms["federated-alexnet-vae"].config.vae.added == "vae"
    assert not arms["federated-densenet_small-none"].config.vae.enabled
    assert arms["federated-alexnet-copies"].title == "AlexNet: Copies"
    both = study(compare__models=["alexnet"], compare__arms=["federated", "local"])
    assert arms_of(both, plan, tmp_path / "both", {})[4].setting == (
        "AlexNet, Local (each site alone)"
    )
    pairs = study_pairs(config, list(arms))
    assert pairs[:2] == [
        ("federated-densenet_small-vae", "federated-densenet_small-copies"),
        ("federated-alexnet-vae", "federated-alexnet-copies"),
    ]
    assert all(one.rpartition("-")[0] == other.rpartition("-")[0] for one, other in pairs)


def test_networks_that_there_are_not_or_that_no_study_asks_about_are_refused():
    with pytest.raises(ConfigError, match=r"'alexnett' is not known\. Did you mean alexnet"):
        check_arms(study(compare__models=["densenet_small", "alexnett"]))
    with pytest.raises(ConfigError, match=r"several networks are for a study.*--arm alexnet="):
        check_arms(load_config(overrides={"compare.models": ["alexnet", "resnet50"]}))
    with pytest.raises(ConfigError, match="alexnet: given twice"):
        study(compare__models=["alexnet", "alexnet"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"compare__augmentations": ["vae"]}, "nothing to hold it against"),
        ({"vae__enabled": False}, r"Set vae\.enabled=true \(--vae\)"),
        ({"vae__added": "copies"}, "sets it for each arm. Leave it out"),
        ({"vae__same_steps": False}, "would train for longer"),
        ({"vae__size_px": 48}, r"vae\.size_px = 48: does not divide"),
        (
            {"privacy__level": "patient", "privacy__noise": 1.0, "server__batch_norm": "group"},
            r"vae\.added=copies adds patients' images again",
        ),
    ],
)
def test_a_study_that_could_not_answer_is_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        check_arms(study(**changes))


@pytest.mark.parametrize("ratio", [0, 5.1])
def test_a_ratio_of_nothing_or_above_the_cap_is_refused(ratio):
    with pytest.raises(ConfigError, match=r"vae\.max_ratio = "):
        study(vae__max_ratio=ratio)


def test_sites_that_cannot_have_a_vae_are_found_before_training(plan):
    large = max(site.train_images for site in plan.sites)
    small = min(site.train_images for site in plan.sites)
    labels = plan.labels
    with pytest.raises(DataError, match=r"the largest site has .*Partition for fewer sites"):
        check_site_vaes(study(vae__min_images=large + 1), [plan], labels, is_alone=False)
    enough = study(vae__min_images=max(20, small + 1))
    check_site_vaes(enough, [plan], labels, is_alone=False)
    with pytest.raises(DataError, match=r"compare\.arms: local, site-0\d on its own: "):
        check_site_vaes(enough, [plan], labels, is_alone=True)
    with pytest.raises(ConfigError, match=r"vae\.labels: Hernia is not among the labels"):
        check_site_vaes(study(vae__labels=["Hernia"]), [plan], labels, is_alone=False)


def test_the_protocol_says_what_is_asked(plan):
    folder = plan.folder.parent
    found = plan_protocol(folder, study(), ["federated-copies", "federated-vae"])
    assert found.question == "superiority"
    assert "question" in found.to_json()
    usual = plan_protocol(folder, load_config(), ["federated", "centralized"])
    assert (usual.question, "question" in usual.to_json()) == ("non-inferiority", False)
