"""How often to ask for what may come at any time: often at first, seldom after a long silence.

Whoever asks again after a twentieth of the time that nothing has come learns of it at most a
twentieth later than at once, and asks a hundred times in an hour and not a hundred thousand times.
"""

import time
from dataclasses import dataclass, field

SHARE = 0.05
"""Of the silence so far, the wait before the next question."""


@dataclass(slots=True)
class Pace:
    """The time of the last arrival, and how long to wait now."""

    least_s: float
    most_s: float
    _since: float = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Note that something has come."""
        self._since = time.monotonic()

    @property
    def wait_s(self) -> float:
        """Return how long to wait before asking again."""
        silence_s = time.monotonic() - self._since
        return min(self.most_s, max(self.least_s, SHARE * silence_s))
