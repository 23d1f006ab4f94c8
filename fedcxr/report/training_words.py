"""How a run trained, in words: algorithm, aggregator, loss, optimiser, and whose batch norms."""

from fedcxr.report.read_run import RunView
from fedcxr.report.rendering import Fact
from fedcxr.report.wording import MISSING


def algorithm_title(view: RunView) -> str:
    """Return the algorithm with its source, for a sentence."""
    return "federated learning" if view.config is None else view.config.algorithm.algorithm.title


def training_facts(view: RunView) -> list[Fact]:
    """Return how sites trained and how their updates became a model."""
    if view.config is None:
        return [Fact("Algorithm", MISSING)]
    train, algorithm = view.config.train, view.config.algorithm
    own = algorithm.parameters.model_dump()
    parameters = ", ".join(f"{name} {value:g}" for name, value in own.items())
    rate = f"rate {train.learning_rate:g}, {train.lr_schedule}"
    return [
        Fact("Algorithm", algorithm.name, parameters),
        Fact("Aggregator", view.config.server.aggregator),
        Fact("Loss and optimiser", f"{train.loss}, {train.optimizer}", rate),
    ]


def batch_norm_words(view: RunView) -> tuple[str, str]:
    """Return what became of batch norm, and whose model the page then is about."""
    name = str(view.manifest.get("batch_norm") or MISSING)
    if view.config is None:
        return name, ""
    is_private = view.config.algorithm.algorithm.private(["bn.weight", "bn.running_mean"])
    if is_private:
        name = "each site's own"
    own = is_private or name == "local"
    return name, "scored is the server's model, without any site's own" if own else ""
