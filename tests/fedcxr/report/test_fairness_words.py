"""Warnings about the arms' training, and what becomes of the optimisers, as a reader gets them."""

import pytest
from comparison_example import example, make_comparison, put, typed
from outline import Outline

from fedcxr.cli.compare import print_comparison
from fedcxr.report.fairness_words import fairness_notices, optimizer_words
from fedcxr.report.page import render, view_of
from fedcxr.report.sections.basis_section import basis

FEW = {"labels": ("Edema", "Pneumonia"), "undefined": (), "clients": 2}
WARNINGS = [
    {"kind": "best-round-is-last", "arm": "federated", "trainings": 2, "of_trainings": 3},
    {"kind": "rate-at-edge", "arm": "centralized", "rate": 0.003, "edge": "highest"},
    {"kind": "still-rising", "arm": "federated", "trainings": 3, "slope": 0.00412, "gain": 0.0124},
]
WARNINGS[1]["rates"] = [0.0003, 0.001, 0.003]
WARNINGS[2]["threshold"] = 0.005
SENTENCES = [
    "Federated (FedAvg): the best round is the last one in 2 of its 3 trainings, so more rounds "
    "might have made it better still.",
    "Centralized: its learning rate, 0.003, is the highest of those tried (0.0003, 0.001, 0.003), "
    "so a higher one might have done better.",
    "Federated (FedAvg) was still rising: over the last third of its rounds the validation macro "
    "AUROC grew by 0.0041 a round, mean over 3 trainings. As many rounds again at that pace would "
    "add 0.012, more than half the margin (0.0050).",
]


def test_every_warning_is_a_sentence_that_names_the_arm():
    assert fairness_notices(example(**FEW, warnings=WARNINGS)) == SENTENCES


@pytest.mark.parametrize(
    ("trainings", "of", "words"),
    [
        (1, 1, "in its only training,"),
        (3, 3, "in each of its 3 trainings,"),
        (1, 3, "in 1 of its 3 trainings,"),
    ],
)
def test_in_how_many_trainings_is_said_as_a_person_would(trainings, of, words):
    warning = {**WARNINGS[0], "trainings": trainings, "of_trainings": of}
    assert words in fairness_notices(example(**FEW, warnings=[warning]))[0]


def test_the_lowest_rate_asks_for_a_lower_one():
    warning = {**WARNINGS[1], "rate": 0.0003, "edge": "lowest"}
    assert "so a lower one" in fairness_notices(example(**FEW, warnings=[warning]))[0]


def page_text(**options):
    return Outline(render(view_of(example(**FEW, **options)))[0]).text


@pytest.mark.usefixtures("undrawn")
def test_the_page_has_each_warning_near_its_answer():
    text = page_text(warnings=WARNINGS)
    hero = text.index("Macro AUROC, Federated (FedAvg) minus Centralized")
    for sentence in SENTENCES:
        assert text.index("Fair training.") < text.index(sentence) < hero
    assert "Fair training." not in page_text()


def test_the_command_line_ends_with_the_same_sentences(tmp_path, capsys):
    print_comparison(put(tmp_path, make_comparison(**FEW, warnings=WARNINGS)))
    lines = capsys.readouterr().out.splitlines()
    assert lines[-5:-2] == [f"Warning: {sentence}" for sentence in SENTENCES]
    assert lines[-1].startswith("Report: ")


def with_moments(moments, arms):
    tree = make_comparison(**FEW, arms=arms)
    tree["training"]["moments"] = moments
    return typed(tree)


def test_what_becomes_of_the_optimiser_is_said_where_the_arms_differ():
    arms = ("federated", "centralized")
    (told,) = optimizer_words(with_moments("restart", arms))
    assert "starts anew each round" in told
    assert told.endswith("the arm centralized-restarts would tell.")
    (told,) = optimizer_words(with_moments("restart", (*arms, "centralized-restarts")))
    assert told.endswith("what is left between it and the federation is not due to restarts.")
    assert optimizer_words(with_moments("keep", arms)) == []
    assert optimizer_words(with_moments("restart", ("federated", "fedprox"))) == []
    assert "starts anew each round" in " ".join(basis(with_moments("restart", arms)))
