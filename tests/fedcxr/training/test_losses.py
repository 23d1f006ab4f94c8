import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import log_loss

from fedcxr.config.train import TrainConfig
from fedcxr.training.loss_formulas import (
    asymmetric_loss,
    binary_cross_entropy,
    weighted_cross_entropy,
    weighted_log_loss,
)
from fedcxr.training.losses import LOSSES, entry_losses, label_shares, masked_bce, masked_loss


def test_only_known_labels_count():
    # row 3 of the bad-input table
    # known: ln(1 + e^0) = 0.6931 and ln(1 + e^-2) = 0.1269 for target 1 at logit 2; mean 0.4100
    logits = torch.tensor([[0.0, 2.0, 50.0]])
    target = torch.tensor([[0.0, 1.0, torch.nan]])
    assert masked_bce(logits, target).item() == pytest.approx(0.4100, abs=1e-4)


def test_it_is_the_log_loss_of_an_independent_library():
    rng = np.random.default_rng(0)
    logits, target = rng.normal(size=(20, 3)), (rng.random((20, 3)) > 0.5).astype(float)
    target[rng.random(target.shape) < 0.3] = np.nan
    known = ~np.isnan(target)
    expected = log_loss(target[known], 1 / (1 + np.exp(-logits[known])))
    assert masked_bce(torch.tensor(logits), torch.tensor(target)).item() == pytest.approx(expected)


