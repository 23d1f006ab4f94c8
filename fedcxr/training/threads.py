"""How many threads each client of a cohort computes with: decided once per run, the same for all.

A client has `threads_per_client`, usually 1, and as many train at once as the cores allow. With 5
sites on 2 cores the fifth would train alone on one of them, a sixth of the round's time lost. So
the last sites of a cohort, those that do not fill the cores, share all of them. Thread counts
change the last bits, therefore this follows from the cohort's size and the machine's cores alone,
never from the number of workers or the machine's load, and stands in the manifest.
"""

from dataclasses import dataclass

SMALLEST_TO_SPREAD = 1_000_000
"""Trainable numbers below which more threads bring nothing: at 64 px, bf16, a second thread made
densenet_small (0.2 million) 1.0 times as fast and densenet121 (7 million) 1.55 times."""


@dataclass(frozen=True, slots=True)
class Threads:
    """The threads of a cohort's clients."""

    each: int
    last_sites: int = 0
    """How many sites at the end of a cohort are left over."""
    for_last: int = 1
    """Threads of each of those."""

    def of(self, position: int, cohort_size: int) -> int:
        """Return the threads of the site at a position, from 0, in a cohort.

        >>> [Threads(1, last_sites=1, for_last=2).of(n, 5) for n in range(5)]
        [1, 1, 1, 1, 2]
        """
        return self.each if position < cohort_size - self.last_sites else self.for_last


def share_cores(cohort_size: int, *, cores: int, each: int) -> Threads:
    """Return the threads that keep all cores busy to the end of a round of equal sites.

    >>> share_cores(5, cores=2, each=1)
    Threads(each=1, last_sites=1, for_last=2)
    >>> share_cores(4, cores=2, each=1)
    Threads(each=1, last_sites=0, for_last=1)
    >>> share_cores(3, cores=16, each=1)
    Threads(each=1, last_sites=3, for_last=5)
    """
    at_once = max(1, cores // each)
    left_over = cohort_size % at_once
    if left_over == 0:
        return Threads(each, 0, each)
    return Threads(each, left_over, each * (at_once // left_over))


def threads_for(
    num_trainable: int, cohort_size: int, *, cores: int, each: int, device: str
) -> Threads:
    """Return `share_cores` for a network that is large enough and on a CPU, else `each` for all.

    Not probed: a machine that happens to be busy would change the result of the run.
    """
    if num_trainable < SMALLEST_TO_SPREAD or device != "cpu":
        return Threads(each, 0, each)
    return share_cores(cohort_size, cores=cores, each=each)
