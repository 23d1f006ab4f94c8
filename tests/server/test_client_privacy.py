"""Client-level privacy at the server: the sum, its noise, the cohort, what is refused."""

import math

import numpy as np
import pytest
from flwr.supercore.differential_privacy import compute_clip_model_update, compute_stdv

from fedcxr.chain import ClipLink, SiteSide, clip_factor
from fedcxr.config import load_config
from fedcxr.config.privacy import PrivacyConfig
from fedcxr.errors import ArtefactError, ConfigError, RunError
from fedcxr.parameters import Parameters
from fedcxr.privacy.client_plan import ClientPlan, client_plan
from fedcxr.privacy.secret_file import SECRET_FILE, secret_in
from server.aggregate.aggregator import Aggregate
from server.aggregate.clipped_sum import clipped_sum
from server.choices import check_choices
from server.client_privacy import ClientPrivacy

pytest.importorskip("opacus")

SECRET = bytes(range(32))


def plan(**changes):
    found = {"sites": 10, "rate": 0.5, "rounds": 3, "noise": 2.0, "delta": 0.01, "clip": 1.0}
    return ClientPlan(**{**found, **changes})


def privacy(**changes):
    found = plan(**changes)
    return ClientPrivacy(found, SECRET, "run", found.clip)


def given(size=4, value=0.0):
    return Parameters(np.full(size, value, np.float32), np.zeros(0, np.int64))


def test_updates_are_shortened_and_divided_by_the_expected_number(make_update):
    # (3, 4) has norm 5 and becomes (0.6, 0.8); (0, 0.5) stays. Their sum over 4 expected sites,
    # though 2 answered, and whatever they say that they weigh: (0.15, 0.325).
    adding = clipped_sum(lambda: 1.0, 4.0).make(make_update.place(2))
    adding.add(make_update([3.0, 4.0], 100))
    adding.add(make_update([0.0, 0.5], 1))
    assert adding.result().update == pytest.approx([0.15, 0.325])


def test_with_a_fixed_cohort_it_is_what_flower_computes(make_update):
    # Flower's own server-side fixed clipping: clips the difference to the model before, weighs all
    # alike, and adds noise of deviation z·C/n to the mean.
    rng, before = np.random.default_rng(3), np.zeros(6, np.float32)
    adding, clipped = clipped_sum(lambda: 1.5, 5.0).make(make_update.place(6)), []
    for length in (0.1, 1.0, 2.0, 9.0, 30.0):
        model = (length * rng.standard_normal(6)).astype(np.float32)
        adding.add(make_update(model, 7))
        theirs = [model.copy()]
        compute_clip_model_update(theirs, [before], 1.5)
        clipped.append(theirs[0])
    np.testing.assert_allclose(adding.result().update, np.mean(clipped, axis=0), rtol=1e-5)
    ours = plan(sites=5, rate=1.0, noise=0.8, clip=1.5).deviation(1.5)
    assert ours == pytest.approx(compute_stdv(0.8, 1.5, 5))


def test_of_nobody_the_sum_is_zero(make_update):
    assert clipped_sum(lambda: 1.0, 4.0).make(make_update.place(2)).result().update.tolist() == [
        0.0,
        0.0,
    ]


def test_one_site_moves_the_sum_by_no_more_than_the_clip(make_update):
    rng = np.random.default_rng(0)
    for length in (1e-6, 0.3, 1.0, 40.0, 1e20):
        adding = clipped_sum(lambda: 0.7, 1.0).make(make_update.place(50))
        direction = rng.standard_normal(50)
        adding.add(make_update(length * direction / np.linalg.norm(direction), 9))
        assert np.linalg.norm(adding.result().update) <= 0.7 * (1 + 1e-6)


def test_float_buffers_are_left_out(make_update):
    adding = clipped_sum(lambda: 1.0, 1.0).make(make_update.place(2, buffers=2))
    adding.add(make_update([0.1, 0.2, 5.0, 6.0], 1))
    assert adding.result().update == pytest.approx([0.1, 0.2, 0.0, 0.0])


