"""A sample with stated numbers of images of each class."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from fedcxr.config import load_config
from fedcxr.config.data import DataConfig
from fedcxr.config.partition import PartitionConfig
from fedcxr.data.labels import BLANK, NEGATIVE, POSITIVE, UNCERTAIN
from fedcxr.data.origin import SamplePart, SetSizes, TestSet
from fedcxr.data.policies import policy_of
from fedcxr.data.records import OfficialSet
from fedcxr.data.tokens import SYNTHETIC_KEY
from fedcxr.errors import ConfigError, DataError
from fedcxr.report.origin_words import notes_of, one_class_words, split_words
from partitions.class_sample import sample_of, sites_of_one_class
from partitions.plan import make_partition
from partitions.plan_folder import TEST_CSV, VAL_CSV, all_tables

SIZES = {"train": [40, 36], "val": [10, 8], "test": [9, 12]}
ONES, IGNORE = (policy_of(DataConfig(uncertain=name), rounds=1) for name in ("ones", "ignore"))


@pytest.fixture
def lesions(make_dataset, make_record):
    """Build patients with two images each, of the states given in turn."""

    def make(num_patients, *pairs, split=""):
        records = [
            make_record(patient, image, split=split, labels=(pairs[patient % len(pairs)][image],))
            for patient in range(1, num_patients + 1)
            for image in (0, 1)
        ]
        return replace(make_dataset(records=records), labels=("Lung Lesion",))

    return make


@pytest.fixture
def plenty(lesions):
    return lesions(150, (POSITIVE, POSITIVE), (POSITIVE, NEGATIVE), (NEGATIVE, BLANK))


def make(dataset, out, *, sizes=SIZES, seed=0, policy=None, clients=2, **more):
    return make_partition(
        dataset,
        config=PartitionConfig(class_sizes=sizes, clients=clients, **more),
        seed=seed,
        key=SYNTHETIC_KEY,
        views="all",
        out=out,
        policy=policy,
    )


def counted(tables):
    """Return images with and without in each set of a plan."""
    found = Counter()
    for name, table in tables.items():
        place = {VAL_CSV: "val", TEST_CSV: "test"}.get(name, "train")
        for state in table.states[:, 0].tolist():
            found[place, state in (POSITIVE, UNCERTAIN)] += 1
    return {place: [found[place, True], found[place, False]] for place in ("train", "val", "test")}


def test_every_set_has_the_images_that_were_asked_for_and_no_patient_is_in_two(tmp_path, plenty):
    plan = make(plenty, tmp_path / "plan")
    tables = all_tables(plan)
    assert counted(tables) == SIZES
    assert plan.pairs_checked == 15  # 6 sets, two of the server and two a site: 6 · 5 / 2
    assert plan.left_out_images == 300 - sum(map(sum, SIZES.values()))
    assert plan.parameters["class_sizes"] == SIZES
    assert "val_fraction" not in plan.parameters


def test_a_sample_follows_from_the_seed_and_the_plan_tells_what_was_drawn(tmp_path, plenty):
    one, again, other = (
        make(plenty, tmp_path / str(n), seed=seed) for n, seed in enumerate((1, 1, 2))
    )
    assert one.digest == again.digest != other.digest
    (part,) = one.test_set.parts
    assert part.drawn == part.wanted == SetSizes((40, 36), (10, 8), (9, 12))
    assert part.of_patients == 150
    assert part.patients == len(set(one.table(TEST_CSV).patient_id))


def test_fewer_images_scale_every_size_by_one_factor(lesions):
    # 30 patients with two images each of one class: 20 with a lesion, of whom the sizes want 59
    dataset = lesions(30, (POSITIVE, NEGATIVE), (NEGATIVE, NEGATIVE), (NEGATIVE, POSITIVE))
    sizes = PartitionConfig(class_sizes={k: [6 * n for n in v] for k, v in SIZES.items()})
    with pytest.raises(DataError, match=r"20 images with Lung Lesion and 40 without it") as err:
        sample_of(dataset, sizes.class_sizes, IGNORE, seed=0)
    # 20 of 354 lesions: of 54 in test that leaves 2, whole patients considered
    assert "test would have 2 images with Lung Lesion in place of 54; at le" in str(err.value)
    assert "--set partition.class_sizes.train=[30,30]" in str(err.value)
    more = lesions(120, (POSITIVE, NEGATIVE), (NEGATIVE, NEGATIVE), (NEGATIVE, POSITIVE))
    found = sample_of(more, sizes.class_sizes, IGNORE, seed=0).drawn
    # 80 lesions of 354 that are wanted: 0.226 of 240, of 60, of 54, less what whole patients cost
    assert found.train[0] / 240 == pytest.approx(0.226, abs=0.02)
    for drawn, asked in zip(("train", "val", "test"), SIZES.values(), strict=True):
        scale = found.train[0] / 240
        assert getattr(found, drawn) == pytest.approx([6 * scale * n for n in asked], abs=1.01)


def test_uncertain_images_are_trained_on_by_the_policy_and_never_held_out(tmp_path, lesions):
    dataset = lesions(120, (POSITIVE, UNCERTAIN), (UNCERTAIN, NEGATIVE), (NEGATIVE, NEGATIVE))
    plan = make(dataset, tmp_path / "ones", policy=ONES)
    tables = all_tables(plan)
    assert counted(tables) == SIZES
    held_out = np.concatenate([tables[VAL_CSV].states, tables[TEST_CSV].states])
    assert UNCERTAIN not in held_out
    trained = np.concatenate([t.states for n, t in tables.items() if n.startswith("sites")])
    assert (trained == UNCERTAIN).any()
    without = all_tables(make(dataset, tmp_path / "ignore", policy=IGNORE)).values()
    assert not any((table.states == UNCERTAIN).any() for table in without)


def test_official_sets_stay_unseen(tmp_path, plenty, lesions):
    valid = OfficialSet("test", "chexpert-valid", ("valid.csv",))
    test = tuple(
        replace(record, patient_id=f"other{record.patient_id}", path=f"valid/{record.path}")
        for record in lesions(20, (POSITIVE, NEGATIVE), split="test").records
    )
    dataset = replace(plenty, records=(*plenty.records, *test), official=(valid,))
    plan = make(dataset, tmp_path / "plan")
    assert counted(all_tables(plan)) == SIZES
    assert plan.digest != make(plenty, tmp_path / "same").digest
    assert plan.test_set.left_out == (valid,)
    assert notes_of(plan.test_set)[-1] == (
        "Left out of the sample: valid.csv, the official valid set."
    )
    assert plan.test_set.parts[0].of_patients == 150


def test_more_than_one_label_has_no_two_classes(tmp_path, make_dataset):
    with pytest.raises(ConfigError, match=r"the run has 2: Edema, Fracture\. Give --task lung-les"):
        make(make_dataset(40), tmp_path / "plan")


@pytest.mark.parametrize(
    ("more", "key"), [({"folds": 3}, "folds"), ({"val_fraction": 0.2}, "val_fraction")]
)
def test_the_sizes_say_who_is_in_which_set_alone(more, key):
    settings = {"class_sizes": SIZES, **more}
    with pytest.raises(ConfigError, match=f"class_sizes says who is in which set: leave out {key}"):
        load_config(overrides={f"partition.{name}": value for name, value in settings.items()})


def test_a_wrong_key_of_the_sizes_is_told_with_those_there_are():
    with pytest.raises(ConfigError, match=r"(?s)did you mean 'train'.*Keys here: train, val, test"):
        load_config(overrides={"partition.class_sizes": {**SIZES, "trian": [1, 1]}})


def test_a_site_of_one_class_is_told(tmp_path, lesions):
    dataset = lesions(150, (POSITIVE, POSITIVE), (NEGATIVE, NEGATIVE))
    scheme = {"scheme": "dirichlet", "alpha": 0.01, "clients": 6}
    plan = make(dataset, tmp_path / "plan", **scheme)
    found = dict(sites_of_one_class(plan, IGNORE))
    assert found
    for site_id, has_it in found.items():
        table = plan.site_table(site_id)
        trained = set(table.states[table.rows("train"), 0].tolist())
        assert trained == {POSITIVE if has_it else NEGATIVE}
    assert sites_of_one_class(make(dataset, tmp_path / "iid"), IGNORE) == []
    assert "site-01 trains on images with Lung Lesion alone" in one_class_words(
        "site-01", "Lung Lesion", has_it=True
    )


def test_a_sample_is_told_in_words_and_read_back():
    wanted = SetSizes((6488, 6287), (1500, 1450), (1500, 1449))
    whole = SamplePart("Lung Lesion", wanted, wanted, 1200, 60000)
    assert notes_of(TestSet((whole,))) == [
        "The images are a sample, with and without Lung Lesion: train 6,488 / 6,287, validation "
        "1,500 / 1,450, test 1,500 / 1,449; 1,200 of 60,000 patients are in the test set."
    ]
    half = replace(whole, drawn=SetSizes((3244, 3143), (750, 725), (750, 724)))
    (note,) = notes_of(TestSet((half,)))
    assert note.endswith("; the data have fewer, so all sizes are scaled down, to 50 %.")
    assert split_words(TestSet((half,))).startswith("a sample of patients with and without")
    tree = json.loads(json.dumps(TestSet((half,)).to_json()))
    assert TestSet.from_json(tree) == TestSet((half,))
    for wrong in ([1, 2, 3], [1], [0, 1], ["1", 2]):
        tree["parts"][0]["drawn"]["val"] = wrong
        with pytest.raises(ValueError, match=r"sample|test set"):
            TestSet.from_json(tree)
