"""What hostile sites send in place of their updates: attacks by name, pure arithmetic.

They act on the trained values alone. Statistics and counters stay those of an honest training: a
variance turned negative would be refused at the intake, and the attack would be none.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

SCALE = 100.0
"""Of `scaling`."""


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What an attack is given of a round."""

    own: Floats
    """(T,) what an honest training of the attacker made."""
    honest: Floats
    """(B, T) what the honest sites of the round sent; empty where the attack does not look."""
    deviations: float
    """How many standard deviations ALIE moves; see `z_max`."""


@dataclass(frozen=True, slots=True)
class Attack:
    """One way of being hostile."""

    title: str
    knows: str
    """What the attackers know and do, for a reader."""
    alter: Callable[[Knowledge], Floats] | None = None
    """From what is known to the (T,) values that are sent; none = those of the training."""
    sees_honest: bool = False
    """Whether it waits for the honest sites' updates."""
    flips_labels: bool = False
    """Whether the site trains on wrong labels."""


def sign_flip(known: Knowledge) -> Floats:
    """Return the attacker's own update, turned round."""
    return np.asarray(-known.own, np.float32)


def scaling(known: Knowledge) -> Floats:
    """Return the attacker's own update, many times as long."""
    longer = known.own.astype(np.float64) * SCALE
    return np.asarray(np.clip(longer, -3e38, 3e38), np.float32)


def alie(known: Knowledge) -> Floats:
    """Return the honest mean less some standard deviations, number by number.

    Source: Baruch et al. 2019, "A little is enough: circumventing defenses for distributed
    learning", Algorithm 3. There the attackers estimate mean and deviation from their own updates;
    here they are given those of the honest sites.
    """
    honest = known.honest.astype(np.float64)
    sent = honest.mean(axis=0) - known.deviations * honest.std(axis=0)
    return np.asarray(sent, np.float32)


def z_max(sites: int, hostile: int) -> float:
    """Return how many standard deviations colluders can move and still have the majority near them.

    Φ(z) = (n − m − s) / (n − m), with the s = ⌊n/2 + 1⌋ − m honest sites that they need on their
    side. Never below 0; it is 0 where m is 2 and n even.

    Source: Baruch et al. 2019, Algorithm 3.

    >>> round(z_max(50, 12), 2), z_max(10, 2)
    (0.34, 0.0)
    """
    supporters = sites // 2 + 1 - hostile
    honest = sites - hostile
    share = (honest - supporters) / honest
    return max(0.0, NormalDist().inv_cdf(min(share, 1 - 1e-9)))


NONE = "none"

ATTACKS: dict[str, Attack] = {
    NONE: Attack("No attack", "All sites are honest."),
    "sign-flip": Attack(
        "Sign flip",
        "Each attacker trains honestly and sends its update with the sign turned.",
        sign_flip,
    ),
    "scaling": Attack(
        f"Scaling ×{SCALE:g}",
        f"Each attacker trains honestly and sends its update {SCALE:g} times as long.",
        scaling,
    ),
    "alie": Attack(
        "ALIE",
        "The attackers collude: all send the mean of the honest sites' updates of the same round "
        "less z standard deviations, number by number (Baruch et al. 2019). They are given these "
        "updates, which real attackers could only guess from their own.",
        alie,
        sees_honest=True,
    ),
    "label-flip": Attack(
        "Label flip",
        "Each attacker trains as it is told, on labels that are all turned round: present for "
        "absent, absent for present.",
        flips_labels=True,
    ),
}
"""By name; all attackers of a training do the same in every round."""
