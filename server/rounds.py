"""The rounds of a run: order, stream, aggregate, evaluate, checkpoint.

Flower's `Strategy.start` keeps its state in locals and cannot resume, so the loop is here.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, MessageType
from flwr.serverapp import Grid

from fedcxr.atomic import remove_unfinished
from fedcxr.data.policies import policy_of
from fedcxr.errors import RunError
from fedcxr.inference import Predictor
from fedcxr.interrupts import raise_if_interrupted
from fedcxr.parameters import Parameters
from fedcxr.schema import model_vectors
from fedcxr.training.schedules import Aurocs, learning_rate, should_stop
from fedcxr.wire import pack_vectors, payload_bytes
from server.aggregate.aggregator import AggregatorKind, AggregatorPlace
from server.bounds import Norms
from server.checkpoint import Checkpoint, newest_checkpoint, write_checkpoint
from server.client_privacy import ClientPrivacy
from server.evaluate import NO_SCORES, HeldOut, score, test_line, val_line
from server.exchange import exchange
from server.intake import Intake
from server.job import Job
from server.orders import OrderBook
from server.participation import last_rounds
from server.privacy_account import epsilon_after
from server.roster import Roster
from server.secure_step import secure_place, train_securely
from server.site_scores import WITHHELD, site_scores
from server.step import State, aggregate_round, first_state
from server.tracking import track_round

NOT_FINITE = "the new model's predictions are not finite; the one before it was kept"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Session:
    """Who takes part in the rounds of a run."""

    job: Job
    book: OrderBook
    intake: Intake
    aggregator: AggregatorKind
    place: AggregatorPlace
    roster: Roster
    grid: Grid
    model: Predictor
    val: HeldOut
    test: HeldOut | None = None
    """Where `server.test_curve` asks what is scored on test after every round; for the record."""
    privacy: ClientPrivacy | None = None
    """Where each site as a whole is protected."""
    on_begin: Callable[[int, Parameters], None] = lambda round_num, parameters: None
    """Told of each round with the model that it begins with."""

    def site_scores(self, parameters: Parameters, round_num: int) -> list[dict[str, Any]]:
        """Return each site's loss and macro AUROC of the model on its own val patients."""
        federation = self.book.federation
        if federation.schema.is_private:
            return [{"site_id": s, "reason": WITHHELD} for s in federation.node_by_site]
        return site_scores(self.book, self.grid, self.job.limits, parameters, round_num)

    def on_test(self) -> dict[str, float | None]:
        """Return what the model that is loaded scores on test, for the round's line alone."""
        if self.test is None:
            return {}
        probs = self.model.probs_at(self.test.images, self.test.rows)
        return test_line(score(self.job.config, self.test, probs, self.model.labels))


def run_rounds(session: Session) -> Checkpoint:
    """Run the rounds that are left and return the state after the last.

    Raises:
        QuorumError: too few sites answered rightly; the last good checkpoint stays.
        ArtefactError: resuming from a damaged or foreign checkpoint.
    """
    job = session.job
    state = _resume(job, session.model) if job.resume else _begin(session)
    lines = job.run.read_lines("rounds.jsonl")
    val_aurocs = [line["val_macro_auroc"] for line in lines]
    session.book.last_rounds = last_rounds(lines)
    for round_num in range(state.round_num + 1, job.config.server.rounds + 1):
        raise_if_interrupted()
        if round_num > _first_stop(job) and should_stop(job.config.server, val_aurocs):
            _note_stop(job, state)
            break
        state = _one_round(session, state, round_num, val_aurocs)
        val_aurocs.append(state.line["val_macro_auroc"])
        session.book.last_rounds |= last_rounds([state.line])
    return state


def _first_stop(job: Job) -> int:
    """Return the last round before which a run may not end early: labels are filled in after it."""
    data, server = job.config.data, job.config.server
    if "self_trained" not in (data.uncertain, *data.uncertain_by_label.values()):
        return 0
    policy = policy_of(data, rounds=server.rounds)
    return policy.self_train_after + (server.stop_after or 0)


