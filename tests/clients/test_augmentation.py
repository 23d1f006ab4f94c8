"""What a site with a VAE trains on, what it keeps, and what it says of it."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from clients import augmentation, site_vae
from clients.augmentation import train_config, training_images
from clients.resident_model import worker_for
from clients.site import open_site, simulated
from clients.vae_files import SHEET, VaeFiles
from fedcxr.config.vae import VAE_NUMBERS, VaeConfig, VaeStatus
from fedcxr.data.cache.store import build_cache
from fedcxr.errors import ArtefactError, DivergedError
from fedcxr.models.architectures import build_model
from fedcxr.parameters import extract, load_into, spec_of
from fedcxr.training import sample_quality
from partitions.table import write_table

LABELS = ("Edema", "Fracture")
VAE = {
    "enabled": True,
    "width": 8,
    "latent": 4,
    "epochs": 2,
    "kl_warmup_epochs": 1,
    "min_images": 20,
    "samples_per_label": 12,
}


@pytest.fixture(scope="module", autouse=True)
def hasty_judges():
    """A judge of a few steps: nothing is asked here of what it finds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample_quality, "_STEPS", 10)
        yield


@pytest.fixture(scope="module")
def ward(tmp_path_factory, site_records):
    """One site of 40 training and 24 validation images of 32 pixels."""
    folder = tmp_path_factory.mktemp("ward")
    (folder / "sites").mkdir()
    table = site_records("site-00", 40, 24)
    write_table(table, folder / "sites" / "site-00.csv")
    rng, items = np.random.default_rng(0), []
    for number, image_id in enumerate(table.image_id):
        pixels = rng.integers(0, 120, (32, 32)) + (number % 2) * np.eye(32) * 120
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{image_id}.png")
        items.append((image_id, f"{image_id}.png"))
    options = {"size_px": 32, "max_bad_fraction": 0.0, "workers": 1}
    build_cache(items, folder, **options, folder=folder / "cache")
    return folder


@pytest.fixture
def at(ward, tmp_path):
    places = {"state": tmp_path / "state", "own_images": tmp_path / "own"}
    return simulated(ward, 0, cache=ward / "cache", **places)


@pytest.fixture
def images_of(at, make_task, make_order):
    """Return what the site trains on in a round, under settings of the VAE."""

    def make(round_num=1, *, start=0, location=at, trained=LABELS, seed=0, **changes):
        task = make_task(vae={**VAE, **changes}, labels=trained, seed=seed)
        site, worker = open_site(location, task), worker_for(task, 1)
        given = extract(model := build_model(task.model, len(trained), start), spec_of(model))
        load_into(worker.model, worker.spec, given)
        order = make_order(task, worker.spec, round_num)
        options = {"target": site.train.target, "given": given, "worker": worker}
        return training_images(location, site, task, order, **options)

    return make


def folder_of(at):
    return at.own_images / "a-run"


def test_without_a_vae_a_site_trains_on_its_images_alone(images_of, at):
    found = images_of(enabled=False)
    assert (len(found.pool), found.pool.num_real, found.numbers) == (40, 40, {})
    assert not at.own_images.exists()


def test_samples_are_a_second_source_that_weighs_nothing(images_of):
    pool = images_of().pool
    real, made = pool.sources
    assert (len(real.rows), len(made.rows)) == (40, 24)
    assert made.images.dtype == np.uint8
    assert pool.num_real == 40
    # 12 positives of either label, with label vectors that the site has
    own = {row.tobytes() for row in real.target}
    assert {row.tobytes() for row in made.target} <= own
    assert (made.target == 1).sum() >= 24


def test_nothing_that_shows_pixels_is_in_the_servers_run_folder(images_of, at):
    images_of()
    assert {file.name for file in folder_of(at).iterdir()} == {
        "vae-00001.safetensors",
        "vae-samples-00001.npy",
        SHEET,
    }
    assert not at.state.exists()


def test_the_numbers_are_told_once_and_are_those_of_the_list(images_of):
    numbers = images_of().numbers
    assert set(numbers) <= set(VAE_NUMBERS)
    assert numbers["vae-status"] == VaeStatus.MADE
    assert (numbers["vae-images"], numbers["vae-samples"]) == (40, 24)
    assert numbers["vae-elbo"] == -numbers["vae-reconstruction"] - numbers["vae-kl"]
    assert all(math.isfinite(number) for number in numbers.values())
    assert images_of(round_num=2).numbers == {}


def test_an_owner_lets_out_what_they_name_and_the_run_asks_for(images_of, at, ward, tmp_path):
    assert set(images_of(share=["vae-kl"]).numbers) == {"vae-kl"}
    silent = replace(at, vae_numbers=(), own_images=tmp_path / "silent")
    assert images_of(location=silent).numbers == {}
    some = replace(at, vae_numbers=("vae-status",), own_images=tmp_path / "some")
    assert set(images_of(location=some).numbers) == {"vae-status"}


