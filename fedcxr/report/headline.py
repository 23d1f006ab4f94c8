"""The top of the page: the one number, the facts beside it, and what must be known first."""

from dataclasses import dataclass
from typing import Any

from fedcxr.report import answer_words as answer
from fedcxr.report.fairness_words import fairness_notices
from fedcxr.report.protocol_words import endpoint_sentences, margin_words, protocol_sentences
from fedcxr.report.rendering import Fact
from fedcxr.report.settings_words import scheme_words
from fedcxr.report.wording import (
    MISSING,
    count,
    counted,
    duration,
    fixed,
    interval,
    level_words,
    signed,
    signed_interval,
)
from fedcxr.results.comparison import Comparison
from fedcxr.results.run_files import RunFacts
from fedcxr.results.tables.score_tables import pair_title


@dataclass(frozen=True, slots=True)
class Hero:
    """The one number at the top of the page."""

    name: str
    number: str
    note: str
    verdict: str = ""


def headline(result: Comparison) -> dict[str, Any]:
    """Return what the top of the page needs."""
    return {
        "title": answer.title(result),
        "sentence": answer.sentence(result),
        "unfinished": answer.unfinished(result),
        "sensitivity": answer.sensitivity(result),
        "endpoint": endpoint_sentences(result),
        "protocol": protocol_sentences(result),
        "notices": answer.notices(result),
        "too_small": answer.is_too_small(result.primary),
        "fairness": fairness_notices(result),
        "hero": hero(result),
        "facts": _run_facts(result, result.run) if result.run else _comparison_facts(result),
    }


def hero(result: Comparison) -> Hero:
    """Return the number that answers the page's question."""
    level, primary = level_words(result.statistics.level), result.primary
    if primary is None:
        arm = result.main_arm
        found = arm.macro_auroc
        note = f"{level} interval {interval(found.ci)}" if found.ci else found.reason or ""
        name = "Global macro AUROC" if result.run else f"Macro AUROC, {arm.title}"
        return Hero(name, fixed(found.value), note)
    found = primary.macro_auroc
    note = f"{level} interval {signed_interval(found.ci)}" if found.ci else found.reason or ""
    name = f"Macro AUROC, {pair_title(result, primary)}"
    return Hero(name, signed(found.value), note, primary.verdict.word)


def _comparison_facts(result: Comparison) -> list[Fact]:
    arm, seeds = result.main_arm, result.training.seeds
    partition, listed = result.data.partition, answer.images_listed(result)
    patients = counted(result.data.test_patients, "patient", "patients")
    more = "" if listed is None else f"; {counted(listed, 'image', 'images')} in the table"
    kept = arm.macro_labels
    in_means = "" if kept == len(result.data.labels) else f", {count(kept)} in the means"
    told = f"seeds {', '.join(str(seed) for seed in seeds)}"
    if partition.folds:
        told += f", on {partition.folds} folds"
        more += f"; {partition.folds} folds of a cross-validation"
    elif len(partition.draws) > 1:
        told += f", on {len(partition.draws)} partitions"
    return [
        Fact("Test set", count(arm.scored), f"{result.units[1]} of {patients}{more}"),
        Fact("Sites", count(partition.clients), partition.scheme),
        Fact("Seeds", count(len(seeds)), told),
        Fact("Margin", fixed(result.statistics.margin), f"macro AUROC, {margin_words(result)}"),
        Fact("Labels", count(len(result.data.labels)), f"{result.data.layout}{in_means}"),
        Fact("Time", duration(sum(each.seconds for each in result.arms)), "training, all arms"),
    ]


def _run_facts(result: Comparison, run: RunFacts) -> list[Fact]:
    arm, summary, disjoint = result.main_arm, run.summary, run.manifest.disjoint
    labels = f"{arm.macro_labels} of {len(result.data.labels)}"
    patients = counted(result.data.test_patients, "patient", "patients")
    speed = summary.train_images_per_second if summary else None
    return [
        Fact("Test set", count(result.data.test_images), f"images of {patients}"),
        Fact("Labels counted", labels if summary else MISSING, "in the macro mean"),
        Fact("Rounds", count(len(run.trained)), _best_round(run)),
        Fact(
            "Sites",
            count(len(run.plan.sites)),
            scheme_words(run.plan.scheme, run.plan.parameters),
        ),
        Fact(
            "Time",
            duration(summary.seconds if summary else None),
            "" if speed is None else f"training at {speed:,.0f} images/s",
        ),
        Fact(
            "Patients apart",
            disjoint.status or ("proven" if disjoint.verified else "not verifiable"),
            disjoint.reason
            or f"{counted(disjoint.pairs_checked, 'pair', 'pairs')} of sets compared",
        ),
    ]


def _best_round(run: RunFacts) -> str:
    """Return which round was the best, and whether the run ended before all rounds were done."""
    said = [] if run.best_round is None else [f"best: round {run.best_round}"]
    early = run.summary.stopped_early if run.summary else None
    if early is not None:
        without = counted(early.stop_after, "round", "rounds")
        planned = run.config.server.rounds
        said.append(f"stopped early of {planned}, after {without} without a better one")
    return "; ".join(said)
