"""Patients compared between sites by tokens under a key that the server does not have."""

import hashlib
import hmac
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from fedcxr.cli.main import cli
from fedcxr.data.synthetic.write import write_synthetic
from fedcxr.errors import ArtefactError, ConfigError, LeakError
from fedcxr.runs.folder import RunFolder
from partitions.compared_patients import patients_in
from partitions.overlap import (
    Comparison,
    Shared,
    check_comparison,
    compare,
    read_comparison,
    read_token_set,
    token_set,
    write_comparison,
    write_token_set,
)
from partitions.table import write_table
from server.context import keep_comparison
from server.disjointness import disjointness


@pytest.fixture
def make_folder(tmp_path, site_records):
    """Make a hospital's own folder with these patients, in this order, an image each."""

    def make(name, patients):
        folder = tmp_path / name
        folder.mkdir()
        table = site_records(name, len(patients), 0)
        paths = tuple(f"{image_id}.png" for image_id in table.image_id)
        table = replace(table, patient_id=tuple(patients), path=paths)
        write_table(table, folder / "site.csv")
        return folder

    return make


def run(*words):
    done = CliRunner().invoke(cli, [str(word) for word in ("check-overlap", *words)])
    return done.exit_code, done.output, done.exception


def test_a_token_is_the_first_half_of_an_hmac_of_the_normal_form(key):
    (token,) = token_set("site-00", {"13"}, key).tokens
    assert token == hmac.new(key, b"compared\x0013", hashlib.sha256).hexdigest()[:16]


def test_the_hospitals_find_the_patients_that_they_share(make_folder, tmp_path):
    one = make_folder("one", ["00000013", "A-007", "14", "15"])
    two = make_folder("two", ["a-7", "99", "13", "016"])
    three = make_folder("three", ["17", "18"])
    key = tmp_path / "overlap.key"
    code, said, _ = run("key", "--out", key)
    assert code == 0
    assert "Give it to the other hospitals" in said
    assert key.stat().st_mode & 0o777 == 0o600
    files = [tmp_path / f"site-0{number}.tokens" for number in range(3)]
    for folder, file in zip((one, two, three), files, strict=True):
        assert run("digest", "--key", key, "--data", folder, "--out", file)[0] == 0
    code, said, _ = run("compare", *files, "--out", tmp_path / "overlap.json")
    assert code == 3
    # leading zeros and case do not hide anybody: 13 and A-007
    assert "site-00 and site-01 share 2\n" in said
    assert read_comparison(tmp_path / "overlap.json").shared == (Shared("site-00", "site-01", 2),)
    code, said, _ = run("compare", files[0], files[2])
    assert (code, "No two share a patient (1 pairs compared)" in said) == (0, True)


def test_a_file_of_tokens_tells_their_number_and_no_order(make_folder, key, tmp_path):
    ids = [str(number) for number in (5, 3, 9, 1)]
    forwards = patients_in(make_folder("a", ids), key)
    backwards = patients_in(make_folder("b", ids[::-1]), key)
    for name, patients in (("x", forwards), ("y", backwards)):
        write_token_set(token_set("site-00", patients, key), tmp_path / name)
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()
    tree = json.loads((tmp_path / "x").read_text())
    assert tree["tokens"] == sorted(tree["tokens"])
    assert set(tree) == {"format", "name", "key", "tokens"}
    assert read_token_set(tmp_path / "x") == token_set("site-00", forwards, key)
    assert not set(token_set("site-00", forwards, bytes(32)).tokens) & set(tree["tokens"])


def test_of_a_data_set_those_are_compared_who_take_part(tmp_path, key):
    root = write_synthetic(tmp_path, patients=20, size_px=32)
    found = patients_in(root, key)
    # a fifth is CheXpert's valid set
    assert len(found) == 16
    assert all(patient.startswith("patient") for patient in found)


