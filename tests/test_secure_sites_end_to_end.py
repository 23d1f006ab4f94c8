"""A whole run under client-level privacy and secure aggregation."""

import json

import pytest

from fedcxr.config import load_config
from fedcxr.experiments import resume, simulate

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_page")]

TINY = {
    "data.synthetic.patients": 80,
    "data.synthetic.size_px": 32,
    "model.image_size": 32,
    "partition.clients": 4,
    "server.rounds": 2,
    "server.batch_norm": "group",
    "server.secure_aggregation": True,
    "privacy.level": "client",
    "privacy.epsilon": 8.0,
    "explain.max_boxes": 0,
    "explain.images_per_outcome": 0,
    "engine.workers": 1,
}


def lines_of(folder):
    return [json.loads(line) for line in (folder / "rounds.jsonl").read_text().splitlines()]


def test_sums_alone_are_noised_and_a_stopped_run_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    # Two sites in round 1, which are too few for a sum; all of them in round 2.
    drawn = {1: ["site-00", "site-01"], 2: ["site-00", "site-01", "site-02", "site-03"]}
    monkeypatch.setattr(
        "server.client_privacy.ClientPrivacy.cohort", lambda self, ids, number: drawn[number]
    )
    done = simulate(load_config(overrides={**TINY, "runs_dir": str(tmp_path)}))
    lines = lines_of(done.path)
    assert [len(line["sites"]) for line in lines] == [0, 0, 4]
    assert "secure" not in lines[1]
    assert lines[2]["secure"]["clipped"] is None
    assert list(lines[2]["secure"]["statements"]) == drawn[2]
    assert lines[2]["secure"]["checks"][-1] == "length"
    assert len({line["parameters_sha256"] for line in lines}) == 3
    assert 7.9 < lines[2]["epsilon"]["rdp"] <= 8.0
    assert lines[1]["epsilon"]["rdp"] < lines[2]["epsilon"]["rdp"]
    rows = [row for line in lines for row in line["sites"]]
    assert all(set(row) == {"site_id", "train_loss"} and row["train_loss"] is None for row in rows)
    manifest = json.loads((done.path / "manifest.json").read_text())
    assert manifest["secure_aggregation"]["server_sees"] == "sums"
    assert manifest["privacy"]["kept_back"] == 0.0
    assert manifest["privacy"]["epsilon_among_sites"] == lines[2]["epsilon"]  # q = 1

    for kept in (done.path / "checkpoints").glob("*2*"):
        kept.unlink()
    (done.path / "summary.json").unlink()
    stopped = json.dumps({**manifest, "status": "interrupted"})
    (done.path / "manifest.json").write_text(stopped)
    again = resume(done.path)
    assert again.summary["parameters_sha256"] == done.summary["parameters_sha256"]
    assert lines_of(done.path)[2]["secure"]["session"] != lines[2]["secure"]["session"]