def _note_stop(job: Job, state: Checkpoint) -> None:
    """Write down that the run ends early, and on what grounds."""
    server = job.config.server
    grounds = {
        "round": state.round_num,
        "best_round": state.best_round,
        "stop_after": server.stop_after,
        "min_improvement": server.min_improvement,
    }
    job.run.update_manifest(stopped_early=grounds)
    job.run.event("stopped_early", **grounds)


def _begin(session: Session) -> Checkpoint:
    """Write round 0: the model before training."""
    start = time.perf_counter()
    model, val = session.model, session.val
    probs = model.probs_at(val.images, val.rows)
    if not np.isfinite(probs).all():
        raise RunError(
            "The predictions of the model before training are not finite. Choose other starting "
            "weights (model.weights), or another normalisation."
        )
    scores = score(session.job.config, val, probs, model.labels)
    parameters = model.parameters()
    line: dict[str, Any] = {
        "round": 0,
        "train_loss": None,
        **val_line(scores),
        **session.on_test(),
        "sites": [],
        "refused": [],
        "missing": [],
        "seconds": time.perf_counter() - start,
        "parameters_sha256": parameters.sha256(),
    }
    schema = session.book.federation.schema
    if schema.shared.private:  # what a site's own model scores, should this round stay the best
        line["site_scores"] = session.site_scores(parameters, 0)
    begun = Checkpoint(0, parameters, 0, None, line, vectors=first_state(schema))
    return _keep(session, begun, best_before=0)


def _resume(job: Job, model: Predictor) -> Checkpoint:
    folder = job.run.path / "checkpoints"
    remove_unfinished(folder)
    state = newest_checkpoint(folder, model.spec, job.arithmetic())
    lines = [x for x in job.run.read_lines("rounds.jsonl") if x["round"] < state.round_num]
    job.run.replace_lines("rounds.jsonl", [*lines, state.line])
    job.run.event("resumed", round=state.round_num)
    return state


def _one_round(
    session: Session, state: Checkpoint, round_num: int, val_aurocs: Aurocs
) -> Checkpoint:
    begun = time.perf_counter()
    if session.privacy is not None:
        session.privacy.begin(state.line)
    session.intake.history = tuple(Norms(*pair) for pair in state.norms)
    session.book.learning_rate = learning_rate(
        session.job.config.train, round_num, session.job.config.server.rounds, val_aurocs
    )
    arrays = _order_arrays(session, state)
    parameters, vectors = _train(session, state, arrays, round_num)
    trained = time.perf_counter()
    found = _evaluate(session, parameters, round_num) | session.intake.log.not_taken()
    # A model that predicts nothing would be every later round's start: the one before it stays.
    if found["taken"]:
        parameters = session.model.parameters()
    else:
        parameters, vectors = state.parameters, state.vectors
    ended = time.perf_counter()
    report = session.intake.log
    asked = len(report.accepted) + len(report.refused) + len(report.missing)
    line: dict[str, Any] = {
        "round": round_num,
        "train_loss": report.train_loss,
        **found,
        "sites": report.accepted,
        "refused": report.refused,
        "missing": report.missing,
        "learning_rate": session.book.learning_rate,
        "seconds": ended - begun,
        "seconds_train": trained - begun,
        "seconds_evaluate": ended - trained,
        **({"secure": report.secure} if report.secure else {}),
        "images": report.images,
        "images_per_second": report.images / max(trained - begun, 1e-9) if report.images else None,
        "bytes_down": payload_bytes(arrays) * asked,
        "bytes_up": report.bytes_up,
        "epsilon": epsilon_after(session.job, round_num),
        **(session.privacy.kept() if session.privacy else {}),
        "parameters_sha256": parameters.sha256(),
    }
    best_round, best, norms = state.best_round, state.best_auroc, state.norms
    if found["taken"]:
        best_round, best = _better(state, round_num, line["val_macro_auroc"])
        if session.privacy is None:  # whose noise is added later than the lengths are taken
            norms = (*norms, report.usual.lengths())
    checkpoint = Checkpoint(round_num, parameters, best_round, best, line, norms, vectors)
    return _keep(session, checkpoint, best_before=state.best_round)


