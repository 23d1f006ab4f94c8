import numpy as np

from fedcxr.explain.choose import choose_examples


def choose(target, probs, auroc, labels=("a", "b"), labels_count=1, per_outcome=1):
    examples = choose_examples(
        np.array(target, dtype=np.float32),
        np.array(probs, dtype=np.float32),
        labels,
        auroc,
        labels_count=labels_count,
        per_outcome=per_outcome,
    )
    return [(example.row, example.label_index, example.outcome) for example in examples]


def test_examples_follow_the_rule():
    # 3 of 6 known are positive, so the 3 highest are called: rows 0 (true), 1 (false), 2 (true)
    target = [[1], [0], [1], [0], [1], [0], [np.nan]]
    probs = [[0.9], [0.8], [0.7], [0.4], [0.3], [0.1], [0.99]]
    assert choose(target, probs, {"a": 0.8}, labels=("a",), per_outcome=5) == [
        (0, 0, "true positive"),
        (2, 0, "true positive"),
        (1, 0, "false positive"),
        (4, 0, "miss"),
    ]


def test_misses_come_with_the_lowest_probability_first():
    target = [[1], [1], [1], [0], [0], [0]]
    probs = [[0.2], [0.1], [0.3], [0.9], [0.8], [0.7]]
    assert choose(target, probs, {"a": 0.2}, labels=("a",)) == [
        (3, 0, "false positive"),
        (1, 0, "miss"),
    ]


def test_labels_are_taken_by_their_auroc_and_undefined_ones_never():
    target, probs = [[1, 1, 1], [0, 0, 0]], [[0.9, 0.9, 0.9], [0.1, 0.1, 0.1]]
    auroc = {"a": 0.7, "b": None, "c": 0.9}
    found = choose(target, probs, auroc, labels=("a", "b", "c"), labels_count=3)
    assert found == [(0, 2, "true positive"), (0, 0, "true positive")]


def test_none_asked_for_gives_none():
    assert choose([[1, 0]], [[0.5, 0.5]], {"a": 1.0}, per_outcome=0) == []
