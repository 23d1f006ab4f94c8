"""Whole runs under client-level privacy: the cost, what is withheld, empty rounds, a stop."""

import json
import shutil

import pytest

from fedcxr.config import load_config
from fedcxr.errors import ArtefactError
from fedcxr.experiments import resume, simulate
from fedcxr.home import server_state

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_page")]

TINY = {
    "data.synthetic.patients": 90,
    "data.synthetic.size_px": 48,
    "model.image_size": 32,
    "partition.clients": 4,
    "server.rounds": 3,
    "server.fraction": 0.5,
    "server.batch_norm": "group",
    "privacy.level": "client",
    "privacy.epsilon": 8.0,
    "explain.max_boxes": 0,
    "explain.images_per_outcome": 0,
    "engine.workers": 1,
}


def run(folder, **settings):
    keys = {key.replace("__", "."): value for key, value in settings.items()}
    return simulate(load_config(overrides={**TINY, **keys}), folder=folder)


def lines_of(folder):
    return [json.loads(line) for line in (folder / "rounds.jsonl").read_text().splitlines()]


def stop_after_round_2(folder):
    for kept in (folder / "checkpoints").glob("*3*"):
        kept.unlink()
    (folder / "summary.json").unlink()
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "status": "interrupted"}))


def test_a_run_tells_its_cost_and_no_site_s_own_numbers_and_a_stopped_one_goes_on(tmp_path):
    folder = tmp_path / "run"
    done = run(folder, engine__workers=2)
    first, lines = done.summary["parameters_sha256"], lines_of(folder)

    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["privacy"]["delta"] == pytest.approx(0.025)
    assert manifest["privacy"]["rate"] == 0.5
    spent = [line["epsilon"]["rdp"] for line in lines[1:]]
    assert spent == sorted(spent)
    assert 7.9 < spent[-1] <= 8.0
    assert lines[-1]["epsilon"]["prv"] <= spent[-1]
    assert all(line["train_loss"] is None for line in lines)
    rows = [row for line in lines for row in line["sites"]]
    assert {row["num_examples"] for row in rows} <= {1}
    assert not [row for row in rows if "update_norm" in row]
    assert done.summary["participation"] == {}
    assert all("withheld" in site["reason"] for site in done.summary["site_scores"])
    cards = json.loads((folder / "cards.json").read_text())
    assert all(not key.startswith("num") for card in cards.values() for key in card)

    # Its secret is not in its folder, and it goes on from an earlier round to the same bits.
    (secret,) = server_state(folder).glob("noise.secret")
    assert not list(folder.rglob("*.secret"))
    stop_after_round_2(folder)
    assert resume(folder).summary["parameters_sha256"] == first

    # With another secret all that is known of the run gives other bits; without one it ends.
    stop_after_round_2(folder)
    secret.unlink()
    with pytest.raises(ArtefactError, match="the noise of this run comes from it"):
        resume(folder)
    shutil.rmtree(folder)
    assert run(folder).summary["parameters_sha256"] != first


def test_a_round_of_nobody_is_noise_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("server.client_privacy.ClientPrivacy.cohort", lambda self, ids, num: [])
    done = run(tmp_path / "run", server__rounds=2)

    lines = lines_of(done.path)
    assert [line["sites"] for line in lines] == [[], [], []]
    assert len({line["parameters_sha256"] for line in lines}) == 3
    assert lines[-1]["epsilon"]["rdp"] > 0


def test_a_bound_that_adapts_goes_on_where_a_stopped_run_had_it(tmp_path):
    folder = tmp_path / "run"
    keys = {"privacy__adaptive_clip": True, "privacy__epsilon": None, "privacy__noise": 0.3}
    first = run(folder, server__fraction=1.0, **keys).summary["parameters_sha256"]
    clips = [line["next_clip"] for line in lines_of(folder)[1:]]
    assert len({1.0, *clips}) == 4

    stop_after_round_2(folder)

    assert resume(folder).summary["parameters_sha256"] == first
    assert [line["next_clip"] for line in lines_of(folder)[1:]] == clips