def test_tokens_of_different_keys_or_one_site_are_not_compared(key):
    one = token_set("site-00", {"1"}, key)
    with pytest.raises(ConfigError, match=r"different keys .*so none could match"):
        compare([one, token_set("site-01", {"1"}, bytes(32))])
    with pytest.raises(ConfigError, match="site-00 is there twice"):
        compare([one, one])
    with pytest.raises(ConfigError, match="fewer than two"):
        compare([one])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 2}, "not of format 1"),
        ({"name": "../x"}, "no name of a site"),
        ({"key": "x"}, "no fingerprint"),
        ({"tokens": ["0" * 15]}, "a token that is none"),
        ({"tokens": ["1" * 16, "0" * 16]}, "not sorted"),
        ({"tokens": ["0" * 16] * 2}, "not sorted, twice there"),
        ({"tokens": []}, "or missing"),
    ],
)
def test_a_file_of_tokens_that_is_none_is_refused(change, words, key, tmp_path):
    file = tmp_path / "x.tokens"
    write_token_set(token_set("site-00", {"1", "2"}, key), file)
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ArtefactError, match=words):
        read_token_set(file)


def test_files_are_named_after_the_sites(make_folder, tmp_path):
    folder, key = make_folder("one", ["1", "2"]), tmp_path / "a.key"
    run("key", "--out", key)
    for out, words in (
        ("site-00", "name it after the site"),
        ("global.tokens", "no site has that"),
    ):
        _, _, err = run("digest", "--key", key, "--data", folder, "--out", tmp_path / out)
        assert isinstance(err, ConfigError)
        assert words in str(err)
    _, _, err = run("key", "--out", key)
    assert "is there already" in str(err)
    nowhere = tmp_path / "nowhere.key"
    _, _, err = run("digest", "--key", nowhere, "--data", folder, "--out", tmp_path / "a.tokens")
    assert isinstance(err, ConfigError)
    assert not nowhere.exists()  # another key than the others' would find nothing


PLAN = SimpleNamespace(
    sites=[SimpleNamespace(site_id="site-00"), SimpleNamespace(site_id="site-01")],
    proof=None,
    is_export=True,
)


def test_a_run_takes_a_comparison_of_all_its_sites_that_found_nobody(tmp_path):
    file = tmp_path / "overlap.json"
    sets = {"site-00": 5, "site-01": 6, "elsewhere": 2}
    good = Comparison("0a1b2c3d", "2030-01-01", sets, (Shared("site-00", "elsewhere", 1),))
    write_comparison(good, file)
    assert read_comparison(file) == good
    check_comparison(good, PLAN, file)  # who is not in the run shares with it what they like
    with pytest.raises(ConfigError, match="not site-01 of the plan"):
        check_comparison(replace(good, sets={"site-00": 5, "x": 1}), PLAN, file)
    with pytest.raises(LeakError, match=r"share patients \(site-00 and site-01: 3"):
        check_comparison(replace(good, shared=(Shared("site-00", "site-01", 3),)), PLAN, file)
    file.write_text('{"format": 1, "sets": []}')
    with pytest.raises(ArtefactError, match="not what `fedcxr check-overlap` writes"):
        read_comparison(file)


def test_what_the_sites_checked_is_called_checked_and_not_proven():
    found = Comparison("0a1b2c3d", "2030-01-01", {"site-00": 5, "site-01": 6}, ())
    said = disjointness(PLAN, found)
    assert (said["status"], said["verified"], said["pairs_checked"]) == ("checked", False, 1)
    assert "nobody compared them with the server's" in said["reason"]
    with_server = replace(found, sets={**found.sets, "global": 9})
    assert "nor does any with the server" in disjointness(PLAN, with_server)["reason"]


def test_the_run_keeps_the_comparison_it_was_started_with(tmp_path):
    file, run = tmp_path / "overlap.json", RunFolder.create(tmp_path / "runs", "x")
    run.write_json("manifest.json", {"disjoint": {"status": "not verifiable"}})
    keep_comparison(run, PLAN, {"overlap": ""})
    assert run.read_json("manifest.json")["disjoint"]["status"] == "not verifiable"
    found = Comparison("0a1b2c3d", "2030-01-01", {"site-00": 5, "site-01": 6}, ())
    write_comparison(found, file)
    keep_comparison(run, PLAN, {"overlap": str(file)})
    assert run.read_json("manifest.json")["disjoint"]["status"] == "checked"
    assert read_comparison(run.path / "overlap.json") == found
