"""One run at the server, from the first query to the report."""

import dataclasses
import logging
import time
from functools import partial
from typing import Any

import numpy as np
from flwr.serverapp import Grid

from fedcxr.data.policies import columns_with
from fedcxr.errors import RunError, StorageError
from fedcxr.inference import Predictor
from fedcxr.models.architectures import head_tensors
from fedcxr.runs.checkpoint_files import checkpoint_file
from fedcxr.runs.predictions import write_predictions
from fedcxr.schema import WireSchema, schema_of
from fedcxr.trackers.protocol import Status
from fedcxr.wire import Order
from server.aggregate.aggregator import AggregatorPlace
from server.aggregate.clipped_sum import clipped_sum
from server.aggregate.head_rows import HeadRows, head_rows
from server.aggregate.known_aggregators import aggregator_registry
from server.agreement import note_agreement, with_agreement
from server.checkpoint import Checkpoint, read_checkpoint
from server.client_privacy import client_privacy_of
from server.cohort import cohort_size
from server.evaluate import HeldOut, read_held_out
from server.finish import (
    collapsed_labels,
    finish_report,
    run_explain,
    score_table,
    score_test_set,
    site_rows,
    times,
    vae_summary,
)
from server.intake import Intake, quorum_of
from server.job import Job
from server.keep_updates import UpdateKeeper
from server.orders import Federation, OrderBook
from server.participation import participation
from server.roster import JoinLimits, Roster
from server.rounds import Session, run_rounds
from server.tracking import track_break, track_result, track_start, with_tracking

log = logging.getLogger(__name__)


def run_server(job: Job, grid: Grid) -> dict[str, Any]:
    """Run the federation over `grid` and return its summary, which is also in the run folder.

    The manifest says how it ended: finished, interrupted or failed.

    Raises:
        RunError: sites are missing, or too few answer rightly in a round.
    """
    with job.lock:
        try:
            job = with_tracking(job)
            return _run(job, grid)
        except KeyboardInterrupt:
            _ended(job, "interrupted", "stopped by the user")
            raise
        except Exception as err:
            _ended(job, "failed", str(err) or type(err).__name__)
            raise


def _ended(job: Job, status: Status, why: str) -> None:
    track_break(job, status)
    try:
        job.run.update_manifest(status=status, why=why)
        job.run.event(status, why=why)
    except StorageError as err:  # what ended the run is told: on a full disk, that one too
        log.warning("how the run ended could not be written down: %s", err)


def _run(job: Job, grid: Grid) -> dict[str, Any]:
    plan = job.prepared.plan
    job.run.event(
        "run_started",
        rounds=job.config.server.rounds,
        may_stop=job.config.server.stop_after is not None,
        sites=len(plan.sites),
        images=sum(s.train_images for s in plan.sites),
        vae_rounds=[r for r in range(1, job.config.server.rounds + 1) if job.config.vae.is_made(r)],
    )
    model = Predictor(
        job.config,
        job.labels,
        precision=job.precision,
        device=job.device,
        threads=job.server_threads,
        trained=job.resume,
    )
    asked = time.perf_counter()
    roster = _gather(job, grid, model)
    if not job.resume:
        job.run.update_manifest(join_seconds=time.perf_counter() - asked)
        _note_weights(job, model)
    job = with_agreement(job, roster.cards)
    if job.config.train.normalization == "pooled":
        model.set_normalization(job.config.train)
    note_agreement(job, roster.cards)
    track_start(job)
    held_out = partial(read_held_out, job.prepared.cache, config=job.config, labels=job.labels)
    session = _session(job, grid, model, roster, held_out(plan.val_csv))
    if job.config.server.test_curve:
        session = dataclasses.replace(session, test=held_out(plan.test_csv))
    if session.aggregator.needs_all:
        job.run.event("spooling", name=job.config.server.aggregator, **session.place.room())
    return _finish(session, run_rounds(session))


def _note_weights(job: Job, model: Predictor) -> None:
    """Write down where the first weights come from, and which rows of the head are new."""
    found = model.model.starting_weights
    if found is None:
        return
    tree = dataclasses.asdict(found)
    job.run.update_manifest(starting_weights=tree)
    job.run.event("starting_weights", **tree)


def _gather(job: Job, grid: Grid, model: Predictor) -> Roster:
    task, threads = job.task().to_text(), job.compute.threads
    schema = schema_of(job.task(), model.spec)
    train_images = {site.site_id: site.train_images for site in job.prepared.plan.sites}
    asked = cohort_size(len(train_images), job.config.server.fraction)
    order = Order(job.run.name, 0, "", schema.digest, task, 0.0, threads, asked)

    def on_change(site_id: str, what: str) -> None:
        job.run.event("site_changed", site_id=site_id, what=what)
        known = job.run.read_json("manifest.json").get("site_changes", [])
        job.run.update_manifest(site_changes=[*known, {"site_id": site_id, "what": what}])

    roster = Roster(
        grid,
        train_images,
        order,
        on_change,
        schema.card,
        job.site_keys,
        tells_counts=not schema.is_private,
    )
    cards = roster.gather(
        JoinLimits(
            job.config.server.join_timeout_s,
            job.limits.deadline_s,
            may_grow=job.compute.has_real_sites,
            fewest=_fewest_sites(job),
        )
    )
    job.run.write_json(
        "cards.json", {site_id: {**card.numbers, **card.texts} for site_id, card in cards.items()}
    )
    return roster


