"""Which arm of a comparison is held against which.

The first pair is the question that the page answers; the others of its arm are the answer under
another budget, and tell what made the difference.
"""

from collections.abc import Sequence

from fedcxr.experiments.compare.arms import CENTRALIZED, FEDERATED, FEWER_STEPS, LOCAL, RESTARTS

_SENSITIVITY = (FEWER_STEPS, RESTARTS)
"""Centralized trainings that share one more thing with the federation: its number of steps, or how
often the optimiser starts anew."""


def pairs_of(names: Sequence[str]) -> list[tuple[str, str]]:
    """Return which arms are held against which: all against centralized.

    Without it the reference is centralized with as many steps, or as many restarts, or local: the
    question is how federated does. Federated comes first, and then against the other centralized
    arms: the sensitivity analyses, which tell what the number of steps or the restarts did from
    what averaging did. Where all arms are federations the others are held against the one that
    they are variants of.

    >>> pairs_of(["local", "centralized", "federated"])
    [('federated', 'centralized'), ('local', 'centralized')]
    >>> pairs_of(["federated", "centralized", "centralized-steps", "centralized-restarts"])[1:3]
    [('federated', 'centralized-steps'), ('federated', 'centralized-restarts')]
    >>> pairs_of(["federated", "local"]), pairs_of(["federated"])
    ([('federated', 'local')], [])
    >>> pairs_of(["federated", "fedadam", "fedprox"])
    [('fedadam', 'federated'), ('fedprox', 'federated')]
    """
    ranked = (CENTRALIZED, *_SENSITIVITY, LOCAL, FEDERATED, *names)
    against = next(name for name in ranked if name in names)
    order = sorted((name for name in names if name != against), key=lambda name: name != FEDERATED)
    pairs = [(name, against) for name in order]
    if FEDERATED in names and against == CENTRALIZED:
        pairs[1:1] = [(FEDERATED, other) for other in _SENSITIVITY if other in names]
    return pairs
