"""How the data were read and the arms were trained, fact by fact."""

from collections.abc import Mapping
from typing import Any

from fedcxr.report.origin_words import split_words
from fedcxr.report.privacy_words import privacy_facts
from fedcxr.report.rendering import Fact
from fedcxr.report.wording import MISSING, count, counted, interval
from fedcxr.results.comparison import Comparison
from fedcxr.results.run_files import Manifest, RunFacts

_DIGEST = 16
"""Signs of a digest that are shown."""
_SCHEME_WORDS = {
    "alpha": "α = {}",
    "exponent": "exponent {}",
    "attribute": "{}",
    "folds": "{} folds",
}


def setting_facts(result: Comparison) -> list[Fact]:
    """Return what holds of every arm; what one has of its own stands in `ArmResult.differs`."""
    data, training, protocol = result.data, result.training, result.protocol
    rate = training.learning_rate
    facts = [
        Fact("Data", _source(result)),
        Fact("Split", split_words(data.test_set)),
        Fact(
            "Validation set",
            counted(data.val_images, "image", "images"),
            "of the first fold" if data.partition.folds else "",
        ),
        Fact("Scored by", data.score_by),
        Fact("Model", training.model),
        Fact("Image size", f"{training.image_size} px"),
        Fact("Rounds", count(training.rounds)),
        Fact("Local epochs", count(training.local_epochs)),
        Fact("Batch size", count(training.batch_size)),
        Fact(
            "Learning rate",
            "its own for each arm" if rate is None else f"{rate:g}",
            training.learning_rate_how,
        ),
        *(_run_facts(result.run) if result.run else [Fact("Precision", training.precision)]),
        Fact("Partition", data.partition.digest[:_DIGEST], "digest"),
    ]
    if protocol is not None:
        facts.append(Fact("Protocol", protocol.digest[:_DIGEST], "digest, fixed before training"))
    return facts


def scheme_words(scheme: str, parameters: Mapping[str, Any]) -> str:
    """Return how patients were dealt to sites.

    >>> scheme_words("dirichlet", {"alpha": 0.5, "min_images": 0})
    'dirichlet, α = 0.5'
    """
    told = [text.format(parameters[k]) for k, text in _SCHEME_WORDS.items() if k in parameters]
    return ", ".join([scheme, *told])


def policy_for(policies: Mapping[str, str], label: str) -> str:
    """Return a label's policy from `{"all": policy, label: exception, …}`."""
    return policies.get(label) or policies.get("all") or MISSING


def policy_notes(manifest: Manifest) -> list[str]:
    """Return what to know of the label counts before and after the policies."""
    counts = manifest.label_counts
    found = [f"Counted over {counts.of}: {counted(counts.images, 'image', 'images')}."]
    if counts.reason:
        found.append(f"No targets are counted: {counts.reason}.")
    if manifest.smoothed:
        found.append(f"smoothed: a random value from {interval(manifest.smoothed, 2)}, drawn once.")
    if manifest.self_train_after is not None:
        found.append(
            f"self_trained: unknown for {counted(manifest.self_train_after, 'round', 'rounds')}, "
            "then soft, as the model of that time predicts them; the counts are those of the first "
            "round."
        )
    if "No Finding" in manifest.labels and policy_for(manifest.blank, "No Finding") == "ignore":
        found.append("No Finding: a blank one is 0 where another finding is positive.")
    found.append("Uncertain labels are never scored: these are the targets of training.")
    return found


def _run_facts(run: RunFacts) -> list[Fact]:
    """Return what only a run's own files tell."""
    manifest, config = run.manifest, run.config
    train, algorithm = config.train, config.algorithm
    own = algorithm.parameters.model_dump()
    unread = [Fact("Unreadable images", count(manifest.data.bad_images), "left out by name")]
    return [
        Fact("Views", manifest.views),
        Fact("Weights", config.model.weights),
        Fact("Uncertain labels", _policies(manifest.uncertain)),
        Fact("Blank labels", _policies(manifest.blank)),
        Fact("Normalisation", _normalization(manifest)),
        Fact("Algorithm", algorithm.name, ", ".join(f"{k} {v:g}" for k, v in own.items())),
        Fact("Aggregator", config.server.aggregator),
        Fact("Loss and optimiser", f"{train.loss}, {train.optimizer}"),
        Fact("Batch norm", *_batch_norm(run)),
        *privacy_facts(run),
        Fact("Update codec", _codec(manifest)),
        *_secure(manifest),
        Fact("Engine", _engine(manifest)),
        Fact("Precision", manifest.precision.dtype, manifest.precision.why),
        Fact("Seed", str(manifest.seed)),
        *(unread if manifest.data.bad_images else []),
    ]


def _source(result: Comparison) -> str:
    source, layout = result.data.source, result.data.layout
    return f"{source}, in the layout of {layout}" if layout != source else source


def _policies(policies: Mapping[str, str]) -> str:
    """Return the policy of all labels, and of those that have another."""
    others = [f"{label}: {policy}" for label, policy in policies.items() if label != "all"]
    return ", ".join([policies["all"], *others])


def _normalization(manifest: Manifest) -> str:
    found = manifest.normalization
    if found is None:
        return MISSING
    if found.mean is None or found.std is None:
        return found.kind
    return f"{found.kind}: mean {found.mean:.3f}, standard deviation {found.std:.3f}"


def _batch_norm(run: RunFacts) -> tuple[str, str]:
    """Return what became of batch norm, and whose model the page then is about."""
    name = run.manifest.batch_norm
    is_private = run.config.algorithm.algorithm.private(["bn.weight", "bn.running_mean"])
    own = is_private or name == "local"
    return (
        "each site's own" if is_private else name,
        "scored is the server's model, without any site's own" if own else "",
    )


def _codec(manifest: Manifest) -> str:
    share = manifest.topk
    return manifest.codec + ("" if share is None else f", {100 * share:g} % of the weights")


def _secure(manifest: Manifest) -> list[Fact]:
    """Return what the server saw of the sites' updates, where that was their sum alone."""
    found = manifest.secure_aggregation
    if found is None:
        return []
    near = f"{found.degree} neighbours each" if found.degree < found.sites - 1 else "all with all"
    odds = f"privacy {found.privacy_failure:.2g}, correctness {found.correctness_failure:.2g}"
    return [
        Fact(
            "Secure aggregation",
            "the server saw sums only",
            f"{found.sites} sites, masks {near}; {found.threshold} shares open a secret, "
            f"{found.fewest} sites must stay; failure of {odds}; a step of {found.step:.3g} within "
            f"± {found.range:g}",
        )
    ]


def _engine(manifest: Manifest) -> str:
    workers = counted(manifest.workers, "worker", "workers")
    threads = counted(manifest.threads_per_client, "thread", "threads")
    return f"{manifest.engine}, {workers}, {threads} a client"
