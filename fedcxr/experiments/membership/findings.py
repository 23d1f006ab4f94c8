"""From the scores of one attack to what it finds: rates, curve, control, groups; over patients."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedcxr.attacks.identified import FEWEST_TARGETS, QUANTILES, identify
from fedcxr.attacks.rates import (
    ALLOWED,
    LEVEL,
    Rate,
    halves,
    private_bound,
    rate_at,
    roc,
    share_gap,
)
from fedcxr.attacks.signals import Floats, of_patients
from fedcxr.experiments.membership.population import Population
from fedcxr.metrics.gate import TRIED, gated
from fedcxr.metrics.regime import clopper_pearson
from fedcxr.metrics.run_scores import score_run
from fedcxr.metrics.scored_models import ScoredModels
from fedcxr.metrics.studies import IMAGES, Units
from fedcxr.metrics.subgroups import UNKNOWN, ScoredGroup, score_groups
from fedcxr.results.membership import (
    Attack,
    AttackCurve,
    AttackedGroup,
    AttackerName,
    FoundRate,
    IdentifiedPatients,
)
from fedcxr.results.score import Score
from fedcxr.seeding import derive_rng

PATIENTS: Units = ("patient", "patients")
_LABEL = "membership"
_SEVERAL = "no interval: images of one patient are not independent"
_AT = ALLOWED[-1]
"""The false positive rate at which groups are compared."""


class Named(Protocol):
    """A method of whichever kind."""

    @property
    def name(self) -> str:
        """As it is chosen."""

    @property
    def title(self) -> str:
        """As it is shown."""


@dataclass(frozen=True, slots=True)
class Aim:
    """Who attacks, and whom."""

    attacker: AttackerName
    site: str
    """As in `Attack`."""
    who: NDArray[np.bool_]
    """(P,) the patients that the attack is about."""
    models: int
    home: str = ""
    """The site whose own patients are looked at by themselves as well; empty = none."""


@dataclass(frozen=True, slots=True)
class Promise:
    """The run's (ε, δ)."""

    epsilon: float
    delta: float


def findings(
    scores: Floats,
    population: Population,
    aim: Aim,
    method: Named,
    *,
    seed: int,
    promise: Promise | None,
) -> Attack:
    """Return what an attack finds.

    Args:
        scores: (N,) of the images; nan = of a patient whom the attack is not about.
        population: whose they are.
        aim: the attack's.
        method: that made the scores.
        seed: of the control's halves.
        promise: of the run; none = it makes none.
    """
    by_patient = of_patients(scores, population.patient, population.num_patients)
    who, is_member = aim.who, population.is_member
    members, others = by_patient[who & is_member], by_patient[who & ~is_member]
    rates = [rate_at(members, others, allowed) for allowed in ALLOWED]
    fpr, tpr = roc(members, others)
    asked = who[population.patient]
    of_image = is_member[population.patient][asked]
    image_rates = [
        rate_at(scores[asked][of_image], scores[asked][~of_image], allowed) for allowed in ALLOWED
    ]
    one_each = len(of_image) == int(who.sum())
    return Attack(
        attacker=aim.attacker,
        site=aim.site,
        method=method.name,
        title=method.title,
        models=aim.models,
        members=len(members),
        non_members=len(others),
        auroc=_auroc(is_member[who], by_patient[who], np.flatnonzero(who), PATIENTS),
        home_auroc=_home_auroc(by_patient, population, aim) if aim.home else None,
        control=_control(members, seed),
        rates=tuple(_rate(rate, promise) for rate in rates),
        curve=AttackCurve(fpr=tuple(fpr.tolist()), tpr=tuple(tpr.tolist())),
        member_images=int(of_image.sum()),
        non_member_images=int((~of_image).sum()),
        image_auroc=_auroc(of_image, scores[asked], population.patient[asked], IMAGES),
        image_rates=tuple(_rate(each, None, exact=one_each) for each in image_rates),
        groups=tuple(_groups(by_patient, population, who, rates[-1])),
    )


def identified(method: Named, scores: Floats, inside: NDArray[np.bool_]) -> IdentifiedPatients:
    """Return how many patients a method is right about.

    Args:
        method: that made the scores.
        scores: (T, P) of each patient against each target model.
        inside: (T, P) whether the target was taught the patient.
    """
    found = identify(scores, inside)
    return IdentifiedPatients(
        method=method.name,
        title=method.title,
        targets=found.targets,
        patients=len(found.success),
        sure=found.sure,
        by_chance=found.by_chance,
        quantiles=tuple(zip(QUANTILES, found.quantiles, strict=True)),
        reason=None,
    )


