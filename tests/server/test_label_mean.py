"""A head's rows weighed by what is known of their label: by hand, and beside the plain mean."""

import numpy as np
import pytest

from fedcxr.parameters import ParameterSpec
from server.aggregate.head_rows import HeadRows, head_rows
from server.aggregate.label_mean import LabelMean
from server.aggregate.mean import RunningMean

# positions: 0 is the body, 1 and 2 the rows of labels 0 and 1
HEAD = (HeadRows(0, (slice(1, 2),)), HeadRows(1, (slice(2, 3),)))


def both(make_update, *updates):
    """Return the label mean and the plain mean of (values, weight, known)."""
    place = make_update.place(3, head=HEAD)
    found = []
    for kind in (LabelMean, RunningMean):
        adding = kind(place)
        for values, weight, known in updates:
            adding.add(make_update(values, weight, known=known))
        found.append(adding.result().update.tolist())
    return found


def test_a_site_that_does_not_know_a_label_does_not_hold_its_row_back(make_update):
    # two equal sites of which the second knows nothing of label 1, so its row did not move there
    by_label, plain = both(make_update, ([2, 4, 6], 10, [10, 10]), ([4, 8, 0], 10, [10, 0]))
    assert plain == [3, 6, 3]
    assert by_label == [3, 6, 6]


def test_64_images_with_one_known_target_weigh_as_one_in_its_row(make_update):
    # (64·4 + 1·69) / 65 = 5 in the row of label 1; by images (64·4 + 64·69) / 128 = 36.5
    by_label, plain = both(make_update, ([0, 0, 4], 64, [64, 64]), ([0, 0, 69], 64, [64, 1]))
    assert (by_label[2], plain[2]) == (5, 36.5)


def test_a_row_that_nobody_knows_stays(make_update):
    by_label, _ = both(make_update, ([1, 1, 0.5], 10, [10, 0]), ([1, 1, -2], 30, [30, 0]))
    assert by_label[2] == 0


def test_where_all_is_known_it_is_the_plain_mean(make_update):
    rng = np.random.default_rng(0)
    weights = rng.integers(1, 500, 7).tolist()
    updates = [(rng.normal(size=3), weight, [weight, weight]) for weight in weights]
    by_label, plain = both(make_update, *updates)
    np.testing.assert_allclose(by_label, plain, rtol=1e-12)


def test_the_rows_of_a_label_with_an_output_of_its_own_for_uncertain_belong_together():
    spec = ParameterSpec(
        ("body", "net.head.weight", "net.head.bias"),
        ((5,), (3, 2), (3,)),
        ("trainable", "trainable", "trainable"),
    )
    rows = head_rows(spec, "net.head", [0, 1, 1])
    assert [row.label for row in rows] == [0, 1, 1]
    assert rows[2].places == (slice(9, 11), slice(13, 14))


def test_of_another_layer_nothing_is_a_row():
    spec = ParameterSpec(("net.head2.weight",), ((3, 2),), ("trainable",))
    assert head_rows(spec, "net.head", [0]) == (HeadRows(0, ()),)


@pytest.mark.parametrize("order", [1, -1])
def test_the_same_order_gives_the_same_bits(make_update, order):
    rng = np.random.default_rng(1)
    updates = [(rng.normal(size=3), 9, rng.integers(0, 9, 2)) for _ in range(5)][::order]
    assert both(make_update, *updates) == both(make_update, *updates)
