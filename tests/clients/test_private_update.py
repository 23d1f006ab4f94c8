"""What leaves a site under local privacy of updates: shortened, noised by its secret, paid for."""

import json
import math

import numpy as np
import pytest
from scipy.stats import kstest, norm

from clients.private_update import noised_update
from clients.site import SiteLocation
from clients.train import Trained
from fedcxr.chain import UPDATE, SiteSide
from fedcxr.config.privacy import PrivacyConfig
from fedcxr.config.task import SiteTask
from fedcxr.errors import RunError
from fedcxr.parameters import ParameterSpec
from fedcxr.schema import COUNTERS, VECTOR, WireSchema
from fedcxr.shared_part import SharedPart
from fedcxr.wire import Order

pytest.importorskip("opacus")

WEIGHTS = 40_000
SPEC = ParameterSpec(
    ("w", "bn.running_var", "n"), ((WEIGHTS,), (2,), ()), ("trainable", "buffer", "counter")
)
SCHEMA = WireSchema(SharedPart(SPEC), protects="update")


def update_of(value):
    """Return an update of norm |value|·√40,000 = 200·|value| whose buffers have moved by 9."""
    found = np.full(WEIGHTS + 2, value, np.float32)
    found[WEIGHTS:] = 9.0
    return found


@pytest.fixture
def send(tmp_path):
    """Let a site send the update of a round."""

    def make(value, round_num=1, *, site="site-00", **privacy):
        keys = {"level": "update", "noise": 2.0, "delta": 0.01, "clip": 0.5, **privacy}
        task = SiteTask.model_construct(run="run", rounds=3, privacy=PrivacyConfig(**keys))
        location = SiteLocation(site, tmp_path / "site.csv", None, tmp_path / site)
        counters = np.array([7], np.int64)
        made = Trained(5, 0.1, 3, 15, 0.1, vectors={UPDATE: update_of(value), COUNTERS: counters})
        return noised_update(
            location,
            task,
            Order("run", round_num, "nonce", "digest", "task", 0.1),
            made,
            schema=SCHEMA,
            sent={VECTOR: update_of(0.0), COUNTERS: np.array([4], np.int64)},
            place=SiteSide(update_of(0.0), memory=None),
        )

    return make


def test_what_leaves_is_the_shortened_update_with_noise_of_sigma_c_and_nothing_else(send):
    # Norm 200·0.01 = 2 is shortened to 0.5: each number is 0.0025, and the noise has deviation
    # 2·0.5 = 1. Buffers are 0, counters those that the server sent.
    sent = send(0.01)

    rest = (sent[UPDATE][:WEIGHTS].astype(np.float64) - 0.0025) / 1.0
    assert kstest(rest, norm.cdf).pvalue > 0.001
    assert rest.std() == pytest.approx(1.0, abs=4 / math.sqrt(2 * WEIGHTS))
    assert sent[UPDATE][WEIGHTS:].tolist() == [0.0, 0.0]
    assert sent[COUNTERS].tolist() == [4]


def test_the_same_update_has_the_same_noise_and_is_paid_for_once(send, tmp_path):
    first, again = send(0.01), send(0.01)

    assert np.array_equal(first[UPDATE], again[UPDATE])
    rows = json.loads((tmp_path / "site-00/run/privacy/spent.json").read_text())["trainings"]
    assert [(row["round"], row["rate"], row["steps"]) for row in rows] == [(1, 1.0, 1)]


def test_another_update_round_or_site_has_other_noise(send):
    first = send(0.001)[UPDATE] - send(0.001, site="site-01")[UPDATE]
    second = send(0.001)[UPDATE] - send(0.001, round_num=2)[UPDATE]
    third = send(0.001)[UPDATE] - send(0.00101)[UPDATE]

    for difference in (first, second, third):
        # Of two independent noises of deviation 1 each: √2.
        assert difference[:WEIGHTS].std() == pytest.approx(math.sqrt(2), rel=0.03)


def test_what_is_beyond_the_budget_does_not_leave(send):
    # Three rounds fit into ε; a round done again with another outcome takes the place of the last.
    sent = [send(v, r, noise=None, epsilon=4.0) for v, r in [(0.1, 1), (0.1, 2), (0.01, 2)]]

    assert all(vectors is not None for vectors in sent)
    assert send(0.1, 3, noise=None, epsilon=4.0) is None


def test_an_update_that_is_not_finite_does_not_leave(send):
    with pytest.raises(RunError, match="not finite"):
        send(float("nan"))