def test_what_is_there_already_is_taken(images_of, at, monkeypatch):
    first = images_of()
    monkeypatch.setattr(site_vae, "train_vae", None)  # would fail
    for round_num in (1, 5):
        again = images_of(round_num=round_num)
        assert (again.pool.sources[1].images == first.pool.sources[1].images).all()
    assert images_of().numbers == first.numbers


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_ones(images_of, at):
    images_of()
    kept = {file.name: file.read_bytes() for file in folder_of(at).iterdir()}
    for file in folder_of(at).iterdir():
        file.unlink()
    images_of()
    assert {file.name: file.read_bytes() for file in folder_of(at).iterdir()} == kept
    for file in folder_of(at).iterdir():
        file.unlink()
    images_of(seed=1)
    assert (folder_of(at) / "vae-samples-00001.npy").read_bytes() != kept["vae-samples-00001.npy"]


def test_an_interrupted_training_goes_on_to_the_same_bytes(images_of, at, monkeypatch):
    whole = images_of(epochs=4).pool.sources[1].images.copy()
    for file in folder_of(at).iterdir():
        file.unlink()
    write = VaeFiles.write_progress

    def killed(files, key, progress):
        write(files, key, progress)
        if len(progress.history) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(site_vae, "KEEP_EVERY_S", 0.0)
        patch.setattr(VaeFiles, "write_progress", killed)
        with pytest.raises(KeyboardInterrupt):
            images_of(epochs=4)
    assert [file.name for file in folder_of(at).iterdir()] == ["vae-training.safetensors"]
    trained = []
    original = site_vae.train_vae

    def counted(*args, on_epoch, **more):
        return original(*args, on_epoch=lambda p: trained.append(len(p.history)), **more)

    monkeypatch.setattr(site_vae, "train_vae", counted)
    assert (images_of(epochs=4).pool.sources[1].images == whole).all()
    assert trained == [3, 4]
    assert not (folder_of(at) / "vae-training.safetensors").exists()


def test_every_so_many_rounds_there_is_a_new_one_and_the_one_before_is_kept(images_of, at):
    first = images_of(every=2).pool.sources[1].images.copy()
    assert (images_of(round_num=2, every=2).pool.sources[1].images == first).all()
    third = images_of(round_num=3, every=2)
    assert third.numbers["vae-status"] == VaeStatus.MADE
    assert (third.pool.sources[1].images != first).any()
    # a server that goes back a round finds what was trained on then
    assert (images_of(round_num=2, every=2).pool.sources[1].images == first).all()
    images_of(round_num=5, every=2)
    names = sorted(file.name for file in folder_of(at).glob("*.npy"))
    assert names == ["vae-samples-00003.npy", "vae-samples-00005.npy"]


def test_a_vae_with_a_classifiers_features_is_made_anew_for_another_given_model(images_of):
    first = images_of(features="classifier").pool.sources[1].images.copy()
    assert (images_of(features="classifier").pool.sources[1].images == first).all()
    other = images_of(features="classifier", start=1).pool.sources[1].images
    assert (other != first).any()


@pytest.mark.parametrize("added", ["copies", "classical"])
def test_a_control_adds_as_many_real_images_of_the_same_label_vectors(
    added, images_of, tmp_path, at
):
    samples = images_of().pool.sources[1]
    found = images_of(added=added, location=replace(at, own_images=tmp_path / added))
    real, again = found.pool.sources
    assert found.pool.num_real == 40
    assert np.array_equal(again.target, samples.target, equal_nan=True)
    assert again.images.dtype == np.uint8
    assert found.numbers == {"vae-status": VaeStatus.MADE, "vae-images": 40, "vae-samples": 24}
    # of each, the real images that have its label vector
    stored = real.images[real.rows]
    alike = [
        [
            (image == other).all()
            for other, known in zip(stored, real.target, strict=True)
            if known.tobytes() == target.tobytes()
        ]
        for image, target in zip(again.images, again.target, strict=True)
    ]
    assert all(map(any, alike)) == (added == "copies")


def test_a_control_is_the_same_on_every_try_and_no_vae_is_trained(images_of, monkeypatch):
    monkeypatch.setattr(site_vae, "train_vae", None)  # would fail
    first = images_of(added="classical").pool.sources[1].images.copy()
    assert (images_of(added="classical", round_num=3).pool.sources[1].images == first).all()


