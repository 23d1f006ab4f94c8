"""A comparison's protocol: frozen before training, kept, and what is judged otherwise is told."""

import hashlib
import json

import pytest

from benchmarks.judging import make_comparison
from fedcxr.config.load import read_config, to_yaml, with_values
from fedcxr.errors import ArtefactError, ConfigError
from fedcxr.experiments.compare.comparing import resume_comparison
from fedcxr.experiments.compare.extra_arms import StudyDesign
from fedcxr.experiments.compare.freezing import (
    Deviation,
    deviations,
    plan_protocol,
    read_protocol,
    settle_protocol,
)
from fedcxr.runs.folder import RunFolder
from partitions.plan import read_plan

ARMS = ("federated", "centralized", "local", "centralized-steps")


@pytest.fixture
def folder(tmp_path):
    """A comparison that has trained nothing yet."""
    make_comparison(tmp_path / "comparison", 400, 150)
    return tmp_path / "comparison"


def settle(folder, arms=ARMS, **settings):
    """Freeze the protocol with some settings changed, or see that it is as it was."""
    file = folder / "config.yaml"
    keys = {key.replace("__", "."): value for key, value in settings.items()}
    config = with_values(read_config(file), keys)
    file.write_text(to_yaml(config))
    settle_protocol(folder, config, arms)
    return plan_protocol(folder, config, arms)


def begin(folder):
    (folder / "arms/federated-seed-0").mkdir(parents=True)


def stored(folder):
    return json.loads((folder / "protocol.json").read_text())


def store(folder, tree):
    (folder / "protocol.json").write_text(json.dumps(tree))


def digest_of(tree):
    body = {key: value for key, value in tree.items() if key != "digest"}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_study_says_itself_which_arms_are_held_against_which(folder):
    pairs = [("local", "federated"), ("centralized-steps", "centralized"), ("gone", "federated")]
    RunFolder(folder).update_manifest(**StudyDesign(pairs=pairs).to_json())
    # without an arm that is not there
    assert [tuple(pair) for pair in settle(folder).pairs] == pairs[:2]


def test_all_that_decides_the_verdict_is_written_with_a_digest(folder):
    settle(folder, compare__margin=0.02)
    tree = stored(folder)
    assert tree["digest"] == digest_of(tree)
    assert RunFolder(folder).read_json("manifest.json")["protocol"] == tree["digest"]
    assert tree["format"] == 1
    assert (tree["margin"], tree["level"], tree["resamples"]) == (0.02, 0.95, None)
    assert (tree["seeds"], tree["arms"]) == ([0, 1, 2], list(ARMS))
    assert tree["partition"] == read_plan(folder / "partition").digest
    assert tree["correction"] == "holm"
    assert tree["pairs"] == [
        ["federated", "centralized"],
        ["federated", "centralized-steps"],
        ["local", "centralized"],
        ["centralized-steps", "centralized"],
    ]
    endpoint = tree["endpoint"]
    assert (endpoint["measure"], endpoint["min_positives"]) == ("macro_auroc", 10)
    assert endpoint["labels"] == [
        each["label"]
        for each in endpoint["patients"]
        if min(each["positives"], each["negatives"]) >= 10
    ]
    assert 0 < len(endpoint["labels"]) < len(endpoint["patients"]) == 14
    assert read_protocol(folder).to_json() == tree


def test_of_one_partition_and_no_external_set_nothing_is_said_of_them(folder):
    settle(folder)
    assert not {"further_partitions", "external"} & set(stored(folder))
    found = read_protocol(folder)
    assert (found.further_partitions, found.external) == ((), ())
    assert "external" not in found.model_dump()


def test_until_something_is_trained_it_follows_the_configuration(folder):
    settle(folder)
    settle(folder, compare__margin=0.02)
    assert read_protocol(folder).margin == 0.02
    begin(folder)
    now = settle(folder, compare__margin=0.03)
    assert read_protocol(folder).margin == 0.02
    planned = read_protocol(folder)
    assert deviations(planned, now) == [Deviation(key="margin", planned=0.02, now=0.03)]


def test_a_rate_that_was_tried_is_a_training_and_an_arms_file_is_none(folder):
    settle(folder)
    (folder / "arms").mkdir()
    (folder / "arms/my-seed-arm.yaml").write_text("")
    settle(folder, compare__margin=0.02)
    assert read_protocol(folder).margin == 0.02
    (folder / "tuning/0.001/federated-seed-0").mkdir(parents=True)
    settle(folder, compare__margin=0.03)
    assert read_protocol(folder).margin == 0.02


