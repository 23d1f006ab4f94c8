"""The root of a function of one number, by Brent's method."""

from collections.abc import Callable


def root(function: Callable[[float], float], low: float, high: float, xtol: float = 2e-12) -> float:
    """Return where a continuous function crosses zero, to `xtol`.

    Args:
        function: of opposite signs at `low` and `high`.
        low: one end of where it is looked for.
        high: the other end.
        xtol: how far the result may be off.

    Raises:
        ValueError: the signs are the same.

    >>> round(root(lambda x: x * x - 2, 0, 2), 9)
    1.414213562
    """
    from scipy.optimize import brentq  # a quarter of a second, which no training needs

    return float(brentq(function, low, high, xtol=xtol))