def test_pretraining_is_on_samples_alone_and_counts_the_real_images(images_of):
    options = {"use": "pretrain", "pretrain_rounds": 2}
    for round_num in (1, 2):
        pool = images_of(round_num=round_num, **options).pool
        assert (len(pool), pool.num_real) == (24, 40)
        assert not pool.sources[0].is_real
    after = images_of(round_num=3, **options).pool
    assert (len(after), after.num_real, len(after.sources)) == (40, 40, 1)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"min_images": 41}, VaeStatus.TOO_FEW_IMAGES),
        ({"labels": ["Nothing of the kind"]}, VaeStatus.NO_POSITIVES),
        # what a VAE could not be made of gets no control of one either
        ({"min_images": 41, "added": "copies"}, VaeStatus.TOO_FEW_IMAGES),
    ],
)
def test_a_site_that_cannot_have_one_trains_without_and_says_so(images_of, changes, status):
    found = images_of(**changes)
    assert (len(found.pool), len(found.pool.sources)) == (40, 1)
    assert found.numbers == {"vae-status": status, "vae-images": 40, "vae-samples": 0}


def test_a_vae_that_diverges_is_not_tried_again_each_round(images_of, monkeypatch):
    calls = []

    def diverges(*args, **more):
        calls.append(1)
        raise DivergedError("made up")

    monkeypatch.setattr(site_vae, "train_vae", diverges)
    assert images_of().numbers["vae-status"] == VaeStatus.DIVERGED
    assert len(images_of(round_num=2).pool) == 40
    assert len(calls) == 1


def test_a_real_divergence_is_told_too(images_of):
    found = images_of(learning_rate=1e30)
    assert found.numbers["vae-status"] == VaeStatus.DIVERGED
    assert len(found.pool) == 40


def test_a_full_disk_is_no_place_for_samples(images_of, monkeypatch):
    monkeypatch.setattr(augmentation.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    assert images_of().numbers["vae-status"] == VaeStatus.NO_ROOM


def test_refused_copies_are_dropped_with_their_labels(images_of, monkeypatch):
    judged = site_vae.judge_samples

    class AllButFive:
        def __init__(self, quality, number):
            self._quality, self.copies = quality, np.arange(number) >= 5

        def __getattr__(self, name):
            return getattr(self._quality, name)

    def suspicious(samples, *args, **more):
        return AllButFive(judged(samples, *args, **more), len(samples))

    monkeypatch.setattr(site_vae, "judge_samples", suspicious)
    found = images_of(refuse_copies=True)
    assert len(found.pool.sources[1].rows) == len(found.pool.sources[1].target) == 5
    assert (found.numbers["vae-samples"], found.numbers["vae-refused"]) == (5, 19)


def test_what_is_kept_of_other_labels_or_settings_is_refused(images_of):
    images_of()
    with pytest.raises(ArtefactError, match=r"made for the labels Edema, Fracture, and this run"):
        images_of(trained=("Edema",))
    with pytest.raises(ArtefactError, match="for other images, targets or settings"):
        images_of(epochs=3)


def test_damaged_files_are_refused(images_of, at):
    images_of()
    samples = folder_of(at) / "vae-samples-00001.npy"
    data = bytearray(samples.read_bytes())
    data[-1] ^= 1
    samples.write_bytes(data)
    with pytest.raises(ArtefactError, match=r"vae-samples-00001\.npy: missing or damaged"):
        images_of()
    record = folder_of(at) / "vae-00001.safetensors"
    data = bytearray(record.read_bytes())
    data[-1] ^= 1
    record.write_bytes(data)
    with pytest.raises(ArtefactError, match="not the one it was written with"):
        images_of()


def test_the_record_holds_no_text_of_the_table(images_of, at, ward):
    images_of()
    data = (folder_of(at) / "vae-00001.safetensors").read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert "patient" not in json.dumps(header["__metadata__"])
    assert VaeConfig().enabled is False


@pytest.mark.parametrize(
    ("changes", "train", "expected"),
    [
        # 40 real images in batches of 4 are 10 steps an epoch; with 24 samples there are 16
        ({}, {"local_epochs": 2}, (2, 20)),
        ({}, {"local_epochs": 2, "max_steps": 7}, (1, 7)),
        ({"same_steps": False}, {"local_epochs": 2}, (2, None)),
        # 24 samples alone are 6 steps: 4 epochs of them are more than 20
        ({"use": "pretrain"}, {"local_epochs": 2}, (4, 20)),
        ({"enabled": False}, {"local_epochs": 2}, (2, None)),
    ],
)
def test_a_round_takes_as_many_steps_as_without_samples(
    images_of, make_task, changes, train, expected
):
    pool = images_of(**changes).pool
    config = train_config(make_task(vae={**VAE, **changes}, train=train), pool)
    assert (config.local_epochs, config.max_steps) == expected
