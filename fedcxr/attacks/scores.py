"""Scores of membership by name: the higher, the likelier a record was trained on.

`loss`: Yeom et al. 2018, "Privacy Risk in Machine Learning" (the loss threshold).
`lira-online`, `lira-offline`: Carlini et al. 2022, "Membership Inference Attacks From First
Principles", algorithm 1 and §IV.E. `rmia`: Zarifzadeh et al. 2024, "Low-Cost High-Power Membership
Inference Attacks", its offline form.

Scores of different targets are not comparable: a threshold is set for each model.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcxr.attacks.signals import Answers, Floats, References
from fedcxr.errors import ConfigError

PER_RECORD = 32
"""Models in and out that a deviation of each record's own takes; with fewer all records share one
(Carlini et al. 2022, §VI.C)."""
RMIA_A = 0.3
"""Of the line by which a probability in is guessed from one out (Zarifzadeh et al. 2024, §2.2)."""
RMIA_GAMMA = 2.0
"""How many times as likely as a random record's the record's must have become."""

_LEAST_DEVIATION = 1e-12


@dataclass(frozen=True, slots=True)
class Method:
    """A way to score."""

    name: str
    title: str
    inside: int
    """Models taught a record that it needs, at least."""
    outside: int
    """Models not taught a record that it needs, at least."""
    score: Callable[[Answers, References], Floats]
    """What the target says of N records, what the references say → (N,)."""

    def lacks(self, references: References) -> str | None:
        """Return what these references lack for it, or none."""
        inside, outside = references.fewest() if len(references) else (0, 0)
        if inside >= self.inside and outside >= self.outside:
            return None
        return (
            f"{self.title} needs {self.inside} models that were taught each record and "
            f"{self.outside} that were not; there are {inside} and {outside}"
        )


def lira_online(target: Answers, references: References) -> Floats:
    """Return log N(φ; in) - log N(φ; out) of the target's confidence φ; a Gaussian each record."""
    mean_in, sd_in = _gaussian(references.confidence, references.inside)
    mean_out, sd_out = _gaussian(references.confidence, ~references.inside)
    z_in, z_out = ((target.confidence - mean_in) / sd_in, (target.confidence - mean_out) / sd_out)
    return np.asarray((z_out**2 - z_in**2) / 2 + np.log(sd_out / sd_in))


def lira_offline(target: Answers, references: References) -> Floats:
    """Return by how many deviations the target's confidence exceeds that of models without it.

    The paper's 1 - Pr[Z > φ] rises with it and reaches 1 long before.
    """
    mean_out, sd_out = _gaussian(references.confidence, ~references.inside)
    return np.asarray((target.confidence - mean_out) / sd_out)


def rmia(target: Answers, references: References) -> Floats:
    """Return the share of all records z over which the record x has become γ times as likely.

    Likely: Pr(x | target) ÷ Pr(x), with Pr(x) = ½((1 + a)·mean Pr(x | out) + 1 - a). The z are all
    records of the attack: an attacker does not know who of them is a member.
    """
    outside = ~references.inside
    out = np.where(outside, np.exp(-references.loss), 0.0).sum(axis=0) / outside.sum(axis=0)
    usual = ((1 + RMIA_A) * out + 1 - RMIA_A) / 2
    ratio = np.exp(-target.loss) / usual  # (N,)
    beaten = np.searchsorted(np.sort(ratio), ratio / RMIA_GAMMA, side="left")
    return np.asarray(beaten / len(ratio), dtype=np.float64)


METHODS = {
    method.name: method
    for method in (
        Method("loss", "Loss threshold", 0, 0, lambda target, references: -target.loss),
        Method("lira-online", "LiRA, online", 2, 2, lira_online),
        Method("lira-offline", "LiRA, offline", 0, 2, lira_offline),
        Method("rmia", "RMIA, offline", 0, 1, rmia),
    )
}


def methods_of(names: Sequence[str]) -> tuple[Method, ...]:
    """Return the methods of these names.

    Raises:
        ConfigError: there is none of that name, or one is named twice, or none is named.
    """
    unknown = [name for name in names if name not in METHODS]
    if unknown or not names or len(set(names)) < len(names):
        wrong = f"there is no {unknown[0]}" if unknown else "name each once, at least one"
        raise ConfigError(f"--methods: {wrong}. Known: {', '.join(METHODS)}.")
    return tuple(METHODS[name] for name in names)


def _gaussian(confidence: Floats, used: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return mean and deviation of each record over the models that are used, (N,) each.

    Fewer than `PER_RECORD` of them have one deviation for all records: the root of the mean of
    the records' variances.
    """
    count = used.sum(axis=0)  # at least 2 each, see `Method`
    mean = np.where(used, confidence, 0.0).sum(axis=0) / count
    squares = np.where(used, (confidence - mean) ** 2, 0.0).sum(axis=0)
    own = np.sqrt(squares / np.maximum(count - 1, 1))
    shared = np.sqrt(squares.sum() / max(int((count - 1).sum()), 1))
    deviation = own if count.min() >= PER_RECORD else np.full_like(mean, shared)
    return mean, np.maximum(deviation, _LEAST_DEVIATION)
