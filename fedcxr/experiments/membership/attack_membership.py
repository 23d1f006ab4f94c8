"""`fedcxr attack membership`: from a finished run to what its models give away of its patients."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcxr.attacks.identified import FEWEST_TARGETS
from fedcxr.attacks.scores import METHODS, Method, methods_of
from fedcxr.attacks.signals import References, of_patients
from fedcxr.attacks.vae_scores import vae_methods_of
from fedcxr.errors import ConfigError, some
from fedcxr.experiments.membership.attack_result import (
    promise_of,
    result_of_model,
    result_of_vaes,
)
from fedcxr.experiments.membership.attack_vaes import VAE_ATTACKERS, attack_vaes
from fedcxr.experiments.membership.attacked_run import Attacked
from fedcxr.experiments.membership.attackers import ATTACKERS, targets
from fedcxr.experiments.membership.findings import findings, identified, not_identified
from fedcxr.experiments.membership.population import Population
from fedcxr.experiments.membership.shadow_files import MOST, SHADOWS, OnProgress, references
from fedcxr.report.membership_page import write_membership_page
from fedcxr.results.membership import FILE, AttackerName, IdentifiedPatients, MembershipResult
from fedcxr.runs.folder import RunFolder

FOLDERS = {"model": "attacks/membership", "vae": "attacks/membership-vae"}
"""In the run's folder, by target."""
_ATTACKERS = {"model": ATTACKERS, "vae": VAE_ATTACKERS}


@dataclass(frozen=True, slots=True)
class MembershipDesign:
    """Who attacks what, by which methods, with how many models of their own."""

    attackers: tuple[str, ...] | None = None
    """None = the outsider; of a VAE its holder and its samples' recipient."""
    methods: tuple[str, ...] | None = None
    """None = all that the shadow models are enough for; of a VAE all."""
    shadows: int = 0
    site: str | None = None
    """Whose patients are attacked; of a client, which one it is. None = all; the first."""
    target: str = "model"
    """`model`: the run's; `vae`: those of its sites."""

    @property
    def named_attackers(self) -> tuple[str, ...]:
        """The attackers, named or not."""
        if self.attackers is not None:
            return self.attackers
        return ATTACKERS[:1] if self.target == "model" else VAE_ATTACKERS


def attack_membership(
    folder: Path,
    design: MembershipDesign,
    on_progress: OnProgress = lambda done, total: None,
) -> Path:
    """Attack a finished run and return the page, in its folder of `FOLDERS`.

    Args:
        folder: the run's.
        design: the attack's.
        on_progress: told how many shadow models are trained, of how many.

    Raises:
        ConfigError: a name or number of the design that cannot be used, or there is no VAE.
        ArtefactError: the run is not finished, or something of it is missing or damaged.
        DataError: it has too few patients to attack.
    """
    attackers = _checked_attackers(design)
    attacked = Attacked.open(folder)
    if design.site not in (None, *attacked.sites):
        known = some(attacked.sites)
        raise ConfigError(f"--site {design.site}: no such site trained. Known: {known}.")
    out = folder / FOLDERS[design.target]
    if design.target == "vae":
        found = attack_vaes(
            attacked,
            attackers=attackers,
            methods=design.methods,
            site=design.site,
            promise=promise_of(attacked),
        )
        result = result_of_vaes(attacked, found)
    else:
        result = _attack_model(attacked, design, attackers, out / SHADOWS, on_progress)
    out.mkdir(parents=True, exist_ok=True)
    RunFolder(out).write_json(FILE, result.model_dump(mode="json"))
    return write_membership_page(result, out)


def _attack_model(
    attacked: Attacked,
    design: MembershipDesign,
    attackers: Sequence[AttackerName],
    shadows: Path,
    on_progress: OnProgress,
) -> MembershipResult:
    """Return what attacks on the run's model find; shadow models are kept in their folder."""
    aims = list(targets(attacked, attackers, design.site))
    population = attacked.population
    if design.shadows:
        own, inside = references(attacked, design.shadows, shadows, on_progress)
    else:
        own, inside = _nothing(population)
    methods = _usable(None if design.methods is None else methods_of(design.methods), own)
    promise, seed = promise_of(attacked), attacked.model.config.seed
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
    return result_of_model(attacked, attacks, people, shadows=design.shadows)


def _checked_attackers(design: MembershipDesign) -> list[AttackerName]:
    """Return who attacks.

    Raises:
        ConfigError: the design cannot be carried out, as far as it can be known yet.
    """
    if design.target not in _ATTACKERS:
        raise ConfigError(f"--target {design.target}: expected one of {', '.join(_ATTACKERS)}.")
    known, asked = _ATTACKERS[design.target], design.named_attackers
    unknown = [name for name in asked if name not in known]
    if unknown or not asked or len(set(asked)) < len(asked):
        wrong = f"there is no {unknown[0]}" if unknown else "name each once, at least one"
        of = "" if design.target == "model" else f" of --target {design.target}"
        raise ConfigError(f"--attackers: {wrong}. Known{of}: {', '.join(known)}.")
    if design.target == "vae" and design.shadows:
        raise ConfigError(
            f"--shadows {design.shadows}: shadow models are of the run's model, and none of a VAE "
            "is trained. Leave it out with --target vae."
        )
    if not 0 <= design.shadows <= MOST or design.shadows % 2:
        raise ConfigError(
            f"--shadows {design.shadows}: expected an even number from 0 to {MOST}: two of them "
            "share the patients."
        )
    if design.methods is not None and design.target == "model":
        methods_of(design.methods)
    if design.methods is not None and design.target == "vae":
        vae_methods_of(design.methods, asked, references=1)  # how many there are is seen later
    return [known[known.index(name)] for name in asked]


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
