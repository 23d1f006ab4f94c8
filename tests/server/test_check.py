import io
from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict

from fedcxr.chain import UPDATE
from fedcxr.config.algorithm import AlgorithmConfig
from fedcxr.errors import RunError
from fedcxr.parameters import Parameters, ParameterSpec
from fedcxr.schema import COUNTERS, KNOWN, WireSchema
from fedcxr.shared_part import SharedPart
from fedcxr.wire import RECEIPT, RESULT, VECTORS, Order, Receipt, pack_receipt, pack_vectors
from server.bounds import Norms, UpdateBound, median_norms
from server.check import TooLongError, check_receipt, check_update, check_vectors

pytestmark = pytest.mark.usefixtures("flower")

SPEC = ParameterSpec(
    names=("conv.weight", "bn.weight", "bn.running_mean", "bn.running_var", "bn.num_batches"),
    shapes=((2, 2), (2,), (2,), (2,), ()),
    kinds=("trainable", "trainable", "buffer", "buffer", "counter"),
)
# positions:   conv.weight 0–3, bn.weight 4–5, running_mean 6–7, running_var 8–9
SCHEMA = WireSchema(SharedPart(SPEC))
ORDER = Order("a-run", 3, "a-nonce", SCHEMA.digest, "{}", 0.1)
RECEIPT_SENT = Receipt("a-run", 3, "a-nonce", SCHEMA.digest, "site-01", "ok", "")
NUMBERS = {"num-examples": 30, "train-loss": 0.5, "images-seen": 60, "seconds": 2.0}
VECTOR = np.arange(10, dtype=np.float32)
GIVEN = Parameters(np.zeros(10, np.float32), np.int64([0]))


def update(*, numbers=None, vector=VECTOR, counters=None, arrays=None, more=None, **receipt):
    counters = np.int64([7]) if counters is None else counters
    content = RecordDict(
        {
            RECEIPT: pack_receipt(replace(RECEIPT_SENT, **receipt)),
            RESULT: MetricRecord({**NUMBERS, **(numbers or {})}),
            VECTORS: arrays or pack_vectors({UPDATE: vector, COUNTERS: counters, **(more or {})}),
        }
    )
    return Message(content, dst_node_id=0, message_type="train")


def check(message, bound=None, schema=SCHEMA):
    return check_update(
        message,
        "site-01",
        ORDER,
        schema=schema,
        most_examples=40,
        given=GIVEN,
        decoded=np.empty(0, np.float32),
        bound=bound,
    )


def changed(position, value):
    vector = VECTOR.copy()
    vector[position] = value
    return vector


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def array_of(data):
    return Array(dtype="float32", shape=(10,), stype="numpy.ndarray", data=data)


def test_a_good_reply_passes_with_all_that_it_says():
    found = check(update())
    assert (found.site_id, found.num_examples) == ("site-01", 30)
    assert (found.train_loss, found.images_seen, found.seconds) == (0.5, 60, 2.0)
    np.testing.assert_array_equal(found.update, VECTOR)
    np.testing.assert_array_equal(found.counters, [7])


@pytest.mark.parametrize("weight", [1, 40])
def test_every_weight_from_1_to_the_plans_number_passes(weight):
    assert check(update(numbers={"num-examples": weight})).num_examples == weight


@pytest.mark.parametrize("weight", [0, -1, 41, 10**12, 1.5, 1e300])
def test_a_weight_that_the_plan_does_not_give_the_site_is_refused(weight):
    # row 14 of the bad-input table
    with pytest.raises(RunError, match="is not a whole number from 1 to 40"):
        check(update(numbers={"num-examples": weight}))


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite_is_refused(weight):
    # row 14 of the bad-input table
    with pytest.raises(RunError, match="'num-examples' is not a finite number"):
        check(update(numbers={"num-examples": weight}))


@pytest.mark.parametrize("key", ["num-examples", "train-loss"])
def test_a_reply_without_weight_or_loss_is_refused(key):
    message = update()
    del message.content.metric_records[RESULT][key]
    with pytest.raises(RunError, match=f"weight None|no '{key}'"):
        check(message)


