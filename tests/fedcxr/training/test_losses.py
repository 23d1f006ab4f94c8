import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from fedcxr.training.losses import masked_bce


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
