"""The whole protocol between sites and server: exact sums, silent sites, what neither may do."""

import secrets
from dataclasses import replace

import numpy as np
import pytest

from fedcxr.errors import QuorumError, RunError
from fedcxr.secagg.graph import GraphPlan, graph_plan
from fedcxr.secagg.server_stages import (
    Gathered,
    Opened,
    check_enough,
    keys_for,
    request_for,
    shares_for,
    unmask,
)
from fedcxr.secagg.setup import Revealed, Setup, UnmaskRequest
from fedcxr.secagg.site_stages import (
    advertise,
    mask,
    new_secrets,
    open_shares,
    reveal,
    share,
)

WORDS = 5000


class Played:
    """A round that is played through, with everything that anybody has seen."""

    def __init__(self, count, silent=((), (), (), ()), run="run", session="s"):
        names = [f"site-{number:02d}" for number in range(count)]
        secrets.SystemRandom().shuffle(names)
        self.setup = setup = Setup(run, 1, session, tuple(names))
        rng = np.random.default_rng(count)
        self.values = {n: rng.integers(0, 2**32, WORDS, np.uint32) for n in sorted(names)}
        self.secrets = {name: new_secrets() for name in names}
        there = set(names) - set(silent[0])
        self.advertised = {n: advertise(setup, n, self.secrets[n]) for n in sorted(there)}
        there -= set(silent[1])
        self.keys = {n: keys_for(setup, self.advertised, n) for n in sorted(there)}
        self.shared = {n: share(setup, n, self.secrets[n], self.keys[n]) for n in sorted(there)}
        self.sealed = {n: made.sealed for n, made in self.shared.items()}
        sharers = frozenset(there)
        there -= set(silent[2])
        self.held, self.masked = {}, {}
        for name in sorted(there):
            boxes = shares_for(setup, self.sealed, name)
            opened = open_shares(setup, name, self.secrets[name], self.keys[name], boxes)
            self.held[name] = {**opened, name: self.shared[name].own}
            self.masked[name] = self.values[name].copy()
            mask(
                setup,
                name,
                self.secrets[name],
                self.keys[name],
                sharers=frozenset(opened),
                values=self.masked[name],
            )
        self.gathered = Gathered(setup, self.advertised, sharers, frozenset(there))
        self.revealed = {
            name: reveal(setup, name, self.held[name], request_for(self.gathered, name))
            for name in sorted(there - set(silent[3]))
        }

    def opened(self):
        opened = Opened(self.gathered)
        for name, revealed in self.revealed.items():
            opened.add(name, revealed)
        return opened

    def total(self):
        total = np.zeros(WORDS, np.uint32)
        for masked in self.masked.values():
            total += masked
        return total

    def sum(self):
        total = self.total()
        unmask(self.opened(), total)
        return total


@pytest.fixture
def small_graph(monkeypatch):
    """10 sites with 6 neighbours each, which so few would not have by themselves."""
    plan = GraphPlan(10, 6, 4, 7, 0.1, 0.1)
    monkeypatch.setattr("fedcxr.secagg.setup.graph_plan", lambda sites: plan)
    assert graph_plan(10) != plan


def gone(first, last):
    return tuple(f"site-{number:02d}" for number in range(first, last))


@pytest.mark.parametrize("count", [3, 4, 7])
def test_with_all_sites_there_the_sum_is_exactly_theirs(count):
    played = Played(count)
    expected = sum(played.values.values(), np.zeros(WORDS, np.uint32))
    np.testing.assert_array_equal(played.sum(), expected)


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_with_three_of_ten_silent_at_any_stage_the_sum_is_that_of_the_others(stage):
    silent = [(), (), (), ()]
    silent[stage] = gone(2, 5)
    played = Played(10, silent)
    left = [n for n in played.values if stage == 3 or n not in silent[stage]]
    expected = sum((played.values[n] for n in left), np.zeros(WORDS, np.uint32))
    np.testing.assert_array_equal(played.sum(), expected)


def test_sites_may_fall_silent_at_several_stages():
    played = Played(10, (gone(0, 1), gone(1, 2), gone(2, 3), gone(3, 4)))
    left = [n for n in played.values if n not in gone(0, 3)]
    expected = sum((played.values[n] for n in left), np.zeros(WORDS, np.uint32))
    np.testing.assert_array_equal(played.sum(), expected)


@pytest.mark.parametrize("stage", [2, 3])
@pytest.mark.usefixtures("small_graph")
def test_a_graph_of_few_neighbours_gives_the_same_sums(stage):
    silent = [(), (), (), ()]
    silent[stage] = gone(4, 6)
    played = Played(10, silent)
    assert all(len(keys) == 6 for keys in played.keys.values())
    left = [n for n in played.values if stage == 3 or n not in silent[stage]]
    expected = sum((played.values[n] for n in left), np.zeros(WORDS, np.uint32))
    np.testing.assert_array_equal(played.sum(), expected)


def test_the_server_never_holds_shares_of_both_secrets_of_a_site():
    played = Played(10, ((), (), gone(2, 5), ()))
    opened = played.opened()
    assert set(opened.seeds) == played.gathered.survivors
    assert set(opened.mask_keys) == played.gathered.dropped == set(gone(2, 5))
    assert not set(opened.seeds) & set(opened.mask_keys)


