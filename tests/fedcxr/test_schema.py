"""What a task has server and sites exchange: by hand, and that nothing else passes."""

from itertools import combinations

import numpy as np
import pytest
from flwr.app import Message, RecordDict

from clients.egress import Outgoing, site_reply
from fedcxr.algorithms.protocol import Algorithm, mean_step
from fedcxr.errors import RunError
from fedcxr.parameters import ParameterSpec
from fedcxr.schema import WireSchema, schema_of
from fedcxr.shared_part import SharedPart
from fedcxr.vectors import VectorSpec
from fedcxr.wire import Order, pack_vectors, unpack_vectors, vectors_in

SPEC = ParameterSpec(
    names=("w", "bn.weight", "bn.running_mean", "bn.running_var", "bn.num_batches_tracked"),
    shapes=((2, 3), (2,), (2,), (2,), ()),
    kinds=("trainable", "trainable", "buffer", "buffer", "counter"),
)
# 6 + 2 trained, 2 + 2 statistics, 1 counter

SCHEMAS = {
    "fedavg": {},
    "fedavg, counts known": {"counts_known": True},
    "local": {"batch_norm": "local"},
    "fedbn": {"algorithm": {"name": "fedbn"}},
    "scaffold": {"algorithm": {"name": "scaffold"}},
    "scaffold, local": {"algorithm": {"name": "scaffold"}, "batch_norm": "local"},
    "fp16": {"codec": "fp16"},
    "int8": {"codec": "int8"},
    "topk": {"codec": "topk", "topk": 0.25},
    "topk, more": {"codec": "topk", "topk": 0.5},
    "int8, local": {"codec": "int8", "batch_norm": "local"},
    "int8, scaffold": {"codec": "int8", "algorithm": {"name": "scaffold"}},
}
"""Runs of which no two exchange the same."""
PAIRS = list(combinations(SCHEMAS, 2))


@pytest.fixture
def schema(make_task):
    """Build the schema of a run by its name above, or of a task with these changes."""
    return lambda name="fedavg", /, spec=SPEC, **more: schema_of(
        make_task(**(SCHEMAS[name] | more)), spec
    )


def plain(declared):
    return {name: (spec.dtype, spec.length) for name, spec in declared.items()}


def zeros(declared):
    return {name: np.zeros(spec.length, spec.dtype) for name, spec in declared.items()}


MODEL = {"vector": ("<f4", 12), "counters": ("<i8", 1)}


def test_fedavg_exchanges_the_model_and_an_update_of_all_of_it(schema):
    found = schema("fedavg")
    assert plain(found.model) == plain(found.order) == MODEL
    assert plain(found.made) == {"update": ("<f4", 12), "counters": ("<i8", 1)}
    assert found.reply == found.made
    assert (found.spec, found.size) == (SPEC, 8)
    assert not found.shared.private


@pytest.mark.parametrize("name", ["fedprox", "fedavgm", "fedadagrad", "fedadam", "fedyogi"])
def test_what_an_algorithm_keeps_at_the_server_does_not_cross(schema, name):
    found = schema(algorithm={"name": name})
    assert found.order == schema("fedavg").order
    assert found.reply == schema("fedavg").reply
    assert found.digest == schema("fedavg").digest


def test_scaffold_s_control_variates_cross_beside_the_model(schema):
    found = schema("scaffold")
    assert plain(found.order) == {**MODEL, "control": ("<f4", 8)}
    assert (
        plain(found.made)
        == plain(found.reply)
        == {
            "update": ("<f4", 12),
            "counters": ("<i8", 1),
            "control-change": ("<f4", 8),
        }
    )
    assert plain(found.model) == MODEL  # an order to evaluate has none


def test_local_batch_norm_keeps_statistics_and_counters_at_the_site(schema):
    found = schema("local")
    assert plain(found.order) == MODEL
    assert plain(found.reply) == {"update": ("<f4", 8), "counters": ("<i8", 0)}
    assert found.shared.private == {
        "bn.running_mean",
        "bn.running_var",
        "bn.num_batches_tracked",
    }
    assert found.size == 8


@pytest.mark.parametrize("batch_norm", ["average", "local"])
def test_fedbn_keeps_all_of_batch_norm_at_the_site(schema, batch_norm):
    found = schema("fedbn", batch_norm=batch_norm)
    assert plain(found.order) == MODEL
    assert plain(found.reply) == {"update": ("<f4", 6), "counters": ("<i8", 0)}
    assert found.shared.private == set(SPEC.names) - {"w"}
    assert found.size == 6


@pytest.mark.parametrize(
    ("codec", "arrays"),
    [
        ("fp16", {"halves": ("<f2", 12)}),
        ("int8", {"steps": ("|i1", 12), "scales": ("<f4", 4)}),
        ("topk", {"indices": ("<i4", 2), "values": ("<f4", 2), "buffers": ("<f2", 4)}),
    ],
)
def test_a_codec_s_arrays_take_the_place_of_the_update(schema, codec, arrays):
    found = schema(codec)
    assert plain(found.order) == MODEL
    assert plain(found.made) == {"update": ("<f4", 12), "counters": ("<i8", 1)}
    assert plain(found.reply) == {**arrays, "counters": ("<i8", 1)}


def test_a_codec_is_of_the_shared_part_and_leaves_the_algorithm_s_vectors(schema):
    found = schema("int8, scaffold", batch_norm="local", counts_known=True)
    assert plain(found.reply) == {
        "steps": ("|i1", 8),
        "scales": ("<f4", 2),
        "counters": ("<i8", 0),
        "control-change": ("<f4", 8),
        "known-targets": ("<i8", 2),
    }


