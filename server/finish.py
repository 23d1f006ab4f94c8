"""From the last round to the files that a reader opens: predictions, summary, heat maps, report."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcxr.inference import Predictor
from fedcxr.metrics.run_scores import RunScores, score_run
from fedcxr.metrics.studies import units_of
from fedcxr.report.page import write_report
from fedcxr.results.vae_numbers import SiteVae, VaeNumbers, site_vaes
from server.evaluate import HeldOut, scored
from server.explain import Gallery, explain
from server.job import Job

FEW_POSITIVES = 10
"""An AUROC over fewer positives is named as unstable."""
SAME_PROB = 1e-6
"""Probabilities of all images closer together than this say nothing of any of them."""


def score_test_set(
    job: Job, model: Predictor, test: HeldOut, probs: NDArray[np.float32]
) -> RunScores:
    """Return AUROC by label and macro on the test patients, with intervals over patients."""
    target, scored_probs, patients = scored(job.config, test, probs)
    units = units_of(job.config.data.score_by)
    return score_run(target, scored_probs, model.labels, patients, units=units)


def score_table(result: RunScores) -> dict[str, Any]:
    """Return the scores as they stand in summary.json."""
    return {
        "macro_auroc": result.macro,
        "macro_auroc_ci": result.macro_ci,
        "macro_auroc_reason": result.macro_reason,
        "macro_labels": result.macro_labels,
        "auroc": {
            s.label: {
                "value": s.value,
                "ci": s.ci,
                "positives": s.positives,
                "negatives": s.negatives,
                "reason": s.reason,
            }
            for s in result.scores
        },
        "few_positives": [s.label for s in result.scores if s.positives < FEW_POSITIVES],
    }


def collapsed_labels(probs: NDArray[np.float32], labels: Sequence[str]) -> list[str]:
    """Return the labels for which the model gives every image the same probability.

    Args:
        probs: (N, L) of at least two images.
        labels: (L,) names.

    >>> collapsed_labels(np.float32([[0.5, 0.1], [0.5, 0.2]]), ["Edema", "Mass"])
    ['Edema']
    """
    spread = probs.max(axis=0) - probs.min(axis=0)
    return [label for label, width in zip(labels, spread, strict=True) if width < SAME_PROB]


def run_explain(
    job: Job, model: Predictor, test: HeldOut, probs: NDArray[np.float32], result: RunScores
) -> Gallery:
    """Write the overlays of the run and score its heat maps."""
    return explain(
        model,
        test,
        probs,
        boxes=job.prepared.boxes,
        auroc={s.label: s.value for s in result.scores},
        config=job.config.explain,
        seed=job.config.seed,
        folder=job.run.path,
    )


def site_rows(job: Job) -> list[dict[str, Any]]:
    """Return the sites as they stand in summary.json."""
    return [asdict(site) for site in job.prepared.plan.sites]


def vae_summary(job: Job, rounds: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """Return what sites said of their VAEs, and put it on their cards; None for a run without."""
    if not job.config.vae.enabled:
        return None
    found = site_vaes(rounds)
    cards = job.run.read_json("cards.json")
    said = {vae.site_id: vae.numbers.model_dump(exclude_none=True) for vae in found}
    told = {site_id: {"vae": said.get(site_id, {})} for site_id in cards}
    job.run.write_json("cards.json", {s: {**card, **told[s]} for s, card in cards.items()})
    silent = [SiteVae(site_id=s, made_in=0, numbers=VaeNumbers()) for s in cards if s not in said]
    return [vae.model_dump() for vae in sorted([*found, *silent], key=lambda vae: vae.site_id)]


def times(
    rounds: list[dict[str, Any]], manifest: dict[str, Any], spent: dict[str, float]
) -> dict[str, Any]:
    """Return the run's seconds by phase and its speed, rounds before an interruption included.

    Args:
        rounds: the lines of rounds.jsonl.
        manifest: holds the seconds before the first round, of the process that began the run.
        spent: seconds of the phases after the rounds.
    """
    train = sum(line.get("seconds_train", 0.0) for line in rounds)
    images = sum(line.get("images", 0) for line in rounds)
    judged = sum(line["seconds"] for line in rounds) - train
    begun = {"prepare": manifest["prepare_seconds"], "join": manifest.get("join_seconds", 0.0)}
    phases = {**begun, "train": train, **spent}
    phases["evaluate"] += judged
    return {
        "phases": phases,
        "seconds": sum(phases.values()),
        "train_images_per_second": images / train if train and images else None,
    }


def finish_report(job: Job, summary: dict[str, Any]) -> None:
    """Write the summary and the page; the page's own time stands in the summary alone."""
    start = time.perf_counter()
    job.run.write_json("summary.json", summary)
    job.run.update_manifest(status="finished")
    if job.has_page:
        write_report(job.run.path, with_figures=False)  # they take longer than all else here
    took = time.perf_counter() - start
    phases = {**summary["phases"], "report": took}
    total = summary["seconds"] + took
    job.run.write_json("summary.json", {**summary, "phases": phases, "seconds": total})
