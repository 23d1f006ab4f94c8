import json
from dataclasses import replace

import pytest

from fedcxr.config.partition import PartitionConfig
from fedcxr.data.origin import DrawnPart, FoldPart, OfficialPart, TestSet
from fedcxr.data.read import read_dataset
from fedcxr.data.records import DataSet, OfficialSet
from fedcxr.data.synthetic.write import write_synthetic
from fedcxr.data.tokens import SYNTHETIC_KEY, Tokens
from fedcxr.errors import ArtefactError, DataError, LeakError
from partitions.plan import make_partition
from partitions.table import read_table


def make(dataset, out, *, key=SYNTHETIC_KEY, seed=0, draw=0, **config):
    return make_partition(
        dataset,
        config=PartitionConfig(**config),
        seed=seed,
        key=key,
        views="all",
        out=out,
        draw=draw,
    )


def files_of(plan):
    return [plan.val_csv, plan.test_csv, *(plan.site_csv(site.site_id) for site in plan.sites)]


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
    # 40 patients: 8 test, 4 val (20 % and 10 %), 28 for three sites; each has train and val.
    assert [site.patients for site in plan.sites] == [10, 9, 9]
    assert plan.pairs_checked == 28  # 8 sets: two of the server and two a site: 8 · 7 / 2


def test_a_plan_counts_each_state_of_each_label(tmp_path, make_dataset):
    plan = make(make_dataset(40, images_each=3), tmp_path / "plan", clients=2)
    for site in plan.sites:
        states = read_table(plan.site_csv(site.site_id)).states
        assert site.label_counts["Edema"]["positive"] == (states[:, 0] == 1).sum()
        assert site.label_counts["Fracture"]["uncertain"] == (states[:, 1] == -1).sum()
        assert site.label_counts["Fracture"]["blank"] == (states[:, 1] == -2).sum()
        assert site.images == site.train_images + site.val_images == len(states)


@pytest.mark.parametrize("scheme", ["iid", "dirichlet", "quantity"])
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
    assert plan.left_out_images == 10


def test_a_data_set_of_nothing_but_official_val_is_refused(tmp_path, make_dataset):
    with pytest.raises(DataError, match="all images are of the official val set"):
        make(make_dataset(20, split="val"), tmp_path / "plan")


def test_a_plan_says_where_its_test_set_came_from(tmp_path, make_dataset, make_record):
    drawn = make(make_dataset(40), tmp_path / "drawn").test_set
    assert drawn == TestSet((DrawnPart("", 0.2, 8, 40),))  # 20 % of 40
    valid = OfficialSet("test", "chexpert-valid", ("valid.csv",))
    beside = OfficialSet("val", "table", ("dev.csv",))
    records = [
        *make_dataset(30, split="train").records,
        *(make_record(patient, 0, split="test") for patient in range(100, 107)),
        *(make_record(patient, 0, split="val") for patient in range(200, 203)),
    ]
    dataset = replace(make_dataset(records=records), official=(valid, beside))
    official = make(dataset, tmp_path / "official").test_set
    assert official == TestSet((OfficialPart(valid, 7),), (beside,))
    fold = make(dataset, tmp_path / "fold", folds=3, fold=2).test_set
    assert fold == TestSet((FoldPart(2, 3, 10, 30),), (beside, valid))
    nameless = make(make_dataset(records=records), tmp_path / "nameless").test_set
    assert nameless.parts == (OfficialPart(OfficialSet("test", "table"), 7),)


def test_a_valid_table_without_rows_is_not_said_to_be_the_test_set(tmp_path):
    root = write_synthetic(tmp_path / "data", patients=60, size_px=32)
    header = (root / "valid.csv").read_text().splitlines()[0]
    (root / "valid.csv").write_text(f"{header}\n")
    dataset = read_dataset(root)
    num = len({record.patient_id for record in dataset.records})
    assert make(dataset, tmp_path / "plan").test_set == TestSet(
        (DrawnPart("chexpert", 0.2, round(num / 5), num),)
    )


