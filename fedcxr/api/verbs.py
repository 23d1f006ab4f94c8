"""What the command line does, as functions: keywords are its flags, and results show themselves.

Each can be called from a script without `if __name__ == "__main__"`, from a notebook and inside a
running event loop: workers are forked by a process of our own, which never runs the script again.
"""

import inspect
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, Unpack

from fedcxr.api.found import DataCheck, MadePartition, Result
from fedcxr.api.keywords import CompareKeywords, PartitionKeywords, SimulateKeywords
from fedcxr.api.notebook import run_display, trainings_display
from fedcxr.api.own_parts import in_one_process, refuse_only_here
from fedcxr.api.settle import settled
from fedcxr.cli.flags import COMPARE_FLAGS, FLAGS, PARTITION_FLAGS, RUN_FLAGS
from fedcxr.cli.progress import Follower
from fedcxr.collector import quick_imports
from fedcxr.config.load import setting_text
from fedcxr.cores import cores
from fedcxr.engines.fork_server import fork_server
from fedcxr.errors import ArtefactError, ConfigError
from fedcxr.results.reading import is_byzantine, is_comparison, read_result

AnyPath = str | os.PathLike[str]
Verb = TypeVar("Verb", bound=Callable[..., object])

PARTITION_KEYWORDS = (
    "data",
    "seed",
    "views",
    "labels",
    "task",
    "label_table",
    "follow_links",
    *PARTITION_FLAGS,
)


def _with_keywords(names: Collection[str]) -> Callable[[Verb], Verb]:
    """Return a decorator that has `help` list the keywords with what they are."""

    def decorate(verb: Verb) -> Verb:
        own = [p for p in inspect.signature(verb).parameters.values() if p.name != "keywords"]
        kind = inspect.Parameter.KEYWORD_ONLY
        flags = [inspect.Parameter(name, kind, default=None) for name in names]
        verb.__signature__ = inspect.Signature([*own, *flags])  # type: ignore[attr-defined]
        lines = "\n".join(f"        {name}: {FLAGS[name].help}" for name in names)
        verb.__doc__ = f"{inspect.cleandoc(verb.__doc__ or '')}\n\n    Keywords:\n{lines}\n"
        return verb

    return decorate


@_with_keywords(RUN_FLAGS)
def simulate(
    *,
    preset: str = "quickstart",
    config: AnyPath | None = None,
    set: Mapping[str, Any] | None = None,
    progress: bool = True,
    **keywords: Unpack[SimulateKeywords],
) -> Result:
    """Train a federation of simulated hospitals and return what came of it.

    Without `data` a synthetic data set is made.

    Args:
        preset: quickstart, chexpert, chexpert-best, nih14 or lung_lesion.
        config: a YAML file over the preset.
        set: any key of the configuration, as in `{"train.learning_rate": 3e-4}`.
        progress: whether it is shown meanwhile.
        **keywords: the flags of `fedcxr simulate`. `model`, `loss`, `optimizer`, `lr_schedule`,
            `algorithm` and `aggregator` take your own class or function too; one that a script or a
            notebook defines trains in this process, with one worker.

    Raises:
        ConfigError: an unknown keyword or key, a value out of range, or what does not fit.
        FedCxrError: see its subclasses; the run folder keeps what was reached.
    """
    found = settled(keywords, RUN_FLAGS, verb="simulate", preset=preset, config=config, changes=set)
    found = in_one_process(found)
    _no_telemetry()
    if found.engine.kind == "local" and (found.engine.workers or cores()) > 1:
        fork_server("fedcxr.engines.local_worker", "clients.app")  # imports while this process does
    with quick_imports():
        from fedcxr.experiments.simulate import simulate as run_simulation

    if not progress:
        return _opened(run_simulation(found).path)
    with Follower(run_display()) as follower:
        path = run_simulation(found, on_start=follower.follow).path
    return _opened(path)


@_with_keywords(COMPARE_FLAGS)
def compare(
    *,
    preset: str = "quickstart",
    config: AnyPath | None = None,
    set: Mapping[str, Any] | None = None,
    arm: Mapping[str, AnyPath | Mapping[str, Any]] | None = None,
    progress: bool = True,
    **keywords: Unpack[CompareKeywords],
) -> Result:
    """Compare federated with centralized and local training on the same held-out patients.

    Args:
        preset: as of `simulate`.
        config: a YAML file over the preset.
        set: any key of the configuration.
        arm: more arms by name, each what is laid over the federation's configuration: a YAML file,
            or values by dotted key, as in `{"prox": {"algorithm.name": "fedprox"}}`.
        progress: whether it is shown meanwhile.
        **keywords: the flags of `fedcxr compare`.

    Raises:
        ConfigError: as of `simulate`; also a model or the like that is of this process only.
        FedCxrError: see its subclasses; the folder keeps what was reached.
    """
    beside = ("preset", "config", "set", "arm", "progress")
    found = settled(
        keywords,
        COMPARE_FLAGS,
        verb="compare",
        preset=preset,
        config=config,
        changes=set,
        beside=beside,
    )
    refuse_only_here(found, "compare")
    arms = {name: _arm(over) for name, over in (arm or {}).items()}
    _no_telemetry()
    fork_server("fedcxr.experiments.compare.trainings", "clients.app")
    with quick_imports():
        from fedcxr.experiments.compare.comparing import compare as run_comparison

    if not progress:
        return _opened(run_comparison(found, extra_arms=arms))
    display = trainings_display()
    try:
        return _opened(run_comparison(found, extra_arms=arms, on_progress=display.show))
    finally:
        display.close()


