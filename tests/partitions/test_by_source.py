import numpy as np
import pytest

from fedcxr.errors import ConfigError
from partitions.by_source import assign_by_source


def assign(sources, num_sites, names=("chexpert", "nih14")):
    return assign_by_source(names, np.array(sources), num_sites, np.random.default_rng(0))


def test_each_site_is_of_one_source_in_proportion_to_patients():
    sources = [0] * 60 + [1] * 30
    site_of, holds = assign(sources, 3)
    assert holds == ["chexpert", "chexpert", "nih14"]
    assert np.bincount(site_of).tolist() == [30, 30, 30]
    assert (site_of[60:] == 2).all()


def test_one_source_is_refused():
    with pytest.raises(ConfigError, match=r"of one data set.*--data twice"):
        assign([1] * 9, 3)


def test_fewer_sites_than_sources_are_refused():
    with pytest.raises(ConfigError, match=r"clients=1: by-source needs .* --clients 2 or more"):
        assign([0, 1, 1, 0], 1)
