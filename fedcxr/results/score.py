"""A number of a result: its value, its interval, and why one of them is missing."""

import math
from typing import Self

from fedcxr.metrics.estimate import Estimate
from fedcxr.section import Section


class Score(Section):
    """A number with its interval, or why there is none."""

    value: float | None
    """None where it is not defined."""
    ci: tuple[float, float] | None = None
    """None where it was not shown to hold, or is not defined."""
    reason: str | None = None
    """Why there is no value or no interval."""

    @classmethod
    def of(cls, found: Estimate) -> Self:
        """Return an estimate as a file holds it: nan becomes None.

        >>> Score.of(Estimate(math.nan, None, "no known positive"))
        Score(value=None, ci=None, reason='no known positive')
        """
        value = found.value if math.isfinite(found.value) else None
        return cls(value=value, ci=found.ci, reason=found.reason)

    def is_below(self, bound: float) -> bool:
        """Return whether the whole interval lies below."""
        return self.ci is not None and self.ci[1] < bound


UNDEFINED = Score(value=None)
"""Nothing is known of it."""
