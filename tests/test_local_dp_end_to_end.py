"""A whole run under local privacy of updates: its cost, what is withheld, a stop, the secrets."""

import json
import shutil

import pytest

from fedcxr.config import load_config
from fedcxr.experiments import resume, simulate
from fedcxr.home import site_state

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_page")]

TINY = {
    "data.synthetic.patients": 60,
    "data.synthetic.size_px": 48,
    "model.image_size": 32,
    "partition.clients": 3,
    "server.rounds": 2,
    "server.batch_norm": "group",
    "server.codec": "fp16",
    "privacy.level": "update",
    "privacy.epsilon": 8.0,
    "explain.max_boxes": 0,
    "explain.images_per_outcome": 0,
}


def run(folder, **settings):
    keys = {key.replace("__", "."): value for key, value in settings.items()}
    return simulate(load_config(overrides={**TINY, **keys}), folder=folder)


def stop_after_round_1(folder):
    for kept in (folder / "checkpoints").glob("*2*"):
        kept.unlink()
    (folder / "summary.json").unlink()
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "status": "interrupted"}))


def rounds_spent(folder):
    files = sorted(site_state(folder).glob("*/*/privacy/spent.json"))
    return [[row["round"] for row in json.loads(file.read_text())["trainings"]] for file in files]


def test_updates_leave_noised_by_each_site_s_secret_and_a_stopped_run_pays_once(tmp_path):
    folder = tmp_path / "run"
    done = run(folder, engine__workers=2)
    first = done.summary["parameters_sha256"]

    privacy = json.loads((folder / "manifest.json").read_text())["privacy"]
    assert privacy["delta"] == pytest.approx(0.1 / 3)
    assert (privacy["rate"], privacy["num_sites"]) == (1.0, 3)
    lines = [json.loads(line) for line in (folder / "rounds.jsonl").read_text().splitlines()]
    assert lines[1]["epsilon"]["rdp"] < lines[2]["epsilon"]["rdp"] <= 8.0
    assert lines[2]["epsilon"]["prv"] <= lines[2]["epsilon"]["rdp"]
    assert all(line["train_loss"] is None for line in lines)
    assert {row["num_examples"] for line in lines for row in line["sites"]} == {1}
    assert all("withheld" in site["reason"] for site in done.summary["site_scores"])
    secrets = sorted(site_state(folder).glob("*/*/privacy/noise.secret"))
    assert len({file.read_bytes() for file in secrets}) == len(secrets) == 3
    assert {file.stat().st_mode & 0o777 for file in secrets} == {0o600}
    assert not list(folder.rglob("noise.secret"))

    # A round done again, by one worker in place of two: the same bits, and it is paid for once.
    stop_after_round_1(folder)
    assert resume(folder).summary["parameters_sha256"] == first
    shutil.rmtree(folder)
    assert run(folder, engine__workers=1).summary["parameters_sha256"] == first
    assert rounds_spent(folder) == [[1, 2]] * 3

    # All that the server knows is the same, the secrets are others: other bits.
    shutil.rmtree(folder)
    shutil.rmtree(site_state(folder))
    assert run(folder).summary["parameters_sha256"] != first
