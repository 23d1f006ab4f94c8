"""The links from a site's update to what is sent: what a codec loses arrives over the rounds."""

import numpy as np
import pytest

from clients.memory import PRIVATE, memory_of
from fedcxr.chain import LOST, UPDATE, Chain, CodecLink, SiteSide, chain_of
from fedcxr.codecs import Codec
from fedcxr.errors import ArtefactError, RunError
from fedcxr.parameters import ParameterSpec
from fedcxr.vectors import VectorSpec, problem_of

SPEC = ParameterSpec(
    ("w", "bn.running_var", "n"), ((2,), (1,), ()), ("trainable", "buffer", "counter")
)
MADE = {
    "update": VectorSpec("<f4", 3),
    "counters": VectorSpec("<i8", 1),
    "control-change": VectorSpec("<f4", 2),
}
CODECS = ("fp16", "int8", "topk")
GIVEN = np.float32([0, 0, 1])


def update(*values):
    return {UPDATE: np.float32(values)}


def arrived(vectors, codec="int8", topk=0.5):
    """Return what the server has of the update."""
    out = np.full(3, np.nan, np.float32)
    return chain_of(Codec(codec, topk)).invert(vectors, SPEC, out)[UPDATE]


@pytest.fixture
def step(tmp_path):
    """Let a site send the vectors of a round."""

    def make(round_num, vectors, codec="int8", *, topk=0.5, run="a-run"):
        memory = memory_of(tmp_path / "state", run, round_num)
        return chain_of(Codec(codec, topk)).apply(vectors, SPEC, SiteSide(GIVEN, memory))

    return make


def owed(tmp_path, before):
    kept = memory_of(tmp_path / "state", "a-run", before).read(LOST)
    return None if kept is None else kept[LOST].tolist()


def test_without_a_codec_the_vectors_leave_as_they_are_and_nothing_is_kept(step, tmp_path):
    vectors = {**update(1, 2, 3), "counters": np.int64([7])}
    assert step(1, vectors, codec="none") is vectors
    assert not (tmp_path / "state").exists()
    assert arrived(vectors, "none") is vectors[UPDATE]


def test_the_update_leaves_and_what_it_lost_stays(step, tmp_path):
    # 127 / 127 = 1 a step: of (127, 2.25) the 0.25 stays
    sent = step(1, {**update(127, 2.25, 0), "counters": np.int64([7])})
    assert set(sent) == {"steps", "scales", "counters"}
    assert arrived(sent).tolist() == [127, 2, 0]
    assert sent["counters"].tolist() == [7]
    assert owed(tmp_path, 2) == [0, 0.25, 0]


def test_what_was_lost_is_added_to_the_next_update(step, tmp_path):
    # 0.25 + 2.25 = 2.5 → 2 and owes 0.5; then 2.25 + 0.5 = 2.75 → 3 and owes −0.25
    for round_num, arrives, remains in [(1, 2, 0.25), (2, 2, 0.5), (3, 3, -0.25)]:
        assert arrived(step(round_num, update(127, 2.25, 0)))[1] == arrives
        assert owed(tmp_path, round_num + 1)[1] == remains


def test_a_round_done_again_gives_the_same_bits_and_goes_on_as_if_done_once(step):
    # The server went down in round 3, after this site had answered, and orders round 3 again.
    rng = np.random.default_rng(0)
    updates = [update(*rng.normal(0, 1, 2), 0) for _ in range(5)]
    whole = [step(n, vectors, run="whole") for n, vectors in enumerate(updates, 1)]
    for n in (1, 2, 3, 3, 4, 4, 5):
        again = step(n, updates[n - 1])
        assert {name: vector.tobytes() for name, vector in again.items()} == {
            name: vector.tobytes() for name, vector in whole[n - 1].items()
        }


def test_a_round_done_again_may_have_been_trained_otherwise(step, tmp_path):
    step(1, update(127, 2.25, 0))
    step(2, update(127, 40, 0))
    step(2, update(127, 2.25, 0))
    assert owed(tmp_path, 3) == [0, 0.5, 0]


def test_a_server_that_goes_back_too_far_is_told(step):
    for round_num in (1, 2, 3, 4):
        step(round_num, update(1, 2, 3))
    with pytest.raises(ArtefactError, match=r"none from before round 2\. The server went back"):
        step(2, update(1, 2, 3))


def test_a_site_that_sat_out_still_owes(step):
    step(1, update(127, 2.25, 0))
    assert arrived(step(9, update(127, 2.25, 0)))[1] == 2


@pytest.mark.parametrize("codec", CODECS)
def test_over_the_rounds_everything_arrives(step, tmp_path, codec):
    rng = np.random.default_rng(0)
    trained = rng.normal(0, 1, (60, 3)).astype(np.float32)
    trained[:, 2] = np.abs(trained[:, 2])
    updates, total = trained - GIVEN, np.zeros(3)
    for round_num, values in enumerate(updates, 1):
        total += arrived(step(round_num, update(*values), codec), codec)
    wanted = updates.astype(np.float64).sum(axis=0)
    np.testing.assert_allclose(total + owed(tmp_path, 61), wanted, atol=1e-4)
    # half of the weights sent: at most sqrt(0.5) / (1 - sqrt(0.5)) = 2.4 times the largest update
    most = {"fp16": 0.01, "int8": 0.05, "topk": 2.42 * np.linalg.norm(trained, axis=1).max()}[codec]
    assert np.abs(owed(tmp_path, 61)).max() < most


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_update_that_is_not_finite_is_told_and_kept_nowhere(step, tmp_path, codec, value):
    with pytest.raises(RunError, match=r"the update is not finite; lower train\.learning_rate"):
        step(1, update(1, value, 0), codec)
    assert owed(tmp_path, 2) is None


