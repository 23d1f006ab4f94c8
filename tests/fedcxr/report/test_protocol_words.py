"""What the page and the command line say of the protocol and of the endpoint."""

import pytest
from comparison_example import make_comparison, typed

from fedcxr.report.protocol_words import (
    NONE_FROZEN,
    deviation_sentence,
    endpoint_sentences,
    fixed_sentence,
    left_out_words,
    margin_words,
    protocol_sentences,
)
from fedcxr.results.frozen import Deviation, LabelPatients

LABELS = ("Edema", "Mass", "Nodule")


def comparison(**changes):
    return typed(make_comparison(labels=LABELS, undefined=(), clients=1, **changes))


@pytest.mark.parametrize(
    ("key", "planned", "now", "words"),
    [
        ("margin", 0.01, 0.03, "margin 0.01 → 0.03"),
        ("seeds", [0, 1], [0, 1, 2], "seeds 0, 1 → 0, 1, 2"),
        ("labels", ["Edema"], [], "labels of the endpoint Edema → none"),
        ("primary_labels", [], ["Edema", "Mass"], "primary labels all → Edema, Mass"),
        ("min_positives", 10, 2, "patients that a label needs 10 → 2"),
        ("learning_rates", [], [0.001], "learning rates tried the configured one → 0.001"),
        ("partition", "0123456789abcdef", "f" * 16, "partition 0123456789ab → ffffffffffff"),
        (
            "pairs",
            [["a", "b"]],
            [["a", "b"], ["c", "b"]],
            "pairs compared a minus b → a minus b, c minus b",
        ),
    ],
)
def test_a_deviation_is_told_with_before_and_after(key, planned, now, words):
    told = deviation_sentence(Deviation(key=key, planned=planned, now=now))
    assert told == f"Deviation from the protocol: {words}, changed after training began."


def test_all_as_planned_needs_no_word_at_the_top():
    assert protocol_sentences(comparison()) == []
    assert protocol_sentences(comparison(protocol=None)) == [NONE_FROZEN]
    assert margin_words(comparison()) == "fixed beforehand"
    assert margin_words(comparison(protocol=None)) == "no protocol was frozen"


def test_what_was_fixed_is_told_with_its_digest():
    found = comparison()
    assert fixed_sentence(found).endswith(
        "were fixed before the first training, on 2025-03-01T10:20:31+00:00 (protocol.json, digest "
        f"{found.protocol.digest[:12]})."
    )
    deviating = comparison(deviations=[{"key": "margin", "planned": 0.01, "now": 0.03}])
    assert fixed_sentence(deviating).endswith("; what is otherwise now stands at the top.")
    assert margin_words(deviating) == "changed: 0.01 was planned"
    assert fixed_sentence(comparison(protocol=None)) == NONE_FROZEN


@pytest.mark.parametrize(
    ("positives", "negatives", "words"),
    [
        (0, 200, "no patient has it"),
        (1, 200, "1 patient has it"),
        (1200, 3, "3 patients lack it"),
        (9, 1, "9 patients have it and 1 lacks it"),
        (0, 0, "no patient has it and none lacks it"),
    ],
)
def test_what_a_label_is_short_of_is_told(positives, negatives, words):
    label = LabelPatients(label="Lung Lesion", positives=positives, negatives=negatives)
    assert left_out_words(label, 10) == f"Lung Lesion: {words}; 10 are needed"


def with_endpoint(labels, primary=LABELS, **changes):
    """Return a comparison with these labels in its endpoint; the others have one patient each."""
    numbers = {label: 50 if label in labels else 1 for label in primary}
    endpoint = {
        "primary_labels": primary if primary != LABELS else [],
        "min_positives": 10,
        "patients": [{"label": k, "positives": n, "negatives": 50} for k, n in numbers.items()],
        "labels": labels,
    }
    return comparison(endpoint=endpoint, **changes)


def test_the_labels_of_the_endpoint_and_those_left_out_are_named():
    assert endpoint_sentences(with_endpoint(["Edema"])) == [
        "The endpoint is the macro AUROC over 1 of 3 labels: Edema.",
        "Left out of it, by a count of test patients before training: Mass: 1 patient has it; 10 "
        "are needed. Nodule: 1 patient has it; 10 are needed.",
    ]


@pytest.mark.parametrize(
    "more",
    [
        {"protocol": None},
        {"deviations": [{"key": "labels", "planned": ["Edema", "Mass"], "now": ["Edema"]}]},
    ],
)
def test_labels_that_no_protocol_fixed_are_not_said_to_be_of_before_training(more):
    told = endpoint_sentences(with_endpoint(["Edema"], **more))
    assert told[1].startswith("Left out of it, by a count of test patients: Mass: 1 patient has")


def test_without_a_label_in_the_endpoint_the_means_only_describe():
    assert endpoint_sentences(with_endpoint([], ("Edema", "Mass"))) == [
        "The means are over 2 of 3 labels: Edema and Mass. No label has patients enough in the "
        "test set: Edema: 1 patient has it; 10 are needed. Mass: 1 patient has it; 10 are needed."
    ]
