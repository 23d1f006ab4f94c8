"""What privacy costs in AUROC: a comparison with an arm for each level and ε, drawn as a curve.

Its statistics, its frozen protocol, its resuming and its page are a comparison's. What is added are
the arms, one δ for all of them, and the curve.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from fedcxr.atomic import write_text_atomically
from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.privacy import PrivacyConfig
from fedcxr.errors import ConfigError, DataError, some
from fedcxr.experiments.compare.arms import FEDERATED
from fedcxr.experiments.compare.comparing import OnProgress, compare
from fedcxr.experiments.compare.extra_arms import extra_arm
from fedcxr.experiments.membership.attack_membership import MembershipDesign, attack_membership
from fedcxr.experiments.simulate import with_sites_of_plan
from fedcxr.report.sweep_page import write_sweep_page
from fedcxr.results.comparison import Comparison, read_comparison
from fedcxr.results.membership import read_membership
from fedcxr.results.privacy_sweep import (
    DESIGN,
    FILE,
    UNPROTECTED,
    PrivacySweep,
    SweepDesign,
    SweepPoint,
    SweptArm,
    read_design,
)
from fedcxr.results.reading import read_rounds
from fedcxr.results.run_privacy import RunEpsilon
from fedcxr.results.score import Score
from fedcxr.runs.folder import RunFolder
from fedcxr.training.private_plan import DELTA_SHARE
from partitions.prepare import prepare
from server.choices import check_choices
from server.patient_privacy import patients_by_site

LEVELS = ("patient", "client", "update")
ALLOWED = 0.01
"""False alarms of the attack on membership."""


def sweep_privacy(
    config: ExperimentConfig,
    *,
    epsilons: Sequence[float],
    levels: Sequence[str],
    on_start: Callable[[Path], None] = lambda folder: None,
    on_progress: OnProgress = lambda progress: None,
) -> Path:
    """Train every arm, judge them, and write the curve; return the folder, which is a comparison's.

    Args:
        config: of the arm without protection, ε = ∞; the rest of
            `privacy`, such as `clip`, is that of all others.
        epsilons: asked for.
        levels: who is protected.
        on_start: called with the folder before anything is trained.
        on_progress: called now and then with how far the trainings are.

    Raises:
        ConfigError: a level or an ε cannot be had, before anything is trained.
        FedCxrError: see its subclasses; the folder keeps what was reached.
    """
    privacy = config.privacy
    config = _unprotected(config)
    check_choices(config)
    config = with_sites_of_plan(config)
    arms = _arms(epsilons, levels)
    delta = _delta(config) if privacy.delta is None else privacy.delta
    over = {arm.name: _settings(arm, privacy, delta) for arm in arms}
    for name, settings in over.items():
        extra_arm(config, name, settings)  # whatever is wrong is said before anything is made
    design = SweepDesign(delta=delta, arms=tuple(arms))

    def begin(folder: Path) -> None:
        RunFolder(folder).write_json(DESIGN, design.model_dump(mode="json"))
        on_start(folder)

    folder = compare(config, extra_arms=over, on_start=begin, on_progress=on_progress)
    write_curve(folder)
    return folder


def write_curve(folder: Path) -> Path:
    """Write the figures and the page of a finished sweep from its comparison; return the page.

    Raises:
        ArtefactError: the comparison is not finished, or a file is damaged.
    """
    design, found = read_design(folder), read_comparison(folder)
    points = [_point(folder, found, UNPROTECTED, None)]
    points += [_point(folder, found, arm.name, arm) for arm in design.arms]
    sweep = PrivacySweep(
        fedcxr=found.fedcxr,
        name=found.name,
        source=found.data.source,
        is_synthetic=found.data.synthetic,
        model=found.training.model,
        image_size=found.training.image_size,
        sites=found.data.partition.clients,
        rounds=found.training.rounds,
        seeds=found.training.seeds,
        test_images=found.data.test_images,
        test_patients=found.data.test_patients,
        interval=found.statistics.level,
        delta=design.delta,
        points=tuple(points),
    )
    write_text_atomically(folder / FILE, sweep.model_dump_json(indent=1) + "\n")
    return write_sweep_page(sweep, folder)


def _arms(epsilons: Sequence[float], levels: Sequence[str]) -> list[SweptArm]:
    """Return the arms that protect somebody, level by level."""
    for flag, given in (("--epsilon", epsilons), ("--level", levels)):
        twice = sorted({str(each) for each in given if given.count(each) > 1})
        if twice or not given:
            raise ConfigError(f"{flag}: {some(twice)} given twice." if twice else f"{flag}: none.")
    unknown = [level for level in levels if level not in LEVELS]
    if unknown:
        raise ConfigError(f"--level: there is no {some(unknown)}. Known: {', '.join(LEVELS)}.")
    return [
        SweptArm(name=f"{level}-{epsilon:g}".replace(".", "_"), level=level, epsilon=epsilon)
        for level in levels
        for epsilon in epsilons
    ]


def _settings(arm: SweptArm, privacy: PrivacyConfig, delta: float) -> list[str]:
    """Return what an arm has over the configuration without protection."""
    own = {
        "level": arm.level,
        "epsilon": arm.epsilon,
        "delta": delta,
        "clip": privacy.clip,
        "physical_batch": privacy.physical_batch,
    }
    return [f"privacy.{key}={value}" for key, value in own.items()]


def _unprotected(config: ExperimentConfig) -> ExperimentConfig:
    """Return the configuration of the arm without protection.

    Raises:
        ConfigError: the configuration protects somebody itself, or lacks that arm.
    """
    privacy = config.privacy
    if privacy.level != "none" or privacy.epsilon is not None or privacy.noise is not None:
        raise ConfigError(
            "privacy.level, privacy.epsilon, privacy.noise: a sweep sets these itself, for each "
            "arm. Leave them out; --level and --epsilon of the sweep say which arms there are."
        )
    if config.compare.arms != (FEDERATED,):
        raise ConfigError(
            f"compare.arms: a sweep holds every arm against federated training without protection "
            f"and has no other. Leave it at {FEDERATED}."
        )
    return config.model_copy(update={"privacy": PrivacyConfig()})


def _delta(config: ExperimentConfig) -> float:
    """Return one δ for all arms: a tenth of 1/patients of the largest site, or of 1/sites."""
    counts = [config.partition.clients, *patients_by_site(prepare(config)).values()]
    return DELTA_SHARE / max(counts)


def _point(folder: Path, found: Comparison, name: str, arm: SweptArm | None) -> SweepPoint:
    result = found.arm(name)
    cost = next((each for each in found.differences if each.arm == name), None)
    return SweepPoint(
        arm=name,
        title=result.title,
        level="none" if arm is None else arm.level,
        epsilon=None if arm is None else arm.epsilon,
        spent=None if arm is None else _spent(folder, found, name),
        auroc=result.macro_auroc,
        cost=None if cost is None else Score.model_validate(cost.macro_auroc.model_dump()),
        membership_tpr=_membership_tpr(folder, found, name),
    )


def _membership_tpr(folder: Path, found: Comparison, name: str) -> Score:
    """Return which share of members an outsider finds by the loss, over an arm's trainings.

    At 1 % of false alarms. Each training's own result, with its interval, is in its folder.
    """
    runs = [folder / "arms" / f"{name}-seed-{seed}" for seed in found.training.seeds]
    rates = [_attacked(run) for run in runs]
    values = [rate.value for rate in rates if rate.value is not None]
    if len(values) < len(rates) or len(rates) == 1:
        return next((rate for rate in rates if rate.value is None), rates[0])
    why = f"no interval: a mean over {len(rates)} trainings, each with its own"
    return Score(value=sum(values) / len(values), reason=why)


def _attacked(run: Path) -> Score:
    try:
        page = attack_membership(run, MembershipDesign(methods=("loss",)))
    except DataError as err:  # too few patients
        return Score(value=None, reason=str(err).removeprefix(f"{run}: "))
    return read_membership(page.parent).attacks[0].rate(ALLOWED).tpr


def _spent(folder: Path, found: Comparison, name: str) -> RunEpsilon | None:
    """Return the most that any site has spent in any training of an arm."""
    last = [
        read_rounds(folder / "arms" / f"{name}-seed-{seed}")[-1].epsilon
        for seed in found.training.seeds
    ]
    known = [each for each in last if each is not None]
    if len(known) < len(last):
        return None
    prv = [each.prv for each in known if each.prv is not None]
    return RunEpsilon(
        rdp=max(each.rdp for each in known), prv=max(prv) if len(prv) == len(known) else None
    )