def test_a_number_that_nobody_asked_for_is_refused():
    with pytest.raises(RunError, match="unknown number 'bonus'"):
        check(update(numbers={"bonus": 1}))


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("round_num", 2, "the reply is for round 2, not 3"),
        ("run", "another-run", "belongs to another run"),
        ("nonce", "b-nonce", "nonce is not the order's"),
        ("nonce", "", "nonce is not the order's"),
        ("nonce", "nönce", "nonce is not the order's"),
        ("schema_digest", "another", "model is not the server's"),
        ("site_id", "site-02", "signed by another site"),
        ("code", "", "gave no reason"),
    ],
)
def test_a_reply_to_something_else_is_refused(field, value, words):
    # row 19 of the bad-input table
    with pytest.raises(RunError, match=words):
        check(update(**{field: value}))


@pytest.mark.parametrize("code", ["failed", "skipped", "out-of-memory"])
def test_a_site_that_says_it_failed_is_refused_with_its_own_reason(code):
    with pytest.raises(RunError, match=r"^the site ran out of memory$"):
        check(update(code=code, reason="the site ran out of memory"))


def test_a_sites_reason_is_cut_short():
    with pytest.raises(RunError) as caught:
        check(update(code="failed", reason="x" * 5000))
    assert len(str(caught.value)) == 200


def test_a_receipt_alone_can_be_checked():
    content = RecordDict({RECEIPT: pack_receipt(RECEIPT_SENT)})
    message = Message(content, dst_node_id=0, message_type="evaluate")
    assert check_receipt(message, "site-01", ORDER) == RECEIPT_SENT


def test_missing_extra_and_renamed_arrays_are_refused():
    # row 18 of the bad-input table
    good = pack_vectors({UPDATE: VECTOR, COUNTERS: np.int64([7])})
    missing = ArrayRecord({UPDATE: good[UPDATE]})
    extra = ArrayRecord({**good, "secret": good[UPDATE]})
    renamed = ArrayRecord({"Update": good[UPDATE], COUNTERS: good[COUNTERS]})
    for record, what in (
        (missing, "'counters' is missing"),
        (extra, "'secret' is not declared"),
        (renamed, "'Update' is not declared"),
    ):
        with pytest.raises(RunError, match=f"vectors are not those declared: {what}"):
            check(update(arrays=record))


def test_a_reply_without_arrays_is_refused():
    message = update()
    del message.content[VECTORS]
    with pytest.raises(RunError, match="exactly one record of arrays"):
        check(message)


@pytest.mark.parametrize("length", [0, 1, 9, 11])
def test_a_vector_of_another_length_is_refused(length):
    # row 18 of the bad-input table
    with pytest.raises(RunError, match=f"'update' has {length} numbers, expected 10"):
        check(update(vector=np.ones(length, np.float32)))


@pytest.mark.parametrize("length", [0, 2])
def test_another_number_of_counters_is_refused(length):
    with pytest.raises(RunError, match=f"'counters' has {length} numbers, expected 1"):
        check(update(counters=np.ones(length, np.int64)))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (VECTOR.astype(np.float64), "float64 with 1 dimensions, expected float32"),
        (VECTOR.astype(np.int64), "int64 with 1 dimensions, expected float32"),
        (VECTOR.astype(">f4"), ">f4 with 1 dimensions, expected float32"),
        (VECTOR.reshape(5, 2), "float32 with 2 dimensions"),
    ],
)
def test_an_array_of_another_dtype_order_or_shape_is_refused(array, words):
    # row 18 of the bad-input table
    good = pack_vectors({UPDATE: VECTOR, COUNTERS: np.int64([7])})
    record = ArrayRecord({UPDATE: array_of(npy(array)), COUNTERS: good[COUNTERS]})
    with pytest.raises(RunError, match=words):
        check(update(arrays=record))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (npy(VECTOR)[:-1], "shorter or longer than it says"),
        (npy(VECTOR)[:50], "not in npy format"),
        (b"not npy at all", "not in npy format"),
    ],
)
def test_bytes_that_are_cut_off_or_something_else_are_refused(data, words):
    good = pack_vectors({UPDATE: VECTOR, COUNTERS: np.int64([7])})
    record = ArrayRecord({UPDATE: array_of(data), COUNTERS: good[COUNTERS]})
    with pytest.raises(RunError, match=words):
        check(update(arrays=record))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("position", "tensor"),
    [(0, "conv.weight"), (3, "conv.weight"), (4, "bn.weight"), (9, "bn.running_var")],
)
def test_a_number_that_is_not_finite_is_refused_by_its_tensor(position, tensor, value):
    # row 15 of the bad-input table
    with pytest.raises(RunError, match=f"1 numbers are not finite, the first in {tensor}$"):
        check(update(vector=changed(position, value)))


