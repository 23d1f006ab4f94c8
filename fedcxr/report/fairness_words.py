"""Whether the arms of a comparison were trained alike, in words: warnings, and restarts."""

from fedcxr.report.wording import counted, fixed
from fedcxr.results.comparison import Comparison
from fedcxr.results.undertrained import BestRoundIsLast, FairnessWarning, RateAtEdge, StillRising

_GOES_ON = ("centralized", "centralized-steps", "local")
"""Arms whose optimiser goes on from round to round."""
_RESTARTS = "centralized-restarts"


def fairness_notices(comparison: Comparison) -> list[str]:
    """Return a sentence for each warning, naming the arm."""
    return [_notice(comparison.arm(each.arm).title, each) for each in comparison.warnings]


def optimizer_words(comparison: Comparison) -> list[str]:
    """Return what becomes of the optimiser's state in the arms, nothing where it is the same."""
    names = [arm.name for arm in comparison.arms]
    restarts = comparison.training.moments == "restart"
    if not restarts or "federated" not in names or not set(_GOES_ON) & set(names):
        return []
    told = (
        "At the sites of a federation the optimiser starts anew each round; in training at one "
        "place it goes on from round to round."
    )
    if _RESTARTS in names:
        return [
            f"{told} In {_RESTARTS} it starts anew as well, once a round: what is left between it "
            "and the federation is not due to restarts."
        ]
    return [f"{told} What that alone costs is not known here: the arm {_RESTARTS} would tell."]


def _notice(title: str, warning: FairnessWarning) -> str:
    match warning:
        case BestRoundIsLast():
            return _best_round_is_last(title, warning)
        case RateAtEdge():
            return _rate_at_edge(title, warning)
        case StillRising():
            return _still_rising(title, warning)


def _best_round_is_last(title: str, warning: BestRoundIsLast) -> str:
    trainings, of = warning.trainings, warning.of_trainings
    where = f"in {trainings} of its {of} trainings"
    if trainings == of:
        where = "in its only training" if of == 1 else f"in each of its {of} trainings"
    return (
        f"{title}: the best round is the last one {where}, so more rounds might have made it "
        "better still."
    )


def _rate_at_edge(title: str, warning: RateAtEdge) -> str:
    rates = ", ".join(f"{rate:g}" for rate in warning.rates)
    other = "lower" if warning.edge == "lowest" else "higher"
    return (
        f"{title}: its learning rate, {warning.rate:g}, is the {warning.edge} of those tried "
        f"({rates}), so a {other} one might have done better."
    )


def _still_rising(title: str, warning: StillRising) -> str:
    trainings = warning.trainings
    many = "" if trainings == 1 else f", mean over {counted(trainings, 'training', 'trainings')}"
    return (
        f"{title} was still rising: over the last third of its rounds the validation macro AUROC "
        f"grew by {fixed(warning.slope, 4)} a round{many}. As many rounds again at that pace would "
        f"add {fixed(warning.gain)}, more than half the margin ({fixed(warning.threshold, 4)})."
    )