def test_nothing_known_gives_zero_and_zero_gradient():
    logits = torch.randn(2, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    loss = masked_bce(logits, torch.full((2, 3), torch.nan))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_an_unknown_label_has_no_gradient_even_at_an_extreme_logit():
    logits = torch.tensor([[1e4, 0.0]], requires_grad=True)
    masked_bce(logits, torch.tensor([[torch.nan, 1.0]])).backward()
    assert logits.grad.tolist() == [[0.0, -0.5]]


def three_way_case(seed=0, num=30):
    """Return logits (N, 5 + 2) and a target whose columns 1 and 3 have three classes."""
    rng = np.random.default_rng(seed)
    target = (rng.random((num, 5)) > 0.5).astype(float)
    target[:, 0] = rng.random(num)  # soft
    target[:, [1, 3]] = rng.integers(0, 3, (num, 2))
    target[rng.random(target.shape) < 0.3] = np.nan
    return torch.tensor(rng.normal(0, 3, (num, 7))), torch.tensor(target)


def test_a_three_way_label_costs_what_is_worked_out_by_hand():
    # logits (0, a, b) = (0, ln 2, ln 3): chances 1/6, 2/6, 3/6; and one label more at ln 2
    logits = torch.tensor([[np.log(2), 0.0, np.log(3)]])
    for klass, chance in ((0.0, 1 / 6), (1.0, 2 / 6), (2.0, 3 / 6)):
        loss = masked_loss(logits, torch.tensor([[klass, 1.0]]), [0]).item()
        assert loss == pytest.approx((-np.log(chance) + np.log(2)) / 2)
        alone = masked_loss(logits, torch.tensor([[klass, torch.nan]]), [0]).item()
        assert alone == pytest.approx(-np.log(chance))


def test_three_way_labels_agree_with_torchs_own_cross_entropy():
    logits, target = three_way_case()
    total, known = 0.0, 0
    for column, extra in ((0, None), (1, 5), (2, None), (3, 6), (4, None)):
        rows = ~torch.isnan(target[:, column])
        known += int(rows.sum())
        a, y = logits[rows, column], target[rows, column]
        if extra is None:
            total += F.binary_cross_entropy(torch.sigmoid(a), y, reduction="sum")
        else:
            # any number may be added to all three
            explicit = torch.stack([torch.zeros_like(a), a, logits[rows, extra]], dim=1) - 7.0
            total += F.cross_entropy(explicit, y.long(), reduction="sum")
    assert masked_loss(logits, target, [1, 3]).item() == pytest.approx(float(total) / known)


def test_the_gradient_of_a_three_way_label_is_that_of_its_softmax():
    logits, target = three_way_case()
    logits.requires_grad_()
    masked_loss(logits, target, [1, 3]).backward()
    known = ~torch.isnan(target)
    explicit = torch.stack([torch.zeros(30), logits[:, 1], logits[:, 5]], dim=1).detach()
    chance = torch.softmax(explicit, dim=1)  # d loss / d logit = chance - 1 of the true class
    for column, klass in ((1, 1), (5, 2)):
        slope = (chance[:, klass] - (target[:, 1] == klass).double()) * known[:, 1] / known.sum()
        torch.testing.assert_close(logits.grad[:, column], slope)


def test_without_three_way_labels_the_loss_is_the_plain_one_to_the_bit():
    logits = torch.randn(64, 14, generator=torch.Generator().manual_seed(0))
    target = (torch.rand(64, 14, generator=torch.Generator().manual_seed(1)) > 0.5).float()
    target[::3, 5:] = torch.nan
    assert torch.equal(masked_loss(logits, target), masked_bce(logits, target))


def test_no_known_three_way_label_gives_zero_and_zero_gradient():
    logits = torch.full((2, 3), 1e4, requires_grad=True)
    loss = masked_loss(logits, torch.full((2, 2), torch.nan), [0])
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_a_soft_target_is_between_the_losses_of_its_ends():
    # at logit 0 every target costs ln 2; the gradient is 0.5 - target
    logits = torch.zeros(1, 1, requires_grad=True)
    loss = masked_loss(logits, torch.tensor([[0.7]]))
    loss.backward()
    assert loss.item() == pytest.approx(np.log(2))
    assert logits.grad.item() == pytest.approx(-0.2)


def test_the_loss_before_losses_had_names_is_kept_to_the_bit():
    # what `masked_loss` was: two sums, one of each kind of label, before the mean
    logits, target = (tensor.float() for tensor in three_way_case(num=500))
    two, three, known = [0, 2, 4], [1, 3], ~torch.isnan(target)
    grads = []
    for new in (True, False):
        leaf = logits.clone().requires_grad_()
        if new:
            loss = masked_loss(leaf, target, three)
        else:
            binary = F.binary_cross_entropy_with_logits(
                leaf[:, two], target[:, two].nan_to_num(0.0), reduction="none"
            )
            explicit = torch.stack([torch.zeros(500, 2), leaf[:, three], leaf[:, 5:]])
            chosen = torch.where(target[:, three] == 2, leaf[:, 5:], leaf[:, three])
            ternary = torch.logsumexp(explicit, 0) - torch.where(target[:, three] > 0, chosen, 0.0)
            total = (binary * known[:, two]).sum() + (ternary * known[:, three]).sum()
            loss = total / known.sum()
        loss.backward()
        grads.append((loss.detach(), leaf.grad))
    assert torch.equal(grads[0][0], grads[1][0])
    assert torch.equal(grads[0][1], grads[1][1])


def test_entries_are_masked_each_at_its_own_place():
    # columns: two classes, three classes, two classes; ln 2, ln 3, and one that is not known
    target = torch.tensor([[1.0, 2.0, torch.nan], [torch.nan, torch.nan, 0.0]])
    entries = entry_losses(torch.zeros(2, 4), target, [1])
    expected = torch.tensor([[np.log(2), np.log(3), 0.0], [0.0, 0.0, np.log(2)]])
    torch.testing.assert_close(entries, expected.float())


def built(name, target, **changes):
    """Return a loss of the registry as it is for a site with these targets."""
    return LOSSES.get(name).build(TrainConfig(loss=name, **changes), np.float32(target), "cpu")


def case(num=40, labels=3, seed=0):
    """Return logits and targets with soft and unknown ones, every label known of both classes."""
    rng = np.random.default_rng(seed)
    target = (rng.random((num, labels)) > 0.7).astype(np.float32)
    target[:5] = rng.random((5, labels))
    target[rng.random(target.shape) < 0.2] = np.nan
    return torch.tensor(rng.normal(0, 2, (num, labels)), dtype=torch.float32), target


@pytest.mark.parametrize("name", LOSSES.names())
def test_every_loss_is_finite_at_extreme_logits_and_blind_to_unknown_labels(name):
    target = np.float32([[1, 0], [0, 1], [1, np.nan], [0, np.nan]])
    for size in (1.0, 90.0, 1e4):
        logits = torch.tensor([[size, size], [-size, -size], [-size, size], [size, -size]])
        logits.requires_grad_()
        loss = masked_loss(logits, torch.tensor(target), (), built(name, target))
        loss.backward()
        assert torch.isfinite(loss)
        assert torch.isfinite(logits.grad).all()
        assert logits.grad[2:, 1].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("name", LOSSES.names())
def test_a_soft_target_costs_what_is_expected_of_the_two_hard_ones(name):
    logits, target = case()
    loss = built(name, target)
    ends = [loss(logits, torch.full_like(logits, y)) for y in (0.0, 1.0)]
    mixed = loss(logits, torch.full_like(logits, 0.3))
    torch.testing.assert_close(mixed, 0.7 * ends[0] + 0.3 * ends[1])


@pytest.mark.parametrize("name", LOSSES.names())
def test_an_entrys_loss_does_not_depend_on_the_other_entries(name):
    logits, target = case()
    loss = built(name, target)
    known = torch.tensor(target).nan_to_num(0.0)
    whole = loss(logits, known)
    torch.testing.assert_close(loss(logits[7:9], known[7:9]), whole[7:9])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("prob", [0.7, 0.3])
def test_the_weighted_loss_of_the_worked_example(prob, dtype):
    # Shares of positives 0.75, 0.75, 0.5, so w₊ = 0.25, 0.25, 0.5 and w₋ = 0.75, 0.75, 0.5. Over
    # all entries the positives weigh 0.75 + 0.75 + 1 = 2.5, and the negatives as much, so both
    # constant predictions cost the same: −2.5 · (ln 1.7 + ln 1.3) ÷ 4 rows. It is below 0 because
    # of ε = 1.
    target = torch.tensor([[1, 1, 1], [1, 1, 0], [0, 1, 0], [1, 0, 1]], dtype=dtype)
    ill, well = (torch.tensor(share, dtype=dtype) for share in label_shares(target.numpy()))
    assert (well.tolist(), ill.tolist()) == ([0.25, 0.25, 0.5], [0.75, 0.75, 0.5])
    probs = torch.full((4, 3), prob, dtype=dtype)
    entries = weighted_log_loss(probs, target, positive=well, negative=ill, eps=1.0)
    assert entries.sum(dim=1).mean().item() == pytest.approx(-0.4956203, abs=5e-8)


def test_the_weighted_loss_from_logits_is_that_from_probabilities_without_epsilon():
    logits, target = case()
    known = torch.tensor(target).nan_to_num(0.0).double()
    weights = {"positive": torch.rand(3), "negative": torch.rand(3)}
    one = weighted_cross_entropy(logits.double(), known, **weights)
    other = weighted_log_loss(logits.double().sigmoid(), known, eps=0.0, **weights)
    torch.testing.assert_close(one, other)


def test_weighting_lets_both_classes_of_a_label_weigh_the_same():
    # 1 positive of 4 at logit 0: 0.75 ln 2 once, 0.25 ln 2 three times; mean 0.375 ln 2
    target = np.float32([[1], [0], [0], [0]])
    logits = torch.zeros(4, 1, requires_grad=True)
    loss = masked_loss(logits, torch.tensor(target), (), built("weighted_bce", target))
    loss.backward()
    assert loss.item() == pytest.approx(0.375 * np.log(2))
    assert logits.grad.sum().item() == pytest.approx(0.0, abs=1e-7)


def test_weights_are_of_known_targets_and_a_label_of_one_class_weighs_nothing():
    # columns: 1 of 2 known, never positive, never known
    target = np.float32([[1, 0, np.nan], [0, 0, np.nan], [np.nan, 0, np.nan]])
    ill, well = label_shares(target)
    assert (ill.tolist(), well.tolist()) == ([0.5, 0.0, 0.0], [0.5, 1.0, 0.0])
    logits = torch.zeros(3, 3, requires_grad=True)
    masked_loss(logits, torch.tensor(target), (), built("weighted_bce", target)).backward()
    assert not logits.grad[:, 1:].any()


def test_positive_weights_are_those_of_torchs_own_loss():
    logits, target = case()
    known = ~np.isnan(target)
    positives = np.nansum(target, axis=0)
    weight = torch.tensor((known.sum(axis=0) - positives) / positives)
    zeros = torch.tensor(target).nan_to_num(0.0)
    expected = F.binary_cross_entropy_with_logits(
        logits, zeros, pos_weight=weight, reduction="none"
    )
    torch.testing.assert_close(built("pos_weighted_bce", target)(logits, zeros), expected)


def test_a_label_without_positives_is_trained_on_as_it_is_under_positive_weights():
    target = np.float32([[0], [0]])
    loss = built("pos_weighted_bce", target)(torch.zeros(2, 1), torch.tensor(target))
    assert loss.flatten().tolist() == pytest.approx([np.log(2)] * 2)


@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, None), (2.0, 0.25), (0.5, 0.9), (0.0, None)])
def test_the_focal_loss_is_that_of_torchvision(gamma, alpha):
    from torchvision.ops import sigmoid_focal_loss

    logits, target = case()
    hard = torch.tensor(np.nan_to_num(target).round())
    expected = sigmoid_focal_loss(logits, hard, alpha=-1 if alpha is None else alpha, gamma=gamma)
    loss = built("focal", target, focal_gamma=gamma, focal_alpha=alpha)
    torch.testing.assert_close(loss(logits, hard), expected)


