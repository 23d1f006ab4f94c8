import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import log_loss

from fedcxr.training.losses import masked_bce, masked_loss


def test_only_known_labels_count():
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
