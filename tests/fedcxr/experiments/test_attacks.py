"""What hostile sites send, by hand; and that nothing but a study can make a site hostile."""

import subprocess
import sys

import numpy as np
import pytest
from flwr.app import Context, RecordDict, UserConfig
from scipy.stats import norm

from clients.locate import locate_from_context
from fedcxr.config import ExperimentConfig
from fedcxr.config.kit import SiteKitConfig
from fedcxr.config.load import by_key
from fedcxr.config.task import SiteTask, parse_task
from fedcxr.errors import ConfigError
from fedcxr.experiments.byzantine.attacks import ATTACKS, Knowledge, z_max
from fedcxr.experiments.byzantine.hostile_sites import draw_hostile
from fedcxr.experiments.byzantine.poisoned_site import flipped

OWN = np.float32([1, -2, 0])
HONEST = np.float32([[1, 2, 3], [3, 2, -1]])


def sent(name, deviations=0.0):
    return ATTACKS[name].alter(Knowledge(OWN, HONEST, deviations)).tolist()


def test_sign_flip_turns_the_own_update_round():
    assert sent("sign-flip") == [-1, 2, 0]


def test_scaling_sends_it_a_hundred_times_as_long_and_stays_finite():
    assert sent("scaling") == [100, -200, 0]
    wide = ATTACKS["scaling"].alter(Knowledge(np.float32([3e38, -3e38]), HONEST, 0.0))
    assert np.isfinite(wide).all()


def test_alie_sends_the_honest_mean_less_some_deviations():
    # means 2, 2, 1; deviations 1, 0, 2
    assert sent("alie", 0.0) == [2, 2, 1]
    assert sent("alie", 1.5) == [0.5, 2, -2]


@pytest.mark.parametrize(
    ("sites", "hostile", "share"),
    [
        (50, 12, 24 / 38),  # s = 26 − 12 = 14, and (38 − 14) / 38
        (11, 2, 5 / 9),  # s = 6 − 2 = 4
        (10, 3, 4 / 7),  # s = 6 − 3 = 3
        (10, 2, 1 / 2),  # s = 6 − 2 = 4: half of the honest, so no room
    ],
)
def test_how_far_alie_may_go_is_the_papers_formula(sites, hostile, share):
    assert norm.cdf(z_max(sites, hostile)) == pytest.approx(share)


def test_labels_are_turned_round_and_blanks_by_what_they_count_as():
    states = np.int8([[1, 0, -1, -2, -3]] * 3)
    found = flipped(states[:, :], ["zeros", "zeros", "zeros", "zeros", "zeros"])
    assert found.tolist() == [[0, 1, -1, 1, -3]] * 3
    assert flipped(np.int8([[-2, -2, -2]]), ["zeros", "ones", "ignore"]).tolist() == [[1, 0, -2]]
    assert states[0].tolist() == [1, 0, -1, -2, -3]  # the given ones stay


def test_the_hostile_sites_are_drawn_by_the_seed():
    names = [f"site-{number:02d}" for number in range(10)]
    first = draw_hostile(names, 2, seed=0)
    assert len(set(first)) == 2
    assert draw_hostile(names[::-1], 2, seed=0) == first
    assert len({draw_hostile(names, 2, seed) for seed in range(9)}) > 1


HOSTILE_WORDS = ("attack", "hostile", "poison", "tamper", "malicious")


def test_no_key_of_a_run_an_order_or_a_kit_makes_a_site_hostile():
    keys = [*by_key(ExperimentConfig()), *SiteTask.model_fields, *SiteKitConfig.model_fields]
    assert [key for key in keys if any(word in key for word in HOSTILE_WORDS)] == []


def test_an_order_that_asks_for_an_attack_is_refused(make_task):
    text = make_task().to_text()
    with pytest.raises(ConfigError, match="The server's task has 1 wrong fields"):
        parse_task(text[:-1] + ',"attack":"label-flip"}')


def test_a_real_sites_client_has_no_code_to_be_hostile():
    # what `fedcxr client start` runs, in a process of its own
    code = (
        "import sys, clients.app, fedcxr.deploy.pinned_supernode; "
        "print([name for name in sys.modules if name.startswith('fedcxr.experiments')])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"


def test_a_real_site_trains_on_its_own_table_whatever_lies_beside_it(tmp_path):
    (tmp_path / "poisoned").mkdir()
    for file in ("site.csv", "poisoned/site.csv"):
        (tmp_path / file).write_text("")
    node = UserConfig({"site-dir": str(tmp_path)})
    context = Context(
        run_id=1, node_id=1, node_config=node, state=RecordDict(), run_config=UserConfig()
    )
    assert locate_from_context(context).table == tmp_path / "site.csv"
