"""What privacy costs in AUROC: a comparison with an arm for each level and ε, drawn as a curve.

Its statistics, its frozen protocol, its resuming and its page are a comparison's. What is added are
the arms, one δ for all of them, what attackers get, and the curve.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedcxr.atomic import write_text_atomically
from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.load import with_values
from fedcxr.config.privacy import PrivacyConfig
from fedcxr.errors import ArtefactError, ConfigError, some
from fedcxr.experiments.compare.arms import FEDERATED
from fedcxr.experiments.compare.comparing import OnProgress, all_trainings, compare, read_arms
from fedcxr.experiments.compare.extra_arms import StudyDesign, extra_arm
from fedcxr.experiments.inversion.attack_inversion import OnProgress as OnAttack
from fedcxr.experiments.simulate import with_sites_of_plan
from fedcxr.experiments.sweep.arms import PLACES, delta_of, settings_of, swept_arms
from fedcxr.experiments.sweep.attacks import INVERSION, inversions, members_found, silent
from fedcxr.experiments.sweep.groups import group_costs
from fedcxr.report.sweep_page import write_sweep_page
from fedcxr.results.comparison import Comparison, read_comparison
from fedcxr.results.privacy_sweep import (
    DESIGN,
    FILE,
    UNPROTECTED,
    GroupCost,
    InversionSettings,
    Place,
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
from server.choices import check_choices


def sweep_privacy(
    config: ExperimentConfig,
    *,
    epsilons: Sequence[float],
    levels: Sequence[str],
    places: Sequence[str] = PLACES,
    inversion: InversionSettings | None = INVERSION,
    on_start: Callable[[Path], None] = lambda folder: None,
    on_progress: OnProgress = lambda progress: None,
) -> Path:
    """Train every arm and judge them; return the folder, which is a comparison's.

    What attackers get of them, and the curve, are `write_curve`'s.

    Args:
        config: of the arm without protection, ε = ∞; the rest of
            `privacy`, such as `clip`, is that of all others.
        epsilons: asked for.
        levels: who is protected.
        places: where arms are trained; `centralized` has arms under `patient` alone.
        inversion: how updates are inverted; none = not at all.
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
    arms = swept_arms(epsilons, levels, places)
    delta = delta_of(config, arms, privacy.delta)
    over = {arm.name: settings_of(arm, privacy, delta) for arm in arms}
    for name, settings in over.items():
        extra_arm(config, name, settings)  # whatever is wrong is said before anything is made
    design = SweepDesign(delta=delta, arms=tuple(arms), inversion=inversion)
    study = StudyDesign(
        pooled=[arm.name for arm in arms if arm.trained == "centralized"],
        pairs=list(design.against.items()),
    )

    def begin(folder: Path) -> None:
        RunFolder(folder).write_json(DESIGN, design.model_dump(mode="json"))
        on_start(folder)

    config = with_values(config, {"compare.arms": [UNPROTECTED[at] for at in design.places]})
    return compare(config, extra_arms=over, study=study, on_start=begin, on_progress=on_progress)


def write_curve(folder: Path, on_attack: OnAttack = silent) -> Path:
    """Attack every arm of a finished comparison and write figures and page; return the page.

    Args:
        folder: of the sweep.
        on_attack: told of what is being attacked, how much is done of it and how much it is.

    Raises:
        ArtefactError: the comparison is not finished, or a file is damaged.
    """
    design, found = read_design(folder), read_comparison(folder)
    _check_arms(folder, design, found)
    runs: dict[str, list[Path]] = {}
    for training in all_trainings(folder, *read_arms(folder)):
        runs.setdefault(training.arm, []).append(training.folder)
    inversion, inverted = inversions(folder, design, runs, on_attack)
    members = members_found(runs, on_attack)
    swept = _Swept(found, runs, members, group_costs(folder, design.against), inverted)
    points = []
    for place in design.places:
        points.append(swept.point(UNPROTECTED[place], None, place))
        points += [swept.point(each.name, each, place) for each in design.arms_at(place)]
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
        inversion=inversion,
        points=tuple(points),
    )
    write_text_atomically(folder / FILE, sweep.model_dump_json(indent=1) + "\n")
    return write_sweep_page(sweep, folder)


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
            f"compare.arms: a sweep holds every arm against the same training without protection "
            f"and sets them itself. Leave it at {FEDERATED}; --arms of the sweep says which "
            "trainings there are."
        )
    return config.model_copy(update={"privacy": PrivacyConfig()})


def _check_arms(folder: Path, design: SweepDesign, found: Comparison) -> None:
    """Raise ArtefactError for an arm of the sweep that its comparison has not."""
    names = {arm.name for arm in found.arms}
    wanted = [*(UNPROTECTED[place] for place in design.places), *design.against]
    missing = [name for name in wanted if name not in names]
    if missing:
        raise ArtefactError(
            f"{folder}: the comparison has no arm {some(missing)}, which the sweep is about. Put "
            f"compare.arms and {DESIGN} back as they were, or start the sweep anew."
        )


@dataclass(frozen=True, slots=True)
class _Swept:
    """All that points are made of."""

    found: Comparison
    runs: Mapping[str, Sequence[Path]]
    members: Mapping[str, Score]
    groups: Mapping[str, tuple[GroupCost, ...]]
    inverted: Mapping[str, Mapping[str, Score]]

    def point(self, name: str, arm: SweptArm | None, place: Place) -> SweepPoint:
        """Return an arm's point of the curve.

        Args:
            name: of the arm.
            arm: none = without protection.
            place: where it is trained.
        """
        result = self.found.arm(name)
        cost = next((each for each in self.found.differences if each.arm == name), None)
        return SweepPoint(
            arm=name,
            title=result.title,
            trained=place,
            level="none" if arm is None else arm.level,
            epsilon=None if arm is None else arm.epsilon,
            spent=None if arm is None else _spent(self.runs[name]),
            auroc=result.macro_auroc,
            cost=None if cost is None else Score.model_validate(cost.macro_auroc.model_dump()),
            membership_tpr=self.members[name],
            groups=self.groups[name],
            **self.inverted.get(name, {}),
        )


def _spent(runs: Sequence[Path]) -> RunEpsilon | None:
    """Return the most that any site has spent in any training of an arm."""
    last = [read_rounds(run)[-1].epsilon for run in runs]
    known = [each for each in last if each is not None]
    if len(known) < len(last):
        return None
    prv = [each.prv for each in known if each.prv is not None]
    return RunEpsilon(
        rdp=max(each.rdp for each in known), prv=max(prv) if len(prv) == len(known) else None
    )
