from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fedcxr.config.partition import PartitionConfig
from fedcxr.data.labels import MASKED
from fedcxr.data.leaks import has_leak
from fedcxr.data.tokens import SYNTHETIC_KEY
from partitions.plan import make_partition


@pytest.fixture
def dataset(make_record, make_dataset):
    records = [
        make_record(1, 0, split="train", labels=(1, -2)),
        replace(make_record(2, 0, split="train", labels=(-1, MASKED)), age=None),
        make_record(3, 0, split="test", labels=(0, 1)),
    ]
    return make_dataset(records=records)


def test_a_data_set_is_a_row_an_image_and_a_column_a_label(dataset):
    frame = dataset.to_frame()
    assert list(frame.index) == [record.path for record in dataset.records]
    known = ["patient_id", "study_id", "view", "projection", "sex", "age", "split", "source"]
    assert list(frame.columns) == [*known, "Edema", "Fracture"]
    assert frame["Edema"].tolist() == [1.0, -1.0, 0.0]
    assert frame["Fracture"].isna().tolist() == [True, True, False]  # blank, masked, positive
    assert frame["age"].isna().tolist() == [False, True, False]


def test_frames_answer_in_a_line_what_a_notebook_asks(dataset):
    frame = dataset.to_frame()
    positives = frame.groupby("split")[list(dataset.labels)].agg(lambda cells: (cells == 1).sum())
    assert positives.loc["train"].tolist() == [1, 0]
    train, test = frame[frame["split"] == "train"], frame[frame["split"] == "test"]
    assert not has_leak(train, test, "patient_id")
    assert has_leak(train, pd.concat([test, train[:1]]), "patient_id")


def test_a_data_set_without_a_record_has_an_empty_frame(dataset):
    assert dataset.where(lambda record: False).to_frame().shape == (0, 10)


def test_a_table_of_a_partition_is_a_row_an_image_by_its_token(tmp_path, make_dataset):
    plan = make_partition(
        make_dataset(40),
        config=PartitionConfig(clients=3),
        seed=0,
        key=SYNTHETIC_KEY,
        views="all",
        out=tmp_path / "plan",
    )
    table = plan.site_table("site-01")
    frame = table.to_frame()
    assert tuple(frame.index) == table.image_id
    assert "path" not in frame  # of a hospital's own file alone
    assert set(frame["split"]) == {"train", "val"}
    np.testing.assert_array_equal(frame["Edema"] == 1, table.states[:, 0] == 1)

    sites = plan.to_frame()
    assert list(sites.index) == ["site-00", "site-01", "site-02"]
    assert sites.loc["site-01", "images"] == len(table)
    assert sites.loc["site-01", "Edema"] == (frame["Edema"] == 1).sum()
    assert sites["patients"].sum() == sum(site.patients for site in plan.sites)


def test_a_hospitals_own_table_keeps_its_paths(tmp_path, make_dataset):
    plan = make_partition(
        make_dataset(40),
        config=PartitionConfig(clients=2),
        seed=0,
        key=SYNTHETIC_KEY,
        views="all",
        out=tmp_path / "plan",
    )
    table = plan.site_table("site-00")
    own = replace(table, path=tuple(f"images/{name}.jpg" for name in table.image_id))
    assert own.to_frame()["path"].tolist() == list(own.path)