def resume(run: AnyPath, *, set: Mapping[str, Any] | None = None, progress: bool = True) -> Result:
    """Go on with a simulation or a comparison that was stopped, to the same bits; return it.

    Args:
        run: its folder.
        set: what is to be otherwise from now on, as in `{"server.quorum": 0.3}`; not the weights.
        progress: whether it is shown meanwhile.

    Raises:
        ConfigError: a key that decides the weights.
        ArtefactError: not a stopped run's folder, or one of real sites, or damaged.
    """
    folder = Path(run).expanduser().absolute()
    changes = [setting_text(key, value) for key, value in (set or {}).items()]
    _no_telemetry()
    if is_byzantine(folder):
        raise ArtefactError(f"{folder}: a study of hostile sites. Use `fedcxr resume {folder}`.")
    if is_comparison(folder):
        from fedcxr.experiments.compare.comparing import resume_comparison

        display = trainings_display()
        try:
            shown = display.show if progress else lambda progress: None
            return _opened(resume_comparison(folder, shown, settings=changes))
        finally:
            display.close()
    from fedcxr.experiments.simulate import resume as resume_run
    from fedcxr.runs.folder import RunFolder

    if RunFolder.open(folder).read_json("manifest.json")["engine"] == "superlink":
        raise ArtefactError(f"{folder}: a run over real sites. Use `fedcxr resume {folder}`.")
    if not progress:
        return _opened(resume_run(folder, settings=changes).path)
    with Follower(run_display()) as follower:
        path = resume_run(folder, on_start=follower.follow, settings=changes).path
    return _opened(path)


@_with_keywords(PARTITION_KEYWORDS)
def partition(
    *,
    out: AnyPath,
    set: Mapping[str, Any] | None = None,
    **keywords: Unpack[PartitionKeywords],
) -> MadePartition:
    """Give whole patients to sites, prove that no two share one, and draw what each has.

    Without `data` the synthetic data set is partitioned. No image is opened.

    Args:
        out: the partition folder to make, for `partition` of `simulate`.
        set: any key of the configuration, as in `{"data.synthetic.patients": 200}`.
        **keywords: the flags of `fedcxr partition`.

    Raises:
        ConfigError: an unknown keyword, or a scheme that does not fit the data.
        DataError: too few patients.
        ArtefactError: `out` holds something else, or cannot be written.
    """
    found = settled(
        keywords, PARTITION_KEYWORDS, verb="partition", changes=set, beside=("out", "set")
    )
    if found.partition.folds is not None and found.partition.fold is None:
        raise ConfigError(
            "partition: folds makes that many partitions. Give fold too, one of them."
        )
    from fedcxr.report.partition_figure import write_partition_figure
    from fedcxr.runs.folder import RunFolder
    from partitions.plan import make_partition
    from partitions.prepare import key_for, read_for

    plan = make_partition(
        read_for(found),
        config=found.partition,
        seed=found.seed,
        key=key_for(found),
        views=found.data.views,
        out=Path(out).expanduser(),
    )
    write_partition_figure(RunFolder(plan.folder).read_json("plan.json"), plan.folder)
    return MadePartition(plan)


def check_data(
    data: AnyPath,
    *,
    labels_only: bool = False,
    sample: int | None = None,
    splits: Sequence[AnyPath] = (),
    follow_links: bool = False,
    workers: int | None = None,
) -> DataCheck:
    """Return what is wrong with a data set, and what is in it.

    Args:
        data: its folder; a hospital's own, too.
        labels_only: look at the tables and at no image.
        sample: look at this many images, drawn at random; none = all.
        splits: a file of each split, CSV or image names.
        follow_links: look at images that links outside the folder lead to.
        workers: that decode; none = one a core.

    Raises:
        DataError: no data set is recognised.
        ConfigError: an argument is out of range.
    """
    from fedcxr.cli.check_data import checked

    if workers is not None and workers < 1:
        raise ConfigError(f"check_data: workers={workers}. Give at least 1.")
    report = checked(
        Path(data).expanduser(),
        [Path(split).expanduser() for split in splits],
        follow_links=follow_links,
        labels_only=labels_only,
        sample=sample,
        workers=workers,
    )
    return DataCheck(report)


def open(run: AnyPath) -> Result:
    """Return the result in the folder of a run or of a comparison.

    Raises:
        ArtefactError: there is none, or it is damaged or of another fedcxr.
    """
    return _opened(Path(run).expanduser())


def _opened(path: Path) -> Result:
    return Result(path, read_result(path))


def _arm(over: AnyPath | Mapping[str, Any]) -> Path | list[str]:
    if isinstance(over, Mapping):
        return [setting_text(key, value) for key, value in over.items()]
    return Path(over).expanduser()


def _no_telemetry() -> None:
    """Have Flower send nothing about this run, unless the user's environment says otherwise."""
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