def test_the_site_shortens_its_update_too_and_sends_no_buffer(make_update):
    spec = make_update.place(2, buffers=1).schema.shared.spec
    vectors = {"update": np.array([3.0, 4.0, 9.0], np.float32)}
    sent = ClipLink(1.0).apply(vectors, spec, SiteSide(np.zeros(3, np.float32), None))
    assert sent["update"] == pytest.approx([0.6, 0.8, 0.0])
    assert vectors["update"].tolist() == [3.0, 4.0, 9.0]
    with pytest.raises(RunError, match="not finite"):
        clip_factor(np.array([np.inf], np.float32), 1.0)


def test_the_noise_has_the_deviation_that_is_accounted_and_leaves_buffers_alone():
    found = Aggregate(np.zeros(100_100), np.zeros(0, np.int64), {})
    noised = privacy(clip=0.5).noised(found, given(), 1, 100_000).update
    # σC ÷ qN = 2 · 0.5 ÷ 5 = 0.2; of 100,000 numbers the deviation is within 1 %.
    assert noised[:100_000].std() == pytest.approx(0.2, rel=0.01)
    assert noised[:100_000].mean() == pytest.approx(0.0, abs=0.003)
    assert not noised[100_000:].any()


def test_the_same_round_has_the_same_noise_and_another_sum_another():
    def noise(round_num=1, value=0.0, model=0.0, secret=SECRET):
        found = Aggregate(np.full(50, value), np.zeros(0, np.int64), {})
        drawn = ClientPrivacy(plan(), secret, "run", 1.0).noised(
            found, given(value=model), round_num, 50
        )
        return (drawn.update - value).round(12).tolist()

    assert noise() == noise()
    others = [noise(round_num=2), noise(value=0.1), noise(model=0.5), noise(secret=bytes(32))]
    assert all(one != noise() for one in others)


def test_each_site_is_drawn_by_itself():
    names = [f"site-{number:02d}" for number in range(20)]
    drawn = [privacy(rate=0.3).cohort(names, round_num) for round_num in range(1, 401)]
    assert drawn[0] == privacy(rate=0.3).cohort(reversed(names), 1)
    sizes = [len(cohort) for cohort in drawn]
    # 8,000 draws of 0.3: within 4 standard errors; the sizes vary as a binomial's do, 4.2.
    assert sum(sizes) / 8000 == pytest.approx(0.3, abs=4 * math.sqrt(0.21 / 8000))
    assert np.var(sizes) == pytest.approx(4.2, rel=0.3)
    assert privacy(rate=1.0).cohort(names, 1) == names


def test_epsilon_is_that_of_the_sampled_gaussian():
    from opacus.accountants import RDPAccountant

    found = client_plan(
        PrivacyConfig(level="client", epsilon=4.0), sites=100, fraction=0.1, rounds=50
    )
    assert found.delta == pytest.approx(0.001)
    accountant = RDPAccountant()
    accountant.history = [(found.noise, 0.1, 50)]
    assert accountant.get_epsilon(delta=0.001) == pytest.approx(found.account_after(50).rdp)
    assert 3.98 < found.account_after(50).rdp <= 4.0
    assert found.account_after(10).rdp < found.account_after(50).rdp
    # Without sampling, one round: ε of the Gaussian mechanism by RDP, min over α of
    # α/(2σ²) + log(1/δ)/(α − 1) and Canonne's terms, which only lower it.
    alone = client_plan(PrivacyConfig(level="client", noise=2.0), sites=10, fraction=1.0, rounds=1)
    alphas = np.linspace(1.1, 60, 5000)
    classic = (alphas / 8 + np.log(1 / alone.delta) / (alphas - 1)).min()
    assert 0.5 * classic < alone.account_after(1).rdp < classic


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"privacy.epsilon": 3.0, "server.fraction": 0.1}, "expects server.fraction·sites = 1"),
        ({"privacy.epsilon": 3.0, "privacy.delta": 0.1}, "below 1/sites = 0.1"),
    ],
)
def test_a_plan_that_protects_nobody_is_refused(keys, words):
    config = load_config(overrides={"privacy.level": "client", **keys})
    with pytest.raises(ConfigError, match=words.replace(".", r"\.")):
        client_plan(config.privacy, sites=10, fraction=config.server.fraction, rounds=5)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"privacy.epsilon": None}, "neither is"),
        ({"privacy.noise": 1.0}, "both are"),
        ({"server.batch_norm": "average"}, "--batch-norm group, local or frozen"),
        ({"server.aggregator": "median"}, "server.aggregator=median"),
        ({"server.aggregator": "label-mean"}, "server.aggregator=label-mean"),
        ({"train.normalization": "pooled"}, "train.normalization=pooled"),
        (
            {"train.class_frequencies": "shared", "train.loss": "weighted_bce"},
            "train.class_frequencies=shared",
        ),
        (
            {"algorithm.name": "scaffold", "train.optimizer": "sgd", "train.momentum": 0.0},
            "algorithm.name=scaffold",
        ),
    ],
)
def test_what_would_break_it_is_refused(keys, words):
    good = {"privacy.level": "client", "privacy.epsilon": 3.0, "server.batch_norm": "group"}
    with pytest.raises(ConfigError, match=words.replace(".", r"\.")):
        check_choices(load_config(overrides={**good, **keys}))


