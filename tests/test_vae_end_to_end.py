"""Whole runs in which sites have VAEs: the same bits everywhere, and nothing of a VAE leaves."""

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord

from fedcxr.config import load_config
from fedcxr.config.vae import VAE_NUMBERS
from fedcxr.engines.grid import SimulatedGrid
from fedcxr.errors import ConfigError, DataError
from fedcxr.experiments import resume, simulate
from fedcxr.home import site_state
from fedcxr.packing import unpack_array
from fedcxr.privacy.accounting import composed_epsilon
from fedcxr.tensor_file import read_tensor_file
from fedcxr.training import sample_quality
from fedcxr.wire import CARD_TEXT_KEYS, RESULT_KEYS

pytestmark = pytest.mark.usefixtures("no_page", "hasty_judges")

TINY = {
    "data.synthetic.patients": 150,
    "data.synthetic.size_px": 48,
    "model.image_size": 32,
    "partition.clients": 3,
    "server.rounds": 2,
    "explain.labels": 1,
    "explain.max_boxes": 0,
    "explain.images_per_outcome": 0,
    "engine.precision": "fp32",
    "engine.workers": 1,
    "vae.enabled": True,
    "vae.width": 8,
    "vae.latent": 4,
    "vae.epochs": 2,
    "vae.kl_warmup_epochs": 1,
    "vae.min_images": 20,
    "vae.samples_per_label": 5,
}
WINDOW = 32
"""Bytes of a VAE, a sample or an image that would be one too many."""


@pytest.fixture(scope="module")
def hasty_judges():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample_quality, "_STEPS", 10)
        yield


def run(folder, **settings):
    keys = {key.replace("__", "."): value for key, value in settings.items()}
    return simulate(load_config(overrides={**TINY, "runs_dir": str(folder), **keys}))


