"""Two rounds of each algorithm, beside a NumPy computation written from its paper.

Ours are the site's own training and the server's own aggregation; of the reference nothing is
shared with them, not even the gradients. The network is a batch norm before a linear layer, so its
gradients are four lines by hand; sites take steps of gradient descent over all their images.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from clients.memory import ALGORITHM, PRIVATE, SiteMemory
from clients.resident_model import Worker
from clients.site import Site, SiteLocation, SiteSplit, Unfilled
from clients.train import train_order
from fedcxr.algorithms.known_algorithms import algorithm_registry
from fedcxr.chain import UPDATE
from fedcxr.parameters import Parameters, extract, spec_of
from fedcxr.schema import COUNTERS, VECTOR
from fedcxr.training.precision import Precision
from fedcxr.wire import Order
from server.aggregate.aggregator import AggregatorPlace
from server.aggregate.mean import RunningMean
from server.bounds import Norms
from server.check import SiteUpdate
from server.step import first_state, next_model

SIDE, LABELS = 3, 2
SIZES = (5, 9, 14)
STEPS, RATE = 3, 0.1
MEAN, STD = 0.449, 0.226

Values = dict[str, np.ndarray]


@dataclass
class Federation:
    """Three sites with images and labels of their own, and the network all start from."""

    images: np.ndarray
    rows: list[np.ndarray]
    targets: list[np.ndarray]
    network: nn.Module
    """What trains; it holds the values of whoever trained last."""
    begun: Values

    def inputs(self, site):
        pixels = self.images[self.rows[site]].reshape(len(self.rows[site]), -1) / 255.0
        return (pixels - MEAN) / STD

    def start(self) -> Values:
        return {name: value.copy() for name, value in self.begun.items()}


@pytest.fixture
def federation():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (sum(SIZES), SIDE, SIDE), dtype=np.uint8)
    ends = np.cumsum(SIZES)
    rows = [np.arange(end - size, end) for end, size in zip(ends, SIZES, strict=True)]
    # the sites' labels differ: their frequencies are about 0.2, 0.5 and 0.8
    targets = [
        (rng.random((size, LABELS)) < share).astype(np.float32)
        for size, share in zip(SIZES, (0.2, 0.5, 0.8), strict=True)
    ]
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Flatten(), nn.BatchNorm1d(SIDE * SIDE), nn.Linear(SIDE * SIDE, LABELS)
    )
    names = ("gamma", "beta", "weight", "bias", "mean", "var")
    keys = ("1.weight", "1.bias", "2.weight", "2.bias", "1.running_mean", "1.running_var")
    state = network.state_dict()
    begun = {n: state[k].double().numpy().copy() for n, k in zip(names, keys, strict=True)}
    return Federation(images, rows, targets, network, begun)


# --- the reference ------------------------------------------------------------------------------

TRAINED = ("gamma", "beta", "weight", "bias")
STATISTICS = ("mean", "var")
ALL = (*TRAINED, *STATISTICS)


def local_training(start: Values, x, y, correct=lambda gradient, weights: gradient) -> Values:
    """K steps of gradient descent on the mean cross-entropy, with batch norm's statistics."""
    now = {name: value.copy() for name, value in start.items()}
    for _ in range(STEPS):
        mean, var = x.mean(axis=0), x.var(axis=0)
        z = (x - mean) / np.sqrt(var + 1e-5)
        h = now["gamma"] * z + now["beta"]
        probs = 1 / (1 + np.exp(-(h @ now["weight"].T + now["bias"])))
        d = (probs - y) / y.size
        dh = d @ now["weight"]
        gradient = {
            "gamma": (dh * z).sum(axis=0),
            "beta": dh.sum(axis=0),
            "weight": d.T @ h,
            "bias": d.sum(axis=0),
        }
        gradient = correct(gradient, now)
        now = {n: now[n] - RATE * gradient[n] if n in gradient else now[n] for n in now}
        now["mean"] = 0.9 * now["mean"] + 0.1 * mean
        now["var"] = 0.9 * now["var"] + 0.1 * x.var(axis=0, ddof=1)
    return now


