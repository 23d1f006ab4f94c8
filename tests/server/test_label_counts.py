import json
from types import SimpleNamespace

import numpy as np
import pytest

from fedcxr.config.data import DataConfig
from fedcxr.data.policies import policy_of
from partitions.summary import summarise_site
from partitions.table import read_table
from server.label_counts import label_counts


@pytest.fixture
def plan(sites):
    """The four tiny sites as a plan: Edema 0, 1 in turn, Fracture 1, -1, blank in turn."""
    files = sorted((sites / "sites").glob("*.csv"))
    return SimpleNamespace(
        sites=[summarise_site(file.stem, read_table(file)) for file in files],
        site_csv=lambda site_id: sites / "sites" / f"{site_id}.csv",
        site_table=lambda site_id: read_table(sites / "sites" / f"{site_id}.csv"),
    )


def policy(**data):
    return policy_of(DataConfig(**data), rounds=4)


def test_training_images_of_all_sites_are_counted_before_and_after(plan):
    # row 3 of the bad-input table
    # 6, 5, 0 and 1 training images; Fracture: 2 + 2 + 0 + 1 positive, 2 + 2 uncertain, 2 + 1 blank
    found = label_counts(plan, ["Fracture"], policy(uncertain="multi_class"), seed=0)
    assert (found["of"], found["images"]) == ("the sites' training images", 12)
    assert found["before"] == {
        "Fracture": {"positive": 5, "negative": 0, "uncertain": 4, "blank": 3, "masked": 0}
    }
    assert found["after"] == {
        "Fracture": {"positive": 5, "negative": 3, "soft": 0, "uncertain_class": 4, "unknown": 0}
    }
    assert found["reason"] is None


@pytest.mark.parametrize(
    ("uncertain", "kind"),
    [
        ("ignore", "unknown"),
        ("zeros", "negative"),
        ("ones", "positive"),
        ("smoothed", "soft"),
        ("multi_class", "uncertain_class"),
        ("self_trained", "unknown"),  # until the first model has predicted them
    ],
)
def test_the_four_uncertain_ones_become_what_the_policy_says(plan, uncertain, kind):
    after = label_counts(plan, ["Fracture"], policy(uncertain=uncertain), seed=0)["after"]
    without = {"positive": 5, "negative": 3, "soft": 0, "uncertain_class": 0, "unknown": 0}
    assert after["Fracture"] == {**without, kind: without[kind] + 4}


def test_labels_are_those_of_the_run_in_its_order(plan):
    found = label_counts(plan, ["Fracture", "Edema"], policy(), seed=0)
    assert list(found["before"]) == ["Fracture", "Edema"]
    # Edema is 0, 1, 0, 1, … at each site: 3 + 2 positive of 12
    assert found["after"]["Edema"]["positive"] == 5
    assert found["after"]["Edema"]["negative"] == 7
    json.dumps(found)  # it goes into the manifest


def test_real_sites_keep_their_tables_so_their_targets_are_not_counted(plan, tmp_path):
    plan.site_csv = lambda site_id: tmp_path / f"{site_id}.csv"
    found = label_counts(plan, ["Fracture"], policy(), seed=0)
    assert found["after"] is None
    assert "the sites' tables stay with them" in found["reason"]
    assert found["of"] == "all images of the sites, train and val"
    # 9 + 7 + 2 + 1 images, 1, -1, blank in turn: 3 + 3 + 1 + 1 positive
    assert found["images"] == 19
    assert found["before"]["Fracture"]["positive"] == 8
    assert sum(found["before"]["Fracture"].values()) == 19


def test_counts_of_an_older_plan_without_masked_are_added_as_they_are(plan, tmp_path):
    counts = {"Edema": {"positive": 2, "negative": 1, "uncertain": 0, "blank": 4}}
    plan.sites = [SimpleNamespace(site_id="a", images=7, label_counts=counts)] * 2
    plan.site_csv = lambda site_id: tmp_path / "none.csv"
    found = label_counts(plan, ["Edema"], policy(), seed=0)["before"]["Edema"]
    assert found == {"positive": 4, "negative": 2, "uncertain": 0, "blank": 8}


def test_smoothed_targets_are_those_that_the_sites_draw(plan, sites):
    # were 0 and 1 in the range, a value could count as positive or negative: it must not here
    narrow = policy(uncertain="smoothed", smooth_low=0.0, smooth_high=1.0)
    after = label_counts(plan, ["Fracture"], narrow, seed=3)["after"]["Fracture"]
    assert (after["soft"], np.sum(list(after.values()))) == (4, 12)