class Tap:
    """Everything that crosses between server and sites."""

    def __init__(self):
        self.vectors, self.numbers, self.texts = {}, {}, {}
        self.blob = set()

    def take(self, message):
        for record in message.content.values():
            if isinstance(record, ArrayRecord):
                for name, array in record.items():
                    vector = unpack_array(array, array.dtype)
                    self.vectors.setdefault(name, set()).add((vector.dtype.str, len(vector)))
                    self.blob.add(vector.tobytes())
            elif isinstance(record, MetricRecord):
                self.numbers |= {key: 1 for key in record}
                self.blob |= {np.float64(value).tobytes() for value in record.values()}
            else:
                assert isinstance(record, ConfigRecord)
                self.texts |= dict(record)
                self.blob |= {str(value).encode() for value in record.values()}

    def holds(self, secret):
        """Return whether any stretch of an array's bytes has crossed."""
        data = np.ascontiguousarray(secret).tobytes()
        starts = range(0, max(1, len(data) - WINDOW), max(WINDOW, len(data) // 20))
        parts = {data[start : start + WINDOW] for start in starts}
        telling = [part for part in parts if len(set(part)) > 4]  # zeros are everywhere
        return any(part in sent for part in telling for sent in self.blob)


@contextmanager
def tapping(tap):
    """Have a tap take all messages of runs of one process."""
    push, pull = SimulatedGrid.push_messages, SimulatedGrid.pull_messages

    def pushed(grid, messages):
        messages = list(messages)
        for message in messages:
            tap.take(message)
        return push(grid, messages)

    def pulled(grid, message_ids):
        replies = list(pull(grid, message_ids))
        for reply in replies:
            tap.take(reply)
        return replies

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SimulatedGrid, "push_messages", pushed)
        patch.setattr(SimulatedGrid, "pull_messages", pulled)
        patch.setattr(sample_quality, "_STEPS", 10)
        yield


@pytest.fixture(scope="module")
def tapped(tmp_path_factory):
    """A finished run of one process, and all its messages."""
    tap = Tap()
    with tapping(tap):
        finished = run(tmp_path_factory.mktemp("tapped"))
    return finished, tap


def kept_files(finished, pattern):
    return sorted(site_state(finished.path).rglob(pattern))


def test_sites_trained_on_samples_that_weigh_nothing(tapped):
    finished, _ = tapped
    (first, second) = [
        json.loads(line) for line in (finished.path / "rounds.jsonl").read_text().splitlines()
    ][1:]
    real = {site["site_id"]: site["train_images"] for site in finished.summary["sites"]}
    assert {row["site_id"]: row["num_examples"] for row in first["sites"]} == real
    made = sum(row["vae"]["samples"] for row in first["sites"])
    assert made > 0
    samples = {row["site_id"]: int(row["vae"]["samples"]) for row in first["sites"]}
    seen = 0
    for site_id, number in real.items():  # as many steps of 32 as two epochs of real images take
        steps, pool = 2 * -(-number // 32), number + samples[site_id]
        epoch = [min(32, pool - start) for start in range(0, pool, 32)]
        seen += sum((2 * epoch)[:steps])
    assert first["images"] == second["images"] == seen
    assert all("vae" not in row for row in second["sites"])


def test_no_message_holds_parameters_samples_or_images(tapped):
    finished, tap = tapped
    check_that_none_of_it_left(finished, tap, num_sites=3)
    # ... nor anything that is not declared: two vectors up, two down, of the classifier's lengths
    assert set(tap.vectors) == {"vector", "update", "counters"}
    assert tap.vectors["update"] == tap.vectors["vector"]
    assert set(tap.numbers) <= RESULT_KEYS
    order = {"run", "round", "nonce", "schema-digest", "task", "learning-rate", "threads"}
    order |= {"num-sites", "last-round"}
    receipt = {"site-id", "code", "reason"}
    assert set(tap.texts) <= order | receipt | CARD_TEXT_KEYS


def check_that_none_of_it_left(finished, tap, *, num_sites):
    records, samples = kept_files(finished, "vae-*.safetensors"), kept_files(finished, "*.npy")
    assert len(records) == len(samples) == num_sites
    for record, file in zip(records, samples, strict=True):
        tensors, _ = read_tensor_file(record)
        weights = [t.numpy() for name, t in tensors.items() if t.numel() >= 8]
        assert sum(array.size for array in weights) > 10_000
        made = np.load(file, allow_pickle=False)
        assert not any(tap.holds(array) for array in weights)
        for image in made[:10]:
            assert not tap.holds(image)
            assert not tap.holds(image.astype(np.float32) / 255)


@pytest.mark.slow
def test_under_patient_level_privacy_no_number_of_a_vae_leaves_and_its_steps_are_in_epsilon(
    tmp_path,
):
    pytest.importorskip("opacus")
    tap = Tap()
    with tapping(tap):
        finished = run(
            tmp_path,
            data__synthetic__patients=80,
            partition__clients=2,
            server__batch_norm="group",
            privacy__level="patient",
            privacy__epsilon=8.0,
            vae__samples_per_label=1,
        )
    check_that_none_of_it_left(finished, tap, num_sites=2)
    assert set(tap.vectors) == {"vector", "update", "counters"}
    assert tap.numbers == {}
    cards = json.loads((finished.path / "cards.json").read_text())
    assert [card.get("vae") for card in cards.values()] == [{}, {}]
    # ε by the accountant, of each round's steps and of the VAE's, which were taken in the first
    privacy = json.loads((finished.path / "manifest.json").read_text())["privacy"]
    sites = privacy["sites"]
    assert all(site["vae_steps"] == site["steps"] > 0 for site in sites)  # 2 epochs each
    lines = [json.loads(x) for x in (finished.path / "rounds.jsonl").read_text().splitlines()]
    for number in (1, 2):
        spent = [
            composed_epsilon(
                {(site["noise"], site["rate"]): number * site["steps"] + site["vae_steps"]},
                privacy["delta"],
            )
            for site in sites
        ]
        assert lines[number]["epsilon"]["rdp"] == max(spent)
    assert 7.9 < lines[2]["epsilon"]["rdp"] <= 8.0
    accounts = kept_files(finished, "spent.json")
    told = [[row["what"] for row in json.loads(x.read_text())["trainings"]] for x in accounts]
    assert told == [["vae", "round", "round"]] * 2
    assert len(kept_files(finished, "vae-quality.json")) == 2


def test_the_search_would_find_them(tapped):
    finished, tap = tapped
    tensors, _ = read_tensor_file(kept_files(finished, "vae-*.safetensors")[0])
    image = np.load(kept_files(finished, "*.npy")[0], allow_pickle=False)[0]
    leaky = Tap()
    leaky.blob = {*tap.blob, b"before" + tensors["vae.grow.weight"].numpy().tobytes()}
    leaky.blob.add(image.tobytes())
    assert leaky.holds(tensors["vae.grow.weight"].numpy())
    assert leaky.holds(image)


def test_what_shows_pixels_is_not_in_the_run_folder(tapped):
    finished, _ = tapped
    assert len(kept_files(finished, "vae-sheet.png")) == 3
    there = [path.name for path in finished.path.rglob("*") if path.is_file()]
    assert not [name for name in there if name.startswith("vae") or name.endswith(".npy")]


def test_the_numbers_are_on_the_cards_and_in_the_summary(tapped):
    finished, _ = tapped
    cards = json.loads((finished.path / "cards.json").read_text())
    for row in finished.summary["vae"]:
        assert row["made_in"] == 1
        assert row["numbers"]["status"] == 0
        told = {name: value for name, value in row["numbers"].items() if value is not None}
        assert cards[row["site_id"]]["vae"] == told
    assert len(finished.summary["vae"]) == 3


def command(folder, **settings):
    keys = {key.replace("__", "."): value for key, value in settings.items()}
    values = {**TINY, "runs_dir": str(folder), **keys}
    flags = [x for key, value in values.items() for x in ("--set", f"{key}={value}")]
    return [sys.executable, "-m", "fedcxr", "simulate", *flags]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", pytest.param("ray", marks=pytest.mark.long)])
def test_workers_and_ray_give_the_same_bits_as_one_process(tapped, tmp_path, engine):
    finished, _ = tapped
    # as a command: Ray leaves files of its own open in the process that used it
    words = command(tmp_path, engine__kind=engine, engine__workers=2)
    subprocess.run(words, check=True, timeout=400, capture_output=True)
    (path,) = tmp_path.iterdir()
    summary = json.loads((path / "summary.json").read_text())
    assert summary["parameters_sha256"] == finished.summary["parameters_sha256"]
    others = sorted(site_state(path).rglob("*.npy"))
    for one, two in zip(kept_files(finished, "*.npy"), others, strict=True):
        assert one.read_bytes() == two.read_bytes()


@pytest.mark.slow
def test_a_run_killed_between_two_sites_vaes_goes_on_to_the_same_bits(tapped, tmp_path):
    killed = subprocess.Popen(command(tmp_path), start_new_session=True)
    try:
        end = time.monotonic() + 200
        while not [
            file
            for path in tmp_path.iterdir()
            for file in site_state(path).rglob("vae-00001.safetensors")
        ]:
            assert killed.poll() is None
            assert time.monotonic() < end
            time.sleep(0.01)
    finally:
        killed.kill()  # one worker: there is no other process
        killed.wait(30)
    (path,) = tmp_path.iterdir()
    assert not (path / "summary.json").exists()
    went_on = resume(path)
    assert went_on.summary["parameters_sha256"] == tapped[0].summary["parameters_sha256"]


def test_owners_may_keep_all_numbers_to_themselves(tmp_path):
    finished = run(tmp_path, vae__share=[], server__rounds=1)
    assert {row["made_in"] for row in finished.summary["vae"]} == {0}
    assert all(
        value is None for row in finished.summary["vae"] for value in row["numbers"].values()
    )


def test_a_vae_that_diverges_everywhere_leaves_a_run_without_samples_that_says_so(tmp_path):
    finished = run(tmp_path, vae__learning_rate=1e30)
    assert {row["numbers"]["status"] for row in finished.summary["vae"]} == {4}
    without = {key: value for key, value in TINY.items() if not key.startswith("vae.")}
    plain = simulate(load_config(overrides={**without, "runs_dir": str(tmp_path)}))
    assert plain.summary["vae"] is None
    assert plain.summary["parameters_sha256"] == finished.summary["parameters_sha256"]


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"vae__max_ratio": 0}, ConfigError, r"vae\.max_ratio = 0.*greater than 0"),
        ({"vae__max_ratio": 9}, ConfigError, r"vae\.max_ratio = 9.*less than or equal to 5"),
        ({"vae__min_images": 5000}, DataError, "a VAE of fewer than 5000 learns them by heart"),
        ({"vae__labels": ["Nodule"]}, ConfigError, r"vae\.labels: Nodule is not among the labels"),
        ({"vae__size_px": 40}, ConfigError, r"vae\.size_px = 40: does not divide"),
        (
            {"vae__use": "pretrain", "vae__pretrain_rounds": 2},
            ConfigError,
            "of 2 rounds none would train on real images",
        ),
        ({"vae__pretrain_rounds": 2}, ConfigError, r"acts under vae\.use=pretrain"),
        ({"vae__enabled": False}, ConfigError, r"acts where sites have VAEs\. Add --vae"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_trained(tmp_path, settings, error, says):
    with pytest.raises(error, match=says):
        run(tmp_path, **settings)
    assert list(tmp_path.iterdir()) == []


def test_no_room_for_samples_is_refused_with_the_way_to_mend_it(tmp_path, monkeypatch):
    free = SimpleNamespace(free=1000)
    monkeypatch.setattr("server.vae_check.shutil.disk_usage", lambda path: free)
    with pytest.raises(ConfigError, match=r"samples take .* MiB left\. Make room, set FEDCXR_HOME"):
        run(tmp_path)


def test_every_number_of_a_vae_is_on_the_list_of_what_may_leave():
    assert set(VAE_NUMBERS) <= RESULT_KEYS


@pytest.mark.slow
def test_vaes_that_a_moved_run_has_lost_are_told(tmp_path, caplog):
    finished = run(tmp_path, vae__features="classifier")
    (finished.path / "summary.json").unlink()
    (finished.path / "checkpoints" / "round-00002.safetensors").unlink()
    manifest = json.loads((finished.path / "manifest.json").read_text())
    (finished.path / "manifest.json").write_text(json.dumps({**manifest, "status": "running"}))
    moved = finished.path.rename(tmp_path / "elsewhere")
    resume(moved)
    assert "VAEs: the sites' own are gone" in caplog.text
