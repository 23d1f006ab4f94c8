"""A whole run under client-level privacy and secure aggregation."""

import json

import pytest

from fedcxr.config import load_config
from fedcxr.experiments import simulate

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


def test_sums_alone_are_noised_and_no_number_of_a_site_is_left(tmp_path, monkeypatch):
    # All sites in round 1, two of them in round 2, which is too few for a sum.
    drawn = {1: ["site-00", "site-01", "site-02", "site-03"], 2: ["site-00", "site-01"]}
    monkeypatch.setattr(
        "server.client_privacy.ClientPrivacy.cohort", lambda self, ids, number: drawn[number]
    )
    done = simulate(load_config(overrides={**TINY, "runs_dir": str(tmp_path)}))
    lines = [json.loads(x) for x in (done.path / "rounds.jsonl").read_text().splitlines()]
    assert [len(line["sites"]) for line in lines] == [0, 4, 0]
    assert lines[1]["secure"]["clipped"] is None
    assert "secure" not in lines[2]
    assert len({line["parameters_sha256"] for line in lines}) == 3
    assert 7.9 < lines[2]["epsilon"]["rdp"] <= 8.0
    assert lines[1]["epsilon"]["rdp"] < lines[2]["epsilon"]["rdp"]
    rows = [row for line in lines for row in line["sites"]]
    assert all(set(row) == {"site_id", "train_loss"} and row["train_loss"] is None for row in rows)
    manifest = json.loads((done.path / "manifest.json").read_text())
    assert manifest["secure_aggregation"]["server_sees"] == "sums"
    assert manifest["privacy"]["kept_back"] == 0.0
    assert manifest["privacy"]["epsilon_among_sites"] == lines[2]["epsilon"]  # q = 1
