"""`fedcxr attack membership`: from a finished run to what its models give away of its patients."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcxr.attacks.identified import FEWEST_TARGETS
from fedcxr.attacks.scores import METHODS, Method, methods_of
from fedcxr.attacks.signals import References, of_patients
from fedcxr.errors import ConfigError, some
from fedcxr.experiments.membership.attacked_run import Attacked
from fedcxr.experiments.membership.attackers import ATTACKERS, targets
from fedcxr.experiments.membership.findings import (
    Promise,
    findings,
    identified,
    not_identified,
)
from fedcxr.experiments.membership.population import Population
from fedcxr.experiments.membership.shadow_files import MOST, SHADOWS, OnProgress, references
from fedcxr.report.membership_page import write_membership_page
from fedcxr.results.membership import FILE, Attack, IdentifiedPatients, MembershipResult
from fedcxr.results.reading import read_rounds
from fedcxr.results.run_files import RunPlan
from fedcxr.runs.folder import RunFolder
from fedcxr.version import __version__

FOLDER = "attacks/membership"


@dataclass(frozen=True, slots=True)
class MembershipDesign:
    """Who attacks, by which methods, with how many models of their own."""

    attackers: tuple[str, ...] = ("outsider",)
    methods: tuple[str, ...] | None = None
    """None = all that the shadow models are enough for."""
    shadows: int = 0
    site: str | None = None
    """Whose patients are attacked; of a client, which one it is. None = all; the first."""


def attack_membership(
    folder: Path,
    design: MembershipDesign,
    on_progress: OnProgress = lambda done, total: None,
) -> Path:
    """Attack a finished run and return the page, in its folder `attacks/membership/`.

    Args:
        folder: the run's.
        design: the attack's.
        on_progress: told how many shadow models are trained, of how many.

    Raises:
        ConfigError: a name or number of the design that cannot be used.
        ArtefactError: the run is not finished, or something of it is missing or damaged.
        DataError: it has too few patients to attack.
    """
    asked = None if design.methods is None else methods_of(design.methods)
    _check(design)
    attacked = Attacked.open(folder)
    if design.site not in (None, *attacked.sites):
        known = some(attacked.sites)
        raise ConfigError(f"--site {design.site}: no such site trained. Known: {known}.")
    aims = list(targets(attacked, design.attackers, design.site))
    out = folder / FOLDER
    population = attacked.population
    if design.shadows:
        own, inside = references(attacked, design.shadows, out / SHADOWS, on_progress)
    else:
        own, inside = _nothing(population)
    methods = _usable(asked, own)
    promise, seed = _promise(attacked), attacked.model.config.seed
    attacks = [
        findings(
            np.mean([method.score(each, own) for each in answers], axis=0),
            population,
            aim,
            method,
            seed=seed,
            promise=promise,
        )
        for aim, answers in aims
        for method in methods
    ]
    people = [_identified(method, own, inside, population) for method in methods]
    result = _result(attacked, design, attacks, people)
    out.mkdir(parents=True, exist_ok=True)
    RunFolder(out).write_json(FILE, result.model_dump(mode="json"))
    return write_membership_page(result, out)


def _check(design: MembershipDesign) -> None:
    """Raise ConfigError unless the design can be carried out, as far as it can be known yet."""
    unknown = [name for name in design.attackers if name not in ATTACKERS]
    if unknown or not design.attackers or len(set(design.attackers)) < len(design.attackers):
        wrong = f"there is no {unknown[0]}" if unknown else "name each once, at least one"
        raise ConfigError(f"--attackers: {wrong}. Known: {', '.join(ATTACKERS)}.")
    if not 0 <= design.shadows <= MOST or design.shadows % 2:
        raise ConfigError(
            f"--shadows {design.shadows}: expected an even number from 0 to {MOST}: two of them "
            "share the patients."
        )


def _usable(asked: Sequence[Method] | None, own: References) -> tuple[Method, ...]:
    """Return the methods to use.

    Raises:
        ConfigError: one that was asked for needs more shadow models.
    """
    lacks = {method.name: method.lacks(own) for method in METHODS.values()}
    if asked is None:
        return tuple(method for method in METHODS.values() if lacks[method.name] is None)
    for method in asked:
        if lacks[method.name] is not None:
            raise ConfigError(f"--methods {method.name}: {lacks[method.name]}. Raise --shadows.")
    return tuple(asked)


def _nothing(population: Population) -> tuple[References, NDArray[np.bool_]]:
    """Return the references of an attacker without a model of their own."""
    none = np.empty((0, len(population.rows)))
    return References(none, none, none.astype(bool)), np.empty((0, population.num_patients), bool)


def _promise(attacked: Attacked) -> Promise | None:
    """Return the (ε, δ) of each patient against the attackers; none where the run makes none.

    ε is the one that was asked for, or what all rounds have spent; the run has settled δ.
    """
    privacy = attacked.model.config.privacy
    if privacy.level != "patient" or privacy.delta is None:
        return None
    epsilon = privacy.epsilon
    if epsilon is None:
        spent = read_rounds(attacked.folder)[-1].epsilon
        epsilon = spent.rdp if spent else None
    return None if epsilon is None else Promise(epsilon, privacy.delta)


def _identified(
    method: Method, own: References, inside: NDArray[np.bool_], population: Population
) -> IdentifiedPatients:
    """Return whom a method finds where each shadow model in turn is the target."""
    num = population.num_patients
    if len(own) < FEWEST_TARGETS:
        return not_identified(method, len(own), num)
    scores = []
    for model in range(len(own)):
        found = method.score(own.answers_of(model), own.without(model))
        scores.append(of_patients(found, population.patient, num))
    return identified(method, np.stack(scores), inside)


def _result(
    attacked: Attacked,
    design: MembershipDesign,
    attacks: Sequence[Attack],
    people: Sequence[IdentifiedPatients],
) -> MembershipResult:
    config, population = attacked.model.config, attacked.population
    promise = _promise(attacked)
    run = RunFolder.open(attacked.folder)
    plan = RunPlan.model_validate(run.read_json("partition/plan.json"))
    members = int(population.is_member.sum())
    return MembershipResult(
        fedcxr=__version__,
        run=run.name,
        is_synthetic=config.data.root is None,
        source=str(run.read_json("manifest.json")["data"]["source"]),
        model=config.model.name,
        image_size=config.model.image_size,
        sites=len(plan.sites),
        best_round=attacked.best_round,
        epochs=attacked.best_round * config.train.local_epochs,
        parameters=attacked.model.spec.num_trainable,
        members=members,
        non_members=population.num_patients - members,
        left_out_images=population.left_out,
        official=population.official,
        shadows=design.shadows,
        privacy=config.privacy.level,
        epsilon=promise and promise.epsilon,
        delta=promise and promise.delta,
        attacks=tuple(attacks),
        identified=tuple(people),
        missing=tuple(_missing(attacked, design.shadows)),
    )


def _missing(attacked: Attacked, shadows: int) -> list[str]:
    """Return what of the run could be attacked too and was not."""
    config = attacked.model.config
    found = []
    if config.vae.enabled:
        found.append("The sites' VAEs and their samples are not attacked.")
    if shadows and config.privacy.level != "none":
        found.append(
            "Shadow models are trained without the run's noise: an attacker who trains them with "
            "it may find more."
        )
    return found
