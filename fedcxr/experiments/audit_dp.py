"""`fedcxr audit dp`: is the ε that is claimed for DP-SGD contradicted by what canaries tell?

Each audit is one run of all steps (`fedcxr/privacy/canaries.py`), scored in two ways, each at half
of the error: what the server sees, and that less the noise which the run's seed would give.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from fedcxr.atomic import write_text_atomically
from fedcxr.privacy.accounting import Account, account
from fedcxr.privacy.audit import count_right, epsilon_lower_bound, guess
from fedcxr.privacy.breaches import AS_IT_IS, BROKEN, Variant
from fedcxr.privacy.canaries import run_steps
from fedcxr.privacy.trial import CONFIDENCE, Trial, power
from fedcxr.seeding import derive_seed
from fedcxr.version import __version__

FORMAT = 1
AS_IT_IS_NAME = "as-it-is"
SEEDS_AS_IT_IS, SEEDS_BROKEN = 20, 10
"""Audits of each by `--all`."""
MAY_CONTRADICT = 1
"""Of 20 audits of what is right: 5 % may, by their confidence."""
SURE_POWER = 0.99
"""From which on a breach must be found."""

Show = Callable[[str, int, int], None]
"""Told what is audited, how many audits are done and how many there are."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What one run told."""

    seed: int
    made: int
    right: int
    lower_bound: float
    """ε̂."""


@dataclass(frozen=True, slots=True)
class Audited:
    """The audits of one mechanism."""

    name: str
    title: str
    power: float
    """How often ε is contradicted by such a mechanism, computed; of the right one: by error."""
    audits: tuple[Audit, ...]
    contradicted: int
    """Audits with ε̂ above the claimed ε."""

    @property
    def is_broken(self) -> bool:
        """Whether it was broken on purpose."""
        return self.name != AS_IT_IS_NAME

    @property
    def is_as_it_should_be(self) -> bool:
        """Whether what is right was not contradicted, and what is broken found where it must be."""
        if self.is_broken:
            return self.power < SURE_POWER or self.contradicted == len(self.audits)
        return self.contradicted <= (MAY_CONTRADICT if len(self.audits) >= SEEDS_AS_IT_IS else 0)


def all_variants() -> dict[str, int]:
    """Return every mechanism and how often the whole self-test audits it."""
    return {AS_IT_IS_NAME: SEEDS_AS_IT_IS, **dict.fromkeys(BROKEN, SEEDS_BROKEN)}


def claimed_epsilon(claim: Account) -> float:
    """Return the smaller of what the accountants say: both are upper bounds."""
    return claim.rdp if claim.prv is None else min(claim.rdp, claim.prv)


def audit_mechanisms(
    trial: Trial,
    numbers: Mapping[str, int],
    seed: int,
    *,
    show: Show = lambda what, done, total: None,
) -> Iterator[Audited]:
    """Yield the audits of each mechanism once they are done.

    Args:
        trial: what is run.
        numbers: of audits, by the mechanism's name.
        seed: from which those of the audits descend.
        show: told of the progress.
    """
    epsilon = claimed_epsilon(account(trial.sampling, trial.noise))
    done, total = 0, sum(numbers.values())
    for name, number in numbers.items():
        variant = BROKEN.get(name, AS_IT_IS)
        show(variant.title, done, total)
        audits = []
        for place in range(number):
            audits.append(_audit(trial, variant, derive_seed(seed, "audit", name, place)))
            done += 1
            show(variant.title, done, total)
        yield Audited(
            name,
            variant.title,
            power(trial, variant.breach(trial), epsilon),
            tuple(audits),
            sum(audit.lower_bound > epsilon for audit in audits),
        )


def write_audits(path: Path, trial: Trial, seed: int, found: list[Audited]) -> None:
    """Write what was audited, what was claimed and what was found, as JSON."""
    claim = account(trial.sampling, trial.noise)
    content = {
        "format": FORMAT,
        "fedcxr": __version__,
        "seed": seed,
        "confidence": CONFIDENCE,
        "trial": asdict(trial),
        "claimed": {"epsilon": claimed_epsilon(claim), "rdp": claim.rdp, "prv": claim.prv},
        "mechanisms": [
            {**asdict(each), "is_as_it_should_be": each.is_as_it_should_be} for each in found
        ],
    }
    write_text_atomically(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _audit(trial: Trial, variant: Variant, seed: int) -> Audit:
    """Return what the better of the auditor's looks told."""
    released = run_steps(trial, variant.step, seed, is_seeded=variant.is_seeded)
    looks = []
    for scores in (released.seen, released.without_known_noise):
        found = count_right(guess(scores, trial.guesses), released.is_in)
        bound = epsilon_lower_bound(found, trial.sampling.delta, trial.confidence_of_a_look)
        looks.append(Audit(seed, found.made, found.right, bound))
    return max(looks, key=lambda audit: (audit.lower_bound, audit.right))
