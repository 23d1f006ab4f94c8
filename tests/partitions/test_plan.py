import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcxr.config.partition import PartitionConfig
from fedcxr.data.read import read_dataset
from fedcxr.data.tokens import SYNTHETIC_KEY, Tokens
from fedcxr.errors import ArtefactError, ConfigError, DataError, LeakError
from partitions.plan import make_partition
from partitions.table import read_table


def make(dataset, out, *, key=SYNTHETIC_KEY, seed=0, **config):
    return make_partition(
        dataset, config=PartitionConfig(**config), seed=seed, key=key, views="all", out=out
    )


def files_of(plan):
    return [plan.val_csv, plan.test_csv, *(plan.site_csv(site.site_id) for site in plan.sites)]


@st.composite
def small_tables(draw):
    patients = draw(st.integers(12, 40))
    images = draw(st.lists(st.integers(1, 5), min_size=patients, max_size=patients))
    official = draw(st.booleans())
    splits = draw(
        st.lists(st.sampled_from(["train", "train", "test"]), min_size=patients, max_size=patients)
    )
    states = draw(
        st.lists(
            st.tuples(st.sampled_from([1, 0, -1, -2]), st.sampled_from([1, 0, -1, -2])),
            min_size=patients,
            max_size=patients,
        )
    )
    return list(zip(images, splits if official else [""] * patients, states, strict=True))


@settings(max_examples=60, deadline=None)
@given(
    rows=small_tables(),
    scheme=st.sampled_from(["iid", "dirichlet"]),
    alpha=st.floats(1e-3, 1e3),
    clients=st.integers(1, 6),
    fraction=st.floats(0.0, 0.49),
    seed=st.integers(0, 2**31),
)
def test_no_scheme_puts_a_patient_in_two_places_or_loses_an_image(
    rows, scheme, alpha, clients, fraction, seed, make_record, make_dataset
):
    records = [
        make_record(patient, image, split=split, labels=labels)
        for patient, (images, split, labels) in enumerate(rows, start=1)
        for image in range(images)
    ]
    dataset = make_dataset(records=records)
    with tempfile.TemporaryDirectory() as folder:
        options = {"scheme": scheme, "alpha": alpha, "clients": clients, "seed": seed}
        try:
            plan = make(dataset, Path(folder) / "plan", site_val_fraction=fraction, **options)
        except (ConfigError, DataError):  # too few patients are left; nothing is written
            assert list(Path(folder).iterdir()) == []
            assert len(rows) < 4 * clients or sum(r[1] == "test" for r in rows) > len(rows) // 3
            return
        tables = [read_table(path) for path in files_of(plan)]
    places = {}
    for number, table in enumerate(tables):
        for patient, split in zip(table.patient_id, table.split, strict=True):
            places.setdefault(patient, set()).add((number, split))
    assert all(len(place) == 1 for place in places.values())
    tokens = Tokens(SYNTHETIC_KEY)
    written = sorted(image_id for table in tables for image_id in table.image_id)
    assert written == sorted(tokens.image(record.path) for record in records)
    truth = {tokens.image(record.path): record.labels for record in records}
    for table in tables:
        for image_id, states in zip(table.image_id, table.states.tolist(), strict=True):
            assert tuple(states) == truth[image_id]
    assert all(site.patients >= 2 and site.train_images >= 2 for site in plan.sites)
    in_test = {r.patient_id for r in records if r.split == "test"}
    if in_test:
        assert set(tables[1].patient_id) == {tokens.patient(p) for p in in_test}


def test_a_plan_says_what_it_is(tmp_path, make_dataset, key):
    plan = make(make_dataset(40), tmp_path / "plan", key=key, clients=3, scheme="dirichlet")
    assert (plan.layout, plan.source, plan.scheme, plan.alpha) == (
        "chexpert",
        "CheXpert-v1.0-small",
        "dirichlet",
        0.5,
    )
    assert plan.labels == ("Edema", "Fracture")
    assert plan.key_fingerprint == Tokens(key).fingerprint
    assert [site.site_id for site in plan.sites] == ["site-00", "site-01", "site-02"]
    # 40 patients: 8 test, 3 val (10 % of 32), 29 for three sites; each site has train and val.
    assert [site.patients for site in plan.sites] == [10, 10, 9]
    assert plan.pairs_checked == 28  # 8 sets: two of the server and two a site: 8 · 7 / 2


def test_a_plan_counts_each_state_of_each_label(tmp_path, make_dataset):
    plan = make(make_dataset(40, images_each=3), tmp_path / "plan", clients=2)
    for site in plan.sites:
        states = read_table(plan.site_csv(site.site_id)).states
        assert site.label_counts["Edema"]["positive"] == (states[:, 0] == 1).sum()
        assert site.label_counts["Fracture"]["uncertain"] == (states[:, 1] == -1).sum()
        assert site.label_counts["Fracture"]["blank"] == (states[:, 1] == -2).sum()
        assert site.images == site.train_images + site.val_images == len(states)