def weighted(values, weights):
    total = sum(weights)
    return sum(w / total * v for w, v in zip(weights, values, strict=True))


def averaged(models, weights, names=ALL) -> Values:
    return {name: weighted([model[name] for model in models], weights) for name in names}


def trained(federation, cohort, start, correct=lambda gradient, weights: gradient):
    return [
        local_training(start, federation.inputs(k), federation.targets[k], correct) for k in cohort
    ]


def reference_fedavg(federation, cohorts):
    w = federation.start()
    for cohort in cohorts:
        w = averaged(trained(federation, cohort, w), [SIZES[k] for k in cohort])
    return w


def reference_fedprox(federation, cohorts, mu):
    w = federation.start()
    for cohort in cohorts:

        def proximal(gradient, weights, given=w):
            return {n: g + mu * (weights[n] - given[n]) for n, g in gradient.items()}

        w = averaged(trained(federation, cohort, w, proximal), [SIZES[k] for k in cohort])
    return w


def reference_fedavgm(federation, cohorts, beta, gamma):
    w = federation.start()
    v = {name: np.zeros_like(w[name]) for name in TRAINED}
    for cohort in cohorts:
        sizes = [SIZES[k] for k in cohort]
        models = trained(federation, cohort, w)
        lost = {n: weighted([w[n] - model[n] for model in models], sizes) for n in TRAINED}
        v = {n: beta * v[n] + lost[n] for n in TRAINED}
        w = {n: w[n] - gamma * v[n] for n in TRAINED} | averaged(models, sizes, STATISTICS)
    return w


def reference_fedopt(federation, cohorts, kind, eta, beta1, beta2, tau):
    x = federation.start()
    m = {n: np.zeros_like(x[n]) for n in TRAINED}
    v = {n: np.full_like(x[n], tau**2) for n in TRAINED}
    for cohort in cohorts:
        sizes = [SIZES[k] for k in cohort]
        models = trained(federation, cohort, x)
        statistics = averaged(models, sizes, STATISTICS)
        for n in TRAINED:
            delta = weighted([model[n] - x[n] for model in models], sizes)
            m[n] = beta1 * m[n] + (1 - beta1) * delta
            if kind == "fedadagrad":
                v[n] = v[n] + delta**2
            elif kind == "fedyogi":
                v[n] = v[n] - (1 - beta2) * delta**2 * np.sign(v[n] - delta**2)
            else:
                v[n] = beta2 * v[n] + (1 - beta2) * delta**2
            x[n] = x[n] + eta * m[n] / (np.sqrt(v[n]) + tau)
        x |= statistics
    return x


def reference_scaffold(federation, cohorts, eta_g):
    x = federation.start()
    c = {n: np.zeros_like(x[n]) for n in TRAINED}
    own = [{n: np.zeros_like(x[n]) for n in TRAINED} for _ in SIZES]
    for cohort in cohorts:
        sizes = [SIZES[k] for k in cohort]
        models, changes = [], []
        for k in cohort:

            def drift(gradient, weights, mine=own[k], all_=c):
                return {n: g + all_[n] - mine[n] for n, g in gradient.items()}

            y = local_training(x, federation.inputs(k), federation.targets[k], drift)
            new = {n: own[k][n] - c[n] + (x[n] - y[n]) / (STEPS * RATE) for n in TRAINED}
            changes.append({n: new[n] - own[k][n] for n in TRAINED})
            own[k] = new
            models.append(y)
        share = sum(sizes) / sum(SIZES)  # |S| / N with sites weighed by images
        x = {
            n: x[n] + eta_g * weighted([y[n] - x[n] for y in models], sizes) for n in TRAINED
        } | averaged(models, sizes, STATISTICS)
        c = {n: c[n] + share * weighted([one[n] for one in changes], sizes) for n in TRAINED}
    return x, c, own


