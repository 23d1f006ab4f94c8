"""Gradient inversion: images that would have had a site send the update that it sent.

    argmin over x:  D(u(x), u)  +  β · B(x)  +  penalty(x)

u is the update that was seen, u(x) what the site would have sent for x, B how far the batch-norm
statistics of x lie from those that were sent. `cosine`: D = 1 − cos, the penalty is the total
variation, steps are Adam's on the sign of the gradient by the pixels, and the rate falls tenfold
three times; this is Geiping's attack. `layers`: D compares tensor by tensor, so that no layer
drowns the others, and images are sought in the frequencies of radiographs (`search_space.py`); it
needs a tenth of the steps.

Source: Geiping et al. 2020, "Inverting Gradients: How easy is it to break privacy in federated
learning?", eq. 4 and §5 (several steps are unrolled); Yin et al. 2021, "See through Gradients",
§3.2, and Hatamizadeh et al. 2023, "Do Gradient Inversion Attacks Make Federated Learning Unsafe?",
for batch-norm statistics, here those of the very images. Labels are taken as known: no attacker
guesses them better.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fedcxr.attacks.search_space import SearchSpace
from fedcxr.attacks.site_update import Sent

Distance = Literal["cosine", "layers"]
Simulate = Callable[[Tensor], Sent]
"""(N, H, W) pixels in [0, 1] → what would be sent, depending on them."""
OnStep = Callable[[], None]

_FALLS = (3 / 8, 5 / 8, 7 / 8)
"""Of the steps: where the rate falls (Geiping et al. 2020, their code)."""
_BETAS = (0.9, 0.999)
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Matching:
    """How images are sought."""

    distance: Distance
    steps: int
    restarts: int = 1
    statistics: float = 0.0
    """β; 0 = they are not used."""


@dataclass(frozen=True, slots=True)
class Inverted:
    """What was found."""

    pixels: Tensor
    """(N, H, W) in [0, 1]."""
    mismatch: float
    """D, plus β · B."""


def invert(
    simulate: Simulate,
    seen: Sent,
    space: SearchSpace,
    matching: Matching,
    *,
    sizes: Sequence[int] = (),
    on_step: OnStep | None = None,
) -> Inverted:
    """Return the images that match best what was seen, over all restarts.

    Args:
        simulate: the attacker's own site.
        seen: what the true one sent.
        space: where images are sought, and from where.
        matching: how long, by which distance.
        sizes: numbers of the update's tensors, for `layers`; none = one tensor.
        on_step: called after each step.
    """
    pieces = list(sizes) or [len(seen.update)]

    def apart(pixels: Tensor) -> Tensor:
        return mismatch(simulate(pixels), seen, matching, pieces)

    best: Inverted | None = None
    for restart in range(matching.restarts):
        pixels = _descend(apart, space, space.start(restart), matching, on_step)
        found = Inverted(pixels, float(apart(pixels).detach()))
        if best is None or found.mismatch < best.mismatch:
            best = found
    assert best is not None
    return best


def mismatch(guess: Sent, seen: Sent, matching: Matching, sizes: Sequence[int]) -> Tensor:
    """Return the distance of the updates, plus the weighted one of the statistics.

    >>> guess, seen = Sent(torch.tensor([1.0, 1.0])), Sent(torch.tensor([0.0, 2.0]))
    >>> round(mismatch(guess, seen, Matching("cosine", 1), [2]).item(), 4)  # 1 - 1/√2
    0.2929
    >>> round(mismatch(guess, seen, Matching("layers", 1), [2]).item(), 4)  # (1 + 1) / 4
    0.5
    """
    apart = _cosine(guess, seen) if matching.distance == "cosine" else _layers(guess, seen, sizes)
    if not matching.statistics or not seen.statistics:
        return apart
    layers = zip(guess.statistics, seen.statistics, strict=True)
    distances = torch.stack([_layer_distance(g, s) for g, s in layers])
    return apart + matching.statistics * distances.mean()


def _cosine(guess: Sent, seen: Sent) -> Tensor:
    lengths = torch.linalg.vector_norm(guess.update) * torch.linalg.vector_norm(seen.update)
    cosine: Tensor = (guess.update @ seen.update) / lengths.clamp(min=_TINY)
    return 1.0 - cosine


def _layers(guess: Sent, seen: Sent, sizes: Sequence[int]) -> Tensor:
    """Return the squared distance of each tensor over its squared length, the mean over tensors."""
    square = torch.split((guess.update - seen.update).square(), list(sizes))
    whole = torch.split(seen.update.square(), list(sizes))
    parts = [s.sum() / w.sum().clamp(min=_TINY) for s, w in zip(square, whole, strict=True)]
    return torch.stack(parts).mean()


def _layer_distance(guess: Tensor, seen: Tensor) -> Tensor:
    """Return how far means and deviations lie apart, in deviations, squared; over the channels."""
    variance = seen[1].clamp(min=1e-6)
    means = (guess[0] - seen[0]).square() / variance
    deviations = (guess[1].clamp(min=_TINY).sqrt() - variance.sqrt()).square() / variance
    return (means + deviations).mean()


def _descend(
    apart: Callable[[Tensor], Tensor],
    space: SearchSpace,
    start: Tensor,
    matching: Matching,
    on_step: OnStep | None,
) -> Tensor:
    """Return the pixels at the end of the search."""
    place = start.detach().clone()
    mean, square = torch.zeros_like(place), torch.zeros_like(place)
    for step in range(1, matching.steps + 1):
        place.requires_grad_()
        pixels = space.to_pixels(place)
        loss = apart(pixels) + space.penalty(place, pixels)
        (gradient,) = torch.autograd.grad(loss, place)
        gradient = gradient.nan_to_num(0.0)
        if space.signed:
            gradient = gradient.sign()
        else:
            gradient = gradient / torch.linalg.vector_norm(gradient).clamp(min=_TINY)
        # Adam: Kingma and Ba 2015, algorithm 1.
        mean = _BETAS[0] * mean + (1 - _BETAS[0]) * gradient
        square = _BETAS[1] * square + (1 - _BETAS[1]) * gradient.square()
        move = mean / (1 - _BETAS[0] ** step)
        move = move / ((square / (1 - _BETAS[1] ** step)).sqrt() + 1e-8)
        done = (step - 1) / matching.steps
        place = place.detach() - space.step_size * _rate(done, space.signed) * move
        if space.signed:
            place = place.clamp(0.0, 1.0)
        if on_step is not None:
            on_step()
    return space.to_pixels(place.detach()).clamp(0.0, 1.0)


def _rate(done: float, is_signed: bool) -> float:
    """Return the share of the step size after this share of the steps."""
    if is_signed:
        return float(0.1 ** sum(done >= fall for fall in _FALLS))
    return (1 + math.cos(math.pi * done)) / 2