def _fewest_sites(job: Job) -> int | None:
    """Return with how many sites a run begins; one that goes on needs no more than a round does."""
    server = job.config.server
    if job.resume and job.compute.has_real_sites:
        return quorum_of(server.quorum, len(job.prepared.plan.sites))
    return server.min_sites


def _session(job: Job, grid: Grid, model: Predictor, roster: Roster, val: HeldOut) -> Session:
    server, task = job.config.server, job.task()
    schema, privacy = schema_of(task, model.spec), client_privacy_of(job)
    federation = Federation(
        run=job.run.name,
        task=task.to_text(),
        schema=schema,
        seed=job.config.seed,
        node_by_site=roster.node_by_site,
        most_examples={s.site_id: s.train_images for s in job.prepared.plan.sites},
        fraction=server.fraction,
        quorum=server.quorum,
        threads=job.compute.threads,
        norm_factor=None if privacy else server.norm_factor,  # each is shortened to privacy.clip
        norm_policy=server.norm_policy,
        draw=privacy.cohort if privacy else None,
        advice=_advice(job),
    )

    def on_site(site_id: str, outcome: str, images: int) -> None:
        job.run.event("site_done", site_id=site_id, outcome=outcome, images=images)

    book = OrderBook(federation)
    aggregator = aggregator_registry().get(server.aggregator)
    if privacy is not None:
        aggregator = clipped_sum(privacy.bound, privacy.plan.expected)
    size = cohort_size(len(federation.most_examples), server.fraction)
    place = AggregatorPlace(schema, _head(job, schema), size, job.run.path / "spool", server)
    keeper = UpdateKeeper(job.run.path, schema, job.arithmetic()) if server.keep_updates else None
    intake = Intake(book, on_site, observers=[keeper.keep] if keeper else [])
    session = Session(
        *(job, book, intake, aggregator, place, roster, grid, model, val), privacy=privacy
    )
    return dataclasses.replace(session, on_begin=keeper.begin) if keeper else session


def _head(job: Job, schema: WireSchema) -> tuple[HeadRows, ...]:
    """Return where each label's rows of the head lie; the extra outputs belong to their labels."""
    head = head_tensors(job.config.model)
    extra = columns_with(job.task().policy, job.labels, "multi_class")
    return head_rows(schema.shared.spec, head, [*range(len(job.labels)), *extra])


def _advice(job: Job) -> str:
    """Return how to go on where too few sites answered."""
    if job.compute.engine in ("local", "ray", "superlink"):
        again = f"fedcxr resume {job.run.path}"
        return f"Mend the sites and go on: {again}, or with fewer of them: {again} --set " + (
            "server.quorum=0.1"
        )
    return "Mend the sites and start the run anew, or with a lower server.quorum."


def _finish(session: Session, state: Checkpoint) -> dict[str, Any]:
    """Judge the best round's model on test, show where it looks, write the page."""
    job, model, val = session.job, session.model, session.val
    job.run.event("phase", name="test")
    start = time.perf_counter()
    test = session.test or read_held_out(
        job.prepared.cache, job.prepared.plan.test_csv, config=job.config, labels=job.labels
    )
    best = _best(job, model, state)
    model.load(best.parameters)
    sites = best.line.get("site_scores") or session.site_scores(best.parameters, best.round_num)
    probs = model.probs_at(test.images, test.rows)
    bad = int((~np.isfinite(probs).all(axis=1)).sum())
    if bad:
        raise RunError(
            f"The model of round {state.best_round} gives {bad} of {len(probs)} test images no "
            "finite prediction, so it cannot be judged. Lower train.learning_rate and start anew."
        )
    kept = {
        "test": test.with_probs(model.labels, probs),
        "val": val.with_probs(model.labels, model.probs_at(val.images, val.rows)),
    }
    write_predictions(job.run.path / "predictions.npz", kept, job.config.data.score_by)
    result = score_test_set(job, model, test, probs)
    tested = time.perf_counter()
    job.run.event("phase", name="explain")
    gallery = run_explain(job, model, test, probs, result)
    explained = time.perf_counter()
    job.run.event("phase", name="report")
    rounds = job.run.read_lines("rounds.jsonl")
    spent = {"evaluate": tested - start, "explain": explained - tested}
    summary = {
        "run": job.run.name,
        **score_table(result),
        "num_rounds": state.round_num,
        "best_round": state.best_round,
        "stopped_early": job.run.read_json("manifest.json").get("stopped_early"),
        "score_by": job.config.data.score_by,
        "test_images": len(test.rows),
        "test_patients": len(set(test.patient_id.tolist())),
        "sites": site_rows(job),
        "site_scores": sites,
        "participation": participation([] if session.privacy else rounds),
        "refused_rounds": [line["round"] for line in rounds if not line.get("taken", True)],
        "collapsed_labels": collapsed_labels(probs, model.labels),
        "disjoint": job.run.read_json("manifest.json")["disjoint"],
        **times(rounds, job.run.read_json("manifest.json"), spent),
        "heat_maps": gallery.summary(),
        "vae": vae_summary(job, rounds),
        "parameters_sha256": state.parameters.sha256(),
    }
    finish_report(job, {**summary, "tracker_problems": track_result(job, summary)})
    job.run.event("finished", macro_auroc=result.macro)
    return job.run.read_json("summary.json")


def _best(job: Job, model: Predictor, state: Checkpoint) -> Checkpoint:
    if state.best_round == state.round_num:
        return state
    file = checkpoint_file(job.run.path / "checkpoints", state.best_round)
    return read_checkpoint(file, model.spec, job.arithmetic())
