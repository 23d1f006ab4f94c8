import numpy as np
import pytest
from comparison_example import TOO_SMALL, make_comparison, put

from fedcxr.data.labels import CHEXPERT_LABELS, NIH14_LABELS
from fedcxr.data.origin import DrawnPart, FoldPart, OfficialPart, TestSet
from fedcxr.data.records import OfficialSet
from fedcxr.report.comparison import answer, headline, published
from fedcxr.report.comparison.checklist import CLAIM, CLAIM_ITEMS, TRIPOD_ITEMS, checklist
from fedcxr.report.comparison.read_comparison import read_comparison
from fedcxr.report.published import CHEXNET, CHEXPERT, SOURCES, WANG

LABELS = ("Atelectasis", "Edema")


def read(tmp_path, tree):
    return read_comparison(put(tmp_path, tree))


def judged(word, value, ci, **more):
    tree = make_comparison(labels=LABELS, undefined=())
    tree["differences"][0] |= {
        "macro_auroc": {"value": value, "ci": ci, "reason": None},
        "verdict": {"word": word, "reason": more.pop("reason", None)},
        "power": more.pop("power", None),
    }
    return {**tree, **more}


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        (
            judged("non-inferior", -0.002, [-0.008, 0.004]),
            "Federated (FedAvg) has a macro AUROC 0.002 lower than Centralized (95 % interval "
            "−0.008 to +0.004), which with a margin of 0.010 is non-inferior: any loss is smaller "
            "than that.",
        ),
        (
            judged("inferior", -0.05, [-0.07, -0.03]),
            "Federated (FedAvg) has a macro AUROC 0.050 lower than Centralized (95 % interval "
            "−0.070 to −0.030), which with a margin of 0.010 is inferior: the loss is larger than "
            "that.",
        ),
        (
            judged("inconclusive", 0.0001, [-0.03, 0.03], power=TOO_SMALL),
            "Federated (FedAvg) has the same macro AUROC, to three decimals, as Centralized (95 % "
            "interval −0.030 to +0.030), which with a margin of 0.010 is inconclusive: the test "
            "set is too small to decide.",
        ),
        (
            judged("withheld", 0.004, [-0.03, 0.03], reason="fewer than 40 positives"),
            "Federated (FedAvg) has a macro AUROC 0.004 higher than Centralized (95 % interval "
            "−0.030 to +0.030); no verdict is given.",
        ),
        (
            judged("withheld", -0.004, [-0.03, 0.03], power=TOO_SMALL),
            "Federated (FedAvg) has a macro AUROC 0.004 lower than Centralized (95 % interval "
            "−0.030 to +0.030); no verdict is given, and the test set is too small to decide.",
        ),
        (
            judged("inconclusive", None, None),
            "Federated (FedAvg) and Centralized cannot be compared in macro AUROC: none is "
            "defined.",
        ),
    ],
)
def test_the_answer_is_one_plain_sentence(tmp_path, tree, words):
    assert answer.sentence(read(tmp_path, tree)) == words


def test_one_arm_has_nothing_to_be_compared_with(tmp_path):
    comparison = read(tmp_path, make_comparison(arms=("federated",), labels=LABELS))
    assert "with one arm there is nothing to compare it with" in answer.sentence(comparison)
    assert answer.notices(comparison) == []


def test_too_small_is_said_only_where_there_is_no_decision(tmp_path):
    decided = judged("non-inferior", 0.02, [-0.005, 0.045], power=TOO_SMALL)
    comparison = read(tmp_path, decided)
    assert not answer.is_too_small(comparison.primary)
    assert answer.notices(comparison) == [TOO_SMALL]


def test_why_a_verdict_is_withheld_is_said(tmp_path):
    tree = judged("withheld", 0, [-0.1, 0.1], reason="fewer than 40 positives of a label")
    assert answer.notices(read(tmp_path, tree)) == ["Fewer than 40 positives of a label."]
    tree["differences"][0]["power"] = "Too small to decide: fewer than 40 positives of a label."
    tree["differences"][0]["verdict"]["reason"] = "fewer than 40 positives of a label"
    (once,) = answer.notices(read(tmp_path, tree))
    assert once.startswith("Too small")


def test_one_training_of_each_arm_says_something_of_these_models_alone(tmp_path):
    comparison = read(tmp_path, make_comparison(labels=LABELS, seeds=(0,)))
    assert answer.sentence(comparison).endswith(
        " This is about these trained models: each arm was trained once."
    )
    assert "only about these models" in " ".join(answer.basis(comparison))


def test_several_trainings_speak_of_the_ways_of_training_and_of_the_models_beside(tmp_path):
    tree = make_comparison(labels=LABELS, seeds=range(3))
    tree["differences"][0]["macro_auroc_models"] = {"value": -0.01, "ci": [-0.03, 0.01]}
    comparison = read(tmp_path, tree)
    assert "these trained models" not in answer.sentence(comparison)
    basis = " ".join(answer.basis(comparison))
    assert "other patients and other trainings, from 3 seeds paired" in basis
    assert "for other patients alone, stand beside them: −0.030 to +0.010" in basis


