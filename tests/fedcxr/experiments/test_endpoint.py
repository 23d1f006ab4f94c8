"""Which labels the verdict is about: by a count of test patients that nothing else can move."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import judging
from fedcxr.cli.compare import print_comparison
from fedcxr.config.load import load_config, to_yaml, with_values
from fedcxr.config.partition import PartitionConfig
from fedcxr.data.labels import CHEXPERT_LABELS, COMPETITION_LABELS
from fedcxr.data.tokens import SYNTHETIC_KEY
from fedcxr.errors import ArtefactError, ConfigError
from fedcxr.experiments.compare.endpoint import count_patients, endpoint_of, endpoint_of_folds
from fedcxr.experiments.compare.judge import judge
from fedcxr.results.frozen import Endpoint, LabelPatients
from partitions.changes import write_contents
from partitions.plan import make_partition
from partitions.table import read_table

RARE = ("Lung Lesion", "Pleural Other")
"""One positive patient each in CheXpert's official valid set."""


def configured(**overrides):
    return load_config(
        overrides={key.replace("__", "."): value for key, value in overrides.items()}
    )


@pytest.fixture
def plan(tmp_path, make_dataset, make_record):
    # Twelve test patients of two images, both of one study. Edema: on the first image of patients 1
    # to 10, on no second one. Fracture: on the first image of patient 1; all second ones uncertain.
    test = [
        record
        for patient in range(1, 13)
        for record in (
            make_record(patient, 0, split="test", labels=(int(patient <= 10), int(patient == 1))),
            replace(
                make_record(patient, 1, split="test", labels=(0, -1)),
                study_id=f"patient{patient:05d}/study0",
            ),
        )
    ]
    train = [make_record(p, 0, split="train", labels=(p % 2, p % 2)) for p in range(101, 141)]
    return make_partition(
        make_dataset(records=[*test, *train]),
        config=PartitionConfig(clients=2),
        seed=0,
        key=SYNTHETIC_KEY,
        views="all",
        out=tmp_path / "partition",
    )


def counts(endpoint):
    return {each.label: (each.positives, each.negatives) for each in endpoint.patients}


def test_patients_are_counted_not_images():
    # a has it on one image and lacks it on another; b is not known; c lacks it twice
    target = np.array([[1.0], [0.0], [np.nan], [0.0], [0.0]])
    found = count_patients(target, np.array(list("aabcc")), ["Edema"])
    assert found == [LabelPatients(label="Edema", positives=1, negatives=2)]


def test_a_label_that_too_few_patients_have_is_left_out_with_its_counts(plan):
    found = endpoint_of(configured(), plan)
    assert counts(found) == {"Edema": (10, 12), "Fracture": (1, 11)}
    assert found.labels == found.means_over == ("Edema",)
    assert found.left_out == [LabelPatients(label="Fracture", positives=1, negatives=11)]
    assert found.columns(("Fracture", "Edema")) == [1]


def test_a_label_that_too_few_patients_lack_is_left_out_as_well(plan):
    # by study patients 1 to 10 have Edema, and only two lack it
    found = endpoint_of(configured(data__score_by="study"), plan)
    assert counts(found) == {"Edema": (10, 2), "Fracture": (1, 11)}
    assert found.labels == ()


def test_the_number_of_patients_needed_is_a_setting(plan):
    assert endpoint_of(configured(compare__min_positives=1), plan).labels == ("Edema", "Fracture")
    assert endpoint_of(configured(compare__min_positives=11), plan).labels == ()


def test_without_an_eligible_label_the_means_describe_the_primary_ones(plan):
    found = endpoint_of(configured(compare__primary_labels=["Fracture"]), plan)
    assert (found.labels, found.means_over) == ((), ("Fracture",))


def test_an_image_that_could_not_be_read_is_not_counted(plan):
    table = read_table(plan.test_csv)
    gone = table.image_id[int(np.flatnonzero(table.states[:, 1] == 1)[0])]  # patient 1, first image
    read = {image: "0" * 64 for image in table.image_id if image != gone}
    write_contents(plan.folder, plan, read)
    assert counts(endpoint_of(configured(), plan)) == {"Edema": (9, 12), "Fracture": (0, 11)}


def test_labels_that_are_not_trained_are_not_in_the_endpoint(plan):
    found = endpoint_of(configured(data__labels=["Fracture"], compare__min_positives=1), plan)
    assert counts(found) == {"Fracture": (1, 11)}


def test_over_folds_the_one_with_fewest_patients_decides(plan):
    found = endpoint_of_folds(configured(), [plan, plan])
    assert found == endpoint_of(configured(), plan).model_copy(update={"folds": 2})
    assert endpoint_of_folds(configured(), [plan]).folds is None
    assert "folds" not in endpoint_of(configured(), plan).model_dump()


def test_a_primary_label_that_the_run_has_not_is_named(plan):
    with pytest.raises(ConfigError, match=r"compare\.primary_labels: the run has no label Oedema"):
        endpoint_of(configured(compare__primary_labels=["Edema", "Oedema"]), plan)
    config = configured(compare__primary_labels=["Edema"], data__labels=["Fracture"])
    with pytest.raises(ConfigError, match=r"no label Edema. It has Fracture"):
        endpoint_of(config, plan)


