"""What attacks found, put together with what was attacked: the values behind the page."""

from collections.abc import Sequence
from typing import TypedDict

from fedcxr.config.privacy import PrivacyLevel
from fedcxr.experiments.membership.attack_vaes import AttackedVaes
from fedcxr.experiments.membership.attacked_run import Attacked
from fedcxr.experiments.membership.findings import Promise
from fedcxr.results.membership import Attack, IdentifiedPatients, MembershipResult
from fedcxr.results.reading import read_rounds
from fedcxr.results.run_files import RunPlan
from fedcxr.runs.folder import RunFolder
from fedcxr.version import __version__


def promise_of(attacked: Attacked) -> Promise | None:
    """Return the (ε, δ) of each patient against the attackers; none where the run makes none.

    ε is the one that was asked for, or what all rounds have spent; the run has settled δ. Under it
    a VAE is trained within the same budget or not at all, so it holds for who has the VAE too.
    """
    privacy = attacked.model.config.privacy
    if privacy.level != "patient" or privacy.delta is None:
        return None
    epsilon = privacy.epsilon
    if epsilon is None:
        spent = read_rounds(attacked.folder)[-1].epsilon
        epsilon = spent.rdp if spent else None
    return None if epsilon is None else Promise(epsilon, privacy.delta)


def result_of_model(
    attacked: Attacked,
    attacks: Sequence[Attack],
    identified: Sequence[IdentifiedPatients],
    *,
    shadows: int,
) -> MembershipResult:
    """Return what attacks on the run's model found.

    Args:
        attacked: the run.
        attacks: by attacker and method.
        identified: by method.
        shadows: how many models the attackers trained.
    """
    config, population = attacked.model.config, attacked.population
    return MembershipResult(
        **_of_run(attacked),
        model=config.model.name,
        image_size=config.model.image_size,
        epochs=attacked.best_round * config.train.local_epochs,
        parameters=attacked.model.spec.num_trainable,
        members=int(population.is_member.sum()),
        shadows=shadows,
        attacks=tuple(attacks),
        identified=tuple(identified),
        missing=tuple(_missing(attacked, shadows)),
    )


def result_of_vaes(attacked: Attacked, found: AttackedVaes) -> MembershipResult:
    """Return what attacks on the sites' VAEs found."""
    first = found.vaes[0].model
    return MembershipResult(
        **_of_run(attacked),
        target="vae",
        model="VAE",
        image_size=found.vaes[0].size_px,
        epochs=max(vae.epochs for vae in found.vaes),
        parameters=sum(tensor.numel() for tensor in first.parameters()),
        samples=sum(len(vae.samples) for vae in found.vaes),
        members=found.members,
        shadows=0,
        attacks=found.attacks,
        identified=found.identified,
        missing=found.missing,
    )


class _OfRun(TypedDict):
    fedcxr: str
    run: str
    is_synthetic: bool
    source: str
    sites: int
    best_round: int
    non_members: int
    left_out_images: int
    official: int
    privacy: PrivacyLevel
    epsilon: float | None
    delta: float | None


def _of_run(attacked: Attacked) -> _OfRun:
    """Return what is the same whatever of the run is attacked."""
    config, population = attacked.model.config, attacked.population
    promise = promise_of(attacked)
    run = RunFolder.open(attacked.folder)
    plan = RunPlan.model_validate(run.read_json("partition/plan.json"))
    return _OfRun(
        fedcxr=__version__,
        run=run.name,
        is_synthetic=config.data.root is None,
        source=str(run.read_json("manifest.json")["data"]["source"]),
        sites=len(plan.sites),
        best_round=attacked.best_round,
        non_members=population.num_patients - int(population.is_member.sum()),
        left_out_images=population.left_out,
        official=population.official,
        privacy=config.privacy.level,
        epsilon=None if promise is None else promise.epsilon,
        delta=None if promise is None else promise.delta,
    )


def _missing(attacked: Attacked, shadows: int) -> list[str]:
    """Return what of the run could be attacked too and was not."""
    config = attacked.model.config
    found = []
    if config.vae.trains:
        found.append("The sites' VAEs and their samples are attacked by --target vae.")
    if shadows and config.privacy.level != "none":
        found.append(
            "Shadow models are trained without the run's noise: an attacker who trains them with "
            "it may find more."
        )
    return found