def reference_fedbn(federation, cohorts):
    shared, private = ("weight", "bias"), ("gamma", "beta", *STATISTICS)
    w = federation.start()
    own = [{n: w[n] for n in private} for _ in SIZES]
    for cohort in cohorts:
        models = []
        for k in cohort:
            model = local_training({**w, **own[k]}, federation.inputs(k), federation.targets[k])
            own[k] = {n: model[n] for n in private}
            models.append(model)
        w = w | averaged(models, [SIZES[k] for k in cohort], shared)
    return w, own


# --- ours ---------------------------------------------------------------------------------------


@dataclass
class Found:
    """What two rounds of ours give."""

    model: Values
    state: dict[str, np.ndarray]
    memories: list[SiteMemory]
    """As orders of the round after see them."""


@pytest.fixture
def run(federation, make_task, tmp_path):
    """Run rounds of an algorithm over the sites of each cohort."""

    def run_rounds(name, cohorts, **parameters) -> Found:
        task = make_task(
            labels=["a", "b"],
            algorithm={"name": name, **parameters},
            train={
                "local_epochs": STEPS,
                "batch_size": 64,
                "optimizer": "sgd",
                "momentum": 0.0,
                "augment": {"min_crop_area": 1, "max_aspect": 1, "flip": 0, "max_rotation_deg": 0},
            },
        )
        network = federation.network
        worker = Worker(network, spec_of(network), Precision("fp32", False, "test"), "cpu")
        schema = worker.schema(task)
        model, state = extract(network, worker.spec), first_state(schema)
        for round_num, cohort in enumerate(cohorts, 1):
            given = schema.shared.take(model)
            mean = RunningMean(AggregatorPlace(schema, (), len(SIZES), tmp_path / "spool"))
            own = {n: state[n] for n in schema.rules.to_sites}
            sent = {VECTOR: model.vector, COUNTERS: model.counters, **own}
            for k in cohort:
                order = Order(task.run, round_num, "", schema.digest, "", RATE)
                location, site = place_of(federation, k, tmp_path)
                made = train_order(location, site, task, order, vectors=sent, worker=worker)
                mean.add(as_update(schema, made))
            share = sum(SIZES[k] for k in cohort) / sum(SIZES)
            shared, state = next_model(schema, given, mean.result(), share=share, state=state)
            model = schema.shared.put(shared, model)
        memories = [
            SiteMemory(tmp_path / f"state-{k}" / task.run, len(cohorts) + 1)
            for k in range(len(SIZES))
        ]
        return Found(as_values(model), state, memories)

    return run_rounds


def place_of(federation, k, folder: Path) -> tuple[SiteLocation, Site]:
    empty = np.empty(0, np.int64)
    split = SiteSplit(federation.rows[k], federation.targets[k])
    site = Site(
        site_id=f"site-{k}",
        labels=("a", "b"),
        num_patients=SIZES[k],
        images=federation.images,
        train=split,
        val=split,
        unfilled=Unfilled(empty, empty, ""),
    )
    return SiteLocation(site.site_id, folder / "none.csv", None, folder / f"state-{k}"), site


def as_update(schema, made) -> SiteUpdate:
    vectors = made.vectors
    return SiteUpdate(
        "",
        vectors[UPDATE],
        vectors[COUNTERS],
        made.num_examples,
        made.train_loss,
        made.images_seen,
        made.seconds,
        0,
        Norms(0, 0),
        vectors={n: vectors[n] for n in schema.rules.from_sites},
    )


def as_values(model: Parameters) -> Values:
    """By the reference's names: gamma, beta, weight, bias, then the statistics."""
    size = SIDE * SIDE
    return split_up(model.vector, size, size, LABELS * size, LABELS, size, size)