def test_all_numbers_that_are_not_finite_are_counted():
    vector = changed(slice(5, 8), np.nan)
    with pytest.raises(RunError, match=r"3 numbers are not finite, the first in bn\.weight"):
        check(update(vector=vector))


def test_a_negative_variance_is_refused_by_its_tensor():
    with pytest.raises(RunError, match=r"a variance is negative in bn\.running_var"):
        check(update(vector=changed(9, -1e-9)))


@pytest.mark.parametrize(
    ("counter", "words"),
    [
        (-1, "a counter is negative"),
        (4, "a counter has moved as no round of training moves it"),  # back
        # one more, and the next round's honest steps would overflow
        (2**63 - 1, "a counter has moved as no round of training moves it"),
    ],
)
def test_a_counter_that_no_training_counts_is_refused(counter, words):
    given = Parameters(np.zeros(10, np.float32), np.int64([5]))
    for allowed in (5, 5 + 2**31):
        check_vectors({UPDATE: VECTOR, COUNTERS: np.int64([allowed])}, SCHEMA, given)
    with pytest.raises(RunError, match=words):
        check_vectors({UPDATE: VECTOR, COUNTERS: np.int64([counter])}, SCHEMA, given)


def test_a_negative_weight_or_mean_and_a_variance_of_zero_are_right():
    vector = VECTOR.copy()
    vector[[0, 4, 6]] = -1.0
    vector[8] = 0.0
    check_vectors({UPDATE: vector, COUNTERS: np.int64([0])}, SCHEMA, GIVEN)


def test_a_negative_counter_is_refused():
    with pytest.raises(RunError, match="a counter is negative"):
        check(update(counters=np.int64([-1])))


def bounded(policy="refuse", trained=2.0, buffers=3.0, images=40):
    """Return the bound of a round after one with these usual norms; twice as much is allowed."""
    of_plan = {"site-01": images, "site-02": 40, "site-03": 40}
    return UpdateBound(2.0, policy, (Norms(trained, buffers),), of_plan)


def test_an_update_has_the_norms_of_its_two_parts():
    # 0² + 1² + … + 5² = 55 of the trained values; 6² + 7² + 8² + 9² = 230 of the statistics
    norms = check(update()).norms
    assert (norms.trained, norms.buffers) == pytest.approx((55**0.5, 230**0.5), rel=1e-5)


@pytest.mark.parametrize("position", [0, 7])
def test_an_update_of_3e38_has_a_norm_and_is_refused_by_it(position):
    assert check(update(vector=changed(position, 3e38))).num_examples == 30  # finite, so far right
    with pytest.raises(TooLongError, match=r"has the norm 3e\+38, and by the rounds before \d"):
        check(update(vector=changed(position, 3e38)), bounded(trained=50.0, buffers=50.0))


def test_a_long_update_is_clipped_to_the_limit_in_the_same_direction():
    # row 16 of the bad-input table
    # twice the usual 2 and 3: 4 and 6 are allowed
    found = check(update(), bounded("clip"))
    assert found.is_clipped
    trained, buffers = found.update[:6], found.update[6:]
    np.testing.assert_allclose(trained, VECTOR[:6] * 4.0 / 55**0.5, rtol=1e-5)
    np.testing.assert_allclose(buffers, VECTOR[6:] * 6.0 / 230**0.5, rtol=1e-5)
    assert found.norms.trained == pytest.approx(55**0.5, rel=1e-5)  # as it was sent