def not_identified(method: Named, targets: int, patients: int, why: str = "") -> IdentifiedPatients:
    """Return that there are too few target models, or why else there is no number."""
    few = f"not estimable: {targets} target models, {FEWEST_TARGETS} are needed"
    return IdentifiedPatients(
        method=method.name,
        title=method.title,
        targets=targets,
        patients=patients,
        sure=None,
        by_chance=None,
        quantiles=(),
        reason=why or few,
    )


def _rate(rate: Rate, promise: Promise | None, *, exact: bool = True) -> FoundRate:
    """Return a rate as the result has it.

    Args:
        rate: the rate.
        promise: of the run; none = it makes none.
        exact: whether what is counted is independent, as people are.
    """
    ci, fpr_ci, reason = (rate.ci, rate.fpr_ci, rate.reason) if exact else (None, None, _SEVERAL)
    return FoundRate(
        allowed=rate.allowed,
        tpr=Score(value=rate.tpr, ci=ci, reason=rate.reason or reason),
        hits=rate.hits,
        alarms=rate.alarms,
        fpr_ci=fpr_ci,
        private_bound=promise and private_bound(rate.allowed, promise.epsilon, promise.delta),
    )


def _auroc(
    truth: NDArray[np.bool_], scores: Floats, patient: NDArray[np.intp], units: Units
) -> Score:
    target = truth.astype(np.float64)[:, None]
    found = score_run(target, scores[:, None], [_LABEL], patient, level=LEVEL, units=units)
    one = found.scores[0]
    return Score(value=one.value, ci=one.ci, reason=one.reason)


def _home_auroc(scores: Floats, population: Population, aim: Aim) -> Score:
    """Return the AUROC of the members against those who were held out at their own site."""
    who = np.flatnonzero(aim.who & (population.home == aim.home))
    is_member = population.is_member[who]
    if is_member.all():
        return Score(value=None, reason=f"{aim.home} held no patient out")
    return _auroc(is_member, scores[who], who, PATIENTS)


def _control(members: Floats, seed: int) -> Score:
    """Return the AUROC of one half of the members against the other."""
    first, second = halves(len(members), derive_rng(seed, "membership control"))
    truth = np.repeat([True, False], [len(first), len(second)])
    scores = np.concatenate([members[first], members[second]])
    return _auroc(truth, scores, np.arange(len(members)), PATIENTS)


def _groups(
    scores: Floats, population: Population, who: NDArray[np.bool_], rate: Rate
) -> Iterator[AttackedGroup]:
    """Yield each group's rate and AUROC, and what they are more than those of all others."""
    own = scores[who]
    truth = population.is_member[who]
    of = {name: values[who] for name, values in population.groups.items()}
    found = own > rate.threshold  # all False where there is none
    for group in score_groups(
        truth.astype(np.float64)[:, None],
        own[None, :, None],
        np.arange(len(own)),
        of,
        labels=[_LABEL],
        cuts=np.array([[np.nan]]),
        units=PATIENTS,
    ):
        inside = of[group.attribute] == group.group
        rest = ~inside & (of[group.attribute] != UNKNOWN)
        tpr, gap = _found_share(found & truth, truth & inside, truth & rest, rate.reason)
        is_apart = bool(group.gaps)
        yield AttackedGroup(
            attribute=group.attribute,
            group=group.group,
            members=int((truth & inside).sum()),
            non_members=int((~truth & inside).sum()),
            tpr=tpr,
            tpr_gap=gap if is_apart else Score(value=None),
            auroc=_gated(group.scored["auroc"], group),
            auroc_gap=_gated(group.gaps["auroc"], group) if is_apart else Score(value=None),
        )


def _found_share(
    found: NDArray[np.bool_],
    inside: NDArray[np.bool_],
    rest: NDArray[np.bool_],
    reason: str | None,
) -> tuple[Score, Score]:
    """Return which share of a group's members is found, and by how much it exceeds the rest's."""
    sizes = int(inside.sum()), int(rest.sum())
    hits = int((found & inside).sum()), int((found & rest).sum())
    if reason or not sizes[0]:
        none = Score(value=None, reason=reason or "no member in this group")
        return none, none
    share = Score(value=hits[0] / sizes[0], ci=clopper_pearson(hits[0], sizes[0], LEVEL))
    if not sizes[1]:
        return share, Score(value=None, reason="no member in the other groups")
    gap, ci = share_gap(hits, sizes)
    return share, Score(value=gap, ci=ci)


def _gated(scored: ScoredModels, group: ScoredGroup) -> Score:
    """Return an AUROC or its gap; no interval where such intervals were not shown to hold."""
    estimate = scored.mean(np.ones(1), [0], LEVEL)
    auroc = float(group.scored["auroc"].value[0, 0])
    return Score.of(
        gated(
            estimate,
            scored,
            [0],
            interval=TRIED[scored.measure].mean,
            cluster=1.0,
            auroc=auroc,
            units=PATIENTS,
        )
    )