def split_up(vector, *sizes) -> Values:
    pieces = np.split(vector, np.cumsum(sizes)[:-1])
    named = dict(zip(ALL, pieces, strict=False))
    return named | {"weight": named["weight"].reshape(LABELS, -1)}


def assert_equal(found: Values, expected: Values, names=ALL):
    for name in names:
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-6, err_msg=name)


EVERYBODY = [(0, 1, 2), (0, 1, 2)]
SOME = [(0, 2), (1, 2)]
COHORTS = pytest.mark.parametrize("cohorts", [EVERYBODY, SOME], ids=["everybody", "some"])


@COHORTS
def test_fedavg(federation, run, cohorts):
    expected = reference_fedavg(federation, cohorts)
    assert_equal(run("fedavg", cohorts).model, expected)
    moved = {name: np.abs(expected[name] - federation.start()[name]).max() for name in ALL}
    assert min(moved.values()) > 1e-3, "the reference would not tell a model that stays"


@COHORTS
def test_fedprox(federation, run, cohorts):
    # a term this large changes the result by far more than the tolerance
    expected = reference_fedprox(federation, cohorts, mu=2.0)
    assert_equal(run("fedprox", cohorts, mu=2.0).model, expected)
    assert np.abs(expected["weight"] - reference_fedavg(federation, cohorts)["weight"]).max() > 1e-4


@COHORTS
def test_fedavgm(federation, run, cohorts):
    expected = reference_fedavgm(federation, cohorts, beta=0.9, gamma=0.5)
    assert_equal(run("fedavgm", cohorts, server_learning_rate=0.5).model, expected)


@COHORTS
@pytest.mark.parametrize(
    ("name", "beta1"), [("fedadagrad", 0.0), ("fedadam", 0.9), ("fedyogi", 0.9)]
)
def test_fedopt(federation, run, cohorts, name, beta1):
    expected = reference_fedopt(federation, cohorts, name, 0.01, beta1, 0.99, 1e-3)
    assert_equal(run(name, cohorts).model, expected)


@COHORTS
def test_scaffold(federation, run, cohorts):
    expected, control, own = reference_scaffold(federation, cohorts, eta_g=1.0)
    found = run("scaffold", cohorts)
    assert_equal(found.model, expected)
    size = SIDE * SIDE
    flat = np.concatenate([control[n].ravel() for n in TRAINED])
    np.testing.assert_allclose(found.state["control"], flat, rtol=0, atol=1e-6)
    for k in {k for cohort in cohorts for k in cohort}:
        kept = found.memories[k].read(ALGORITHM)["own-control"]
        kept = split_up(kept, size, size, LABELS * size, LABELS)
        assert_equal(kept, own[k], TRAINED)
    plain = reference_fedavg(federation, cohorts)
    assert np.abs(expected["weight"] - plain["weight"]).max() > 1e-4


@COHORTS
def test_fedbn(federation, run, cohorts):
    expected, own = reference_fedbn(federation, cohorts)
    found = run("fedbn", cohorts)
    assert_equal(found.model, expected, ("weight", "bias"))
    for name in ("gamma", "beta"):  # the server's own are those that it began with
        np.testing.assert_array_equal(found.model[name], federation.start()[name])
    size = SIDE * SIDE
    for k in {k for cohort in cohorts for k in cohort}:
        pieces = np.split(found.memories[k].read(PRIVATE)[VECTOR], 4)
        kept = dict(zip(("gamma", "beta", "mean", "var"), pieces, strict=True))
        assert all(len(piece) == size for piece in pieces)
        assert_equal(kept, own[k], ("gamma", "beta", *STATISTICS))


def test_every_algorithm_has_a_reference_here():
    tested = {"fedavg", "fedprox", "fedavgm", "fedadagrad", "fedadam", "fedyogi", "scaffold"}
    assert set(algorithm_registry().names()) == tested | {"fedbn"}
