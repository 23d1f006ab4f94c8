"""Data sets from elsewhere: what of them is scored, what is left out, what is refused."""

import hashlib
import shutil
from dataclasses import replace

import numpy as np
import pytest

from fedcxr.config.load import load_config, with_values
from fedcxr.data.labels import CHEXPERT_LABELS, MASKED, NIH14_IN_CHEXPERT
from fedcxr.data.read import read_dataset
from fedcxr.data.synthetic.write import write_synthetic
from fedcxr.data.tokens import SYNTHETIC_KEY, Tokens, load_key
from fedcxr.errors import ArtefactError, ConfigError, DataError
from fedcxr.experiments.compare.external_data import (
    Federation,
    read_external,
    read_externals,
    settle_externals,
)
from fedcxr.experiments.compare.external_sets import (
    IMAGES_CSV,
    SET_JSON,
    keep_externals,
    kept_externals,
    read_kept,
)
from fedcxr.home import home_folder
from partitions.prepare import prepare
from partitions.table import read_table

TINY = {
    "data.synthetic.patients": 60,
    "data.synthetic.size_px": 32,
    "model.image_size": 32,
    "partition.clients": 2,
}
SHARED = tuple(label for label in CHEXPERT_LABELS if label in NIH14_IN_CHEXPERT.values())


def configured(*external, **settings):
    keys = {key.replace("__", "."): value for key, value in settings.items()}
    return load_config(
        overrides={**TINY, "compare.external": [str(path) for path in external], **keys}
    )


@pytest.fixture(scope="module")
def nih(tmp_path_factory):
    """NIH's layout, with a list of test images."""
    folder = tmp_path_factory.mktemp("elsewhere") / "nih"
    return write_synthetic(folder, patients=50, size_px=32, layout="nih14", seed=5)


@pytest.fixture
def tree(nih, tmp_path):
    return shutil.copytree(nih, tmp_path / "nih")


@pytest.fixture(scope="module")
def prepared():
    return prepare(configured())


@pytest.fixture(scope="module")
def federation(prepared):
    return Federation.of(configured(), prepared.plan, prepared.contents)


def images(tree, split):
    records = read_dataset(tree, views="frontal").records
    return [record for record in records if record.split == split]


def test_the_official_test_images_are_scored_under_the_words_of_the_run(nih, federation):
    found = read_external(configured(), federation, "nih", nih)
    facts, table = found.facts, found.table
    expected = images(nih, "test")
    assert (facts.name, facts.layout, facts.split) == ("nih", "nih14", "test")
    assert (facts.images, len(table)) == (len(expected), len(expected))
    assert facts.patients == len({record.patient_id for record in expected})
    assert facts.labels == SHARED
    assert facts.lacking == tuple(x for x in CHEXPERT_LABELS if x not in SHARED)
    assert set(facts.left_out.model_dump().values()) == {0}
    assert table.labels == CHEXPERT_LABELS
    masked = [CHEXPERT_LABELS.index(label) for label in facts.lacking]
    assert (table.states[:, masked] == MASKED).all()
    effusion = CHEXPERT_LABELS.index("Pleural Effusion")
    column = read_dataset(nih).labels.index("Effusion")
    assert (table.states[:, effusion] == 1).sum() == sum(r.labels[column] == 1 for r in expected)
    assert list(table.image_id) == sorted(table.image_id)


def test_without_official_test_images_all_are_scored(tree, federation):
    for file in tree.glob("*_list.txt"):
        file.unlink()
    found = read_external(configured(), federation, "nih", tree)
    assert found.facts.split == "all"
    assert found.facts.images == len(read_dataset(tree, views="frontal").records)


def test_patients_and_files_of_the_federation_are_left_out_and_counted(tree, prepared, federation):
    test = images(tree, "test")
    mine = next(iter(prepared.contents))
    known = replace(federation.patients, tokens=frozenset({_token(test[0].patient_id)}))
    content = read_external(configured(), federation, "nih", tree)
    one_file = _content_of(tree, test[-1])
    others = replace(federation, patients=known, contents=frozenset({one_file, mine}))
    found = read_external(configured(), others, "nih", tree)
    of_patient = sum(record.patient_id == test[0].patient_id for record in test)
    assert found.facts.left_out.known_patients == of_patient > 0
    assert found.facts.left_out.known_images == 1
    assert found.facts.images == content.facts.images - of_patient - 1
    assert found.facts.digest != content.facts.digest


def test_copies_inside_the_set_are_scored_once(tree, federation):
    test = images(tree, "test")
    shutil.copyfile(tree / test[0].path, tree / test[1].path)
    found = read_external(configured(), federation, "nih", tree)
    assert found.facts.left_out.copies == 1
    assert found.facts.images == len(test) - 1


def test_files_that_cannot_be_read_are_counted_up_to_the_share_that_is_let_pass(tree, federation):
    test = images(tree, "test")
    (tree / test[0].path).write_bytes(b"no image")
    with pytest.raises(DataError, match=r"could not be read|cannot be read"):
        read_external(configured(), federation, "nih", tree)
    lenient = configured(data__max_bad_fraction=0.5)
    found = read_external(lenient, federation, "nih", tree)
    assert found.facts.left_out.unreadable == 1
    assert found.facts.images == len(test) - 1


