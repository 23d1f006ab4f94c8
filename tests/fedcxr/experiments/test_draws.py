"""Repeated draws of patients to sites: what is refused, and where each lies."""

import pytest

from fedcxr.config.load import load_config
from fedcxr.data.origin import FoldsPart, TestSet
from fedcxr.errors import ArtefactError, ConfigError
from fedcxr.experiments.compare.draws import (
    all_seeds,
    check_draws,
    draw_folder,
    held_out_set,
    keep_draws,
    prepare_draws,
    read_draws,
    seeds_of,
)
from partitions.table import read_table

TINY = {
    "data.synthetic.patients": 60,
    "data.synthetic.size_px": 32,
    "model.image_size": 32,
    "partition.clients": 2,
}


def configured(partitions=3, **settings):
    keys = {key.replace("__", "."): value for key, value in settings.items()}
    return load_config(overrides={**TINY, "compare.partitions": partitions, **keys})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"partition__folder": "plan"}, "plan is one partition, drawn already"),
        ({"partition__scheme": "by-attribute"}, "by-attribute says of each patient"),
        ({"partition__scheme": "by-source"}, "iid, dirichlet, quantity, hospitals"),
        (
            {"partition__scheme": "sites-file", "partition__sites_file": "sites.csv"},
            "another draw would be no other hospitals",
        ),
        ({"partition__folds": 3, "partition__fold": 1}, "tested on the same patients"),
        ({"partition__folds": 3}, "tests each fold on others"),
    ],
)
def test_several_partitions_where_there_is_nothing_to_draw_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        check_draws(configured(**settings))
    check_draws(configured(1, **settings))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"partition__folder": "plan"}, "plan is one partition, made already"),
        ({"compare__learning_rates": [0.1, 0.2]}, "validation patients are tested in another"),
        (
            {"compare__external": ["nih"]},
            r"compare\.external: .* add --fold to compare on one fold",
        ),
    ],
)
def test_what_a_cross_validation_does_not_go_with_is_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        check_draws(configured(1, partition__folds=3, **settings))
    check_draws(configured(1, partition__folds=3, partition__fold=0, **settings))


def test_every_patient_is_tested_in_one_fold_and_trained_on_in_the_others(tmp_path):
    config = configured(1, partition__folds=3, seed=7, compare__seeds=2)
    keep_draws(tmp_path, prepare_draws(config))
    plans = read_draws(tmp_path, config)
    tested = [set(read_table(plan.test_csv).patient_id) for plan in plans]
    # a fifth of the 60 is the official test set, which stays unseen
    assert [len(each) for each in tested] == [16, 16, 16]
    assert len(set().union(*tested)) == 48
    for plan, own in zip(plans, tested, strict=True):
        others = set(read_table(plan.val_csv).patient_id).union(
            *(plan.site_table(site.site_id).patient_id for site in plan.sites)
        )
        assert others == set().union(*tested) - own
    left_out = plans[0].test_set.left_out
    assert held_out_set(config, plans) == TestSet((FoldsPart(3, 48),), left_out)
    assert all_seeds(config) == [7, 8, 107, 108, 207, 208]


def test_folds_that_were_not_made_are_told(tmp_path):
    keep_draws(tmp_path, prepare_draws(configured(1, partition__folds=2)))
    with pytest.raises(ArtefactError, match=r"partition\.folds is 3 and 2 were drawn when"):
        read_draws(tmp_path, configured(1, partition__folds=3))


def test_no_two_partitions_share_a_seed():
    config = configured(4, seed=7, compare__seeds=100)
    assert seeds_of(config, 0)[:2] == [7, 8]
    assert seeds_of(config, 3)[:2] == [307, 308]
    assert len(set(all_seeds(config))) == 400


def test_every_partition_is_kept_with_its_proof(tmp_path):
    config = configured(partition__scheme="quantity")
    keep_draws(tmp_path, prepare_draws(config))
    plans = read_draws(tmp_path, config)
    assert [plan.folder.parent for plan in plans] == [draw_folder(tmp_path, n) for n in range(3)]
    assert plans[0].folder == tmp_path / "partition"
    assert len({plan.digest for plan in plans}) == 3
    assert len({plan.test_csv.read_bytes() for plan in plans}) == 1
    # of six sets, train and val of two sites and the server's two, each pair
    assert {plan.proof.pairs_checked for plan in plans} == {15}
    contents = [(plan.folder / "contents.csv").read_bytes() for plan in plans]
    assert contents[0] == contents[1] == contents[2]


def test_more_partitions_than_were_drawn_are_told(tmp_path):
    keep_draws(tmp_path, prepare_draws(configured(2)))
    with pytest.raises(ArtefactError, match=r"compare\.partitions is 4 and 2 were drawn when"):
        read_draws(tmp_path, configured(4))
