import hashlib
import json

import pytest

from fedcxr.config.partition import PartitionConfig
from fedcxr.data.tokens import SYNTHETIC_KEY
from fedcxr.errors import ArtefactError, LeakError
from partitions.plan import make_partition
from partitions.plan_folder import digest_of
from partitions.plan_reader import read_plan
from partitions.table import read_table


@pytest.fixture
def plan(tmp_path, make_dataset):
    return make_partition(
        make_dataset(40),
        config=PartitionConfig(),
        seed=0,
        key=SYNTHETIC_KEY,
        views="all",
        out=tmp_path / "plan",
    )


def sign_again(folder):
    """Make plan.json agree with files that were tampered with, as a clever forger would."""
    path = folder / "plan.json"
    head = json.loads(path.read_text())
    for name in head["files"]:
        head["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    head["digest"] = digest_of(head)
    path.write_text(json.dumps(head))


def test_a_plan_is_opened_as_it_was_made(plan):
    assert read_plan(plan.folder) == plan


def flip_a_byte(folder):
    path = folder / "sites" / "site-01.csv"
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)


def lose_a_site(folder):
    (folder / "sites" / "site-01.csv").unlink()


def change_a_number(folder):
    path = folder / "plan.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))


def cut_plan_json(folder):
    path = folder / "plan.json"
    path.write_text(path.read_text()[:100])


def inflate_a_site(folder):
    path = folder / "plan.json"
    head = json.loads(path.read_text())
    head["sites"][0]["train_images"] += 1000
    path.write_text(json.dumps(head))
    sign_again(folder)


def shrink_a_distance(folder):
    path = folder / "plan.json"
    head = json.loads(path.read_text())
    head["sites"][0]["js_distance"] /= 2
    path.write_text(json.dumps(head))
    sign_again(folder)


def miscount_the_unlabelled(folder):
    path = folder / "plan.json"
    head = json.loads(path.read_text())
    head["global"]["val"]["no_positive"] += 1
    path.write_text(json.dumps(head))
    sign_again(folder)


def take_the_servers_name(folder):
    path = folder / "plan.json"
    path.write_text(path.read_text().replace("site-01", "global"))
    (folder / "sites" / "site-01.csv").rename(folder / "sites" / "global.csv")
    sign_again(folder)


def climb_out(folder):
    path = folder / "plan.json"
    head = json.loads(path.read_text())
    head["files"]["../../etc/passwd"] = "0"
    head["digest"] = digest_of(head)
    path.write_text(json.dumps(head))


def change_test_set(change):
    def damage(folder):
        path = folder / "plan.json"
        head = json.loads(path.read_text())
        change(head)
        path.write_text(json.dumps(head))
        sign_again(folder)

    return damage


lose_the_test_set = change_test_set(lambda head: head.pop("test_set"))
word_the_test_set = change_test_set(lambda head: head.update(test_set="The test set is drawn."))
count_more_patients = change_test_set(lambda head: head["test_set"]["parts"][0].update(patients=9))
call_it_a_fold = change_test_set(
    lambda head: head["test_set"].update(
        parts=[{"origin": "fold", "fold": 0, "folds": 5, "patients": 8, "of_patients": 40}]
    )
)
call_it_all_folds = change_test_set(
    lambda head: head["test_set"].update(parts=[{"origin": "folds", "folds": 5, "patients": 8}])
)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (flip_a_byte, r"site-01.csv has been changed"),
        (lose_a_site, r"site-01.csv is missing"),
        (change_a_number, "does not match its digest"),
        (cut_plan_json, "cannot be read"),
        (inflate_a_site, "the numbers of site-00 are not those of its file"),
        (shrink_a_distance, "lacks or garbles the distance of a site"),
        (miscount_the_unlabelled, "the numbers of the global splits are not those of their files"),
        (take_the_servers_name, "lacks or garbles the name of a site"),
        (lose_the_test_set, "lacks or garbles 'test_set'"),
        (word_the_test_set, "lacks or garbles the test set"),
        (count_more_patients, "lacks or garbles the number of test patients"),
        (call_it_a_fold, "lacks or garbles the fold of the test set"),
        (call_it_all_folds, "lacks or garbles the fold of the test set"),
        (climb_out, "does not name the files of its sites"),
    ],
)
def test_a_damaged_plan_is_refused(plan, damage, words):
    damage(plan.folder)
    with pytest.raises(ArtefactError, match=words) as caught:
        read_plan(plan.folder)
    assert caught.value.exit_code == 4


def test_a_patient_put_into_a_second_site_is_found_though_every_digest_is_right(plan):
    first, second = plan.site_csv("site-00"), plan.site_csv("site-01")
    stolen = read_table(first).patient_id[0]
    own = read_table(second).patient_id[0]
    second.write_text(second.read_text().replace(own, stolen))
    sign_again(plan.folder)
    with pytest.raises(LeakError, match=f"1 patient is in two sets: {stolen} in site-00/"):
        read_plan(plan.folder)


def test_a_folder_without_a_plan_is_refused(tmp_path):
    with pytest.raises(ArtefactError, match=r"there is no plan.json"):
        read_plan(tmp_path)


def test_a_site_that_the_plan_does_not_have_is_refused(plan):
    with pytest.raises(ArtefactError, match="no site 'site-99'"):
        plan.site_csv("site-99")


@pytest.mark.parametrize("made", [1, 2])
def test_a_plan_of_an_earlier_version_is_told_from_a_damaged_one(plan, made):
    path = plan.folder / "plan.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": made}))
    words = rf"earlier version of fedcxr \(format {made}; this one reads 3\)\. Partition anew"
    with pytest.raises(ArtefactError, match=words):
        read_plan(plan.folder)


def test_pictures_in_the_folder_are_not_looked_at(plan):
    (plan.folder / "partition.png").write_bytes(b"a picture")
    (plan.folder / "partition.svg").write_text("<svg/>")
    assert read_plan(plan.folder) == plan