def test_known_targets_are_sent_one_a_label_where_they_are_counted(schema):
    found = schema("fedavg, counts known")
    assert plain(found.reply)["known-targets"] == ("<i8", 2)
    assert plain(found.order) == MODEL
    three = schema("fedavg, counts known", labels=("Edema", "Fracture", "Hernia"))
    assert plain(three.reply)["known-targets"] == ("<i8", 3)


@pytest.mark.parametrize(("one", "two"), PAIRS)
def test_the_digest_differs_where_anything_declared_does(schema, one, two):
    ours, theirs = schema(one), schema(two)
    assert (ours.order, ours.reply) != (theirs.order, theirs.reply)
    assert ours.digest != theirs.digest


@pytest.mark.parametrize("run", SCHEMAS)
def test_the_digest_is_equal_where_all_that_crosses_is(schema, run):
    ours = schema(run)
    assert len(ours.digest) == 64
    theirs = schema(run, run="another", seed=7, dtype="bf16")
    assert theirs.digest == ours.digest
    same = ParameterSpec.from_json(SPEC.to_json())
    assert schema(run, spec=same).digest == ours.digest
    # topk is of one codec alone
    if not run.startswith("topk"):
        assert schema(run, topk=0.9).digest == ours.digest


def test_the_digest_differs_where_the_model_s_layout_does_and_no_length(schema):
    names = ("v", *SPEC.names[1:])
    shapes = ((3, 2), *SPEC.shapes[1:])
    renamed = ParameterSpec(names, SPEC.shapes, SPEC.kinds)
    turned = ParameterSpec(SPEC.names, shapes, SPEC.kinds)
    found = [schema(spec=spec) for spec in (SPEC, renamed, turned)]
    assert found[0].reply == found[1].reply == found[2].reply
    assert len({one.digest for one in found}) == 3


def test_the_digest_differs_where_another_tensor_of_the_same_size_is_private():
    ours, theirs = (
        WireSchema(SharedPart(SPEC, frozenset({f"bn.{name}"})))
        for name in ("running_mean", "running_var")
    )
    assert (ours.order, ours.reply) == (theirs.order, theirs.reply)
    assert ours.digest != theirs.digest


def test_the_digest_differs_where_the_order_alone_does(schema):
    ours, theirs = schema(), schema()
    more = Algorithm("Sends more than it asks for", mean_step, to_sites=("more",))
    vars(theirs)["rules"] = more
    assert plain(theirs.order) == {**MODEL, "more": ("<f4", 8)}
    assert theirs.reply == ours.reply
    assert theirs.digest != ours.digest


NOT_DECLARED = {
    "one more": lambda vectors: {**vectors, "patients": np.zeros(3, np.float32)},
    "one less": lambda vectors: dict(list(vectors.items())[1:]),
    "another name": lambda vectors: {
        "weights" if number == 0 else name: vector
        for number, (name, vector) in enumerate(vectors.items())
    },
    "longer": lambda vectors: {
        name: np.append(vector, vector.dtype.type(0)) for name, vector in vectors.items()
    },
    "float64": lambda vectors: {name: vector.astype("<f8") for name, vector in vectors.items()},
    "byte order": lambda vectors: {name: vector.astype(">f4") for name, vector in vectors.items()},
    "none": lambda vectors: {},
}


def record_of(vectors):
    return RecordDict({"vectors": pack_vectors(vectors)})


@pytest.mark.parametrize("run", SCHEMAS)
@pytest.mark.parametrize("how", NOT_DECLARED)
def test_an_order_or_reply_of_vectors_that_are_not_declared_is_refused(schema, run, how):
    for declared in (schema(run).order, schema(run).model, schema(run).reply):
        good = zeros(declared)
        assert set(vectors_in(record_of(good), declared)) == set(declared)
        with pytest.raises(RunError, match=r"declared|numbers, expected|dimensions"):
            vectors_in(record_of(NOT_DECLARED[how](good)), declared)


@pytest.mark.usefixtures("flower")
@pytest.mark.parametrize("run", SCHEMAS)
@pytest.mark.parametrize("how", NOT_DECLARED)
def test_a_reply_of_vectors_that_are_not_declared_does_not_leave_a_site(schema, run, how):
    declared = schema(run).reply
    order = Order("a-run", 1, "a-nonce", schema(run).digest, "{}", 0.1)
    message = Message(RecordDict(), dst_node_id=1, message_type="train")

    def reply(vectors):
        return site_reply(message, order, site_id="a", outgoing=Outgoing(vectors, declared))

    assert set(reply(zeros(declared)).content["vectors"]) == set(declared)
    with pytest.raises(RunError, match="not on the list of what may leave a site"):
        reply(NOT_DECLARED[how](zeros(declared)))


@pytest.mark.parametrize(("one", "two"), PAIRS)
def test_what_one_run_s_sites_answer_is_refused_in_another(schema, one, two):
    ours, theirs = schema(one).reply, schema(two).reply
    if ours == theirs:  # they differ in their orders, and in the digest
        return
    with pytest.raises(RunError, match=r"declared|numbers, expected"):
        unpack_vectors(pack_vectors(zeros(theirs)), ours)


def test_a_declaration_is_a_dtype_with_its_byte_order_and_a_length(schema):
    assert schema().reply["update"] == VectorSpec("<f4", 12)
