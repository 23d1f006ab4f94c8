"""Federated against centralized and local training, on the same patients and from the same weights.

A comparison is a folder with one run folder for each training, so it can be stopped and resumed,
and every figure of it follows from the predictions that the trainings left behind.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

from fedcxr.atomic import write_text_atomically
from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.load import read_config, to_yaml, with_values
from fedcxr.cores import cores
from fedcxr.errors import ArtefactError, ConfigError, some
from fedcxr.experiments.compare.arms import (
    LOCAL,
    Arm,
    Training,
    arms_of,
    check_arms,
    names_of,
    trainings_of,
)
from fedcxr.experiments.compare.draws import (
    check_draws,
    draw_folder,
    held_out_set,
    keep_draws,
    prepare_draws,
    read_draws,
    seeds_of,
)
from fedcxr.experiments.compare.endpoint import check_labels
from fedcxr.experiments.compare.external_data import (
    read_externals,
    settle_externals,
)
from fedcxr.experiments.compare.external_sets import keep_externals, kept_externals
from fedcxr.experiments.compare.extra_arms import (
    COMPARISON,
    StudyDesign,
    extra_arm,
    keep_arms,
    kept_arms,
)
from fedcxr.experiments.compare.freezing import MAY_CHANGE, settle_protocol
from fedcxr.experiments.compare.judge import judge
from fedcxr.experiments.compare.trainings import TrainingsProgress, is_finished, run_trainings
from fedcxr.experiments.compare.tuning import at_rate, tuned
from fedcxr.experiments.compare.variants import check_site_vaes, networks_of
from fedcxr.experiments.simulate import with_sites_of_plan
from fedcxr.report.origin_words import notes_of
from fedcxr.report.page import write_report
from fedcxr.results.reading import KIND, is_comparison
from fedcxr.runs.folder import RunFolder, new_folder
from fedcxr.training.device import resolve_device
from fedcxr.training.memory import fit_workers
from fedcxr.training.precision import resolve_precision
from fedcxr.version import __version__
from partitions.plan import PartitionPlan, read_plan
from partitions.prepare import Prepared
from server.choices import check_choices
from server.reopen import with_changes

OnProgress = Callable[[TrainingsProgress], None]


def compare(
    config: ExperimentConfig,
    *,
    extra_arms: Mapping[str, Path | Sequence[str]] | None = None,
    study: StudyDesign = COMPARISON,
    on_start: Callable[[Path], None] | None = None,
    on_progress: OnProgress = lambda progress: None,
) -> Path:
    """Train all arms, judge them and write the page; return the comparison's folder.

    Args:
        config: of the federation; `config.compare` says what it is compared with.
        extra_arms: of arms of your own, by name, what is laid over `config`: a file, or
            `key=value` texts.
        study: which of them are trained at one place, and what is held against what.
        on_start: called with the folder before anything is trained.
        on_progress: called now and then with how far the trainings are.

    Raises:
        ConfigError: an arm that would be judged on other patients, or has a name that is taken, or
            is no other than another arm.
        FedCxrError: see its subclasses; the folder keeps what was reached.
    """
    check_choices(config)
    config = with_sites_of_plan(config)
    check_arms(config)
    check_draws(config)
    own = {name: extra_arm(config, name, over) for name, over in (extra_arms or {}).items()}
    draws = prepare_draws(config)
    prepared = draws[0]
    check_labels(config, prepared.plan.labels)
    labels = config.data.labels or prepared.plan.labels
    for one in (config, *own.values()):
        is_alone = one is config and LOCAL in config.compare.arms
        check_site_vaes(one, [draw.plan for draw in draws], labels, is_alone=is_alone)
    external = read_externals(config, prepared.plan, prepared.contents)
    folder = new_folder(Path(config.runs_dir), f"{config.name}-compare")
    keep_draws(folder, draws)
    keep_externals(folder, external)
    config = with_values(config, {"data.accept_changed_data": False})  # the copy has today's rows
    write_text_atomically(folder / "config.yaml", to_yaml(config))
    keep_arms(folder, own)
    run = RunFolder(folder)
    run.write_json(
        "manifest.json",
        {
            "fedcxr": __version__,
            "kind": KIND,
            "status": "running",
            "created": _now(),
            "further_arms": sorted(own),
            **study.to_json(),
            "source": prepared.source,
            "notes": _notes(config, draws),
        },
    )
    if on_start:
        on_start(folder)
    return resume_comparison(folder, on_progress)


def resume_comparison(
    folder: Path, on_progress: OnProgress = lambda progress: None, *, settings: Sequence[str] = ()
) -> Path:
    """Do what is left of a comparison, judge it, write its page; return the folder.

    Args:
        folder: the comparison's.
        on_progress: called now and then with how far the trainings are.
        settings: `key=value` texts of what is to be otherwise from now on, in every arm: what
            operates a training, such as `server.quorum=0.3`, or how the arms are judged, such as
            `compare.margin=0.02`, which is told as a deviation from the protocol.

    Raises:
        ConfigError: a key that decides the weights, or a label that the run has not.
        ArtefactError: the folder is not a comparison, damaged, changed since it was begun, or
            another process is writing it.
        RunError: a training failed.
    """
    run = RunFolder.open(folder)
    if not is_comparison(folder):
        raise ArtefactError(f"{folder}: not a comparison. Go on with `fedcxr resume {folder}`.")
    with run.lock():
        _change(run, settings)
        config, arms, plans = read_arms(folder)
        check_draws(config)
        settle_externals(folder, config, read_plan(folder / "partition"))
        settle_protocol(folder, config, names_of(arms))
        try:
            arms = tuned(
                folder,
                config,
                arms,
                plans,
                partial(train_all, folder, config, on_progress=on_progress),
            )
            trainings = all_trainings(folder, config, arms, plans)
            train_all(folder, config, trainings, on_progress)
            judge(folder, arms, trainings)
            write_report(folder)
        except KeyboardInterrupt:
            run.update_manifest(status="interrupted")
            raise
        except Exception as err:
            run.update_manifest(status="failed", why=str(err))
            raise
        run.update_manifest(status="finished", why=None)
    return folder


def _change(run: RunFolder, settings: Sequence[str]) -> None:
    """Write what is to be otherwise from now on into the configurations of all arms."""
    if not settings:
        return
    names = run.read_json("manifest.json")["further_arms"]
    files = [run.path / "config.yaml", *(run.path / "arms" / f"{n}.yaml" for n in names)]
    found = [with_changes(read_config(file), settings, also=MAY_CHANGE) for file in files]
    if "data.accept_changed_data" in found[0][1]:
        raise ConfigError(
            "A comparison takes no changed data: its arms would be trained on different ones. Give "
            "back the data as they were, or start a new comparison."
        )
    check_labels(found[0][0], read_plan(run.path / "partition").labels)
    for file, (changed, _) in zip(files, found, strict=True):
        write_text_atomically(file, to_yaml(changed))
    known = run.read_json("manifest.json").get("changed", [])
    run.update_manifest(changed=[*known, {"at": _now(), "changes": found[0][1]}])


def _notes(config: ExperimentConfig, draws: Sequence[Prepared]) -> list[str]:
    """Return what to know of the data: as of the first draw, and of the test sets of all folds."""
    plans = [each.plan for each in draws]
    of_first = notes_of(plans[0].test_set)
    others = [note for note in draws[0].notes if note not in of_first]
    return [*others, *notes_of(held_out_set(config, plans))]


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


def report_again(folder: Path) -> Path:
    """Compute every figure of a finished comparison again from its predictions; return the page.

    Raises:
        ArtefactError: a training is not finished, its predictions are damaged, or another process
            is writing the comparison.
    """
    run = RunFolder.open(folder)
    with run.lock():
        config, arms, plans = read_arms(folder)
        rates = run.read_json("manifest.json").get("learning_rates") or {}
        arms = [at_rate(arm, rates[arm.name]) if arm.name in rates else arm for arm in arms]
        trainings = all_trainings(folder, config, arms, plans)
        left = [training.name for training in trainings if not is_finished(training)]
        if left:
            raise ArtefactError(
                f"{folder}: not finished yet: {some(left)}. Go on with `fedcxr resume {folder}`."
            )
        judge(folder, arms, trainings)
        return write_report(folder)


def read_arms(folder: Path) -> tuple[ExperimentConfig, list[Arm], dict[Path, PartitionPlan]]:
    """Return the configuration of a comparison, its arms on each partition, and all plans.

    The plans are by their folders; the arms of the first partition come first.

    Raises:
        ArtefactError: a file is missing or damaged.
    """
    config = read_config(folder / "config.yaml")
    extra_arms, pooled = kept_arms(folder)
    arms = []
    for number, plan in enumerate(read_draws(folder, config)):
        own = draw_folder(folder, number)
        arms += arms_of(config, plan, own, extra_arms, pooled=pooled, partition=number)
    places = {place for arm in arms for place in arm.plans.values()}
    return config, arms, {place: read_plan(place) for place in places}


def all_trainings(
    folder: Path,
    config: ExperimentConfig,
    arms: Sequence[Arm],
    plans: Mapping[Path, PartitionPlan],
) -> list[Training]:
    """Return every training of a comparison, from what `read_arms` returned."""
    external = tuple(kept_externals(folder, config))
    return [
        dataclasses.replace(training, external=external)
        for arm in arms
        for training in trainings_of(arm, seeds_of(config, arm.partition), folder / "arms", plans)
    ]


def train_all(
    folder: Path, config: ExperimentConfig, trainings: Sequence[Training], on_progress: OnProgress
) -> None:
    """Do the trainings, each on its share of the cores."""
    device = resolve_device(config.engine.device)
    wanted = config.compare.at_once or (cores() if device == "cpu" else 1)
    networks = networks_of(config)
    at_once = min(*(fit_workers(one, wanted, device=device) for one in networks), len(trainings))
    if device == "cpu":
        # Each on threads of a fixed number, or results would depend on how many run at once.
        share = max(1, cores() // at_once)
        threads = config.engine.threads_per_client or 1
        keys: dict[str, object] = {
            "engine.threads_per_client": threads,
            "engine.server_threads": config.engine.server_threads or 1,
            "engine.workers": config.engine.workers or max(1, share // threads),
        }
        trainings = [
            dataclasses.replace(training, config=with_values(training.config, keys))
            for training in trainings
        ]
        # Timed once, here: side by side they would time one another.
        for one in networks:
            resolve_precision(
                one.engine.precision,
                model=one.model,
                batch_size=one.train.batch_size,
                device=device,
                threads=threads,
            )
    run_trainings(trainings, at_once=at_once, on_progress=on_progress)
