"""Client-level privacy under secure aggregation: the plan, the noised sum, rounds of too few."""

import math
from itertools import product

import numpy as np
import pytest

from fedcxr.config import load_config
from fedcxr.config.privacy import PrivacyConfig
from fedcxr.errors import ConfigError, RunError
from fedcxr.parameters import Parameters, ParameterSpec
from fedcxr.privacy.accounting import Sampling, account
from fedcxr.privacy.client_plan import ClientPlan, client_plan, deciding
from fedcxr.schema import WireSchema
from fedcxr.secagg.quantise import Mean
from fedcxr.shared_part import SharedPart
from server.client_privacy import ClientPrivacy
from server.intake import Intake
from server.orders import Federation, OrderBook
from server.secure_check import check_rounding, check_secure, secure_task
from server.secure_step import SecurePlace, train_securely

pytest.importorskip("opacus")

SECRET = bytes(range(32))
SPEC = ParameterSpec(("w", "bn.running_var"), ((6,), (2,)), ("trainable", "buffer"))
GIVEN = Parameters(np.zeros(8, np.float32), np.zeros(0, np.int64))


def privacy(**changes):
    found = {"sites": 10, "rate": 0.5, "rounds": 3, "noise": 2.0, "delta": 0.01, "clip": 1.0}
    plan = ClientPlan(**{**found, **changes})
    return ClientPrivacy(plan, SECRET, "run", plan.clip)


def mean_of(updates, buffers=(0.0, 0.0)):
    rows = np.array([[*update, *buffers] for update in updates])
    return Mean(rows.mean(axis=0), np.zeros(0), 0.7, len(rows), clipped=3)


def test_the_sum_is_divided_by_the_expected_number_and_noised():
    # Three sites brought (0.6, 0.8, 0, …) each; their sum over 5 expected, and noise of 2·1/5.
    update = np.array([0.6, 0.8, 0, 0, 0, 0])
    found = privacy().noised_sum(mean_of([update] * 3, buffers=(4.0, 5.0)), GIVEN, 1, 6)
    silent = privacy(noise=1e-9).noised_sum(mean_of([update] * 3), GIVEN, 1, 6)
    assert silent.update == pytest.approx([*(3 * update / 5), 0, 0], abs=1e-8)
    assert np.abs(found.update[:6] - silent.update[:6]).max() > 0.01
    assert found.update[6:].tolist() == [0.0, 0.0]  # no buffer, loss or count is left
    assert (found.train_loss, found.clipped) == (0.0, 0)
    wide = ParameterSpec(("w",), ((50_000,),), ("trainable",))
    given = Parameters(np.zeros(wide.num_float, np.float32), np.zeros(0, np.int64))
    drawn = privacy().noised_sum(mean_of([np.zeros(50_000)] * 3), given, 1, 50_000).update
    assert drawn[:50_000].std() == pytest.approx(0.4, rel=0.02)


def test_a_sum_that_is_longer_than_its_sites_may_bring_ends_the_round():
    long = [np.array([1.01, 0, 0, 0, 0, 0])] * 4
    with pytest.raises(RunError, match=r"sum of 4 sites' updates is longer than 4"):
        privacy().noised_sum(mean_of(long), GIVEN, 1, 6)


def test_of_too_few_drawn_nobody_is_asked_and_noise_alone_is_added():
    schema = WireSchema(SharedPart(SPEC), is_secure=True, protects="client")
    config = load_config(
        overrides={"server.secure_aggregation": True, "privacy.level": "client"},
    )
    task = secure_task(config, {f"s{n}": 10 for n in range(10)})
    assert (task.sites, task.most_weight) == (10, 10)
    federation = Federation(
        run="run",
        task="{}",
        schema=schema,
        seed=0,
        node_by_site={f"s{n}": n for n in range(10)},
        most_examples=dict.fromkeys((f"s{n}" for n in range(10)), 10),
        fraction=0.5,
        quorum=0.5,
        threads=1,
        draw=lambda site_ids, round_num: ["s1", "s4"],
    )
    book = OrderBook(federation)
    place = SecurePlace(book, Intake(book), None, None, task, privacy())  # no grid: none is asked
    model, _ = train_securely(place, 2, None, parameters=GIVEN, state={})
    noise = privacy().noised_sum(mean_of([np.zeros(6)] * 3), GIVEN, 2, 6).update
    np.testing.assert_array_equal(model.vector, noise.astype(np.float32))
    assert model.vector[:6].all()
    assert not model.vector[6:].any()
    assert place.intake.log.accepted == []


def test_how_likely_one_site_decides_whether_there_is_a_sum():
    # Counted over all draws of 5 others: the site is drawn, and exactly two of them.
    rate = 0.3
    counted = sum(
        rate * math.prod(rate if drawn else 1 - rate for drawn in draw)
        for draw in product([0, 1], repeat=5)
        if sum(draw) == 2
    )
    assert deciding(5, rate) == pytest.approx(counted)


