"""What the deployment's benchmark starts and how it compares."""

import contextlib
import tomllib

import pytest

from benchmarks import deployment as module
from fedcxr.deploy.provision import new_deployment


def test_each_start_is_compared_with_the_plain_one_after_it():
    found = {"fedcxr": [[3.0, 4.0, 2.0], [6.0]], "flower": [[30.0], [10.0, 20.0]]}
    assert module.ratios_of(found) == pytest.approx([0.1, 0.4])


def test_the_goal_is_judged_by_the_long_form_alone(monkeypatch, tmp_path):
    rounds = []

    def folder():
        return contextlib.nullcontext(tmp_path)

    def ours(place, data, number):
        rounds.append(number)
        return [4.0] * number

    monkeypatch.setattr(module, "folder_of_data", folder)
    monkeypatch.setattr(module, "fedcxr_rounds", ours)
    monkeypatch.setattr(module, "flower_rounds", lambda place, number: [10.0] * number)
    short, full = module.measure(short=True), module.measure(short=False)
    assert [row.met for row in (*short.rows, *full.rows)] == [None, False]
    assert full.rows[0].found == "0.40 (0.40 to 0.40)"
    assert rounds == [3, 8, 8, 8]


def test_flowers_own_programs_are_started_with_tls_and_keys(tmp_path):
    made = new_deployment(tmp_path / "kits", "127.0.0.1:9092", module.SITES)
    server = module.superlink_command(made)
    client = module.supernode_command(made, "site-00")
    for word in ("--ssl-certfile", "--enable-supernode-auth"):
        assert word in server
    for word in ("--root-certificates", "--auth-supernode-private-key"):
        assert word in client
    assert "--insecure" not in [*server, *client]
    assert "FLWR_HOME=" + str(tmp_path) in module.surroundings(tmp_path)


def test_the_plain_apps_files_are_where_its_project_says():
    project = tomllib.loads((module.APP / "pyproject.toml").read_text())
    for component in project["tool"]["flwr"]["app"]["components"].values():
        name = component.partition(":")[0].replace(".", "/")
        assert (module.APP / f"{name}.py").is_file()
