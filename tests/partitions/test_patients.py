import pytest

from fedcxr.errors import LeakError
from partitions.patients import Members, prove_disjoint, shown_id


def members(patients, images):
    return Members(frozenset(patients), frozenset(images))


def test_disjoint_sets_are_proved_pair_by_pair():
    proof = prove_disjoint({name: members([name], [f"{name}1"]) for name in "abcd"})
    assert proof.pairs_checked == 6  # 4 · 3 / 2
    assert proof.sets == ("a", "b", "c", "d")


@pytest.mark.parametrize("pair", [(0, 1), (0, 3), (2, 3)])
def test_a_patient_in_any_two_sets_is_found(pair):
    # row 4 of the bad-input table
    sets = {f"set-{i}": members([f"{i:016x}"], [f"image{i}"]) for i in range(4)}
    for i in pair:
        sets[f"set-{i}"] = members([f"{i:016x}", "f" * 16], [f"image{i}"])
    with pytest.raises(LeakError) as caught:
        prove_disjoint(sets)
    assert f"1 patient is in two sets: {'f' * 16} in set-{pair[0]} and set-{pair[1]}" in str(
        caught.value
    )
    assert caught.value.exit_code == 3


def test_an_image_in_two_sets_is_found_though_its_patients_differ():
    with pytest.raises(LeakError, match="1 image is in two sets"):
        prove_disjoint({"a": members("p", "i"), "b": members("q", "i")})


def test_the_first_ten_of_many_are_named_and_the_rest_counted():
    many = members([f"{i:016x}" for i in range(13)], "i")
    with pytest.raises(LeakError, match=r"13 patients are in two sets: .* and 3 more"):
        prove_disjoint({"a": many, "b": members(many.patient_ids, "j")})


def test_an_identifier_that_is_no_token_is_never_shown():
    assert shown_id("0123456789abcdef") == "0123456789abcdef"
    assert "00001" not in shown_id("patient00001")
