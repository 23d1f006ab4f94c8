"""How many clients fit a cluster, and what is said of one that cannot be joined; without Ray."""

import pytest
import ray

from fedcxr.config.engine import EngineConfig
from fedcxr.engines import ray_cluster
from fedcxr.engines.ray_address import check_reachable
from fedcxr.engines.ray_cluster import Share, connected, share_of
from fedcxr.errors import ConfigError, NetworkError

TWO = [{"CPU": 5.0, "GPU": 1.0}, {"CPU": 3.0, "memory": 1e9}]


@pytest.mark.parametrize(
    ("engine", "device", "share"),
    [
        # 5 + 3 cores are 8 clients of one thread, but there are only 6 sites
        ({}, "cpu", Share(1.0, 0.0, 6)),
        # 5 // 2 + 3 // 2 = 3 clients of 2 cores; a core that is left over on each is none together
        ({"cpus_per_client": 2.0}, "cpu", Share(2.0, 0.0, 3)),
        ({"cpus_per_client": 0.5, "workers": 4}, "cpu", Share(0.5, 0.0, 4)),
        # the other machine has no GPU
        ({"gpus_per_client": 0.25}, "cpu", Share(1.0, 0.25, 4)),
        ({}, "cuda:0", Share(1.0, 1.0, 1)),
        # 3 clients share one GPU by thirds, in the ten-thousandths that Ray counts
        ({"workers": 3}, "cuda:0", Share(1.0, 0.3333, 3)),
        ({"gpus_per_client": 0.0}, "cuda:0", Share(1.0, 0.0, 6)),
    ],
)
def test_a_cluster_takes_as_many_clients_as_fit_its_machines(monkeypatch, engine, device, share):
    monkeypatch.setattr(ray_cluster, "_machines", lambda: TWO)
    config = EngineConfig(kind="ray", ray_address="auto", **engine)
    assert share_of(config, 6, workers=2, threads=1, device=device) == share


def test_a_cluster_started_here_has_as_many_clients_as_workers(monkeypatch):
    monkeypatch.setattr(ray_cluster, "_machines", lambda: [{"CPU": 6.0, "GPU": 2.0}])
    # 3 clients on 2 GPUs: two on one of them, so each takes a half
    found = share_of(EngineConfig(kind="ray"), 5, workers=3, threads=2, device="cuda:0")
    assert found == Share(2.0, 0.5, 3)


def test_clients_that_fit_no_machine_are_refused_at_once(monkeypatch):
    monkeypatch.setattr(ray_cluster, "_machines", lambda: TWO)
    config = EngineConfig(kind="ray", ray_address="auto", cpus_per_client=6.0)
    with pytest.raises(ConfigError, match=r"asks for 6 cores and 0 GPUs, which no machine"):
        share_of(config, 6, workers=2, threads=1, device="cpu")


def test_ray_client_addresses_are_refused_with_the_way_out():
    with pytest.raises(ConfigError, match=r"ray start --address=HOST:6379 --num-cpus=0"):
        check_reachable("ray://127.0.0.1:10001")


def test_nothing_is_asked_of_auto():
    check_reachable("auto")
    check_reachable(None)


def test_a_cluster_that_cannot_be_joined_says_why(monkeypatch):
    def init(*args, **more):
        raise RuntimeError("Version mismatch: Ray 2.9 there\nand more")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    with (
        pytest.raises(
            NetworkError, match=r"auto: Version mismatch: Ray 2.9 there and more The machine"
        ),
        connected("auto"),
    ):
        pass


def test_a_cluster_that_is_not_there_says_how_to_start_one(monkeypatch):
    def init(*args, **more):
        raise ConnectionError

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(NetworkError, match="`ray start --head`"), connected("auto"):
        pass
