import numpy as np
import pytest

from partitions.dirichlet import assign_dirichlet, strata_by_rarest


def assign(strata, num_sites, alpha, seed=0):
    return assign_dirichlet(
        np.array(strata), num_sites, alpha=alpha, rng=np.random.default_rng(seed)
    )


def spread(strata, site_of, num_sites):
    """Mean distance of a site's stratum shares from those of all patients."""
    strata = np.array(strata)
    shares = [
        np.bincount(strata[site_of == site], minlength=4) / (site_of == site).sum()
        for site in range(num_sites)
    ]
    overall = np.bincount(strata, minlength=4) / len(strata)
    return float(np.abs(np.array(shares) - overall).sum(axis=1).mean())


def test_a_patient_is_counted_under_the_rarest_label_they_have():
    # Patients per label: 3, 1, 2. The second has all three: label 1 is the rarest.
    positive = np.array([[1, 0, 0], [1, 1, 1], [1, 0, 1], [0, 0, 0]], dtype=bool)
    np.testing.assert_array_equal(strata_by_rarest(positive), [0, 1, 2, 3])


@pytest.mark.parametrize("alpha", [1e-300, 1e-3, 0.5, 100.0, 1e300])
def test_sites_are_of_equal_size_at_every_alpha(alpha):
    site_of = assign([0, 1, 2, 3] * 25 + [0] * 3, 5, alpha)
    counts = np.bincount(site_of, minlength=5)
    assert counts.sum() == 103
    assert counts.max() - counts.min() <= 1


def test_small_alpha_makes_sites_differ_and_large_alpha_does_not():
    strata = np.random.default_rng(0).integers(0, 4, 2000)
    far, near = (spread(strata, assign(strata, 5, alpha), 5) for alpha in (0.1, 1000.0))
    assert far > 0.6
    assert near < 0.2


def test_one_stratum_is_dealt_out_evenly():
    assert np.bincount(assign([7] * 10, 5, 0.01)).tolist() == [2] * 5


def test_the_seed_decides():
    strata = [0, 1, 2, 3] * 20
    np.testing.assert_array_equal(assign(strata, 3, 0.5, 1), assign(strata, 3, 0.5, 1))
    assert (assign(strata, 3, 0.5, 1) != assign(strata, 3, 0.5, 2)).any()


def test_a_seed_gives_the_sites_that_it_always_gave():
    # from the version of fedcxr that first had the scheme
    strata = np.arange(24) % 5
    assert assign(strata, 4, 0.5, seed=7).tolist() == [
        1,
        3,
        2,
        0,
        0,
        3,
        3,
        2,
        2,
        0,
        3,
        2,
        3,
        1,
        0,
        1,
        3,
        1,
        2,
        0,
        1,
        2,
        1,
        0,
    ]