def test_the_asymmetric_loss_is_what_is_worked_out_by_hand():
    # p = 0.8. Positive: −(1 − 0.8)¹ ln 0.8 = 0.044629. Negative, m = 0.8 − 0.05 = 0.75:
    # −0.75⁴ ln 0.25 = 0.438632. A negative with p = 0.04 < 0.05 costs nothing.
    logits = torch.logit(torch.tensor([[0.8, 0.8, 0.04]], dtype=torch.float64)).requires_grad_()
    target = torch.tensor([[1.0, 0.0, 0.0]])
    entries = built("asymmetric", target)(logits, target)
    entries.sum().backward()
    assert entries.tolist()[0] == pytest.approx([0.044629, 0.438632, 0.0], abs=1e-6)
    assert logits.grad[0, 2] == 0.0
    assert logits.grad[0, 1] > 0.0 > logits.grad[0, 0]


def test_without_focus_and_clip_the_asymmetric_loss_is_the_plain_one():
    logits, target = case()
    zeros = torch.tensor(target).nan_to_num(0.0)
    plain = {"asymmetric_gamma_neg": 0.0, "asymmetric_gamma_pos": 0.0, "asymmetric_clip": 0.0}
    torch.testing.assert_close(
        built("asymmetric", target, **plain)(logits, zeros), binary_cross_entropy(logits, zeros)
    )


@pytest.mark.parametrize("gamma", [0.0, 0.5, 4.0])
def test_a_negative_below_the_clip_has_no_gradient_whatever_the_focus(gamma):
    logits = torch.tensor([[-9.0, 9.0]], requires_grad=True)
    loss = asymmetric_loss(logits, torch.zeros(1, 2), gamma_neg=gamma, gamma_pos=1.0, clip=0.05)
    loss.sum().backward()
    assert logits.grad[0, 0] == 0.0
    assert logits.grad[0, 1] > 0.0


@pytest.mark.parametrize("name", LOSSES.names())
def test_the_gradient_of_every_loss_is_its_slope(name):
    logits, target = case(num=8)
    loss, soft = built(name, target), torch.tensor(target).nan_to_num(0.0).double()
    inputs = logits.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, soft), (inputs,))
