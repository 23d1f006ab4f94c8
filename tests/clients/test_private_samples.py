"""A site's VAE under patient-level privacy: paid for once, the same bits again, nothing told."""

import json
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from PIL import Image

from clients import privacy_budget, private_samples, private_training
from clients.memory import memory_of
from clients.private_samples import NOT_COVERED, QUALITY
from clients.private_training import SPENT
from clients.resident_model import worker_for
from clients.site import open_site, simulated
from clients.train import train_order
from clients.vae_files import SHEET
from fedcxr.chain import UPDATE
from fedcxr.data.cache.store import build_cache
from fedcxr.errors import DivergedError
from fedcxr.models.architectures import build_model
from fedcxr.parameters import extract, load_into, spec_of
from fedcxr.privacy.accounting import composed_epsilon
from fedcxr.schema import COUNTERS, VECTOR
from fedcxr.training import private_plan, sample_quality
from partitions.table import write_table

pytest.importorskip("opacus")

LABELS = ("Edema", "Fracture")
VAE = {
    "enabled": True,
    "width": 8,
    "latent": 2,
    "epochs": 1,
    "kl_warmup_epochs": 1,
    "min_images": 20,
    "samples_per_label": 4,
}
NOISE = {"level": "patient", "noise": 2.0, "delta": 0.001}
BATCH, PATIENTS = 10, 24


@lru_cache
def remembered(history, delta):
    return composed_epsilon(dict(history), delta)


@pytest.fixture(scope="module", autouse=True)
def hasty():
    """Judges of a few steps, and each ε computed once: at so large a q it takes half a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample_quality, "_STEPS", 5)
        for module in (privacy_budget, private_plan):
            patch.setattr(
                module,
                "composed_epsilon",
                lambda steps, delta: remembered(tuple(steps.items()), delta),
            )
        yield


@pytest.fixture(scope="module")
def ward(tmp_path_factory, site_records):
    """One site of 36 training images of 24 patients, and 21 validation images."""
    folder = tmp_path_factory.mktemp("private-ward")
    (folder / "sites").mkdir()
    table = site_records("site-00", 36, 21)
    people = tuple(f"person-{number % PATIENTS if number < 36 else number}" for number in range(57))
    table = replace(table, patient_id=people)
    write_table(table, folder / "sites" / "site-00.csv")
    rng, items = np.random.default_rng(0), []
    for image_id in table.image_id:
        pixels = rng.integers(0, 200, (32, 32)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{image_id}.png")
        items.append((image_id, f"{image_id}.png"))
    options = {"size_px": 32, "max_bad_fraction": 0.0, "workers": 1}
    build_cache(items, folder, **options, folder=folder / "cache")
    return folder


@pytest.fixture
def at(ward, tmp_path):
    places = {"state": tmp_path / "state", "own_images": tmp_path / "own"}
    return simulated(ward, 0, cache=ward / "cache", **places)


@pytest.fixture
def round_of(at, make_task, make_order):
    """Return what a round gives: the site's answer to an order, and the task."""

    def train(round_num=1, *, location=at, rounds=2, start=0, **changes):
        task = make_task(
            train={"batch_size": BATCH},
            vae={**VAE, **changes},
            privacy=NOISE,
            rounds=rounds,
            batch_norm="group",
        )
        site, worker = open_site(location, task), worker_for(task, 1)
        model = build_model(task.model, len(LABELS), start, group_norm=True)
        given = extract(model, spec_of(model))
        load_into(worker.model, worker.spec, given)
        order = make_order(task, worker.spec, round_num)
        vectors = {VECTOR: given.vector, COUNTERS: given.counters}
        memory = memory_of(location.state, task.run, round_num)
        return train_order(
            location, site, task, order, vectors=vectors, worker=worker, memory=memory
        )

    return train


def account(at):
    return json.loads((at.own_images / "a-run" / "privacy" / "spent.json").read_text())


def what(at):
    return [(row["what"], row["round"], row["steps"]) for row in account(at)["trainings"]]


def samples(at, made_in=1):
    file = at.own_images / "a-run" / f"vae-samples-{made_in:05d}.npy"
    return np.load(file, allow_pickle=False)


def test_the_vae_is_paid_for_once_and_the_account_is_that_of_all_steps(round_of, at):
    first = round_of(1)
    # of 24 patients 10 a step: 3 steps an epoch, and a round
    assert what(at) == [("vae", 1, 3), ("round", 1, 3)]
    again = round_of(1)
    assert again.vectors[UPDATE].tobytes() == first.vectors[UPDATE].tobytes()
    assert what(at) == [("vae", 1, 3), ("round", 1, 3)]
    round_of(2)
    assert what(at) == [("vae", 1, 3), ("round", 1, 3), ("round", 2, 3)]
    found = account(at)
    ((noise, rate),) = {(row["noise"], row["rate"]) for row in found["trainings"]}
    assert rate == BATCH / PATIENTS
    assert found["epsilon"] == composed_epsilon({(noise, rate): 9}, 0.001)
    assert round_of(2, start=1).reason == SPENT


