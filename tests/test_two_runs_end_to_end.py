"""Two runs in one process, by threads."""

import threading

import pytest

from fedcxr.config import load_config
from fedcxr.errors import ConfigError
from fedcxr.experiments import simulate

TINY = {
    "data.synthetic.patients": 90,
    "data.synthetic.size_px": 48,
    "model.image_size": 32,
    "partition.clients": 3,
    "server.rounds": 2,
    "explain.max_boxes": 0,
    "explain.images_per_outcome": 0,
    "engine.precision": "fp32",
}


def side_by_side(configs):
    """Return what became of each run, started at once."""
    found = {}

    def go(number, config):
        try:
            found[number] = simulate(config).summary["parameters_sha256"]
        except Exception as err:
            found[number] = err

    threads = [threading.Thread(target=go, args=pair) for pair in enumerate(configs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    return [found[number] for number in range(len(configs))]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_two_runs_at_once_have_the_bits_of_each_alone(tmp_path, workers):
    def configured(name, seed):
        own = {"seed": seed, "engine.workers": workers, "runs_dir": str(tmp_path / name)}
        return load_config(overrides={**TINY, **own})

    alone = [simulate(configured("alone", seed)).summary["parameters_sha256"] for seed in (0, 1)]
    assert side_by_side([configured(f"both-{seed}", seed) for seed in (0, 1)]) == alone


@pytest.mark.slow
def test_a_second_run_on_ray_is_refused_in_words(monkeypatch):
    from fedcxr.engines.ray_cluster import _used, connected

    message = "Another run of this process is on Ray"
    with _used, pytest.raises(ConfigError, match=message), connected(None):
        pass
