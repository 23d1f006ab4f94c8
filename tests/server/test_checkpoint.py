import numpy as np
import pytest

from fedcxr.config.arithmetic import Arithmetic
from fedcxr.errors import ArtefactError
from fedcxr.parameters import Parameters, ParameterSpec
from fedcxr.runs.checkpoint_files import checkpoint_file, checkpoint_rounds
from server.checkpoint import Checkpoint, newest_checkpoint, read_checkpoint, write_checkpoint

ARITHMETIC = Arithmetic({"seed": 0, "train.learning_rate": 0.001})
OUTPUTS = ("Edema", "Mass")


def spec_of(labels=14):
    return ParameterSpec(
        ("conv.weight", "classifier.weight", "n"),
        ((2, 3), (labels, 4), ()),
        ("trainable", "trainable", "counter"),
    )


SPEC = spec_of()


def state(round_num, best_round=None, auroc=0.5):
    vector = np.full(SPEC.num_float, round_num, np.float32)
    best = round_num if best_round is None else best_round
    line = {"round": round_num, "val_auroc": {"Edema": auroc}, "sites": [{"site_id": "site-00"}]}
    return Checkpoint(round_num, Parameters(vector, np.int64([round_num])), best, auroc, line)


def write(folder, *states, arithmetic=ARITHMETIC):
    before = 0
    for one in states:
        write_checkpoint(folder, one, SPEC, arithmetic, outputs=OUTPUTS, best_before=before)
        before = one.best_round


def newest(folder, spec=SPEC, arithmetic=ARITHMETIC):
    return newest_checkpoint(folder, spec, arithmetic)


def damage(file, kind):
    data = bytearray(file.read_bytes())
    if kind == "truncated":
        data = data[:-5]
    elif kind == "one bit of the values":
        data[-3] ^= 0x10
    elif kind == "one bit of the state":
        data[data.index(b"best_round") + 14] ^= 0x01
    elif kind == "empty":
        data = b""
    elif kind == "half a header":
        data = data[:30]
    file.write_bytes(bytes(data))


def test_a_checkpoint_comes_back_whole(tmp_path):
    written = state(3, best_round=2, auroc=1 / 3)
    write(tmp_path, written)
    read = newest(tmp_path)
    assert read.parameters.sha256() == written.parameters.sha256()
    assert (read.round_num, read.best_round, read.best_auroc) == (3, 2, 1 / 3)
    assert read.line == written.line


def test_a_run_without_any_auroc_comes_back_as_none(tmp_path):
    write(tmp_path, state(1, auroc=None))
    assert newest(tmp_path).best_auroc is None


def test_the_same_state_gives_the_same_bytes(tmp_path):
    write(tmp_path / "a", state(1))
    write(tmp_path / "b", state(1))
    one, two = (checkpoint_file(tmp_path / name, 1).read_bytes() for name in "ab")
    assert one == two


def test_the_newest_two_and_the_best_are_kept(tmp_path):
    # row 22 of the bad-input table
    write(tmp_path, *[state(round_num, best_round=min(round_num, 2)) for round_num in range(7)])
    assert checkpoint_rounds(tmp_path) == [2, 5, 6]


def test_a_best_round_that_was_beaten_goes_a_round_later(tmp_path):
    write(tmp_path, *[state(n, best_round=1) for n in range(1, 5)], state(5))
    assert checkpoint_rounds(tmp_path) == [1, 4, 5]
    write_checkpoint(tmp_path, state(6, 5), SPEC, ARITHMETIC, outputs=OUTPUTS, best_before=5)
    assert checkpoint_rounds(tmp_path) == [5, 6]


def test_a_damaged_newest_round_that_was_the_best_leaves_the_best_before_it(tmp_path):
    write(tmp_path, *[state(n, best_round=1) for n in range(1, 5)], state(5))
    checkpoint_file(tmp_path, 5).unlink()  # as the message of a damaged one says
    before = newest(tmp_path)
    assert (before.round_num, before.best_round) == (4, 1)
    assert read_checkpoint(checkpoint_file(tmp_path, 1), SPEC, ARITHMETIC).round_num == 1


def test_rounds_are_ordered_as_numbers_and_strange_files_left_alone(tmp_path):
    (tmp_path / "round-x.safetensors").touch()
    (tmp_path / ".round-00003.safetensors.tmp").touch()
    write(tmp_path, state(9), state(10))
    assert checkpoint_rounds(tmp_path) == [9, 10]
    assert newest(tmp_path).round_num == 10


def test_a_folder_without_checkpoints_says_to_start_again(tmp_path):
    with pytest.raises(ArtefactError, match=r"nothing to go on from\. Start the run again"):
        newest(tmp_path)


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path):
    # row 25 of the bad-input table
    write(tmp_path, state(1))
    with pytest.raises(ArtefactError) as caught:
        newest(tmp_path, arithmetic=Arithmetic({"seed": 1, "train.learning_rate": 0.001}))
    assert "made under another configuration: seed was 0, is 1. These keys" in str(caught.value)
    assert caught.value.exit_code == 4


def test_a_checkpoint_of_another_label_list_names_the_difference(tmp_path):
    # row 25 of the bad-input table
    write(tmp_path, state(1))
    with pytest.raises(ArtefactError) as caught:
        newest(tmp_path, spec=spec_of(labels=5))
    assert "another model or label list" in str(caught.value)
    assert "classifier.weight is [14, 4], expected [5, 4]" in str(caught.value)
    assert caught.value.exit_code == 4


def test_a_checkpoint_of_another_architecture_names_the_difference(tmp_path):
    # row 25 of the bad-input table
    write(tmp_path, state(1))
    names, kinds = ("stem.weight", "classifier.weight", "n"), SPEC.kinds
    with pytest.raises(ArtefactError) as caught:
        newest(tmp_path, spec=ParameterSpec(names, SPEC.shapes, kinds))
    assert "another model or label list" in str(caught.value)
    assert "stem.weight is missing, conv.weight is unknown" in str(caught.value)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    "kind",
    ["truncated", "one bit of the values", "one bit of the state", "empty", "half a header"],
)
def test_a_damaged_checkpoint_is_refused_and_the_round_before_offered(tmp_path, kind):
    # row 24 of the bad-input table
    write(tmp_path, state(1), state(2))
    damage(checkpoint_file(tmp_path, 2), kind)
    with pytest.raises(ArtefactError, match=r"Delete it to go on from round 1\."):
        newest(tmp_path)
    checkpoint_file(tmp_path, 2).unlink()
    assert newest(tmp_path).round_num == 1


def test_a_damaged_checkpoint_alone_offers_no_other(tmp_path):
    write(tmp_path, state(1))
    damage(checkpoint_file(tmp_path, 1), "truncated")
    with pytest.raises(ArtefactError, match="truncated") as caught:
        newest(tmp_path)
    assert "Delete it" not in str(caught.value)


def test_a_pickle_in_the_place_of_a_checkpoint_is_refused_by_its_format(tmp_path):
    # row 26 of the bad-input table
    file = checkpoint_file(tmp_path, 1)
    file.write_bytes(b"\x80\x04\x95\x00\x00")
    with pytest.raises(ArtefactError, match="never unpickles"):
        newest(tmp_path)


def test_a_write_that_fails_leaves_the_checkpoints_as_they_were(tmp_path, monkeypatch):
    # row 23 of the bad-input table
    write(tmp_path, state(1), state(2))

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path, state(3))
    monkeypatch.undo()
    assert checkpoint_rounds(tmp_path) == [1, 2]
    assert len(list(tmp_path.iterdir())) == 2  # no half file either
    assert newest(tmp_path).round_num == 2