def test_published_labels_are_spelled_as_ours():
    assert set(CHEXPERT.values) < set(CHEXPERT_LABELS)
    assert set(WANG.values) == set(CHEXNET.values) == set(NIH14_LABELS)


def test_published_figures_have_the_means_that_their_papers_are_cited_with():
    # CheXNet is cited with a mean of 0.841 over its 14 labels, Wang et al. beside it with 0.738,
    # and the best policies of the CheXpert paper with 0.9056 over their five
    means = [np.mean(list(source.values.values())) for source in SOURCES]
    np.testing.assert_allclose(means, [0.9056, 0.738, 0.841], atol=5e-4)


def test_nih_stands_beside_both_of_its_papers(tmp_path):
    tree = make_comparison(labels=NIH14_LABELS, layout="nih14", undefined=())
    table = published.published(read(tmp_path, tree))
    assert [column.key for column in table.columns[-2:]] == ["wang_2017", "chexnet_2017"]
    row = {row[0]: row for row in table.rows}["Pleural_Thickening"]
    assert row[-2:] == (0.708, 0.8062)


def test_what_is_unlike_is_said_for_each_source(tmp_path):
    tree = make_comparison(labels=LABELS)
    comparison = read(tmp_path, tree)
    (found,) = published.beside_comparison(comparison)
    assert found.source is CHEXPERT
    told = " ".join(found.unlike)
    assert "Other data: ours are synthetic" in told
    assert "200 studies labelled by radiologists" in told
    assert "own random split of patients, 900 images of 380 patients" in told
    assert "320 px there, 64 px here" in told
    assert "Scored by study there, by image here." in told
    tree["data"] |= {"synthetic": False, "score_by": "study"}
    tree["training"]["image_size"] = 320
    told = " ".join(published.beside_comparison(read(tmp_path, tree))[0].unlike)
    assert "Other split" in told
    for word in ("synthetic", "px there", "Scored by"):
        assert word not in told


VALID = OfficialSet("test", "chexpert-valid", ("valid.csv",), "chexpert")


@pytest.mark.parametrize(
    ("parts", "is_same"),
    [
        ([OfficialPart(VALID, 200)], True),
        ([OfficialPart(VALID, 199)], False),  # a patient is missing: another set
        ([OfficialPart(OfficialSet("test", "table", ("valid.csv",)), 200)], False),
        ([OfficialPart(VALID, 200), DrawnPart("nih14", 0.2, 5, 25)], False),
        ([FoldPart(0, 5, 200, 1000)], False),
    ],
)
def test_the_official_valid_set_is_the_one_that_the_chexpert_paper_was_scored_on(
    tmp_path, parts, is_same
):
    tree = make_comparison(labels=LABELS)
    tree["data"]["test_set"] = TestSet(tuple(parts)).to_json()
    assert not published.beside_comparison(read(tmp_path, tree))[0].on_same_images  # synthetic
    tree["data"]["synthetic"] = False
    (found,) = published.beside_comparison(read(tmp_path, tree))
    assert found.on_same_images == is_same
    assert ("Other split" in " ".join(found.unlike)) != is_same


def test_a_comparison_that_does_not_say_where_its_test_set_is_from_says_so(tmp_path):
    tree = make_comparison(labels=LABELS)
    del tree["data"]["test_set"]
    comparison = read(tmp_path, tree)
    assert "ours: not told, 900 images" in " ".join(
        published.beside_comparison(comparison)[0].unlike
    )
    assert "Split" not in [fact.name for fact in headline.settings(comparison)]
    rows = {row[0]: row for row in checklist(comparison).only("guideline", CLAIM).rows}
    assert rows["19"][2] == "open"


def test_a_layout_without_papers_has_no_columns(tmp_path):
    tree = make_comparison(labels=LABELS, layout="files")
    assert published.published(read(tmp_path, tree)).rows == ()


def test_the_checklists_have_every_item_once():
    claim = [item.number for item in CLAIM_ITEMS]
    assert claim == [str(number) for number in range(1, 45)]
    tripod = [item.number for item in TRIPOD_ITEMS]
    assert len(tripod) == len(set(tripod)) == 52
    assert {int(number.rstrip("abcdefg")) for number in tripod} == set(range(1, 28))


def test_the_checklist_says_what_the_run_knows_and_leaves_the_rest_open(tmp_path):
    comparison = read(tmp_path, make_comparison(labels=LABELS))
    rows = {row[0]: row for row in checklist(comparison).only("guideline", CLAIM).rows}
    assert rows["6"][2:4] == (
        "filled in",
        "Test of non-inferiority of Federated (FedAvg) to Centralized, margin 0.01 in macro AUROC "
        "fixed beforehand.",
    )
    assert rows["21"][2] == "partly"
    assert "About 1,500 such patients" in rows["21"][3]
    assert "over patients for what is of one arm" in rows["29"][3]
    assert rows["44"][2:] == ("open", "", "")


def test_an_empty_comparison_answers_only_what_holds_for_every_run(tmp_path):
    comparison = read(tmp_path, {"format": 4, "arms": [{"name": "federated"}]})
    states = [row[3] for row in checklist(comparison).rows]
    assert states.count("open") > 60
