import numpy as np
import pytest

from clients.state import read_state, write_state
from fedcxr.errors import ArtefactError
from fedcxr.parameters import Parameters, ParameterSpec

SPEC = ParameterSpec(
    ("w", "bn.running_mean", "n"), ((2,), (1,), ()), ("trainable", "buffer", "counter")
)


def kept(value):
    return Parameters(np.full(3, value, np.float32), np.int64([value]))


def write(folder, *rounds):
    for round_num in rounds:
        write_state(folder, "run", round_num, kept(round_num), SPEC)


def value_before(folder, round_num):
    found = read_state(folder, "run", round_num)
    return None if found is None else (float(found.vector[0]), int(found.counters[0]))


def test_nothing_is_kept_before_the_first_round(tmp_path):
    assert read_state(tmp_path, "run", 1) is None


def test_a_round_starts_from_the_newest_generation_before_it(tmp_path):
    write(tmp_path, 1, 2)
    assert value_before(tmp_path, 3) == (2.0, 2)
    assert value_before(tmp_path, 7) == (2.0, 2)  # the site sat out rounds 3 to 6


def test_a_round_done_again_starts_from_the_generation_before_it(tmp_path):
    # The server went down after round 2 at the site and asks for round 2 once more.
    write(tmp_path, 1, 2)
    assert value_before(tmp_path, 2) == (1.0, 1)


def test_the_first_round_done_again_starts_from_nothing(tmp_path):
    write(tmp_path, 1)
    assert value_before(tmp_path, 1) is None


def test_a_server_that_goes_back_too_far_is_told(tmp_path):
    write(tmp_path, 4, 5)
    with pytest.raises(ArtefactError, match=r"none from before round 3\. The server went back"):
        read_state(tmp_path, "run", 3)


def test_two_generations_are_kept(tmp_path):
    write(tmp_path, 1, 2, 3, 4)
    names = sorted(p.name for p in (tmp_path / "run").iterdir())
    assert names == ["round-00003.safetensors", "round-00004.safetensors"]


def test_a_round_done_again_overwrites_and_keeps_the_one_before(tmp_path):
    write(tmp_path, 1, 2, 3)
    write_state(tmp_path, "run", 3, kept(33), SPEC)
    assert value_before(tmp_path, 4) == (33.0, 33)
    assert value_before(tmp_path, 3) == (2.0, 2)


def test_each_run_has_its_own_state(tmp_path):
    write(tmp_path, 1)
    assert read_state(tmp_path, "other", 2) is None


def test_a_damaged_state_is_named_and_not_used(tmp_path):
    write(tmp_path, 1)
    file = tmp_path / "run" / "round-00001.safetensors"
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(ArtefactError, match="truncated"):
        read_state(tmp_path, "run", 2)


def test_each_kind_of_state_has_generations_of_its_own(tmp_path):
    write(tmp_path, 1, 2)
    for round_num in (2, 3, 4):
        write_state(tmp_path, "run", round_num, kept(-round_num), SPEC, "lost")
    assert value_before(tmp_path, 9) == (2.0, 2)
    assert read_state(tmp_path, "run", 4, "lost").vector[0] == -3.0
    names = sorted(p.name.partition("-")[0] for p in (tmp_path / "run").iterdir())
    assert names == ["lost", "lost", "round", "round"]