@pytest.mark.parametrize("batch_norm", ["group", "local", "frozen"])
def test_what_goes_with_it_passes(batch_norm):
    keys = {"privacy.level": "client", "privacy.epsilon": 3.0, "server.codec": "fp16"}
    check_choices(load_config(overrides={**keys, "server.batch_norm": batch_norm}))


def test_a_secret_is_made_once_and_never_anew_where_a_run_goes_on(tmp_path):
    first = secret_in(tmp_path / "new")
    assert secret_in(tmp_path / "new", must_be_there=True) == first
    assert (tmp_path / "new" / SECRET_FILE).stat().st_mode & 0o777 == 0o600
    with pytest.raises(ArtefactError, match="gone, and the noise of this run comes from it"):
        secret_in(tmp_path / "gone", must_be_there=True)
    (tmp_path / "new" / SECRET_FILE).write_bytes(b"short")
    with pytest.raises(ArtefactError, match="5 bytes, expected 32"):
        secret_in(tmp_path / "new")


def test_an_adapting_bound_follows_the_median_and_its_noise_is_paid_for(make_update):
    # σ = 2, 100 sites expected: σ_b = 5, so z = (2⁻² - 10⁻²)^-½ = 2.0412, and z⁻² + 10⁻² = σ⁻².
    keys = {"sites": 100, "rate": 1.0, "noise": 2.0, "delta": 1e-3, "adaptive": True}
    adapting = privacy(**keys, clip=0.1)
    assert adapting.plan.updates_noise == pytest.approx(2.0412, abs=1e-4)
    assert adapting.plan.account_after(3) == plan(**{**keys, "adaptive": False}).account_after(3)

    # All of 100 updates have length 1. C begins at 0.1 and goes where half are longer: to about 1.
    seen = []
    for round_num in range(1, 60):
        adding = clipped_sum(adapting.bound, 100.0).make(make_update.place(2))
        for _ in range(100):
            adding.add(make_update([0.6, 0.8], 1))
        adapting.noised(adding.result(), given(2), round_num, 2)
        seen.append(adapting.clip)
    assert seen[:20] == sorted(seen[:20])
    assert np.mean(seen[40:]) == pytest.approx(1.0, abs=0.1)

    # A run that goes on takes C up where the last round's line has it.
    again = privacy(**keys, clip=0.1)
    again.begin({"next_clip": seen[3]})
    assert again.bound() == seen[3]
    again.begin({"round": 0})
    assert again.bound() == 0.1


def test_a_count_without_room_for_its_noise_is_refused():
    # Of 10 expected sites the count's noise is 2·10/20 = 1, no less than σ.
    keys = PrivacyConfig(level="client", noise=1.0, adaptive_clip=True)
    with pytest.raises(ConfigError, match=r"privacy\.adaptive_clip: σ = 1 is more"):
        client_plan(keys, sites=10, fraction=1.0, rounds=2)


@pytest.mark.parametrize("level", ["patient", "update"])
def test_an_adapting_bound_is_refused_where_the_server_does_not_clip(level):
    keys = {"privacy.level": level, "privacy.epsilon": 3.0, "privacy.adaptive_clip": True}
    with pytest.raises(ConfigError, match="acts under --privacy client alone"):
        check_choices(load_config(overrides={**keys, "server.batch_norm": "group"}))