def test_plan_json_says_all_that_the_partition_depends_on(tmp_path, make_dataset):
    def parameters(name, **config):
        make(make_dataset(60), tmp_path / name, min_images=1, **config)
        head = json.loads((tmp_path / name / "plan.json").read_text())
        return head["parameters"]

    always = {"val_fraction": 0.1, "test_fraction": 0.2, "site_val_fraction": 0.1}
    always |= {"min_images": 1, "min_positives": 0}
    assert parameters("a") == always
    assert parameters("b", scheme="dirichlet", alpha=2.0) == {**always, "alpha": 2.0}
    assert parameters("c", scheme="quantity", exponent=0.5) == {**always, "exponent": 0.5}
    assert parameters("d", folds=3, fold=2) == {**always, "folds": 3, "fold": 2}


def test_only_the_dirichlet_scheme_has_an_alpha(tmp_path, make_dataset):
    assert make(make_dataset(40), tmp_path / "a").alpha is None
    assert make(make_dataset(40), tmp_path / "b", scheme="dirichlet", alpha=2).alpha == 2.0


def test_the_folds_of_one_seed_test_on_every_patient_once(tmp_path, make_dataset):
    plans = [make(make_dataset(52), tmp_path / str(f), folds=5, fold=f) for f in range(5)]
    tested = [set(read_table(plan.test_csv).patient_id) for plan in plans]
    assert sorted(map(len, tested)) == [10, 10, 10, 11, 11]  # 52 = 5 · 10 + 2
    patients = {record.patient_id for record in make_dataset(52).records}
    assert set().union(*tested) == {Tokens(SYNTHETIC_KEY).patient(p) for p in patients}
    for plan in plans:
        assert len(set(read_table(plan.val_csv).patient_id)) == 5  # 10 % of 52
        assert plan.left_out_images == 0


@pytest.mark.parametrize("scheme", ["iid", "dirichlet", "quantity"])
def test_draws_give_the_same_patients_to_other_sites(tmp_path, make_dataset, scheme):
    plans = [
        make(make_dataset(60), tmp_path / str(draw), draw=draw, clients=3, scheme=scheme)
        for draw in range(3)
    ]
    for own in ("val_csv", "test_csv"):
        assert len({getattr(plan, own).read_bytes() for plan in plans}) == 1
    shared = [
        {p for s in plan.sites for p in plan.site_table(s.site_id).patient_id} for plan in plans
    ]
    assert shared[0] == shared[1] == shared[2]
    at_first = {frozenset(plan.site_table("site-00").patient_id) for plan in plans}
    assert len(at_first) == len({plan.digest for plan in plans}) == 3
    assert [plan.parameters.get("draw") for plan in plans] == [None, 1, 2]


def test_a_draw_is_the_same_each_time_and_the_first_is_the_partition_itself(tmp_path, make_dataset):
    again = [make(make_dataset(40), tmp_path / name, draw=2).digest for name in "ab"]
    assert again[0] == again[1]
    first = make(make_dataset(40), tmp_path / "c")
    assert make(make_dataset(40), tmp_path / "d", draw=0).digest == first.digest


def test_folds_leave_the_official_test_set_out(tmp_path, make_dataset, make_record):
    official = [make_record(patient, 0, split="test") for patient in range(100, 107)]
    records = [*make_dataset(30, split="train").records, *official]
    plan = make(make_dataset(records=records), tmp_path / "plan", folds=3)
    hidden = {Tokens(SYNTHETIC_KEY).patient(record.patient_id) for record in official}
    assert plan.left_out_images == 7
    assert not hidden & {p for path in files_of(plan) for p in read_table(path).patient_id}
    assert len(set(read_table(plan.test_csv).patient_id)) == 10