@pytest.mark.parametrize("scheme", ["iid", "dirichlet"])
def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path, make_dataset, scheme):
    one, again, other = (
        make(make_dataset(60), tmp_path / str(i), scheme=scheme, seed=seed)
        for i, seed in enumerate((1, 1, 2))
    )
    assert one.digest == again.digest != other.digest
    assert [f.read_bytes() for f in files_of(one)] == [f.read_bytes() for f in files_of(again)]


def test_the_order_of_the_source_does_not_matter(tmp_path, make_dataset):
    dataset = make_dataset(60)
    backwards = make_dataset(records=list(dataset.records[::-1]))
    assert make(dataset, tmp_path / "a").digest == make(backwards, tmp_path / "b").digest


def test_the_key_changes_the_tokens_and_not_who_is_where(tmp_path, make_dataset, key):
    dataset = make_dataset(60)
    one, other = make(dataset, tmp_path / "a"), make(dataset, tmp_path / "b", key=key)
    patients = {record.patient_id for record in dataset.records}
    for mine, yours in zip(files_of(one), files_of(other), strict=True):
        tokens = [(set(read_table(mine).patient_id), Tokens(SYNTHETIC_KEY))]
        tokens.append((set(read_table(yours).patient_id), Tokens(key)))
        first, second = ({p for p in patients if t.patient(p) in ids} for ids, t in tokens)
        assert first == second


def test_nothing_in_the_folder_names_a_patient_or_a_path_of_the_source(tmp_path, make_dataset):
    plan = make(make_dataset(40), tmp_path / "plan")
    for path in plan.folder.rglob("*.*"):
        text = path.read_text()
        assert "patient0" not in text
        assert "view1" not in text


def test_rows_are_in_the_order_of_their_tokens(tmp_path, make_dataset):
    for path in files_of(make(make_dataset(40), tmp_path / "plan")):
        ids = read_table(path).image_id
        assert list(ids) == sorted(ids)


def test_the_official_val_of_a_data_set_with_its_own_test_set_is_left_out(
    tmp_path, make_dataset, make_record
):
    records = [
        *make_dataset(30, split="train").records,
        *(make_record(patient, 0, split="test") for patient in range(100, 110)),
        *(make_record(patient, 0, split="val") for patient in range(200, 210)),
    ]
    plan = make(make_dataset(records=records), tmp_path / "plan")
    tables = [read_table(path) for path in files_of(plan)]
    assert sum(len(table) for table in tables) == 30 * 2 + 10
    assert len(tables[1]) == 10


def test_a_leaky_official_split_writes_nothing(tmp_path, make_dataset, make_record):
    records = [*make_dataset(30, split="train").records, make_record(7, 9, split="test")]
    with pytest.raises(LeakError, match="1 patients are in the official train set"):
        make(make_dataset(records=records), tmp_path / "plan")
    assert list(tmp_path.iterdir()) == []


def test_a_hundred_sites_have_names_of_one_length(tmp_path, make_dataset):
    plan = make(make_dataset(300, images_each=1), tmp_path / "plan", clients=100)
    assert plan.sites[0].site_id == "site-00"
    assert plan.sites[99].site_id == "site-99"


def test_the_same_partition_made_again_is_the_one_that_is_there(tmp_path, make_dataset):
    one = make(make_dataset(40), tmp_path / "plan")
    assert make(make_dataset(40), tmp_path / "plan") == one
    with pytest.raises(ArtefactError, match="holds another partition"):
        make(make_dataset(40), tmp_path / "plan", seed=1)


def test_a_folder_with_other_things_is_left_alone(tmp_path, make_dataset):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ArtefactError, match="holds something else"):
        make(make_dataset(40), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.real
@pytest.mark.parametrize("scheme", ["iid", "dirichlet"])
@pytest.mark.parametrize("name", ["nih14", "nih14_64px", "chexpert_layout_nih_pixels"])
def test_the_samples_are_partitioned_into_five_sites(sample_data, tmp_path, name, scheme):
    dataset = read_dataset(sample_data / name, views="frontal")
    plan = make(dataset, tmp_path / "plan", scheme=scheme)
    assert len(plan.sites) == 5
    assert plan.pairs_checked == 66  # 12 sets
    official = sum(record.split == "test" for record in dataset.records)
    assert len(read_table(plan.test_csv)) == official


@pytest.mark.real
def test_the_leaky_split_that_one_sample_came_with_is_refused(sample_data, tmp_path):
    source = sample_data / "nih14_64px"
    rows = (source / "source_split_LEAKY.csv").read_text().split()[1:]
    copy = tmp_path / "nih14"
    copy.mkdir()
    (copy / "Data_Entry_2017_v2020.csv").write_bytes(
        (source / "Data_Entry_2017_v2020.csv").read_bytes()
    )
    by_split = {"test": [], "train": []}
    for row in rows:
        name, split = row.split(",")
        by_split["test" if split == "test" else "train"].append(name)
    (copy / "train_val_list.txt").write_text("\n".join(by_split["train"]))
    (copy / "test_list.txt").write_text("\n".join(by_split["test"]))
    with pytest.raises(LeakError, match="in the official train set and in the official test set"):
        make(read_dataset(copy), tmp_path / "plan")
