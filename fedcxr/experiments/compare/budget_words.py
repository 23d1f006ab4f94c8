"""What an arm of a comparison may spend, and whose model is judged, in words."""

from fedcxr.config.experiment import ExperimentConfig


def whose_model(config: ExperimentConfig) -> str:
    """Return a warning where the model that is judged is not the one that sites use."""
    has_own = config.algorithm.algorithm.private(["bn.weight", "bn.running_mean"])
    if not has_own and config.server.batch_norm != "local":
        return ""
    return "; judged is the server's model, without any site's own batch norms"


def rounds(config: ExperimentConfig) -> str:
    """Return how often the sites train, and how long."""
    where = "each site"
    if config.server.fraction < 1:
        where = f"{100 * config.server.fraction:g} % of the sites, drawn anew"
    return f"{most_rounds(config)} rounds of {epochs(config)} at {where}"


def most_rounds(config: ExperimentConfig) -> str:
    """Return the number of rounds; with early stopping a training may end before."""
    return f"{'at most ' if config.server.stop_after else ''}{config.server.rounds}"


def epochs(config: ExperimentConfig) -> str:
    """Return how long a site trains in a round."""
    number, most = config.train.local_epochs, config.train.max_steps
    epochs = "1 epoch" if number == 1 else f"{number} epochs"
    return f"{epochs}, at most {most:,} step{'s' * (most != 1)}," if most else epochs