def test_the_federations_own_data_are_refused(tmp_path):
    data = write_synthetic(tmp_path / "own", patients=40, size_px=32, layout="chexpert", seed=3)
    config = configured(data, data__root=str(data))
    made = prepare(config)
    with pytest.raises(DataError, match="images are of patients whom the federation has"):
        read_externals(config, made.plan, made.contents)


def test_a_set_of_nothing_but_the_federations_files_is_refused(tree, federation):
    test = images(tree, "test")
    held = frozenset(_content_of(tree, record) for record in test)
    with pytest.raises(DataError, match=f"{len(test)} of {len(test)} files are those of images"):
        read_external(configured(), replace(federation, contents=held), "nih", tree)


def test_a_set_without_a_label_of_the_run_is_refused(nih, federation):
    others = replace(federation, labels=("Fracture", "Support Devices"))
    with pytest.raises(DataError, match=r"none of the model's labels .Fracture, Support Devices"):
        read_external(configured(), others, "nih", nih)


def test_a_folder_that_is_no_data_set_is_refused(tmp_path, federation):
    with pytest.raises(DataError, match=str(tmp_path)):
        read_external(configured(), federation, "empty", tmp_path)


def test_patients_that_cannot_be_recognised_are_not_passed_over(nih, federation):
    unknown = replace(federation.patients, key=None, reason="the patient key is not here")
    with pytest.raises(ArtefactError, match=r"cannot be told: the patient key is not here\."):
        read_external(configured(), replace(federation, patients=unknown), "nih", nih)


def test_the_same_images_under_two_names_are_refused(nih, tree, prepared):
    with pytest.raises(DataError, match=r"holds the same images as nih\. Name one"):
        read_externals(configured(nih, tree), prepared.plan, prepared.contents)
    with pytest.raises(ConfigError, match="given twice"):
        configured(nih, nih)


def test_tokens_of_patients_are_never_under_the_public_key(tree, federation):
    synthetic = read_external(configured(), federation, "nih", tree)
    (tree / "synthetic.json").unlink()
    real = read_external(configured(), federation, "nih", tree)
    assert (synthetic.facts.is_synthetic, real.facts.is_synthetic) == (True, False)
    (one, *_) = images(tree, "test")
    assert _token(one.patient_id) in synthetic.table.patient_id
    assert _token(one.patient_id) not in real.table.patient_id
    assert _token(one.patient_id, load_key()) in real.table.patient_id


def test_what_is_kept_is_what_was_read(nih, tmp_path, prepared, federation):
    config = configured(nih)
    keep_externals(tmp_path, read_externals(config, prepared.plan, prepared.contents))
    ((place, kept),) = kept_externals(tmp_path, config).items()
    found = read_external(config, federation, "nih", nih)
    assert (kept.facts, kept.cache_digest) == (found.facts, found.cache_digest)
    table = read_table(place / IMAGES_CSV)
    assert table.image_id == found.table.image_id
    assert np.array_equal(table.states, found.table.states)


@pytest.fixture
def kept(tree, tmp_path, prepared):
    """The folder of a comparison with an external set, and its configuration."""
    folder = tmp_path / "comparison"
    config = configured(tree)
    keep_externals(folder, read_externals(config, prepared.plan, prepared.contents))
    return folder, config


def test_a_set_whose_cache_is_gone_is_read_again(kept, tree, prepared):
    folder, config = kept
    facts = read_kept(folder / "external/nih")
    cache = home_folder() / "cache" / facts.cache_digest
    shutil.rmtree(cache)
    settle_externals(folder, config, prepared.plan)
    assert cache.is_dir()
    assert read_kept(folder / "external/nih") == facts


def test_a_set_that_moved_is_found_by_what_it_holds(kept, tree, prepared):
    folder, config = kept
    facts = read_kept(folder / "external/nih")
    shutil.rmtree(home_folder() / "cache" / facts.cache_digest)
    moved = shutil.move(tree, folder.parent / "elsewhere/nih")
    settle_externals(folder, with_values(config, {"compare.external": [str(moved)]}), prepared.plan)
    assert read_kept(folder / "external/nih").facts == facts.facts


def test_a_set_that_has_changed_is_refused(kept, tree, prepared):
    folder, config = kept
    facts = read_kept(folder / "external/nih")
    shutil.rmtree(home_folder() / "cache" / facts.cache_digest)
    first, second, *_ = images(tree, "test")
    shutil.copyfile(tree / first.path, tree / second.path)
    with pytest.raises(ArtefactError, match="not the images and labels that this comparison"):
        settle_externals(folder, config, prepared.plan)
    assert read_kept(folder / "external/nih") == facts


def test_a_set_that_is_new_is_read_and_kept(tmp_path, nih, prepared):
    settle_externals(tmp_path, configured(nih), prepared.plan)
    assert read_kept(tmp_path / "external/nih").facts.images > 0


def test_a_damaged_set_is_told(kept, prepared):
    folder, config = kept
    (folder / "external/nih" / SET_JSON).write_text('{"name": "nih"}')
    with pytest.raises(ArtefactError, match=r"set\.json: damaged"):
        settle_externals(folder, config, prepared.plan)


def _token(patient_id, key=SYNTHETIC_KEY):
    return Tokens(key).patient(patient_id)


def _content_of(tree, record):
    """Return the keyed digest of a file, as the cache has it."""
    digest = hashlib.blake2b((tree / record.path).read_bytes(), digest_size=16).hexdigest()
    return Tokens(SYNTHETIC_KEY).content(digest)
