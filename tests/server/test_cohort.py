import pytest

from server.cohort import draw_cohort

SITES = [f"site-{n:02d}" for n in range(10)]


def test_a_whole_cohort_is_all_sites_in_order():
    assert draw_cohort(SITES[::-1], 1.0, seed=0, round_num=1) == SITES


@pytest.mark.parametrize(
    ("fraction", "size"), [(0.01, 1), (0.1, 1), (0.25, 3), (0.3, 3), (0.5, 5), (0.91, 10)]
)
def test_a_fraction_is_rounded_up_to_at_least_one(fraction, size):
    # 0.25 · 10 = 2.5 → 3; 0.3 · 10 is 3.0000000000000004 in doubles and must stay 3
    assert len(draw_cohort(SITES, fraction, seed=0, round_num=1)) == size


def test_a_cohort_is_drawn_without_repeats_and_sorted():
    for round_num in range(1, 30):
        cohort = draw_cohort(SITES, 0.5, seed=3, round_num=round_num)
        assert cohort == sorted(set(cohort))
        assert set(cohort) <= set(SITES)


def test_the_same_seed_and_round_draw_the_same_sites_however_they_are_listed():
    one = draw_cohort(SITES, 0.4, seed=1, round_num=5)
    other = draw_cohort([*SITES[5:], *SITES[:5]], 0.4, seed=1, round_num=5)
    assert one == other


def test_rounds_and_seeds_draw_different_sites():
    by_round = {tuple(draw_cohort(SITES, 0.3, seed=0, round_num=r)) for r in range(1, 11)}
    by_seed = {tuple(draw_cohort(SITES, 0.3, seed=s, round_num=1)) for s in range(10)}
    assert len(by_round) > 5
    assert len(by_seed) > 5


def test_every_site_gets_its_turn():
    seen = {s for r in range(1, 60) for s in draw_cohort(SITES, 0.2, seed=0, round_num=r)}
    assert seen == set(SITES)
