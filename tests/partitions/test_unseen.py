import pytest

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.load import load_config
from fedcxr.data.policies import policy_of
from fedcxr.data.read import read_dataset
from fedcxr.data.synthetic.write import write_synthetic
from fedcxr.errors import ArtefactError, ConfigError
from partitions.prepare import prepare_global
from partitions.unseen import most_images, write_server_folder
from server.disjointness import disjointness
from server.label_counts import label_counts
from server.vae_check import check_vae_data


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = write_synthetic(tmp_path_factory.mktemp("own"), patients=40, size_px=32)
    return read_dataset(root, views="frontal")


@pytest.fixture(scope="module")
def made(dataset, key, tmp_path_factory):
    out = tmp_path_factory.mktemp("server") / "data"
    most = {"st-mary": 500, "charite": 20}
    return write_server_folder(dataset, most, key=key, views="frontal", out=out)


def test_a_site_that_nobody_saw_weighs_as_much_as_was_agreed(made):
    assert [(site.site_id, site.train_images) for site in made.sites] == [
        ("st-mary", 500),
        ("charite", 20),
    ]
    assert made.is_export
    assert not (made.folder / "sites").exists()
    assert made.site_csv("charite").exists() is False


def test_the_server_keeps_its_own_val_and_test_patients(made, dataset):
    official = {record.patient_id for record in dataset.records if record.split == "test"}
    assert len(set(made.table("global/test.csv").patient_id)) == len(official) == 8
    val = set(made.table("global/val.csv").patient_id)
    assert val
    assert not val & set(made.table("global/test.csv").patient_id)
    ready = prepare_global(made.folder, load_config(overrides={"model.image_size": 32}))
    assert ready.bad_images == 0


def test_what_is_not_known_is_masked_and_not_called_proven(made, tmp_path):
    config = ExperimentConfig()
    told = label_counts(made, made.labels, policy_of(config.data, rounds=2), 0)
    assert told["before"][made.labels[0]]["masked"] == 520
    assert told["before"][made.labels[0]]["positive"] == 0
    assert disjointness(made)["status"] == "not verifiable"
    # a VAE is not refused for positives that nobody could count
    vae = load_config(overrides={"vae.enabled": True, "vae.labels": [made.labels[0]]})
    check_vae_data(vae, made, made.labels, place=tmp_path)


def test_nothing_is_written_over(made, dataset, key):
    with pytest.raises(ArtefactError, match="is there already"):
        write_server_folder(dataset, {"a": 1}, key=key, views="frontal", out=made.folder)
    with pytest.raises(ConfigError, match="no site"):
        write_server_folder(dataset, {}, key=key, views="frontal", out=made.folder / "x")


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["many"], "give N, or NAME=N"),
        (["0"], "give N, or NAME=N"),
        (["c=5"], "no site of the kit; it knows a, b"),
        (["a=5"], "no number for b"),
        ([], "no number for a, b"),
    ],
)
def test_every_site_gets_a_number(texts, words):
    with pytest.raises(ConfigError, match=words):
        most_images(texts, ["a", "b"])
