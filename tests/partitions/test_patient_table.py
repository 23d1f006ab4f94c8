import numpy as np

from partitions.patient_table import count_by_patient, majority


def test_images_positives_and_masked_are_counted_by_patient():
    patient_of = np.array([1, 0, 1, 1])
    states = np.array([[1, -3], [0, 1], [1, -3], [-1, -2]], dtype=np.int8)
    table = count_by_patient(patient_of, states, 3)
    assert table.images.tolist() == [1, 3, 0]
    assert table.positives.tolist() == [[0, 1], [2, 0], [0, 0]]
    assert table.masked.tolist() == [[0, 0], [0, 2], [0, 0]]
    assert table.positive.tolist() == [[False, True], [True, False], [False, False]]
    assert table.rows(np.array([1])).images.tolist() == [3]


def test_a_patient_has_the_value_of_most_of_their_images():
    cells = ["AP", "PA", "PA", "AP", "", "", "LL"]
    values, code = majority(cells, np.array([0, 0, 0, 1, 1, 1, 2]), 3)
    # 1 AP against 2 PA; a single AP against two blanks, which have no vote; one LL
    assert [values[i] for i in code] == ["PA", "AP", "LL"]
    assert values == ("AP", "LL", "PA")


def test_between_equals_the_first_in_sorted_order_wins():
    values, code = majority(["PA", "AP", "b", "a"], np.array([0, 0, 1, 1]), 2)
    assert [values[i] for i in code] == ["AP", "a"]


def test_the_order_of_the_images_does_not_matter():
    rng = np.random.default_rng(0)
    cells, patient_of = rng.choice(["a", "b", "c", ""], 200), rng.integers(0, 20, 200)
    patient_of[:20] = np.arange(20)
    order = rng.permutation(200)
    one = majority(cells.tolist(), patient_of, 20)
    other = majority(cells[order].tolist(), patient_of[order], 20)
    assert one[0] == other[0]
    np.testing.assert_array_equal(one[1], other[1])
