"""What a comparison will be judged by, written down before its first training.

A margin, a list of labels or a number of seeds that is chosen after a look at the results makes any
verdict true. So all that decides the verdict is frozen in `protocol.json`, with a digest that the
manifest holds too. It may still be judged otherwise; then what differs is told, with before and
after.

Source: Piaggio et al. 2012, "Reporting of Noninferiority and Equivalence Randomized Trials", JAMA
308, 2594-2604; Schulz et al. 2010, "CONSORT 2010 Statement", BMJ 340, c332, items 3b and 6b.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.errors import ArtefactError
from fedcxr.experiments.compare.draws import all_seeds, folds_of, read_draws
from fedcxr.experiments.compare.endpoint import endpoint_of_folds, endpoint_on
from fedcxr.experiments.compare.external_sets import IMAGES_CSV, KeptSet, kept_externals
from fedcxr.experiments.compare.extra_arms import kept_pairs
from fedcxr.experiments.compare.pairs import pairs_of
from fedcxr.experiments.compare.variants import study_pairs
from fedcxr.results.frozen import PROTOCOL_FORMAT, Deviation, ExternalEndpoint, Protocol
from fedcxr.results.judging.all_models import LEVEL
from fedcxr.runs.folder import RunFolder
from partitions.table import read_table

FILE = "protocol.json"

MAY_CHANGE = (
    "compare.arms",
    "compare.augmentations",
    "compare.models",
    "compare.seeds",
    "compare.external",
    "compare.margin",
    "compare.primary_labels",
    "compare.min_positives",
    "compare.prevalence",
    "compare.at_once",
)
"""Keys that no training's weights depend on: a comparison that goes on may change them. What of
them the protocol fixes is told as a deviation."""


def plan_protocol(folder: Path, config: ExperimentConfig, arms: Sequence[str]) -> Protocol:
    """Return the protocol of a comparison as its configuration is now.

    Args:
        folder: of the comparison, with its partitions and external sets.
        config: of the comparison.
        arms: their names, in their order.

    Raises:
        ConfigError: a primary label that the run has not.
        DataError: a test table is damaged.
        ArtefactError: a partition or an external set is missing or damaged.
    """
    plans = read_draws(folder, config)
    plan, *further = plans
    tested = plans[:1] if folds_of(config) is None else plans  # draws have the same test patients
    external = kept_externals(folder, config)
    is_study = bool(config.compare.augmentations)
    return Protocol(
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
        margin=config.compare.margin,
        question="superiority" if is_study else "non-inferiority",
        endpoint=endpoint_of_folds(config, tested),
        seeds=tuple(all_seeds(config)),
        learning_rates=config.compare.learning_rates,
        partition=plan.digest,
        further_partitions=tuple(one.digest for one in further),
        external=tuple(_on_external(config, *one) for one in external.items()),
        arms=tuple(arms),
        pairs=tuple(
            study_pairs(config, arms) if is_study else kept_pairs(folder, arms) or pairs_of(arms)
        ),
        level=LEVEL,
    )


def _on_external(config: ExperimentConfig, place: Path, kept: KeptSet) -> ExternalEndpoint:
    """Return the endpoint on an external set, counted on its table."""
    table = read_table(place / IMAGES_CSV)
    return ExternalEndpoint(data=kept.facts, endpoint=endpoint_on(config, table, kept.facts.labels))


def settle_protocol(folder: Path, config: ExperimentConfig, arms: Sequence[str]) -> None:
    """Freeze the protocol while nothing is trained; afterwards see that it is as it was.

    A comparison whose training began under a fedcxr that froze none stays without one.

    Raises:
        ConfigError: a primary label that the run has not.
        ArtefactError: as from `read_protocol`.
    """
    now = plan_protocol(folder, config, arms)
    if _has_begun(folder):
        read_protocol(folder)
        return
    run = RunFolder(folder)
    run.write_json(FILE, now.to_json())
    run.update_manifest(protocol=now.digest)


def read_protocol(folder: Path) -> Protocol | None:
    """Return the protocol that was frozen, None where none was.

    Raises:
        ArtefactError: it is missing, of another fedcxr, or not what was written.
    """
    run, path = RunFolder(folder), folder / FILE
    kept = run.read_json("manifest.json").get("protocol")
    mend = "Put the file back as it was, or start a new comparison."
    if not path.is_file():
        if kept is None:
            return None
        raise ArtefactError(f"{path}: missing; this comparison was begun with one. {mend}")
    tree = run.read_json(FILE)
    digest = tree.pop("digest", None)
    if tree.get("format") != PROTOCOL_FORMAT:
        raise ArtefactError(
            f"{path}: format {tree.get('format')!r}, this fedcxr reads format {PROTOCOL_FORMAT}. "
            "Judge the comparison with the fedcxr that began it."
        )
    try:
        found = Protocol.model_validate(tree)
    except ValueError as err:
        raise ArtefactError(
            f"{path}: not a protocol: {' '.join(str(err).split())}. {mend}"
        ) from err
    if found.digest != digest:
        raise ArtefactError(
            f"{path}: its digest does not fit its content: it was changed after it was written. "
            f"{mend} What is to be judged otherwise goes into config.yaml, or is given by "
            f"`fedcxr resume {folder} --set compare.margin=…`, and is told as a deviation."
        )
    if digest != kept:
        raise ArtefactError(
            f"{path}: not the protocol that this comparison was begun with, by the digest in its "
            f"manifest.json. {mend}"
        )
    return found


def deviations(planned: Protocol, now: Protocol) -> list[Deviation]:
    """Return what is otherwise now than it was planned, in the order of the protocol."""
    then, today = _terms(planned), _terms(now)
    return [
        Deviation(key=key, planned=then[key], now=today[key])
        for key in then
        if then[key] != today[key]
    ]


def _terms(protocol: Protocol) -> dict[str, Any]:
    """Return what of a protocol can be deviated from, by key."""
    tree = protocol.model_dump(mode="json", exclude={"format", "created", "endpoint", "external"})
    endpoint = protocol.endpoint.model_dump(mode="json", exclude={"patients"})
    external = [(each.data, each.endpoint.labels) for each in protocol.external]
    return {
        "margin": tree["margin"],
        "question": protocol.question,
        **endpoint,
        "folds": protocol.endpoint.folds,
        **tree,
        "further_partitions": list(protocol.further_partitions),
        "external": [data.name for data, _ in external],
        "external_digests": [data.digest for data, _ in external],
        "external_labels": [f"{data.name}: {x}" for data, labels in external for x in labels],
    }


def _has_begun(folder: Path) -> bool:
    """Return whether any training of the comparison has a run folder."""
    found = (*folder.glob("arms/*-seed-*"), *folder.glob("tuning/*/*-seed-*"))
    return any(place.is_dir() for place in found)