def test_labels_that_were_never_predicted_are_refused_by_name(plan):
    found = endpoint_of(configured(), plan)
    with pytest.raises(
        ArtefactError, match=r"have predicted no Edema, .* Put its data\.labels back"
    ):
        found.columns(["Fracture"])


def test_a_primary_label_given_twice_is_refused():
    with pytest.raises(ConfigError, match="Edema: given twice"):
        configured(compare__primary_labels=["Edema", "Edema"])


@pytest.mark.parametrize("preset", ["chexpert", "chexpert-best"])
def test_the_presets_of_chexpert_ask_for_the_competition_labels(preset):
    assert load_config(preset).compare.primary_labels == COMPETITION_LABELS


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    """A comparison on a test set like CheXpert's valid set: 200 patients, two rare findings."""
    draw = judging.made_up

    def made_up(images, patients):
        drawn = draw(images, patients)
        tests = itertools.count()
        records = [
            replace(record, labels=labels_of(next(tests))) if record.split == "test" else record
            for record in drawn.records
        ]
        return replace(drawn, records=tuple(records))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "made_up", made_up)
        folder = tmp_path_factory.mktemp("official") / "comparison"
        config = judging.make_comparison(folder, 300, 200)
    config = with_values(config, {"compare.arms": ["federated", "centralized"], "compare.seeds": 1})
    (folder / "config.yaml").write_text(to_yaml(config))
    return folder, config, *judging.fill(folder, config)


def labels_of(number):
    """A fifth of the images have a finding, and the first one has the rare ones."""
    return tuple(
        int(number == 0 if label in RARE else (number + column) % 5 == 0)
        for column, label in enumerate(CHEXPERT_LABELS)
    )


def judged(official, **settings):
    folder, config, arms, trainings = official
    keys = {f"compare.{key}": value for key, value in settings.items()}
    (folder / "config.yaml").write_text(to_yaml(with_values(config, keys)))
    return judge(folder, arms, trainings).model_dump(mode="json")


def test_two_rare_findings_do_not_take_the_verdict_from_the_other_twelve(official):
    tree = judged(official)
    twelve = [label for label in CHEXPERT_LABELS if label not in RARE]
    assert tree["endpoint"]["labels"] == twelve
    left_out = {
        each.label: each.positives for each in Endpoint.model_validate(tree["endpoint"]).left_out
    }
    assert left_out == dict.fromkeys(RARE, 1)
    for arm in tree["arms"]:
        each = [arm["by_label"][label]["auroc"]["value"] for label in twelve]
        assert arm["macro_labels"] == 12
        assert arm["macro_auroc"]["value"] == pytest.approx(np.mean(each))
        assert arm["macro_by_seed"] == pytest.approx([np.mean(each)])
        ap = [arm["by_label"][label]["ap"]["value"] for label in twelve]
        assert arm["macro_ap"]["value"] == pytest.approx(np.mean(ap))
    (gap,) = tree["differences"]
    one, two = (arm["macro_auroc"]["value"] for arm in tree["arms"])
    assert gap["macro_auroc"]["value"] == pytest.approx(one - two)
    assert gap["macro_auroc"]["ci"] is not None
    assert gap["verdict"]["word"] in ("non-inferior", "inferior", "inconclusive")


def test_a_withheld_verdict_names_the_label_that_is_too_rare(official):
    tree = judged(official, min_positives=1)
    assert tree["endpoint"]["labels"] == list(CHEXPERT_LABELS)
    (gap,) = tree["differences"]
    assert gap["verdict"]["word"] == "withheld"
    assert gap["verdict"]["reason"].startswith(
        "1 patient has Lung Lesion; the interval was shown to hold from"
    )
    assert ", and Lung Lesion on 1 of 300 images, " in gap["power"]


def test_the_endpoint_can_be_the_competition_labels(official):
    tree = judged(official, primary_labels=list(COMPETITION_LABELS))
    assert tree["endpoint"]["labels"] == sorted(COMPETITION_LABELS, key=CHEXPERT_LABELS.index)
    for each in (*tree["arms"], *tree["differences"]):
        assert each["macro_auroc"]["value"] == pytest.approx(each["five_auroc"]["value"])


def test_where_every_label_is_too_rare_all_are_named_and_no_verdict_is_given(official):
    tree = judged(official, primary_labels=list(RARE))
    assert tree["endpoint"]["labels"] == []
    assert Endpoint.model_validate(tree["endpoint"]).means_over == tuple(RARE)
    (gap,) = tree["differences"]
    assert gap["verdict"] == {
        "word": "withheld",
        "reason": "no label has patients enough in the test set: Lung Lesion: 1 patient has it; 10 "
        "are needed. Pleural Other: 1 patient has it; 10 are needed",
    }


def test_the_command_tells_the_endpoint_and_that_no_protocol_was_frozen(official, capsys):
    tree = judged(official)  # trained without one, as by a fedcxr of before
    assert (tree["protocol"], tree["deviations"]) == (None, [])
    print_comparison(official[0])
    told = capsys.readouterr().out.splitlines()
    assert told[-4].startswith("The endpoint is the macro AUROC over 12 of 14 labels: No Finding, ")
    assert told[-3:-1] == [
        "Left out of it, by a count of test patients: Lung Lesion: 1 patient has it; 10 are "
        "needed. Pleural Other: 1 patient has it; 10 are needed.",
        "No protocol was frozen before this comparison's training: nothing shows that its margin, "
        "labels and seeds were chosen before its results were seen.",
    ]