def test_what_is_kept_back_of_delta_is_not_accounted_with(monkeypatch):
    monkeypatch.setattr("fedcxr.privacy.accounting.epsilon_by_prv", lambda *found: None)  # slow
    asked = PrivacyConfig(level="client", epsilon=8.0)
    plan = client_plan(asked, sites=20, fraction=0.6, rounds=3, is_secure=True)
    # 3 · max over 19 and 20 others of 0.6 · C(m, 2) · 0.36 · 0.4^(m-2): 3 · 6.3e-6 (m = 19)
    assert plan.kept_back == pytest.approx(3 * 0.6 * 171 * 0.36 * 0.4**17, rel=1e-12)
    found = account(Sampling(20, 12.0, 3, plan.delta - plan.kept_back), plan.noise)
    assert plan.account_after(3) == found
    assert 7.9 < found.rdp <= 8.0
    # Against a site that takes part, and so knows who does, chance amplifies nothing.
    assert plan.account_unsampled(3).rdp > found.rdp
    plain = client_plan(asked, sites=20, fraction=0.6, rounds=3)
    assert (plain.kept_back, plain.delta) == (0.0, plan.delta)
    assert plain.noise <= plan.noise


def test_noise_alone_below_three_sites_costs_what_is_kept_back():
    """One number a site, all of C: δ of ε by summing over who is drawn, in both directions."""
    sites, rate, noise, epsilon = 6, 0.7, 1.2, 1.5
    grid = np.linspace(-12, 20, 6001)

    def density(others, with_site):
        total = np.zeros_like(grid)
        for drawn in range(others + 1):
            weight = math.comb(others, drawn) * rate**drawn * (1 - rate) ** (others - drawn)
            for joins, share in ((1, rate), (0, 1 - rate)) if with_site else ((0, 1.0),):
                count = drawn + joins
                middle = count if count >= 3 else 0
                total += weight * share * np.exp(-((grid - middle) ** 2) / (2 * noise**2))
        return total / (noise * math.sqrt(2 * math.pi))

    def ideal(with_site):
        shares = ((1, rate), (0, 1 - rate)) if with_site else ((0, 1.0),)
        rows = [s * np.exp(-((grid - m) ** 2) / (2 * noise**2)) for m, s in shares]
        return sum(rows) / (noise * math.sqrt(2 * math.pi))

    def delta(one, other):
        return float(np.maximum(one - math.exp(epsilon) * other, 0).sum() * (grid[1] - grid[0]))

    p = deciding(sites - 1, rate)
    without, including = density(sites - 1, False), density(sites - 1, True)
    allowed = max(delta(ideal(True), ideal(False)), delta(ideal(False), ideal(True)))
    assert max(delta(including, without), delta(without, including)) <= allowed + p


@pytest.mark.parametrize(
    ("sites", "fraction", "rounds", "advice"),
    [
        (3, 1.0, 1, "Take at least four sites"),
        (10, 0.5, 3, r"Take 0\.75 or more"),
        (100, 0.1, 50, r"Take 0\.15 or more"),
    ],
)
def test_rounds_that_are_too_often_too_small_are_refused_beforehand(
    sites, fraction, rounds, advice
):
    asked = PrivacyConfig(level="client", epsilon=8.0)
    with pytest.raises(ConfigError, match=f"decides in some round.*{advice}"):
        client_plan(asked, sites=sites, fraction=fraction, rounds=rounds, is_secure=True)
    if "or more" in advice:
        enough = float(advice.split()[1].replace("\\", ""))
        plan = client_plan(asked, sites=sites, fraction=enough, rounds=rounds, is_secure=True)
        assert 0 < plan.kept_back <= plan.delta / 2


def test_four_sites_that_are_always_asked_keep_nothing_back():
    asked = PrivacyConfig(level="client", epsilon=8.0)
    plan = client_plan(asked, sites=4, fraction=1.0, rounds=5, is_secure=True)
    assert plan.kept_back == 0.0


def test_what_does_not_go_with_the_two_is_refused():
    keys = {"server.secure_aggregation": True, "privacy.level": "client", "privacy.epsilon": 8.0}
    check_secure(load_config(overrides=keys))
    with pytest.raises(ConfigError, match=r"privacy\.adaptive_clip follows the length of each"):
        check_secure(load_config(overrides={**keys, "privacy.adaptive_clip": True}))
    # A bound of 1e-4 is as long as the rounding of some 100,000 numbers.
    short = load_config(overrides={**keys, "privacy.clip": 1e-5, "model.name": "densenet_small"})
    task = secure_task(short, {f"s{n}": 10 for n in range(5)})
    with pytest.raises(ConfigError, match=r"Raise privacy\.clip, or lower server\.secure_range"):
        check_rounding(short, task)
