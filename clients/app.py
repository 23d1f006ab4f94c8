"""The Flower ClientApp: train, evaluate, and a query that answers with the site's card."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from clients.activity import noted
from clients.egress import Outgoing, redact_errors, site_reply, skipped
from clients.evaluate import evaluate_order, site_counts, site_frequencies, site_moments
from clients.locate import locate_from_context, locate_in_run
from clients.log import keep_log
from clients.memory import StagedMemory, memory_of
from clients.private_training import SPENT, WITHHELD
from clients.private_update import noised_update
from clients.resident_model import worker_for
from clients.secure_stages import SecureSite, secure_site
from clients.secure_update import masked
from clients.site import Site, SiteLocation, open_site
from clients.train import train_order
from fedcxr.chain import SiteSide
from fedcxr.config.task import SiteTask, parse_task
from fedcxr.data.policies import columns_with
from fedcxr.errors import RunError
from fedcxr.home import home_folder
from fedcxr.runs.versions import code_digest, versions
from fedcxr.secagg.messages import StageOrder, read_message
from fedcxr.training.choices import check_algorithm, check_training, own_entries
from fedcxr.version import __version__
from fedcxr.wire import Order, unpack_order, unpack_secure, vectors_in

Locate = Callable[[Context], SiteLocation]


def build_app(locate: Locate) -> ClientApp:
    """Return a ClientApp whose site is where `locate` says."""
    flower = ClientApp()
    flower.train()(noted("training", redact_errors(partial(train, locate))))
    flower.evaluate()(noted("scoring a model", redact_errors(partial(evaluate, locate))))
    flower.query()(noted("opening its data", redact_errors(partial(card, locate))))
    for stage in ("advertise", "share", "reveal"):
        answer = redact_errors(partial(secure_stage, locate))
        flower.query(stage)(noted("agreeing on masks", answer))
    return flower


def simulated_app(run_path: str) -> ClientApp:
    """Return the app of a simulation's clients: node number n is site n of the run's partition.

    The run folder need not be filled yet; it is read when the first message comes.
    """
    keep_log(home_folder() / "logs" / f"{Path(run_path).name}.log")
    return build_app(partial(locate_in_run, Path(run_path)))


def train(locate: Locate, message: Message, context: Context) -> Message:
    """Answer an order to train with the site's update."""
    order, task, location, site = _open(locate, message, context)
    worker = worker_for(task, order.threads)
    schema = worker.schema(task)
    vectors = vectors_in(message.content, schema.order)
    secure = _secure_site(message, order, task, location) if task.secure else None
    if secure is not None:
        secure.open()
    kept = memory_of(location.state, task.run, order.round_num, order.last_round)
    memory = StagedMemory(kept)
    result = train_order(location, site, task, order, vectors=vectors, worker=worker, memory=memory)
    if result.num_examples == 0:
        return skipped(message, order, site.site_id, result.reason or "")
    numbers: dict[str, float] = {
        "num-examples": result.num_examples,
        "train-loss": result.train_loss,
        "num-steps": result.num_steps,
        "images-seen": result.images_seen,
        "seconds": result.seconds,
        **result.vae_numbers,
    }
    if schema.is_private:
        numbers = {}  # none of them is noised, and the weight is the same at every site
    place = SiteSide(result.given, memory)
    made = result.vectors
    if schema.protects == "update":
        noised = noised_update(
            location, task, order, result, schema=schema, sent=vectors, place=place
        )
        if noised is None:
            return skipped(message, order, site.site_id, SPENT)
        made = noised
    made = schema.chain.apply(made, schema.shared.spec, place)
    said = None
    if secure is not None:
        hidden = masked(secure, task, schema, vectors, made, result)
        made, numbers, said = hidden.vectors, {}, hidden.said.to_text()
    reply = site_reply(
        message,
        order,
        site_id=site.site_id,
        numbers=numbers,
        outgoing=Outgoing(made, schema.reply),
        said=said,
        protects=schema.is_private,
    )
    memory.commit()
    return reply


def secure_stage(locate: Locate, message: Message, context: Context) -> Message:
    """Answer a stage of secure aggregation other than the one in which the site trains."""
    order, task, location, _ = _open(locate, message, context)
    secure = _secure_site(message, order, task, location)
    said = secure.answer()
    return site_reply(message, order, site_id=location.site_id, said=said.to_text())


def _secure_site(
    message: Message, order: Order, task: SiteTask, location: SiteLocation
) -> SecureSite:
    if task.secure is None:
        raise RunError("the order is of secure aggregation, and its task is not")
    said = read_message(StageOrder, unpack_secure(message.content))
    folder = location.state / task.run
    return secure_site(
        folder,
        location.site_id,
        task.run,
        order.round_num,
        task=task.secure,
        said=said,
        node_key=location.node_key,
    )


def evaluate(locate: Locate, message: Message, context: Context) -> Message:
    """Answer an order to evaluate with the site's own scores."""
    order, task, location, site = _open(locate, message, context, asks_scores=True)
    if task.privacy.level != "none":
        return skipped(message, order, site.site_id, WITHHELD)
    worker = worker_for(task, order.threads)
    vectors = vectors_in(message.content, worker.schema(task).model)
    numbers = evaluate_order(location, site, task, order, vectors=vectors, worker=worker)
    return site_reply(message, order, site_id=site.site_id, numbers=numbers)


def card(locate: Locate, message: Message, context: Context) -> Message:
    """Answer a query with the site's card: counts, vocabulary, versions, and its model's layout."""
    order, task, _, site = _open(locate, message, context)
    schema = worker_for(task, order.threads).schema(task)
    numbers = {} if schema.is_private else site_counts(site)
    if task.train.normalization == "pooled":
        numbers |= site_moments(site)
    brought = own_entries(task.model, task.train, task.algorithm)
    texts: dict[str, str | list[str]] = {
        "labels": list(site.labels),
        "code-digest": code_digest(tuple(brought.values())),
        "fedcxr-version": __version__,
        "torch-version": versions()["torch"],
    }
    shared = Outgoing(site_frequencies(site), schema.card) if schema.card else None
    own = replace(order, schema_digest=schema.digest)
    return site_reply(
        message,
        own,
        site_id=site.site_id,
        numbers=numbers,
        texts=texts,
        outgoing=shared,
        protects=schema.is_private,
    )


def _open(
    locate: Locate, message: Message, context: Context, *, asks_scores: bool = False
) -> tuple[Order, SiteTask, SiteLocation, Site]:
    location = locate(context)  # first: it says whose code may be imported here
    order = unpack_order(message)
    task = parse_task(order.task)
    three_way = columns_with(task.policy, task.labels, "multi_class")
    check_algorithm(task.algorithm, task.train)
    check_training(task.train, [task.labels[column] for column in three_way])
    location.limits.check(task, num_sites=order.num_sites, asks_scores=asks_scores)
    site = open_site(location, task)
    if task.privacy.level != "patient":  # whose steps follow from its patients
        location.limits.check_steps(task.train.steps(len(site.train.rows)))
    return order, task, location, site


app = build_app(locate_from_context)
