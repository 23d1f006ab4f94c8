"""What a site keeps between rounds: which generation an order sees, and that damage is told."""

import numpy as np
import pytest

from clients.memory import ALGORITHM, PRIVATE, SiteMemory, StagedMemory, memory_of
from fedcxr.chain import LOST
from fedcxr.errors import ArtefactError, DivergedError


def kept(value):
    return {"vector": np.full(3, value, np.float32), "counters": np.int64([value])}


def write(folder, *rounds, kind=PRIVATE):
    for round_num in rounds:
        memory_of(folder, "run", round_num).write(kind, kept(round_num))


def value_before(folder, round_num, kind=PRIVATE):
    found = memory_of(folder, "run", round_num).read(kind)
    return None if found is None else (float(found["vector"][0]), int(found["counters"][0]))


def names(folder):
    return sorted(path.name for path in (folder / "run").iterdir())


def test_nothing_is_kept_before_the_first_round(tmp_path):
    assert memory_of(tmp_path, "run", 1).read(PRIVATE) is None
    assert list(tmp_path.iterdir()) == []  # looking leaves nothing behind


def test_what_is_kept_comes_back_bit_for_bit(tmp_path):
    written = {
        "vector": np.float32([np.nan, -0.0, np.inf, 1e-45]),
        "counters": np.int64([-1, 2**62]),
        "none": np.zeros(0, np.float32),
        "every-other": np.arange(6, dtype=np.float32)[::2],
    }
    memory_of(tmp_path, "run", 1).write(PRIVATE, written)
    found = memory_of(tmp_path, "run", 2).read(PRIVATE)
    assert {name: (vector.dtype, vector.tobytes()) for name, vector in found.items()} == {
        name: (vector.dtype, vector.tobytes()) for name, vector in written.items()
    }


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
        memory_of(tmp_path, "run", 3).read(PRIVATE)


def test_two_generations_are_kept(tmp_path):
    write(tmp_path, 1, 2, 3, 4)
    assert names(tmp_path) == ["private-00003.safetensors", "private-00004.safetensors"]


def test_a_round_done_again_overwrites_and_keeps_the_one_before(tmp_path):
    write(tmp_path, 1, 2, 3)
    memory_of(tmp_path, "run", 3).write(PRIVATE, kept(33))
    assert value_before(tmp_path, 4) == (33.0, 33)
    assert value_before(tmp_path, 3) == (2.0, 2)


def test_each_run_has_its_own_memory(tmp_path):
    write(tmp_path, 1)
    assert memory_of(tmp_path, "other", 2).read(PRIVATE) is None


def test_a_truncated_file_is_named_and_not_used(tmp_path):
    write(tmp_path, 1)
    file = tmp_path / "run" / "private-00001.safetensors"
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(ArtefactError, match=r"private-00001\.safetensors: .*truncated"):
        memory_of(tmp_path, "run", 2).read(PRIVATE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (np.float32([1]).tobytes(), np.float32([2]).tobytes()),
        (b'"counters"', b'"counterz"'),
        (b'"F32"', b'"I32"'),
        (b'"sha256"', b'"sha255"'),
    ],
    ids=["a value", "a name", "a dtype", "no digest"],
)
def test_a_change_is_found_in_values_names_and_dtypes(tmp_path, old, new):
    write(tmp_path, 1)
    file = tmp_path / "run" / "private-00001.safetensors"
    whole = file.read_bytes()
    assert old in whole
    file.write_bytes(whole.replace(old, new, 1))
    with pytest.raises(ArtefactError, match=r"private-00001\.safetensors: the sha256 is not the"):
        memory_of(tmp_path, "run", 2).read(PRIVATE)


def test_each_kind_has_generations_of_its_own(tmp_path):
    write(tmp_path, 1, 2)
    write(tmp_path, 2, 3, 4, kind=LOST)
    write(tmp_path, 5, kind=ALGORITHM)
    assert value_before(tmp_path, 9) == (2.0, 2)
    assert value_before(tmp_path, 4, LOST) == (3.0, 3)
    assert value_before(tmp_path, 9, ALGORITHM) == (5.0, 5)
    kinds = [name.partition("-")[0] for name in names(tmp_path)]
    assert kinds == ["algorithm", "lost", "lost", "private", "private"]


def test_a_file_that_is_none_of_ours_is_no_generation(tmp_path):
    write(tmp_path, 1)
    (tmp_path / "run" / "private-00007.safetensors.part").write_bytes(b"")
    (tmp_path / "run" / "private-x.safetensors").write_bytes(b"")
    assert value_before(tmp_path, 9) == (1.0, 1)


def test_nothing_is_kept_before_the_answer_has_passed_the_door(tmp_path):
    memory = StagedMemory(SiteMemory(tmp_path, 1))
    memory.write("lost", {"lost": np.float32([1, 2])})
    assert SiteMemory(tmp_path, 2).read("lost") is None
    memory.commit()
    assert SiteMemory(tmp_path, 2).read("lost")["lost"].tolist() == [1, 2]


def test_of_what_is_not_finite_nothing_is_kept(tmp_path):
    memory = StagedMemory(SiteMemory(tmp_path, 1))
    memory.write("lost", {"lost": np.float32([1, 2])})
    memory.write("private", {"vector": np.float32([1, np.inf]), "counters": np.int64([1])})
    with pytest.raises(DivergedError, match="what the site would keep is not finite"):
        memory.commit()
    assert not list(tmp_path.iterdir())


def test_generations_of_a_history_that_the_server_has_left_are_dropped(tmp_path):
    for round_num in (1, 2, 3):
        SiteMemory(tmp_path, round_num).write("lost", {"lost": np.float32([round_num])})
    SiteMemory(tmp_path, 2).write("lost", {"lost": np.float32([22])})
    # round 3 is done again without this site, and round 4 must not see the 3 of before
    assert SiteMemory(tmp_path, 4).read("lost")["lost"].tolist() == [22]


def test_what_the_server_has_and_the_site_has_no_more_is_told(tmp_path):
    with pytest.raises(ArtefactError, match=r"kept of round 2 \(private\) is gone"):
        memory_of(tmp_path, "run", 3, last_round=2).read(PRIVATE)
    write(tmp_path, 1)
    with pytest.raises(ArtefactError, match="round 2"):  # an old copy of the folder was put back
        memory_of(tmp_path, "run", 3, last_round=2).read(PRIVATE)
    write(tmp_path, 2)
    assert memory_of(tmp_path, "run", 3, last_round=2).read(PRIVATE) is not None
    # A round that the server does not have, since the answer was lost.
    assert memory_of(tmp_path, "run", 3, last_round=1).read(PRIVATE) is not None