def test_a_site_killed_before_its_vae_was_kept_makes_it_to_the_same_bits(round_of, at):
    first, made = round_of(1), samples(at)
    spent = account(at)
    for file in (at.own_images / "a-run").glob("vae-*"):
        file.unlink()
    again = round_of(1)
    assert np.array_equal(samples(at), made)
    assert again.vectors[UPDATE].tobytes() == first.vectors[UPDATE].tobytes()
    assert account(at) == spent


def test_another_site_s_secret_makes_another_vae(round_of, at, tmp_path):
    round_of(1)
    other = replace(at, own_images=tmp_path / "other")
    round_of(1, location=other)
    assert not np.array_equal(samples(at), samples(other))


def test_vaes_made_anew_are_paid_for_each_in_its_round(round_of, at):
    for number in (1, 2, 3):
        round_of(number, rounds=3, every=2)
    assert [(row, number) for row, number, _ in what(at)] == [
        *(("vae", 1), ("round", 1), ("round", 2), ("vae", 3), ("round", 3))
    ]
    assert round_of(3, start=1, rounds=3, every=2).reason == SPENT


def test_with_a_given_noise_the_vae_s_steps_are_among_the_run_s(round_of, at):
    for number in (1, 2):
        assert round_of(number).num_examples == 1
    assert round_of(2, start=1).reason == SPENT
    assert sum(steps for _, _, steps in what(at)) == 9


def test_each_sample_is_a_patient_of_its_own_among_the_steps(round_of, monkeypatch):
    seen = []
    inner = private_training.train_privately

    def listening(model, pool, patient, steps, *args, **more):
        seen.append((pool, patient, steps))
        return inner(model, pool, patient, steps, *args, **more)

    monkeypatch.setattr(private_training, "train_privately", listening)
    round_of(1)
    ((pool, patient, steps),) = seen
    assert (len(pool), pool.num_real) == (36 + 8, 36)
    assert len(np.unique(patient[36:])) == 8
    assert not set(patient[36:]) & set(patient[:36])
    # q · (24 + 8) are expected; q and the noise are those of the patients alone
    assert steps.rate == BATCH / PATIENTS
    assert steps.mechanism.expected == pytest.approx(BATCH * 32 / 24)
    known = ~np.isnan(pool.sources[1].target)
    assert known.sum(axis=0).tolist() == [4, 4]
    assert (pool.sources[1].target[known] == 1).all()


def test_what_is_found_of_samples_stays_and_decides_nothing(round_of, at, tmp_path, monkeypatch):
    first = round_of(1)
    assert first.vae_numbers == {}
    folder = at.own_images / "a-run"
    found = json.loads((folder / QUALITY).read_text())
    assert found["note"] == NOT_COVERED
    assert found["vae-mse"] > 0
    assert (folder / SHEET).is_file()
    assert not list(at.state.rglob("vae*"))

    def fails(*args, **more):
        raise DivergedError("a judge that some patient's image undid")

    # the same secret, and judges that fail: the same update
    monkeypatch.setattr(private_samples, "judged", fails)
    for file in folder.glob("vae-*"):
        file.unlink()
    assert round_of(1).vectors[UPDATE].tobytes() == first.vectors[UPDATE].tobytes()
    assert not (folder / QUALITY).exists()


def test_a_vae_that_diverges_has_been_paid_for_and_is_not_tried_again(round_of, at, monkeypatch):
    calls = []

    def diverges(*args, **more):
        calls.append(1)
        raise DivergedError("made up")

    monkeypatch.setattr(private_samples, "train_vae_privately", diverges)
    assert round_of(1).num_examples == round_of(2).num_examples == 1
    assert len(calls) == 1
    assert [row for row, _, _ in what(at)] == ["vae", "round", "round"]


def test_whether_there_is_a_vae_is_decided_by_patients_not_images(round_of, at):
    # 24 patients have 36 images
    assert round_of(1, min_images=25).num_examples == 1
    assert what(at) == [("round", 1, 3)]
    assert not list((at.own_images / "a-run").glob("vae-*"))


def test_without_room_for_samples_a_site_trains_without_and_pays_for_no_vae(
    round_of, at, monkeypatch
):
    monkeypatch.setattr(private_samples, "has_room", lambda *args: False)
    assert round_of(1).num_examples == 1
    assert what(at) == [("round", 1, 3)]
