import hashlib
import json
import os
import pickle
import struct
import tracemalloc

import numpy as np
import pytest
import safetensors.numpy
import torch
from torch import nn

from fedcxr.errors import ArtefactError
from fedcxr.parameters import (
    Parameters,
    ParameterSpec,
    describe_difference,
    extract,
    load_into,
    load_parameters,
    load_with_vectors,
    save_parameters,
    spec_of,
)


def tiny():
    """conv 2·1·3·3 = 18, norm weight 2 + bias 2 + mean 2 + var 2 + counter, linear 2·3 + 3 = 9."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.BatchNorm2d(2), nn.Linear(2, 3))
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.copy_(torch.rand(tensor.shape, generator=generator))
    return model


@pytest.fixture
def saved(tmp_path):
    model = tiny()
    path = tmp_path / "round-0001.safetensors"
    spec = spec_of(model)
    save_parameters(path, extract(model, spec), spec, {"round": "1"})
    return path


def flip(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def test_the_vector_holds_trainable_values_first_and_float_buffers_after():
    spec = spec_of(tiny())
    # 18 + 2 + 2 + 6 + 3 = 31 trainable; running mean 2 + running var 2 = 4 buffers; one counter
    assert (spec.num_trainable, spec.num_float, spec.num_counters) == (31, 35, 1)
    assert spec.names == (
        "0.weight", "1.weight", "1.bias", "2.weight", "2.bias",
        "1.running_mean", "1.running_var", "1.num_batches_tracked",
    )  # fmt: skip
    assert spec.offsets == (0, 18, 20, 22, 28, 31, 33, 0)
    assert spec.variance_slices == (slice(33, 35),)


def test_a_position_is_named_by_its_tensor():
    spec = spec_of(tiny())
    assert [spec.tensor_at(i) for i in (0, 17, 18, 33)] == [
        "0.weight",
        "0.weight",
        "1.weight",
        "1.running_var",
    ]
    with pytest.raises(IndexError, match="position 35"):
        spec.tensor_at(35)


def test_a_spec_survives_json_and_another_shape_changes_its_digest():
    spec = spec_of(tiny())
    assert ParameterSpec.from_json(spec.to_json()) == spec
    other = spec_of(nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.BatchNorm2d(4)))
    assert other.digest != spec.digest
    assert "1.bias is [4], expected [2]" in describe_difference(spec, other)
    assert describe_difference(spec, spec) == ""


def test_extracted_values_are_a_copy_in_canonical_order_whatever_the_layout():
    model = nn.Sequential(nn.Conv2d(2, 3, 2))
    spec = spec_of(model)
    before = extract(model, spec)
    np.testing.assert_array_equal(before.vector[:24], model[0].weight.detach().numpy().ravel())
    model.to(memory_format=torch.channels_last)
    assert extract(model, spec).sha256() == before.sha256()
    with torch.no_grad():
        model[0].weight.zero_()
    assert before.vector[:24].any()


def test_loading_overwrites_everything_in_place_and_keeps_the_layout():
    model, other = tiny(), tiny().to(memory_format=torch.channels_last)
    model(torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(1)).expand(2, 1, 4, 4))
    spec = spec_of(model)
    weight = other[0].weight
    parameters = extract(model, spec)
    parameters.vector.setflags(write=False)  # as it comes off the wire
    load_into(other, spec, parameters)
    assert other[0].weight is weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert extract(other, spec).sha256() == parameters.sha256()
    assert other[1].num_batches_tracked.item() == 1


def test_a_network_survives_the_way_through_the_vector(tmp_path):
    wide = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten())
    spec = spec_of(wide)
    images = torch.rand(4, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    wide(images)
    save_parameters(tmp_path / "a.safetensors", extract(wide, spec), spec, {})
    fresh = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten())
    load_into(fresh, spec, load_parameters(tmp_path / "a.safetensors")[0])
    assert torch.equal(fresh.eval()(images), wide.eval()(images))


def test_the_digest_is_sha256_over_little_endian_bytes():
    parameters = Parameters(np.array([1.5], dtype=np.float32), np.array([7], dtype=np.int64))
    raw = struct.pack("<f", 1.5) + struct.pack("<q", 7)
    assert parameters.sha256() == hashlib.sha256(raw).hexdigest()


@pytest.mark.parametrize(
    "vector",
    [np.zeros(34, np.float32), np.zeros(35, np.float64), np.zeros((35, 1), np.float32)],
    ids=["short", "float64", "two-dimensional"],
)
def test_parameters_of_another_length_type_or_shape_are_refused(vector):
    model = tiny()
    with pytest.raises(ArtefactError, match="another model or label list"):
        load_into(model, spec_of(model), Parameters(vector, np.zeros(1, np.int64)))


def test_a_saved_file_gives_back_values_and_metadata(saved):
    model = tiny()
    parameters, metadata = load_parameters(saved)
    assert parameters.sha256() == extract(model, spec_of(model)).sha256()
    assert metadata["round"] == "1"
    assert safetensors.numpy.load_file(saved)["vector"].shape == (35,)
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]  # no temporary file stays


def test_the_same_parameters_give_the_same_bytes(saved, tmp_path):
    spec = spec_of(tiny())
    save_parameters(tmp_path / "b", extract(tiny(), spec), spec, {"round": "1"})
    assert (tmp_path / "b").read_bytes() == saved.read_bytes()


def test_a_truncated_file_is_refused(saved):
    # row 24 of the bad-input table
    saved.write_bytes(saved.read_bytes()[:-5])
    with pytest.raises(ArtefactError, match="truncated"):
        load_parameters(saved)


def test_a_flipped_bit_is_found_in_values_and_in_metadata(saved):
    # row 24 of the bad-input table
    size = saved.stat().st_size
    flip(saved, size - 1)
    with pytest.raises(ArtefactError, match="sha256 is not the one"):
        load_parameters(saved)
    flip(saved, size - 1)
    flip(saved, saved.read_bytes().index(b'"round":"1"') + len('"round":"'))  # 1 becomes 0
    with pytest.raises(ArtefactError, match="sha256 is not the one"):
        load_parameters(saved)


BESIDE = {"momentum": np.float32([1, -0.0, 3]), "control": np.zeros(0, np.float32)}


@pytest.fixture
def saved_with_vectors(tmp_path):
    spec = spec_of(tiny())
    path = tmp_path / "with-vectors.safetensors"
    save_parameters(path, extract(tiny(), spec), spec, {"round": "1"}, BESIDE)
    return path


def test_vectors_beside_the_parameters_come_back_by_name(saved_with_vectors):
    parameters, metadata, beside = load_with_vectors(saved_with_vectors)
    assert parameters.sha256() == extract(tiny(), spec_of(tiny())).sha256()
    assert metadata["round"] == "1"
    assert {name: (vector.dtype, vector.tobytes()) for name, vector in beside.items()} == {
        name: (vector.dtype, vector.tobytes()) for name, vector in BESIDE.items()
    }


def test_who_asks_for_the_parameters_alone_gets_them(saved, saved_with_vectors):
    alone, _ = load_parameters(saved_with_vectors)
    assert alone.sha256() == load_parameters(saved)[0].sha256()
    assert load_with_vectors(saved)[2] == {}


def test_a_vector_may_be_called_like_the_parameters(tmp_path):
    spec, path = spec_of(tiny()), tmp_path / "a.safetensors"
    beside = {"vector": np.float32([7]), "counters": np.float32([8])}
    save_parameters(path, extract(tiny(), spec), spec, {}, beside)
    parameters, _, found = load_with_vectors(path)
    assert parameters.sha256() == extract(tiny(), spec).sha256()
    assert {name: vector.tolist() for name, vector in found.items()} == {
        "vector": [7],
        "counters": [8],
    }


def test_vectors_are_part_of_the_file_s_digest(saved, saved_with_vectors, tmp_path):
    spec = spec_of(tiny())
    digests = {load_parameters(path)[1]["fedcxr.sha256"] for path in (saved, saved_with_vectors)}
    for number, other in enumerate(
        (
            {**BESIDE, "momentum": np.float32([1, 0.0, 3])},
            {"momentum": BESIDE["momentum"]},
            {"control": BESIDE["momentum"], "momentum": BESIDE["control"]},
        )
    ):
        path = tmp_path / f"{number}.safetensors"
        save_parameters(path, extract(tiny(), spec), spec, {"round": "1"}, other)
        digests.add(load_parameters(path)[1]["fedcxr.sha256"])
    assert len(digests) == 5


def test_a_vector_that_was_changed_is_found(saved_with_vectors):
    whole = saved_with_vectors.read_bytes()
    for old, new in (
        (BESIDE["momentum"].tobytes(), np.float32([1, -0.0, 4]).tobytes()),
        (b"beside.momentum", b"beside.momentun"),
        (b"beside.momentum", b"bexide.momentum"),  # as if it were not there
    ):
        assert whole.count(old) == 1
        saved_with_vectors.write_bytes(whole.replace(old, new))
        for load in (load_with_vectors, load_parameters):
            with pytest.raises(ArtefactError, match="sha256 is not the one"):
                load(saved_with_vectors)


def test_the_order_of_the_vectors_changes_no_byte(saved_with_vectors, tmp_path):
    spec = spec_of(tiny())
    turned = dict(reversed(BESIDE.items()))
    save_parameters(tmp_path / "b", extract(tiny(), spec), spec, {"round": "1"}, turned)
    assert (tmp_path / "b").read_bytes() == saved_with_vectors.read_bytes()


class Canary:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_is_refused_without_being_run(tmp_path, protocol):
    # row 26 of the bad-input table
    path, canary = tmp_path / "model.pt", tmp_path / "canary"
    path.write_bytes(pickle.dumps(Canary(canary), protocol=protocol))
    with pytest.raises(ArtefactError, match="safetensors"):
        load_parameters(path)
    assert not canary.exists()


def test_a_torch_file_is_refused_by_its_first_bytes(tmp_path):
    # row 26 of the bad-input table
    canary = tmp_path / "canary"
    torch.save({"a": torch.zeros(1), "b": Canary(canary)}, tmp_path / "model.pt")
    with pytest.raises(ArtefactError, match="never unpickles") as caught:
        load_parameters(tmp_path / "model.pt")
    assert caught.value.exit_code == 4
    assert not canary.exists()


@pytest.mark.parametrize("length", [0, 1, 100 * 2**30, 2**64 - 1])
def test_a_header_of_impossible_length_is_refused_unread(tmp_path, length):
    # row 27 of the bad-input table
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", length) + b"{}" * 50)
    with pytest.raises(ArtefactError, match="not a safetensors file"):
        load_parameters(path)


def test_a_header_as_long_as_its_file_of_100_gb_takes_no_memory(tmp_path):
    # row 27 of the bad-input table
    path = tmp_path / "a.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 100 * 2**30))
        file.truncate(8 + 100 * 2**30)  # a hole: it takes no room on the disk
    tracemalloc.start()
    try:
        with pytest.raises(ArtefactError, match="not a safetensors file") as caught:
            load_parameters(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    "offsets", [[[0, 8], [4, 12]], [[0, 4], [8, 12]], [[8, 0], [8, 12]]], ids=str
)
def test_overlapping_or_gaping_tensors_are_refused(tmp_path, offsets):
    # row 27 of the bad-input table
    header = {
        name: {"dtype": "F32", "shape": [2], "data_offsets": span}
        for name, span in zip("ab", offsets, strict=True)
    }
    raw = json.dumps(header).encode()
    (tmp_path / "a").write_bytes(struct.pack("<Q", len(raw)) + raw + bytes(12))
    with pytest.raises(ArtefactError, match="overlap or leave gaps"):
        load_parameters(tmp_path / "a")


def test_safetensors_of_another_maker_are_no_checkpoint(tmp_path):
    safetensors.numpy.save_file({"vector": np.zeros(1, np.float32)}, tmp_path / "a")
    with pytest.raises(ArtefactError, match="not a fedcxr checkpoint"):
        load_parameters(tmp_path / "a")


def test_a_missing_or_empty_file_is_an_artefact_error(tmp_path):
    with pytest.raises(ArtefactError, match="cannot be read"):
        load_parameters(tmp_path / "none")
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(ArtefactError, match="not a safetensors file"):
        load_parameters(tmp_path / "empty")


def test_a_failed_write_leaves_the_old_file(saved, monkeypatch):
    # row 23 of the bad-input table
    before = saved.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    spec = spec_of(tiny())
    with pytest.raises(OSError, match="No space left"):
        save_parameters(saved, extract(tiny(), spec), spec, {})
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]
