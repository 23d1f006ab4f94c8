"""Each protection once over real processes from start-up kits, beside what a simulation has."""

import json

import pytest

from fedcxr.config.load import to_yaml
from fedcxr.deploy.loopback import deployed
from fedcxr.experiments import chaos

pytestmark = pytest.mark.slow

GROUPED = {"server.batch_norm": "group", "server.rounds": 2}
RUNS = {
    "patient": {"privacy.level": "patient", "privacy.epsilon": 8.0, **GROUPED},
    "client": {"privacy.level": "client", "privacy.epsilon": 8.0, **GROUPED},
    "secure": {"server.secure_aggregation": True, "server.rounds": 2},
}
RUN_S = 240.0


def test_dp_client_level_dp_and_secure_aggregation_over_real_processes(tmp_path):
    with chaos._own_home(tmp_path / "home"):
        chaos._make(tmp_path)
        with deployed(tmp_path, chaos.SITES) as deployment:
            for name, settings in RUNS.items():
                config = chaos._config({"runs_dir": str(tmp_path / "runs"), **settings})
                (tmp_path / f"{name}.yaml").write_text(to_yaml(config))
                words = ["run", "--kit", deployment.kit, "--data", tmp_path / "global", "--quiet"]
                words += ["--config", tmp_path / f"{name}.yaml", "--name", name]
                deployment.start(name, *words)
                assert deployment.wait(name, RUN_S) == 0, (tmp_path / f"{name}.log").read_text()
    lines, manifests = {}, {}
    for name in RUNS:
        (folder,) = (tmp_path / "runs").glob(f"*-{name}")
        lines[name] = [json.loads(x) for x in (folder / "rounds.jsonl").read_text().splitlines()]
        manifests[name] = json.loads((folder / "manifest.json").read_text())
    for name in RUNS:
        assert [line["round"] for line in lines[name]] == [0, 1, 2]
        assert not [line["refused"] for line in lines[name] if line["refused"]]
    # Real sites keep their own accounts of their patients; the server accounts for sites.
    assert manifests["patient"]["privacy"]["level"] == "patient"
    assert lines["patient"][-1]["train_loss"] is None
    ledgers = sorted(tmp_path.rglob("spent.json"))
    assert len(ledgers) == len(chaos.SITES)
    assert all(0 < json.loads(file.read_text())["epsilon"] <= 8.0 for file in ledgers)
    assert 7.5 < lines["client"][-1]["epsilon"]["rdp"] <= 8.0
    assert lines["secure"][-1]["secure"] is not None