def test_an_update_that_overflows_with_what_is_owed_is_told(step, tmp_path):
    # topk sends one of the two: the other is owed, and twice 3e38 is more than float32 holds
    step(1, update(3.1e38, 3e38, 0), "topk")
    assert owed(tmp_path, 2) == [0, np.float32(3e38), 0]
    with pytest.raises(RunError, match="the update is not finite"):
        step(2, update(0, 3e38, 0), "topk")
    assert owed(tmp_path, 3) == [0, np.float32(3e38), 0]  # as before the round


def test_a_chain_keeps_what_is_owed_and_nothing_else(step, tmp_path):
    step(1, update(1, 2, 3))
    assert memory_of(tmp_path / "state", "a-run", 2).read(PRIVATE) is None
    assert [p.name for p in (tmp_path / "state/a-run").iterdir()] == ["lost-00001.safetensors"]


@pytest.mark.parametrize("codec", CODECS)
def test_neither_the_made_vectors_nor_what_is_sent_are_changed(step, codec):
    made = {**update(1, -2.25, 0.5), "counters": np.int64([7])}
    before = {name: vector.tobytes() for name, vector in made.items()}
    sent = step(1, made, codec)
    bits = {name: vector.tobytes() for name, vector in sent.items()}
    for vector in sent.values():
        vector.setflags(write=False)  # as it comes off the wire
    arrived(sent, codec)
    assert {name: vector.tobytes() for name, vector in made.items()} == before
    assert {name: vector.tobytes() for name, vector in sent.items()} == bits


@pytest.mark.parametrize("codec", ["none", *CODECS])
def test_what_is_sent_is_as_declared_and_comes_back_as_it_was_made(step, codec):
    chain = chain_of(Codec(codec, 0.5))
    made = {
        **update(1, -2, 0.5),
        "counters": np.int64([7]),
        "control-change": np.float32([1e-9, 3]),
    }
    sent = step(1, made, codec)
    assert problem_of(sent, chain.declare(MADE, SPEC)) == ""
    back = chain.invert(sent, SPEC, np.empty(3, np.float32))
    assert problem_of(back, MADE) == ""
    for name in ("counters", "control-change"):  # no codec touches them
        assert back[name] is made[name]


@pytest.mark.parametrize("codec", CODECS)
def test_all_updates_are_decoded_in_the_same_memory(step, codec):
    chain, out = chain_of(Codec(codec, 0.5)), np.full(3, np.nan, np.float32)
    one = chain.invert(step(1, update(1, 2, 3), codec), SPEC, out)
    assert one[UPDATE] is out
    again = chain.invert(step(1, update(0, 0, 0), codec), SPEC, out)
    assert again[UPDATE] is out
    assert out.tolist() == [0, 0, 0]  # nothing of the update before is left


@pytest.mark.parametrize(
    ("codec", "vectors", "words"),
    [
        ("int8", {"steps": np.int8([0] * 3), "scales": np.float32([1, -1])}, "is negative or not"),
        ("topk", {"indices": np.int32([2])}, "indices are not from 0 to 1"),
    ],
)
def test_what_no_site_has_made_is_refused(codec, vectors, words):
    rest = {"values": np.float32([1]), "buffers": np.float16([1])} if codec == "topk" else {}
    with pytest.raises(RunError, match=words):
        arrived({**vectors, **rest}, codec)


def test_a_scale_that_overflows_is_left_to_the_check_of_values():
    # 127 · 3e38 is no float32; the server refuses it by the tensor's name
    sent = {"steps": np.int8([127, 0, 0]), "scales": np.float32([3e38, 0])}
    assert arrived(sent).tolist() == [np.inf, 0, 0]


class Doubled:
    """A link that sends the double of the update."""

    def declare(self, declared, spec):
        return {**declared, "doubled": VectorSpec("<f4", 0)}

    def apply(self, vectors, spec, site):
        return {UPDATE: vectors[UPDATE] * 2, "doubled": np.float32([])}

    def invert(self, vectors, spec, out):
        return {UPDATE: vectors[UPDATE] / 2}


def test_the_server_undoes_the_links_in_the_opposite_order(tmp_path):
    # doubled, then in steps of 2 · 127 / 127 = 2: of 2 · 2.25 = 4.5 arrives 4, the half of it is 2
    chain = Chain((Doubled(), CodecLink(Codec("int8"))))
    assert set(chain.declare(MADE, SPEC)) == {
        "steps",
        "scales",
        "counters",
        "control-change",
        "doubled",
    }
    site = SiteSide(GIVEN, memory_of(tmp_path / "state", "a-run", 1))
    sent = chain.apply(update(127, 2.25, 0), SPEC, site)
    assert sent["scales"].tolist() == [2, 0]
    assert chain.invert(sent, SPEC, np.empty(3, np.float32))[UPDATE].tolist() == [127, 2, 0]
    assert owed(tmp_path, 2) == [0, 0.5, 0]
