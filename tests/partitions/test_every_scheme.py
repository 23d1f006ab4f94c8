"""Over random tables: no scheme ever puts a patient in two places or loses an image."""

import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from fedcxr.config.partition import ATTRIBUTES, PartitionConfig
from fedcxr.data.tokens import SYNTHETIC_KEY, Tokens
from fedcxr.errors import FedCxrError
from partitions.plan import make_partition
from partitions.table import read_table

SCHEMES = ("iid", "dirichlet", "quantity", "by-attribute", "by-source", "hospitals", "sites-file")


@st.composite
def cases(draw, scheme):
    """Draw the rows of a table and a configuration that has a chance with them.

    What kind of table it is is drawn here; its cells are then left to chance, so that tables are
    as often large as small.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    sources = 2 if scheme == "by-source" else draw(st.sampled_from([1, 1, 2]))
    lists = draw(st.sampled_from(["none", "none", "first source", "all"]))
    positives = draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    most_images = draw(st.integers(1, 5))
    blanks = draw(st.sampled_from([0.0, 0.3, 1.0]))

    def one_of(*cells):
        return "" if rng.random() < blanks else cells[rng.integers(len(cells))]

    def state():
        return 1 if rng.random() < positives else int(rng.choice([0, -1, -2, -3]))

    def image():
        age = None if rng.random() < blanks else int(rng.integers(101))
        projection, sex = one_of("AP", "AP", "PA", "LL"), one_of("F", "M")
        return (state(), state()), projection, sex, age, one_of("ward", "ICU", "ER")

    rows = []
    for _ in range(draw(st.integers(5, 80))):
        source = int(rng.integers(sources))
        has_lists = lists == "all" or (lists == "first source" and source == 0)
        official = str(rng.choice(["train", "test", "val"], p=[0.8, 0.15, 0.05]))
        images = [image() for _ in range(rng.integers(1, most_images + 1))]
        rows.append((source, official if has_lists else "", images))
    return rows, draw(configs(scheme, {"by-source": 2, "hospitals": 3}.get(scheme, 1)))


@st.composite
def configs(draw, scheme, fewest_clients):
    folds = draw(st.sampled_from([None, None, None, 2, 3]))
    options = {
        "scheme": scheme,
        "clients": draw(st.integers(fewest_clients, 4)),
        "alpha": draw(st.floats(1e-3, 1e3)),
        "exponent": draw(st.floats(0, 3)),
        "attribute": draw(st.sampled_from([*ATTRIBUTES, "own column"])),
        "min_images": draw(st.sampled_from([0, 0, 0, 1, 4])),
        "min_positives": draw(st.sampled_from([0, 0, 0, 1, 2])),
        "site_val_fraction": draw(st.sampled_from([0.0, 0.1, 0.49])),
        "folds": folds,
        "fold": 0 if folds is None else draw(st.integers(0, folds - 1)),
    }
    if scheme == "sites-file":
        options["sites_file"] = ""  # named where there is a folder for it
    return options


def records_of(rows, make_record):
    for number, (source, official, images) in enumerate(rows):
        for image, (labels, projection, sex, age, attribute) in enumerate(images):
            record = make_record(number, image, split=official, labels=labels)
            yield replace(
                record,
                patient_id=f"s{source}/{record.patient_id}",
                projection=projection,
                sex=sex,
                age=age,
                source=f"s{source}",
                attribute=attribute,
            )


def partition(dataset, options, folder, name):
    if "sites_file" in options:
        path = Path(folder) / "sites.csv"
        ids = sorted({record.patient_id for record in dataset.records})
        sites = [f"{patient_id},h{i % options['clients']}" for i, patient_id in enumerate(ids)]
        path.write_text("\n".join(["patient_id,site", *sites]))
        options = {**options, "sites_file": str(path)}
    config = PartitionConfig(**options)
    out = Path(folder) / name
    return make_partition(dataset, config=config, seed=5, key=SYNTHETIC_KEY, views="all", out=out)


def check_whole(plan, dataset, options):
    """Check that every record that is to be there is there once, and every patient in one set."""
    files = [plan.val_csv, plan.test_csv, *(plan.site_csv(site.site_id) for site in plan.sites)]
    read = {path.relative_to(plan.folder).as_posix(): read_table(path) for path in files}
    places = Counter()
    for name, table in read.items():
        places.update(
            {(p, name, split) for p, split in zip(table.patient_id, table.split, strict=True)}
        )
    assert Counter(patient for patient, _, _ in places).most_common(1)[0][1] == 1
    tokens = Tokens(SYNTHETIC_KEY)
    unused = {"val"} if options["folds"] is None else {"val", "test"}
    truth = {tokens.image(r.path): r.labels for r in dataset.records if r.split not in unused}
    written = Counter(image for table in read.values() for image in table.image_id)
    assert written == Counter(dict.fromkeys(truth, 1))
    assert plan.left_out_images == len(dataset.records) - len(truth)
    for table in read.values():
        for image, states in zip(table.image_id, table.states.tolist(), strict=True):
            assert tuple(states) == truth[image]
    official = {tokens.patient(r.patient_id) for r in dataset.records if r.split == "test"}
    if options["folds"] is None:
        assert official <= set(read["global/test.csv"].patient_id)


def check_sites(plan, options):
    """Check what is promised of every site."""
    for site in plan.sites:
        table = read_table(plan.site_csv(site.site_id))
        train = table.rows("train")
        assert len({table.patient_id[i] for i in train}) >= 2
        assert len(train) >= options["min_images"]
        for label in range(2):
            is_masked = (table.states[train, label] == -3).all()
            positives = (table.states[train, label] == 1).sum()
            assert positives >= options["min_positives"] or is_masked
    if options["scheme"] != "sites-file":
        assert len(plan.sites) == options["clients"]
    assert np.array([0 <= site.js_distance <= 1 for site in plan.sites]).all()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
@settings(max_examples=100, deadline=None, derandomize=True)
@given(data=st.data())
def test_no_scheme_puts_a_patient_in_two_places_or_loses_an_image(
    data, scheme, make_record, make_dataset
):
    rows, options = data.draw(cases(scheme))
    dataset = make_dataset(records=list(records_of(rows, make_record)))
    with tempfile.TemporaryDirectory() as folder:
        try:
            plan = partition(dataset, options, folder, "plan")
        except FedCxrError as err:
            event(f"refused: {type(err).__name__}")
            assert {path.name for path in Path(folder).iterdir()} <= {"sites.csv"}
            return
        event("made")
        check_whole(plan, dataset, options)
        check_sites(plan, options)
        backwards = make_dataset(records=list(dataset.records[::-1]))
        again = partition(backwards, options, folder, "again")
        assert again.digest == plan.digest
