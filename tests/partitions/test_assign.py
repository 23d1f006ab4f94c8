import sys
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from fedcxr import plugins
from fedcxr.config.partition import PartitionConfig, SchemeName
from fedcxr.errors import ConfigError, DataError
from partitions.assign import SCHEMES, assign, scheme_parameters
from partitions.patient_table import count_by_patient, majority
from partitions.patients import group_by_patient
from partitions.scheme import Patients, numbered


@pytest.fixture
def patients(make_dataset):
    """40 patients with two images each; every fourth is PA, and every eighth has a Fracture."""
    records = []
    for record in make_dataset(40).records:
        number = int(record.patient_id[-5:])
        projection = "PA" if number % 4 == 0 else "AP"
        labels = (number % 2, int(number % 8 == 1))
        records.append(replace(record, projection=projection, labels=labels, sex="FM"[number % 2]))
    dataset = make_dataset(records=records)
    grouped = group_by_patient([record.patient_id for record in records])
    table = count_by_patient(grouped.patient_of, dataset.states(), 40)
    sources, source_of = majority([r.source for r in records], grouped.patient_of, 40)
    return Patients(dataset, grouped, table, sources, source_of)


def run(patients, pool=None, seed=0, **config):
    pool = np.arange(40) if pool is None else pool
    return assign(patients, pool, PartitionConfig(**config), seed)


@pytest.mark.parametrize(
    ("scheme", "holds"),
    [
        ("iid", ("", "", "")),
        ("dirichlet", ("", "", "")),
        ("quantity", ("", "", "")),
        ("by-attribute", ("AP", "AP", "PA")),
        ("hospitals", ("inpatient", "outpatient", "rare disease")),
    ],
)
def test_every_scheme_gives_every_patient_a_site(patients, scheme, holds):
    found = run(patients, scheme=scheme, clients=3)
    assert found.site_ids == ("site-00", "site-01", "site-02")
    assert found.holds == holds
    assert np.bincount(found.site_of, minlength=3).sum() == 40
    assert (run(patients, scheme=scheme, clients=3).site_of == found.site_of).all()


def test_only_the_pool_is_shared(patients):
    pool = np.arange(10, 30)
    assert len(run(patients, pool, scheme="hospitals", clients=3).site_of) == 20


def test_a_file_says_how_many_sites_there_are(patients, tmp_path):
    path = tmp_path / "sites.csv"
    rows = [
        f"{p},{'west' if i < 7 else 'east'}" for i, p in enumerate(patients.grouped.patient_ids)
    ]
    path.write_text("\n".join(["patient_id,site", *rows]))
    found = run(patients, scheme="sites-file", sites_file=str(path), clients=5)
    assert found.site_ids == ("east", "west")
    assert np.bincount(found.site_of).tolist() == [33, 7]


def test_a_file_that_leaves_a_site_almost_empty_is_a_data_error(patients, tmp_path):
    path = tmp_path / "sites.csv"
    rows = [
        f"{p},{'west' if i < 1 else 'east'}" for i, p in enumerate(patients.grouped.patient_ids)
    ]
    path.write_text("\n".join(["patient_id,site", *rows]))
    with pytest.raises(DataError, match=r"west would have 1 of the 40 patients.*in the file"):
        run(patients, scheme="sites-file", sites_file=str(path))


def test_more_sites_than_a_group_can_fill_are_a_configuration_error(patients):
    # 30 AP and 10 PA patients to 20 sites: D'Hondt gives PA 5, and fills all; but of 21 patients of
    # which 3 are PA, 10 sites leave PA one patient and a half.
    assert run(patients, scheme="by-attribute", clients=20).holds.count("PA") == 5
    projection = attribute = np.array([i % 4 == 3 for i in range(40)])
    pool = np.sort([*np.flatnonzero(~attribute)[:17], *np.flatnonzero(projection)[:3]])
    with pytest.raises(ConfigError, match=r"would have 1 of the 20 .*Set --clients lower"):
        run(patients, pool, scheme="by-attribute", clients=10)


def test_splits_know_the_sources_of_joined_data(patients):
    assert patients.strata().shape == (40, 2)
    joined = replace(patients, sources=("a", "b"), source_of=np.arange(40) % 2)
    assert joined.strata()[:2].tolist() == [[True, True, True, False], [False, False, False, True]]


def test_the_registry_has_every_scheme_that_the_configuration_takes():
    assert set(SCHEMES.names()) == set(get_args(SchemeName))


def test_plan_json_holds_the_parameter_of_its_scheme_alone(tmp_path):
    fractions = {"val_fraction", "test_fraction", "site_val_fraction"}
    always = {*fractions, "min_images", "min_positives"}
    own = {"dirichlet": {"alpha"}, "quantity": {"exponent"}, "by-attribute": {"attribute"}}
    for scheme in SCHEMES.names():
        file = {"sites_file": str(tmp_path)} if scheme == "sites-file" else {}
        found = scheme_parameters(PartitionConfig(scheme=scheme, **file))
        assert set(found) == always | own.get(scheme, set())
    folded = scheme_parameters(PartitionConfig(folds=3, fold=2))
    assert (folded["folds"], folded["fold"]) == (3, 2)


def test_a_scheme_that_there_is_not_is_refused(patients):
    config = PartitionConfig().model_copy(update={"scheme": "by-magic"})
    with pytest.raises(ConfigError, match=r"partition\.scheme: there is no scheme 'by-magic'"):
        assign(patients, np.arange(40), config, 0)


def test_ids_have_one_length():
    assert numbered(101)[7] == "site-007"


def in_turn(share):
    return np.arange(len(share.pool)) % share.config.clients


def half_numbers(share):
    return np.arange(len(share.pool)) / 2


@pytest.fixture
def own(monkeypatch):
    monkeypatch.setattr(plugins, "_allowed", None)
    monkeypatch.setitem(sys.modules, "ownscheme", sys.modules[__name__])
    yield
    SCHEMES._loaded.clear()


def test_an_own_scheme_gives_patients_to_sites_by_number(patients, own):
    config = PartitionConfig(scheme="ownscheme:in_turn", clients=3)
    found = assign(patients, np.arange(40), config, seed=0)
    assert found.site_ids == ("site-00", "site-01", "site-02")
    assert np.bincount(found.site_of).tolist() == [14, 13, 13]


def test_an_own_scheme_that_does_not_fit_is_refused(patients, own):
    config = PartitionConfig(scheme="ownscheme:half_numbers", clients=3)
    with pytest.raises(
        ConfigError, match=r"gives float64 \[40\], expected a whole number in 0 … 2"
    ):
        assign(patients, np.arange(40), config, seed=0)
    config = PartitionConfig(scheme="ownscheme:np", clients=3)
    with pytest.raises(ConfigError, match=r"ownscheme:np: is no function of a partitions"):
        assign(patients, np.arange(40), config, seed=0)
    with pytest.raises(ValueError, match=r"there is no scheme 'idd' \(did you mean 'iid'\?\)"):
        PartitionConfig(scheme="idd")
