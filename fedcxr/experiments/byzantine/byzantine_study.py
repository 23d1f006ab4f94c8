"""Aggregators against hostile sites: every training, the figures, the page; stopped and resumed.

A study is a folder with a run folder for each training. All have the same partition, and those of
a seed the same first weights and the same hostile sites. How robust an aggregator is on other data
or against an attack that is made for it, such a study does not say.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from fedcxr.atomic import write_text_atomically
from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.load import read_config, to_yaml, with_values
from fedcxr.errors import ArtefactError, ConfigError, some
from fedcxr.experiments.byzantine.attacks import ATTACKS, NONE
from fedcxr.experiments.byzantine.design import NORM_FACTOR, Design, all_trainings, check_design
from fedcxr.experiments.byzantine.hostile_sites import BROKE_OFF
from fedcxr.experiments.compare.arms import Training
from fedcxr.experiments.compare.comparing import OnProgress, train_all
from fedcxr.experiments.compare.trainings import is_finished
from fedcxr.experiments.simulate import with_sites_of_plan
from fedcxr.report.byzantine_page import write_byzantine_page
from fedcxr.results.byzantine import FILE, KIND, AttackNote, ByzantineStudy, HostileRun
from fedcxr.results.reading import read_rounds, read_summary
from fedcxr.results.score import Score
from fedcxr.runs.folder import RunFolder, new_folder
from fedcxr.version import __version__
from partitions.plan import PartitionPlan, read_plan
from partitions.prepare import prepare
from server.choices import check_choices
from server.reopen import with_changes
from server.start import keep_data

DESIGN = "design.json"


def study_hostile_sites(
    config: ExperimentConfig,
    design: Design,
    *,
    on_start: Callable[[Path], None] | None = None,
    on_progress: OnProgress = lambda progress: None,
) -> Path:
    """Train with and without hostile sites, and write the page; return the study's folder.

    Args:
        config: of the trainings; `compare.seeds` says how many of each there are.
        design: which aggregators, which attacks, how many attackers.
        on_start: called with the folder before anything is trained.
        on_progress: called now and then with how far the trainings are.

    Raises:
        ConfigError: what `check_design` refuses.
        FedCxrError: see its subclasses; the folder keeps what was reached.
    """
    check_choices(config)
    config = with_sites_of_plan(config)
    check_design(design, config)
    prepared = prepare(config)
    folder = new_folder(Path(config.runs_dir), f"{config.name}-byzantine")
    run = RunFolder(folder)
    keep_data(run, prepared)
    config = with_values(config, {"data.accept_changed_data": False})  # the copy has today's rows
    write_text_atomically(folder / "config.yaml", to_yaml(config))
    run.write_json(DESIGN, design.model_dump(mode="json"))
    run.write_json(
        "manifest.json",
        {
            "fedcxr": __version__,
            "kind": KIND,
            "status": "running",
            "created": datetime.now().astimezone().isoformat(timespec="seconds"),
            "source": prepared.source,
        },
    )
    if on_start:
        on_start(folder)
    return resume_byzantine(folder, on_progress)


def resume_byzantine(
    folder: Path, on_progress: OnProgress = lambda progress: None, *, settings: Sequence[str] = ()
) -> Path:
    """Do what is left of a study, write its figures and its page; return the folder.

    Args:
        folder: the study's.
        on_progress: called now and then with how far the trainings are.
        settings: `key=value` texts of what is to be otherwise from now on: what operates a
            training, such as `compare.at_once=1`.

    Raises:
        ConfigError: a key that decides the weights.
        ArtefactError: the folder is damaged, or another process is writing it.
        RunError: a training without hostile sites failed.
    """
    run = RunFolder.open(folder)
    with run.lock():
        config = read_config(folder / "config.yaml")
        config, changes = with_changes(config, settings, also=("compare.at_once",))
        if "data.accept_changed_data" in changes:
            raise ConfigError(
                "A study takes no changed data: its trainings would be on different ones. Give "
                "back the data as they were, or start a new study."
            )
        if changes:
            write_text_atomically(folder / "config.yaml", to_yaml(config))
        try:
            design, plan = _read_design(run), read_plan(folder / "partition")
            trainings = all_trainings(folder, config, design, plan)
            train_all(folder, config, trainings, on_progress)
            _judge(run, config, design, plan, trainings)
        except KeyboardInterrupt:
            run.update_manifest(status="interrupted")
            raise
        except Exception as err:
            run.update_manifest(status="failed", why=str(err))
            raise
        run.update_manifest(status="finished", why=None)
    return folder


def report_byzantine(folder: Path) -> Path:
    """Write a finished study's figures and its page again from its trainings; return the page.

    Raises:
        ArtefactError: a training is not finished, or another process is writing the study.
    """
    run = RunFolder.open(folder)
    with run.lock():
        config, plan = read_config(folder / "config.yaml"), read_plan(folder / "partition")
        design = _read_design(run)
        trainings = all_trainings(folder, config, design, plan)
        left = [training.name for training in trainings if not is_finished(training)]
        if left:
            raise ArtefactError(
                f"{folder}: not finished yet: {some(left)}. Go on with `fedcxr resume {folder}`."
            )
        return _judge(run, config, design, plan, trainings)


def _read_design(run: RunFolder) -> Design:
    tree = run.read_json(DESIGN)
    try:
        return Design.model_validate(tree)
    except ValueError as err:
        raise ArtefactError(
            f"{run.path / DESIGN}: not a study's design. Put it back as it was."
        ) from err


def _judge(
    run: RunFolder,
    config: ExperimentConfig,
    design: Design,
    plan: PartitionPlan,
    trainings: Sequence[Training],
) -> Path:
    """Write the figures of finished trainings, and the page."""
    runs = [_found(training) for training in trainings]
    finished = [t.folder for t in trainings if not (t.folder / BROKE_OFF).is_file()]
    tested = read_summary(finished[0])  # the mean without attack is always there
    sites = len(plan.sites)
    study = ByzantineStudy(
        fedcxr=__version__,
        name=config.name,
        is_synthetic=config.data.root is None,
        source=str(run.read_json("manifest.json")["source"]),
        model=config.model.name,
        image_size=config.model.image_size,
        scheme=config.partition.scheme,
        sites=sites,
        hostile=design.hostile(sites),
        rounds=config.server.rounds,
        train_images=sum(site.train_images for site in plan.sites),
        test_images=tested.test_images,
        test_patients=tested.test_patients,
        trim=design.hostile(sites) / sites,
        byzantine=design.hostile(sites),
        norm_factor=config.server.norm_factor or NORM_FACTOR,
        deviations=design.z(sites),
        defences=design.defences,
        attacks=tuple(
            AttackNote(name=name, title=ATTACKS[name].title, knows=ATTACKS[name].knows)
            for name in (NONE, *design.attacks)
        ),
        runs=tuple(runs),
    )
    run.write_json(FILE, study.model_dump(mode="json"))
    return write_byzantine_page(study, run.path)


def _found(training: Training) -> HostileRun:
    """Return what a finished training scored, and how many hostile updates it took."""
    assert training.hostile is not None, "every training of a study says who is hostile"
    hostile = training.hostile.sites
    why = None
    if (training.folder / BROKE_OFF).is_file():
        why = str(RunFolder(training.folder).read_json(BROKE_OFF)["why"])
    summary = None if why else read_summary(training.folder)
    rounds = read_rounds(training.folder)
    done = rounds[-1].round if rounds else 0
    lines = RunFolder(training.folder).read_lines("rounds.jsonl")
    counted = sum(row["site_id"] in hostile for line in lines for row in line["sites"])
    score = Score(value=None, reason="the training broke off")
    if summary is not None:
        score = Score(
            value=summary.macro_auroc,
            ci=summary.macro_auroc_ci,
            reason=summary.macro_auroc_reason,
        )
    return HostileRun(
        defence=training.arm,
        attack=training.hostile.attack,
        seed=training.seed,
        hostile=hostile,
        auroc=score,
        best_round=summary.best_round if summary else None,
        rounds=done,
        last_val_auroc=rounds[-1].val_macro_auroc if rounds else None,
        counted=counted,
        sent=len(hostile) * done,
        broke_off=why,
    )
