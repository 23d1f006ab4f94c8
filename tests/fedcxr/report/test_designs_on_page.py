"""Several partitions and data from elsewhere, as the page tells them."""

import pytest
from comparison_example import make_comparison, typed
from outline import Outline

from fedcxr.report.checklist import checklist
from fedcxr.report.page import render, view_of
from fedcxr.report.sections.basis_section import basis

LABELS = ("Edema", "Mass")


def with_external():
    tree = make_comparison(labels=LABELS, undefined=(), clients=1, seeds=(0, 1))
    endpoint = {
        "primary_labels": [],
        "min_positives": 10,
        "patients": [
            {"label": "Edema", "positives": 30, "negatives": 30},
            {"label": "Mass", "positives": 3, "negatives": 57},
        ],
        "labels": ["Edema"],
    }
    nothing = dict.fromkeys(("known_patients", "known_images", "copies", "unreadable"), 0)
    data = {
        "name": "<another hospital>",
        "layout": "nih14",
        "is_synthetic": False,
        "split": "test",
        "labels": ["Edema", "Mass"],
        "lacking": [],
        "images": 140,
        "patients": 60,
        "left_out": {**nothing, "known_patients": 2},
        "digest": "ab" * 32,
    }
    arms = [
        {
            "name": arm["name"],
            "macro_auroc": {"value": 0.654, "ci": [0.6, 0.7]},
            "macro_ap": {"value": 0.3, "ci": [0.2, 0.4]},
            "macro_by_seed": [0.65, 0.66],
            "by_label": {"Edema": {"value": 0.654}},
        }
        for arm in tree["arms"]
    ]
    first = {
        **tree["differences"][0],
        "verdict": {"word": "withheld", "reason": "too few patients there"},
    }
    tree["external"] = [
        {
            "data": data,
            "endpoint": endpoint,
            "scored": 138,
            "arms": arms,
            "differences": [first],
        }
    ]
    return tree


@pytest.mark.usefixtures("undrawn")
def test_each_set_has_its_scores_its_verdict_and_what_it_lacks():
    page = render(view_of(typed(with_external())))[0]
    text = Outline(page).text
    for words in (
        "Data from elsewhere The same models",
        "138 images of 60 patients in the layout of nih14; the means are over Edema.",
        "Left out of the endpoint, by a count of its patients: Mass: 3 patients have it; 10 are",
        "Federated (FedAvg) 0.654 0.600–0.700",
        "too few patients there",
        "<another hospital>: differences by label",
    ):
        assert words in text, words
    assert "<another" not in page


def test_the_checklist_names_the_sets():
    rows = {row[1]: row for row in checklist(typed(with_external())).rows if row[0][0] == "C"}
    assert rows["33"][3:5] == ("filled in", "<another hospital>, 138 images of 60 patients.")


@pytest.mark.usefixtures("undrawn")
def test_partitions_are_told_with_their_means():
    tree = make_comparison(labels=LABELS, undefined=(), clients=1, seeds=(0, 1, 100, 101))
    draws = [
        {"digest": "ab" * 32, "pairs_compared": 66, "seeds": [0, 1]},
        {"digest": "cd" * 32, "pairs_compared": 66, "seeds": [100, 101]},
    ]
    tree["data"]["partition"]["draws"] = draws
    for arm in tree["arms"]:
        arm["macro_by_partition"] = [0.701, 0.702]
    for difference in tree["differences"]:
        difference |= {"by_partition": [0.01, 0.02], "replicated": "partitions", "replicates": 2}
    result = typed(tree)
    text = Outline(render(view_of(result))[0]).text
    assert "Seeds 4 seeds 0, 1, 100, 101, on 2 partitions" in text
    assert "Spread over the partitions" in text
    assert "0 0, 1 0.701 0.701 0.701 66" in text
    told = " ".join(basis(result))
    assert "other patients, other trainings and other partitions, from 2 partitions and 4" in told


@pytest.mark.usefixtures("undrawn")
def test_folds_are_told_in_plain_words():
    tree = make_comparison(labels=LABELS, undefined=(), clients=1, seeds=(0, 100))
    drawn = {"pairs_compared": 66, "test_patients": 190}
    tree["data"]["partition"] |= {
        "folds": 2,
        "draws": [
            {**drawn, "digest": "ab" * 32, "seeds": [0]},
            {**drawn, "digest": "cd" * 32, "seeds": [100]},
        ],
    }
    tree["data"]["test_set"]["parts"] = [{"origin": "folds", "folds": 2, "patients": 380}]
    tree["endpoint"] |= {
        "folds": 2,
        "labels": ["Edema"],
        "patients": [
            {"label": "Edema", "positives": 30, "negatives": 30},
            {"label": "Mass", "positives": 3, "negatives": 57},
        ],
    }
    for arm in tree["arms"]:
        arm["macro_by_partition"] = [0.701, 0.702]
    for difference in tree["differences"]:
        difference |= {"by_partition": [0.01, 0.02], "replicated": "folds", "replicates": 2}
    result = typed(tree)
    text = Outline(render(view_of(result))[0]).text
    for words in (
        "of 380 patients; 2 folds of a cross-validation",
        "Seeds 2 seeds 0, 100, on 2 folds",
        "Spread over the folds Means over the trainings on each of 2 folds of a cross-validation.",
        "0 190 0 0.701 0.701 0.701 66",
        "Edema. It is computed within each of 2 folds of a cross-validation, and averaged",
        "in the one of 2 folds that has fewest",
        "each of the 2 folds of a cross-validation, drawn at random",
    ):
        assert words in text, words
    told = " ".join(basis(result))
    assert "by models that never saw the patient; areas are computed within each fold" in told
    assert "from how far 2 folds of a cross-validation lie apart, widened because" in told
    assert "All arms were scored on the same" not in told
