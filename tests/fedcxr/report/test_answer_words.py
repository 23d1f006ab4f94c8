"""The answer in one sentence, and what stands beside it."""

import pytest
from comparison_example import TOO_SMALL, example, make_comparison, typed

from fedcxr.report import answer_words as answer
from fedcxr.report.sections.basis_section import basis

LABELS = ("Atelectasis", "Edema")


def judged(word, value, ci, reason="the interval and the margin say so", power=None):
    tree = make_comparison(labels=LABELS, undefined=())
    tree["differences"][0] |= {
        "macro_auroc": {"value": value, "ci": ci, "reason": None},
        "verdict": {"word": word, "reason": reason},
        "power": power,
    }
    return typed(tree)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (
            judged("non-inferior", -0.002, [-0.008, 0.004]),
            "Federated (FedAvg) has a macro AUROC 0.002 lower than Centralized (95 % interval "
            "−0.008 to +0.004), which with a margin of 0.010 is non-inferior: any loss is smaller "
            "than that.",
        ),
        (
            judged("non-inferior, and worse", -0.005, [-0.008, -0.002]),
            "Federated (FedAvg) has a macro AUROC 0.005 lower than Centralized (95 % interval "
            "−0.008 to −0.002), which with a margin of 0.010 is non-inferior, and worse: there is "
            "a loss, smaller than that.",
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
            "interval −0.030 to +0.030), which with a margin of 0.010 is inconclusive: the study "
            "is too small to decide.",
        ),
        (
            judged("withheld", 0.004, [-0.03, 0.03], reason="fewer than 40 positives"),
            "Federated (FedAvg) has a macro AUROC 0.004 higher than Centralized (95 % interval "
            "−0.030 to +0.030); no verdict is given.",
        ),
        (
            judged("withheld", -0.004, [-0.03, 0.03], power=TOO_SMALL),
            "Federated (FedAvg) has a macro AUROC 0.004 lower than Centralized (95 % interval "
            "−0.030 to +0.030); no verdict is given, and the study is too small to decide.",
        ),
        (
            judged("inconclusive", None, None),
            "Federated (FedAvg) and Centralized cannot be compared in macro AUROC: none is "
            "defined.",
        ),
    ],
)
def test_the_answer_is_one_plain_sentence(result, words):
    assert answer.sentence(result) == words


def test_one_arm_has_nothing_to_be_compared_with():
    result = example(arms=("federated",), labels=LABELS)
    assert "with one arm there is nothing to compare it with" in answer.sentence(result)
    assert answer.notices(result) == []


def test_too_small_is_said_only_where_there_is_no_decision():
    decided = judged("non-inferior", 0.02, [-0.005, 0.045], power=TOO_SMALL)
    assert not answer.is_too_small(decided.primary)
    assert answer.notices(decided) == [TOO_SMALL]


def test_why_a_verdict_is_withheld_is_said_once():
    why = "fewer than 40 positives of a label"
    assert answer.notices(judged("withheld", 0, [-0.1, 0.1], why)) == [
        "Fewer than 40 positives of a label."
    ]
    both = judged("withheld", 0, [-0.1, 0.1], why, power=f"Too small to decide: {why}.")
    assert answer.notices(both) == [f"Too small to decide: {why}."]


def test_one_training_of_each_arm_says_something_of_these_models_alone():
    result = example(labels=LABELS, seeds=(0,))
    assert answer.sentence(result).endswith(
        " This is about these trained models: each arm was trained once."
    )
    assert "only about these models" in " ".join(basis(result))


def test_several_trainings_speak_of_the_ways_of_training_and_of_the_models_beside():
    tree = make_comparison(labels=LABELS, seeds=range(3))
    tree["differences"][0]["macro_auroc_models"] = {"value": -0.01, "ci": [-0.03, 0.01]}
    result = typed(tree)
    assert "these trained models" not in answer.sentence(result)
    told = " ".join(basis(result))
    assert "other patients and other trainings, from 3 seeds paired" in told
    assert "for other patients alone, stand beside them: −0.030 to +0.010" in told
