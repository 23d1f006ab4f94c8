"""Whether the arms of a comparison were trained alike, in words: warnings, and restarts.

Of plain trees, so that the command line can say the same as the page.
"""

from collections.abc import Callable, Mapping
from typing import Any

from fedcxr.report.wording import as_number, count, counted, fixed

Tree = Mapping[str, Any]

_GOES_ON = ("centralized", "centralized-steps", "local")
"""Arms whose optimiser goes on from round to round."""
_RESTARTS = "centralized-restarts"


def fairness_notices(comparison: Tree) -> list[str]:
    """Return a sentence for each warning of comparison.json, naming the arm.

    Kinds that are not known, of a later fedcxr, are passed over.
    """
    titles = {arm.get("name"): arm.get("title") for arm in comparison.get("arms") or () if arm}
    found = []
    for warning in filter(None, comparison.get("warnings") or ()):
        words = _WORDS.get(str(warning.get("kind")))
        if words is not None:
            arm = warning.get("arm")
            found.append(words(str(titles.get(arm) or arm), warning))
    return found


def optimizer_words(comparison: Tree) -> list[str]:
    """Return what becomes of the optimiser's state in the arms, nothing where it is the same."""
    names = [arm.get("name") for arm in comparison.get("arms") or () if arm]
    restarts = (comparison.get("training") or {}).get("moments") == "restart"
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


def _best_round_is_last(title: str, warning: Tree) -> str:
    trainings, of = as_number(warning.get("trainings")), as_number(warning.get("of_trainings"))
    where = f"in {count(trainings)} of its {count(of)} trainings"
    if trainings == of:
        where = "in its only training" if of == 1 else f"in each of its {count(of)} trainings"
    return (
        f"{title}: the best round is the last one {where}, so more rounds might have made it "
        "better still."
    )


def _rate_at_edge(title: str, warning: Tree) -> str:
    rates = ", ".join(_short(rate) for rate in warning.get("rates") or ())
    edge = str(warning.get("edge"))
    other = "lower" if edge == "lowest" else "higher"
    return (
        f"{title}: its learning rate, {_short(warning.get('rate'))}, is the {edge} of those tried "
        f"({rates}), so a {other} one might have done better."
    )


def _still_rising(title: str, warning: Tree) -> str:
    trainings = as_number(warning.get("trainings"))
    many = "" if trainings == 1 else f", mean over {counted(trainings, 'training', 'trainings')}"
    return (
        f"{title} was still rising: over the last third of its rounds the validation macro AUROC "
        f"grew by {fixed(warning.get('slope'), 4)} a round{many}. As many rounds again at that "
        f"pace would add {fixed(warning.get('gain'))}, more than half the margin "
        f"({fixed(warning.get('threshold'), 4)})."
    )


def _short(value: object) -> str:
    number = as_number(value)
    return "–" if number is None else f"{number:g}"


_WORDS: Mapping[str, Callable[[str, Tree], str]] = {
    "best-round-is-last": _best_round_is_last,
    "rate-at-edge": _rate_at_edge,
    "still-rising": _still_rising,
}