def test_moved_patients_are_counted_and_every_site_has_the_minimum(tmp_path, make_dataset):
    # Of 60 patients 42 are shared; the last of 6 sites gets 42 · (1/6) / 2.45 = 3 of them.
    config = {"scheme": "quantity", "clients": 6, "min_positives": 6}
    dataset = make_dataset(60)
    edema = DataSet(
        dataset.root,
        "chexpert",
        ("Edema",),
        tuple(replace(record, labels=record.labels[:1]) for record in dataset.records),
    )
    plan = make(edema, tmp_path / "plan", **config)
    assert plan.moved_patients > 0
    for site in plan.sites:
        table = read_table(plan.site_csv(site.site_id))
        assert (table.states[table.rows("train"), 0] == 1).sum() >= 6
    assert make(edema, tmp_path / "b", **{**config, "min_positives": 0}).moved_patients == 0


def test_sites_are_said_to_hold_what_their_scheme_gives_them(tmp_path, make_dataset):
    dataset = make_dataset(60)
    records = [
        replace(record, sex="FM"[int(record.patient_id[-1]) % 2]) for record in dataset.records
    ]
    dataset = make_dataset(records=records)
    plan = make(dataset, tmp_path / "plan", scheme="by-attribute", attribute="sex", clients=2)
    assert [site.holds for site in plan.sites] == ["F", "M"]
    for site in plan.sites:
        assert set(read_table(plan.site_csv(site.site_id)).sex) == {site.holds}


def test_joined_sources_are_sites_of_their_own_and_both_in_every_global_set(tmp_path, make_dataset):
    records = [
        replace(
            record,
            patient_id=f"{source}/{record.patient_id}",
            study_id=f"{source}/{record.study_id}",
            path=f"{source}/{record.path}",
            source=source,
            labels=(record.labels[0], -3 if source == "nih14" else record.labels[1]),
            split="test" if source == "nih14" and record.patient_id > "patient00030" else "",
        )
        for source in ("chexpert", "nih14")
        for record in make_dataset(40).records
    ]
    plan = make(make_dataset(records=records), tmp_path / "plan", scheme="by-source", clients=4)
    tokens = Tokens(SYNTHETIC_KEY)
    source_of = {tokens.patient(record.patient_id): record.source for record in records}

    def sources(path):
        found = [source_of[p] for p in sorted(set(read_table(path).patient_id))]
        return {source: found.count(source) for source in set(found)}

    # NIH has 10 official test patients; of CheXpert's 40 a fifth are drawn. Val: 10 % of 70.
    nih = OfficialSet("test", "table", (), "nih14")
    assert plan.test_set.parts == (DrawnPart("chexpert", 0.2, 8, 40), OfficialPart(nih, 10))
    assert sources(plan.test_csv) == {"chexpert": 8, "nih14": 10}
    assert sources(plan.val_csv) == {"chexpert": 4, "nih14": 3}
    assert [site.holds for site in plan.sites] == ["chexpert", "chexpert", "nih14", "nih14"]
    for site in plan.sites:
        assert set(sources(plan.site_csv(site.site_id))) == {site.holds}
        masked = site.label_counts["Fracture"]["masked"]
        assert masked == (site.images if site.holds == "nih14" else 0)


def test_a_patient_of_the_valid_set_that_is_left_out_may_not_be_in_train_either(
    tmp_path, make_dataset, make_record
):
    test = [make_record(patient, 0, split="test") for patient in range(100, 110)]
    records = [*make_dataset(30, split="train").records, *test, make_record(7, 9, split="val")]
    with pytest.raises(LeakError, match="in the official train set and in the official valid set"):
        make(make_dataset(records=records), tmp_path / "plan")


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


def test_a_place_that_cannot_be_written_is_an_artefact_error(tmp_path, make_dataset):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ArtefactError, match="the partition cannot be written"):
        make(make_dataset(40), tmp_path / "file" / "plan")


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