def _order_arrays(session: Session, state: Checkpoint) -> ArrayRecord:
    """Return what every order of a round carries: the model, and what the algorithm adds to it."""
    schema = session.book.federation.schema
    own = {name: state.vectors[name] for name in schema.rules.to_sites}
    return pack_vectors({**model_vectors(state.parameters), **own})


def _train(
    session: Session, state: Checkpoint, arrays: ArrayRecord, round_num: int
) -> tuple[Parameters, State]:
    """Return the model after the sites' training, and the algorithm's state."""
    job, book = session.job, session.book
    session.roster.update(missed=session.intake.missed_before(round_num))
    orders = book.orders(MessageType.TRAIN, book.cohort(round_num), round_num, arrays)
    job.run.event("round_started", round=round_num, cohort=[site_id for site_id, _ in orders])
    session.on_begin(round_num, state.parameters)
    secure = secure_place(job, book, session.intake, session.grid, session.privacy)
    if secure is not None:
        return train_securely(
            secure, round_num, arrays, parameters=state.parameters, state=state.vectors
        )
    return aggregate_round(
        session.intake,
        exchange(session.grid, orders, job.limits),
        round_num=round_num,
        aggregator=session.aggregator,
        place=session.place,
        parameters=state.parameters,
        state=state.vectors,
        **({"noised": session.privacy.noised} if session.privacy else {}),
    )


def _evaluate(session: Session, parameters: Parameters, round_num: int) -> dict[str, Any]:
    """Judge the new model on the global val patients; where sites own batch norms also at each.

    What it finds is for the round's line; `taken` says whether the model can be used at all.
    """
    job, model, val = session.job, session.model, session.val
    model.load(parameters)
    shared = session.book.federation.schema.shared
    if shared.owns_buffers and job.config.server.batch_norm != "frozen":
        # The sites keep their statistics, so the server's own are estimated from val, never test.
        model.recalibrate(val.images, val.rows)
    probs = model.probs_at(val.images, val.rows)
    if not np.isfinite(probs).all():
        log.error("round %d: %s", round_num, NOT_FINITE)
        job.run.event("round_refused", round=round_num, why=NOT_FINITE)
        nothing = dict.fromkeys(val_line(NO_SCORES))
        return {**nothing, "taken": False, "reason": NOT_FINITE}
    found: dict[str, Any] = {"taken": True, "reason": None}
    if shared.private:
        found["site_scores"] = session.site_scores(parameters, round_num)
    return found | val_line(score(job.config, val, probs, model.labels)) | session.on_test()


def _better(state: Checkpoint, round_num: int, auroc: float | None) -> tuple[int, float | None]:
    """Return the best round so far by val macro AUROC; without any AUROC the newest."""
    if state.best_auroc is None or (auroc is not None and auroc > state.best_auroc):
        return round_num, auroc
    return state.best_round, state.best_auroc


def _keep(session: Session, state: Checkpoint, *, best_before: int) -> Checkpoint:
    """Put the round on disk: the checkpoint first, then its line in the log."""
    job = session.job
    write_checkpoint(
        job.run.path / "checkpoints",
        state,
        session.model.spec,
        job.arithmetic(),
        outputs=session.model.outputs,
        best_before=best_before,
    )
    job.run.append("rounds.jsonl", state.line)
    line = state.line
    told = {name: line[name] for name in ("train_loss", "val_macro_auroc", "seconds")}
    job.run.event("round_done", round=state.round_num, images=line.get("images", 0), **told)
    track_round(job, line)
    return state