def test_a_site_with_more_images_than_most_may_go_further_in_proportion():
    # a median site has 40 images: with 400 ten times the limit of 4 and 6 is allowed
    assert not check(update(), bounded(images=400)).is_clipped
    with pytest.raises(TooLongError):
        check(update(), bounded(images=40))


def test_the_first_round_has_nothing_to_compare_with():
    bound = UpdateBound(2.0, "refuse", (), {"site-01": 1})
    assert not check(update(vector=changed(0, 3e38)), bound).is_clipped


def test_usual_is_the_median_over_the_rounds_of_each_rounds_median():
    assert median_norms([Norms(1, 4), Norms(2, 5), Norms(30, 60)]) == Norms(2, 5)
    bound = UpdateBound(2.0, "refuse", (Norms(1, 1), Norms(9, 2), Norms(2, 3)), {"a": 1})
    assert bound.limit("a") == Norms(4, 4)


def test_a_variance_is_negative_by_what_it_becomes_and_not_by_the_update():
    # from 3 by −2 is 1; from 0 by −2 is −2
    given = Parameters(np.full(10, 3, np.float32), np.int64([0]))
    made = {UPDATE: np.full(10, -2, np.float32), COUNTERS: np.int64([0])}
    check_vectors(made, SCHEMA, given)
    with pytest.raises(RunError, match="a variance is negative"):
        check_vectors(made, SCHEMA, GIVEN)


SCAFFOLD = WireSchema(SharedPart(SPEC), AlgorithmConfig(name="scaffold"))
CHANGE = np.arange(6, dtype=np.float32)


def test_what_an_algorithm_has_sites_send_is_taken_by_its_name():
    found = check(update(more={"control-change": CHANGE}), schema=SCAFFOLD)
    assert found.vectors["control-change"].tolist() == CHANGE.tolist()
    with pytest.raises(RunError, match="'control-change' is missing"):
        check(update(), schema=SCAFFOLD)
    with pytest.raises(RunError, match="'control-change' is not declared"):
        check(update(more={"control-change": CHANGE}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (CHANGE[:5], "'control-change' has 5 numbers, expected 6"),
        (CHANGE.astype(np.float64), "is float64 with 1 dimensions, expected float32"),
        (np.float32([0, 0, np.nan, 0, 0, 0]), "'control-change' is not finite"),
    ],
)
def test_what_an_algorithm_has_sites_send_is_checked_as_the_update_is(change, words):
    with pytest.raises(RunError, match=words):
        check(update(more={"control-change": change}), schema=SCAFFOLD)


def test_what_an_algorithm_has_sites_send_is_bounded_as_the_update_is():
    of_plan = {"site-01": 40, "site-02": 40, "site-03": 40}
    usual = (Norms(1e3, 1e3, 1.0),)  # twice as much is allowed, and 55 ** 0.5 is sent
    sent = {"control-change": CHANGE}
    with pytest.raises(TooLongError, match=r"what it sends besides has the norm 7\.42, and"):
        check(update(more=sent), UpdateBound(2.0, "refuse", usual, of_plan), SCAFFOLD)
    found = check(update(more=sent), UpdateBound(2.0, "clip", usual, of_plan), SCAFFOLD)
    assert found.is_clipped
    np.testing.assert_array_equal(found.update, VECTOR)
    cut = found.vectors["control-change"]
    np.testing.assert_allclose(cut, CHANGE * 2.0 / 55**0.5, rtol=1e-5)


COUNTED = WireSchema(SharedPart(SPEC), num_known=2)


def test_counts_of_known_targets_go_from_0_to_the_sites_weight():
    assert check(update(more={KNOWN: np.int64([0, 30])}), schema=COUNTED).known.tolist() == [0, 30]
    for counts in ([0, 31], [-1, 2]):
        with pytest.raises(RunError, match="a count of known targets is not from 0 to the site's"):
            check(update(more={KNOWN: np.int64(counts)}), schema=COUNTED)
