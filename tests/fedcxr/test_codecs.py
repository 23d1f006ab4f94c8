"""Updates made small and whole again: by hand, by law, and on the real layout of densenet121."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given as drawn
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fedcxr.codecs import Codec, check_arrays, decode, encode
from fedcxr.config.model import ModelConfig
from fedcxr.errors import RunError
from fedcxr.models.architectures import build_model
from fedcxr.parameters import ParameterSpec, spec_of
from fedcxr.wire import pack_vectors, payload_bytes

SPEC = ParameterSpec(
    names=("w", "b", "bn.running_mean", "bn.running_var", "bn.num_batches_tracked"),
    shapes=((2, 2), (2,), (2,), (2,), ()),
    kinds=("trainable", "trainable", "buffer", "buffer", "counter"),
)
# positions: w 0–3, b 4–5, running_mean 6–7, running_var 8–9
ZEROS = np.zeros(10, np.float32)
CODECS = [Codec("fp16"), Codec("int8"), Codec("topk", 0.34), Codec("topk", 1.0)]
STEPS = 127


def encoded(codec, wanted, given=ZEROS, spec=SPEC):
    return encode(codec, np.float32(wanted), np.float32(given), spec)


def there_and_back(codec, wanted, given=ZEROS, spec=SPEC):
    arrays = encoded(codec, wanted, given, spec)
    out = np.full(spec.num_float, np.nan, np.float32)
    decode(codec, arrays, spec, out)
    return out


def test_int8_has_127_steps_to_the_largest_of_each_tensor_and_rounds_half_to_even():
    # w: largest 127 → scale 1, −2.5 → −2, 1.5 → 2; b: 0.5 / 127 a step, −0.25 is −63.5 → −64
    wanted = [127, -2.5, 1.5, 0.4, 0.5, -0.25, 0, 0, 254, 1]
    found = encoded(Codec("int8"), wanted)
    assert found["steps"].tolist() == [127, -2, 2, 0, 127, -64, 0, 0, 127, 0]  # 1 / 2 = 0.5 → 0
    assert found["scales"].tolist() == [1.0, np.float32(0.5) / np.float32(127), 0.0, 2.0]
    assert (found["steps"].dtype, found["scales"].dtype) == (np.int8, np.float32)
    np.testing.assert_array_equal(
        there_and_back(Codec("int8"), wanted)[[0, 1, 2, 3, 6, 7, 8, 9]],
        np.float32([127, -2, 2, 0, 0, 0, 254, 0]),
    )


def test_fp16_keeps_eleven_bits_and_cuts_what_is_too_large():
    # 1/3 = 1365.33 / 4096 → 1365 / 4096; 2049 lies between 2048 and 2050, half to even
    wanted = [1 / 3, 2049, 1e6, -1e6, 1e-9, 0, 65503, -1, 3, 4]
    found = encoded(Codec("fp16"), wanted)["halves"]
    assert found.dtype == np.float16
    assert found.tolist() == [1365 / 4096, 2048, 65504, -65504, 0, 0, 65504, -1, 3, 4]


def test_topk_sends_the_largest_magnitudes_of_the_weights_and_every_buffer():
    # ceil(0.34 · 6) = 3 of w and b: −9, 7 and 5; buffers never compete
    found = encoded(Codec("topk", 0.34), [5, -9, 1, 0, 7, -4, 100, 0, 1 / 3, 200])
    assert found["indices"].tolist() == [0, 1, 4]
    assert found["values"].tolist() == [5, -9, 7]
    assert found["buffers"].tolist() == [100, 0, 1365 / 4096, 200]
    assert [found[name].dtype for name in found] == [np.int32, np.float32, np.float16]
    back = there_and_back(Codec("topk", 0.34), [5, -9, 1, 0, 7, -4, 100, 0, 0.5, 200])
    assert back.tolist() == [5, -9, 0, 0, 7, 0, 100, 0, 0.5, 200]


@pytest.mark.parametrize(
    ("weights", "kept"),
    [
        ([1, -1, 1, -1, 1, 1], [0, 1, 2]),
        ([0, 2, 1, -1, -2, 1], [1, 2, 4]),
        ([0, 0, 0, 0, 0, 3], [0, 1, 5]),
        ([0, 0, 0, 0, 0, 0], [0, 1, 2]),
    ],
)
def test_of_equal_magnitudes_the_first_are_sent(weights, kept):
    assert encoded(Codec("topk", 0.5), [*weights, 0, 0, 0, 0])["indices"].tolist() == kept


@pytest.mark.parametrize(("share", "sent"), [(1e-9, 1), (1 / 6, 1), (0.17, 2), (0.5, 3), (1, 6)])
def test_topk_sends_the_share_rounded_up(share, sent):
    declared = {"indices": ("<i4", sent), "values": ("<f4", sent), "buffers": ("<f2", 4)}
    assert Codec("topk", share).arrays(SPEC) == declared
    assert len(encoded(Codec("topk", share), np.arange(10))["indices"]) == sent


def test_a_variance_that_would_become_negative_takes_the_next_step():
    # scale 1: −0.6 → −1, but 0.6 − 1 < 0, so 0; −1.4 → −1 may stay, since 2 − 1 > 0
    given = [0, 0, 0, 0, 0, 0, 0, 0, 0.6, 200]
    found = encoded(Codec("int8"), [0, 0, 0, 0, 0, 0, 0, 0, -0.6, 127], given)
    assert found["steps"][8:].tolist() == [0, 127]
    found = encoded(Codec("int8"), [0, 0, 0, 0, 0, 0, 0, 0, -1.4, 127], [0] * 8 + [2, 200])
    assert found["steps"][8:].tolist() == [-1, 127]


def test_a_half_that_would_make_a_variance_negative_takes_the_next_one():
    # float16(−0.1) = −0.0999756 is above −0.1; float16(−0.3) = −0.300049 is below −0.3
    given = [0, 0, 0, 0, 0, 0, 0, 0, 0.1, 0.3]
    found = encoded(Codec("fp16"), -np.float32(given), given)["halves"][8:]
    assert found[0] == np.float16(-0.1)
    assert found[1] == np.nextafter(np.float16(-0.3), np.float16(0))


@pytest.mark.parametrize("codec", CODECS, ids=lambda c: f"{c.name}-{c.topk}")
def test_what_is_carried_over_cannot_push_a_variance_below_zero(codec):
    # The trained variance is 0, but earlier rounds still owe −5: the update is far below −given.
    given = np.float32([0] * 8 + [1, 1e-30])
    back = there_and_back(codec, [0] * 8 + [-6, -5], given)
    assert (given + back >= 0)[8:].all()
    assert back[8] == pytest.approx(-1.0, rel=0.01)


def test_numbers_too_small_for_a_scale_are_carried_over_whole():
    wanted = np.full(10, 1e-40, np.float32)
    assert not there_and_back(Codec("int8"), wanted).any()
    assert not encoded(Codec("int8"), wanted)["scales"].any()


def vectors(largest=2.0**100):
    odd = st.sampled_from([0.0, -0.0, 2.0**-126, -(2.0**-140), 1.0])
    elements = st.floats(-largest, largest, width=32) | odd
    return hnp.arrays(np.float32, 10, elements=elements)


def starts(largest=2.0**100):
    return vectors(largest).map(np.abs)


@drawn(vectors(), starts())
def test_int8_errs_by_half_a_step_at_most(wanted, given):
    arrays, back = encoded(Codec("int8"), wanted), there_and_back(Codec("int8"), wanted, given)
    step = np.repeat(arrays["scales"].astype(np.float64), [4, 2, 2, 2])
    error = np.abs(wanted.astype(np.float64) - back)
    # in float32; below, where a scale would not be a normal number, all is carried over
    most = 0.5 * step * (1 + 1e-4) + STEPS * np.finfo(np.float32).tiny
    assert (error <= most)[:8].all()
    free = wanted[8:] >= -given[8:]
    lifted = np.maximum(wanted, -given)
    step = np.abs(lifted[8:]).max() / STEPS
    assert (error[8:] <= step * (1 + 1e-4) + STEPS * np.finfo(np.float32).tiny)[free].all()


@pytest.mark.parametrize("codec", CODECS, ids=lambda c: f"{c.name}-{c.topk}")
@drawn(vectors(), starts())
def test_no_codec_makes_a_variance_negative(codec, wanted, given):
    back = there_and_back(codec, wanted, given)
    assert np.isfinite(back).all()
    assert (given[8:] + back[8:] >= 0).all()


@drawn(vectors(60_000), starts(60_000))
def test_fp16_errs_by_a_2048th_or_by_half_its_smallest_number(wanted, given):
    back = there_and_back(Codec("fp16"), wanted, given)
    error = np.abs(wanted.astype(np.float64) - back)
    assert (error <= np.maximum(np.abs(wanted.astype(np.float64)) * 2**-11, 2**-25))[:8].all()


@drawn(vectors(), st.sampled_from([0.1, 0.34, 0.5, 0.9]))
def test_topk_leaves_nothing_larger_than_what_it_sends(wanted, share):
    arrays = encoded(Codec("topk", share), wanted)
    sent = np.zeros(6, bool)
    sent[arrays["indices"]] = True
    assert sent.sum() == math.ceil(share * 6)
    assert np.abs(wanted[:6][sent]).min() >= np.abs(wanted[:6][~sent]).max(initial=0.0)


@pytest.mark.parametrize("codec", CODECS, ids=lambda c: f"{c.name}-{c.topk}")
def test_with_error_feedback_nothing_is_lost_for_good(codec):
    # What the server has = what was trained − what is still owed, and that does not grow: the last
    # error only, whatever the number of rounds. Of the share d sent by top-k at most
    # |owed| <= r / (1 − r) · max |update|, r = sqrt(1 − d) (Karimireddy et al. 2019, lemma 3).
    rng = np.random.default_rng(0)
    updates = rng.normal(0, 1, (400, 10)).astype(np.float32)
    updates[:, 6:] *= np.float32(0.01)
    given, owed, total = ZEROS + np.float32(1e6), ZEROS.copy(), np.zeros(10)
    for update in updates:
        wanted = update + owed
        back = there_and_back(codec, wanted, given)
        owed, total = wanted - back, total + back
    np.testing.assert_allclose(total + owed, updates.astype(np.float64).sum(axis=0), atol=1e-3)
    shrink = math.sqrt(1 - codec.arrays(SPEC).get("indices", ("", 6))[1] / 6)
    largest = np.linalg.norm(updates[:, :6], axis=1).max()
    most = shrink / (1 - shrink) * largest if shrink else 0.02 * largest
    assert np.linalg.norm(owed[:6]) <= most
    assert np.abs(owed[6:]).max() < 0.001


def test_without_error_feedback_small_updates_never_arrive():
    # the reason for it: 0.3 is under half a step of 1 in every round
    back = [there_and_back(Codec("int8"), [127, 0.3, *[0] * 8]) for _ in range(100)]
    assert np.sum(back, axis=0)[1] == 0.0


def test_the_same_update_gives_the_same_bits():
    rng = np.random.default_rng(1)
    wanted = rng.normal(0, 1, 10).astype(np.float32)
    for codec in CODECS:
        one, two = encoded(codec, wanted), encoded(codec, wanted.copy())
        assert {n: a.tobytes() for n, a in one.items()} == {n: a.tobytes() for n, a in two.items()}


@pytest.mark.parametrize("codec", CODECS, ids=lambda c: f"{c.name}-{c.topk}")
@drawn(vectors(), starts())
def test_what_is_encoded_is_as_declared_and_can_be_decoded(codec, wanted, given):
    arrays = encoded(codec, wanted, given)
    declared = {name: (array.dtype.str, len(array)) for name, array in arrays.items()}
    assert declared == codec.arrays(SPEC)
    check_arrays(arrays, SPEC)


def test_without_a_codec_there_are_no_arrays():
    assert Codec().arrays(SPEC) == {}


@pytest.mark.parametrize("scales", [[1, -1, 1, 1], [1, np.nan, 1, 1], [1, 1, 1, np.inf]])
def test_a_scale_that_is_negative_or_not_finite_is_refused(scales):
    with pytest.raises(RunError, match="a scale of the update is negative or not finite"):
        check_arrays({"steps": np.zeros(10, np.int8), "scales": np.float32(scales)}, SPEC)


@pytest.mark.parametrize("indices", [[-1, 0, 5], [0, 2, 6], [0, 2, 2**31 - 1], [-(2**31), 0, 1]])
def test_an_index_that_is_no_trained_number_s_is_refused(indices):
    with pytest.raises(RunError, match="the update's indices are not from 0 to 5"):
        check_arrays({"indices": np.int32(indices)}, SPEC)


@pytest.mark.parametrize(
    "indices", [[0, 2, 2], [0, 5, 2], [2, 0, 5], [0, -1, 5], [0, 6, 5], [0, 2**31 - 1, 5]]
)
def test_indices_that_do_not_rise_are_refused(indices):
    # so is whatever lies outside between a first and a last that do not
    with pytest.raises(RunError, match="the update's indices do not rise"):
        check_arrays({"indices": np.int32(indices)}, SPEC)


@pytest.fixture(scope="module")
def densenet121():
    with torch.device("meta"):
        return spec_of(build_model(ModelConfig(name="densenet121", weights="none"), 14, seed=0))


@pytest.mark.parametrize(
    ("codec", "most"),
    [(Codec("fp16"), 0.5005), (Codec("int8"), 0.251), (Codec("topk", 0.05), 0.11)],
)
def test_the_share_of_densenet121s_bytes(densenet121, codec, most):
    rng = np.random.default_rng(0)
    assert (densenet121.num_float, densenet121.num_counters) == (7_045_582, 121)
    wanted = rng.normal(0, 1e-3, densenet121.num_float).astype(np.float32)
    given = np.ones_like(wanted)
    counters = np.zeros(121, np.int64)
    plain = payload_bytes(pack_vectors({"update": wanted, "counters": counters}))
    arrays = encode(codec, wanted, given, densenet121)
    assert {n: (a.dtype.str, len(a)) for n, a in arrays.items()} == codec.arrays(densenet121)
    sent = payload_bytes(pack_vectors({**arrays, "counters": counters}))
    assert sent / plain <= most