def test_the_server_takes_no_share_that_it_has_not_asked_for():
    played = Played(5, ((), (), gone(2, 3), ()))
    holder = "site-00"
    right = played.revealed[holder]
    both = replace(right, mask_keys={**right.mask_keys, "site-01": b"share"})
    less = replace(right, seeds={})
    for wrong in (both, less, Revealed({}, {})):
        with pytest.raises(RunError, match="other shares than it was asked for"):
            Opened(played.gathered).add(holder, wrong)


@pytest.mark.parametrize(
    ("survivors", "dropped", "why"),
    [
        (gone(0, 5), gone(3, 4), "both secrets of a site"),
        (gone(1, 5), gone(0, 1), "values are not in the sum"),
        (gone(0, 4), (), "does not name each site"),
        (gone(0, 5), ("site-09",), "does not name each site"),
        (gone(0, 2), gone(2, 5), "fewer sites than the threshold"),
    ],
)
def test_a_site_gives_nothing_where_the_server_asks_for_too_much(survivors, dropped, why):
    played = Played(5)
    request = UnmaskRequest(frozenset(survivors), frozenset(dropped))
    with pytest.raises(RunError, match=why):
        reveal(played.setup, "site-00", played.held["site-00"], request)


def test_below_the_threshold_nothing_is_unmasked():
    # 10 sites: 6 of them are needed
    setup = Played(10).setup
    check_enough(setup, 6, "2")
    with pytest.raises(QuorumError, match=r"5 of 10 sites .* stage 2, 6 are needed.*Nothing was"):
        check_enough(setup, 5, "2")
    played = Played(10, ((), (), (), gone(0, 5)))
    total = played.total()
    before = total.copy()
    with pytest.raises(QuorumError, match=r"5 shares of a secret came back, 6 are needed"):
        unmask(played.opened(), total)
    np.testing.assert_array_equal(total, before)


@pytest.mark.parametrize("kind", ["seeds", "mask_keys"])
def test_a_wrong_share_is_found_out(kind):
    played = Played(5, ((), (), gone(4, 5), ()))
    holder = min(played.revealed, key=played.setup.point)  # shares of the lowest points are used
    right = played.revealed[holder]
    shares = dict(getattr(right, kind))
    owner = sorted(shares)[-1]
    shares[owner] = shares[owner][:-1] + bytes([shares[owner][-1] ^ 1])
    played.revealed[holder] = replace(right, **{kind: shares})
    with pytest.raises(RunError, match=r"do not give what it had made known|do not belong"):
        played.sum()


def test_shares_that_were_changed_or_swapped_on_their_way_are_refused():
    played = Played(4)
    name, other, third = "site-00", "site-01", "site-02"
    boxes = shares_for(played.setup, played.sealed, name)
    changed = {**boxes, other: boxes[other][:-1] + bytes([boxes[other][-1] ^ 1])}
    swapped = {**boxes, other: boxes[third]}
    to_another = {**boxes, other: played.sealed[other][third]}
    for wrong in (changed, swapped, to_another):
        with pytest.raises(RunError, match="changed on its way"):
            open_shares(played.setup, name, played.secrets[name], played.keys[name], wrong)


def test_shares_of_another_session_or_round_do_not_open():
    played = Played(4)
    name = "site-00"
    boxes = shares_for(played.setup, played.sealed, name)
    for change in ({"session": "other"}, {"round_num": 2}, {"run": "another"}):
        setup = replace(played.setup, **change)
        with pytest.raises(RunError, match="changed on its way"):
            open_shares(setup, name, played.secrets[name], played.keys[name], boxes)


def test_a_site_takes_no_keys_that_cannot_be_right():
    played = Played(5)
    name, keys = "site-00", dict(played.keys["site-00"])
    first, second, *_ = keys
    own = played.advertised[name]
    cases = [
        ({first: keys[first]}, "too few neighbours"),
        ({**keys, second: keys[first]}, "one public key for two"),
        ({**keys, second: own}, "one public key for two"),
        ({**keys, "stranger": replace(keys[first])}, "no neighbours"),
    ]
    for wrong, why in cases:
        with pytest.raises(RunError, match=why):
            share(played.setup, name, played.secrets[name], wrong)
    boxes = shares_for(played.setup, played.sealed, name)
    few, strange = {first: boxes[first]}, {**boxes, "stranger": b""}
    with pytest.raises(RunError, match="too few neighbours have shared"):
        open_shares(played.setup, name, played.secrets[name], keys, few)
    with pytest.raises(RunError, match="sites without keys"):
        open_shares(played.setup, name, played.secrets[name], keys, strange)


def test_a_round_needs_three_sites_each_of_them_once():
    for circle in (("a", "b"), ("a", "b", "b")):
        with pytest.raises(RunError, match="at least three sites, each of them once"):
            Setup("run", 1, "s", circle)
    with pytest.raises(RunError, match="does not take part"):
        Setup("run", 1, "s", ("a", "b", "c")).neighbours("d")


def test_a_masked_update_is_another_one_in_every_session_and_never_the_true_one():
    one, two = Played(4, session="s"), Played(4, session="t")
    for name, values in one.values.items():
        np.testing.assert_array_equal(values, two.values[name])
        # of 5000 words, one in 2**32 is equal by chance
        assert (one.masked[name] == values).sum() <= 1
        assert (one.masked[name] == two.masked[name]).sum() <= 1


def test_secrets_are_not_shown():
    played = Played(3)
    shown = repr([played.secrets, played.shared, played.held, played.revealed])
    assert "\\x" not in shown
    assert "b'" not in shown