def test_a_comparison_begun_without_one_stays_without(folder):
    begin(folder)
    now = settle(folder, compare__margin=0.03)
    assert read_protocol(folder) is None
    assert now.endpoint.labels


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, []),
        ({"compare__at_once": 2, "compare__prevalence": {"Edema": 0.1}}, []),
        ({"compare__seeds": 4}, [Deviation(key="seeds", planned=[0, 1, 2], now=[0, 1, 2, 3])]),
        ({"seed": 5}, [Deviation(key="seeds", planned=[0, 1, 2], now=[5, 6, 7])]),
        (
            {"compare__learning_rates": [0.01]},
            [Deviation(key="learning_rates", planned=[], now=[0.01])],
        ),
    ],
)
def test_what_is_otherwise_is_told_with_before_and_after(folder, settings, expected):
    then = settle(folder)
    assert deviations(then, settle(folder, **settings)) == expected


def test_a_protocol_of_a_fedcxr_that_drew_patients_is_read_and_the_change_is_told(folder):
    now = settle(folder)
    older = now.model_copy(update={"resamples": 2000})
    RunFolder(folder).write_json("protocol.json", older.to_json())
    RunFolder(folder).update_manifest(protocol=older.digest)
    then = read_protocol(folder)
    assert then == older
    assert deviations(then, now) == [Deviation(key="resamples", planned=2000, now=None)]


def test_other_labels_are_told_with_the_key_that_chose_them(folder):
    then = settle(folder)
    now = settle(folder, compare__primary_labels=["Support Devices"])
    labels = list(then.endpoint.labels)
    assert deviations(then, now) == [
        Deviation(key="primary_labels", planned=[], now=["Support Devices"]),
        Deviation(key="labels", planned=labels, now=["Support Devices"]),
    ]
    found = {each.key for each in deviations(then, settle(folder, compare__min_positives=1))}
    assert found == {"primary_labels", "min_positives", "labels"}


def test_an_arm_left_out_later_is_told_with_its_pairs(folder):
    then = settle(folder)
    found = deviations(then, settle(folder, arms=["federated", "centralized"]))
    assert [each.key for each in found] == ["arms", "pairs"]
    assert found[1].now == [["federated", "centralized"]]


def test_a_protocol_changed_afterwards_is_refused(folder):
    settle(folder)
    store(folder, {**stored(folder), "margin": 0.03})
    with pytest.raises(ArtefactError, match="its digest does not fit its content: it was changed"):
        read_protocol(folder)


def test_another_protocol_with_a_digest_of_its_own_is_refused(folder):
    settle(folder)
    other = {**stored(folder), "margin": 0.03}
    store(folder, {**other, "digest": digest_of(other)})
    with pytest.raises(ArtefactError, match="not the protocol that this comparison was begun with"):
        read_protocol(folder)


def test_a_protocol_that_is_gone_is_not_taken_for_none(folder):
    settle(folder)
    (folder / "protocol.json").unlink()
    with pytest.raises(ArtefactError, match=r"protocol\.json: missing; this comparison was begun"):
        read_protocol(folder)


def test_a_protocol_of_another_fedcxr_is_refused(folder):
    settle(folder)
    store(folder, {**stored(folder), "format": 2})
    with pytest.raises(ArtefactError, match="format 2, this fedcxr reads format 1"):
        read_protocol(folder)


@pytest.mark.parametrize("change", [{"margin": "small"}, {"power": 0.8}, {"endpoint": None}])
def test_what_is_no_protocol_is_refused(folder, change):
    settle(folder)
    store(folder, {**stored(folder), **change})
    with pytest.raises(ArtefactError, match=f"not a protocol: .*{next(iter(change))}"):
        read_protocol(folder)


def test_a_damaged_protocol_stops_a_comparison_before_it_trains_on(folder):
    settle(folder)
    begin(folder)
    store(folder, {**stored(folder), "margin": 0.03})
    with pytest.raises(ArtefactError, match="its digest does not fit"):
        resume_comparison(folder)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("compare.learning_rates=[0.1]", "cannot change what decides its weights"),
        ("compare.primary_labels=[Oedema]", r"the run has no label Oedema\. It has No Finding"),
        ("compare.margin=0.7", r"compare\.margin = 0\.7"),
    ],
)
def test_a_setting_that_cannot_be_taken_changes_nothing(folder, setting, words):
    before = (folder / "config.yaml").read_bytes()
    with pytest.raises(ConfigError, match=words):
        resume_comparison(folder, settings=[setting])
    assert (folder / "config.yaml").read_bytes() == before
