"""How many threads one client computes with, and how many clients then train at once.

Threads change the last bits, so their number follows from the cohort's size and the machine's cores
alone, never from the number of workers or the machine's load, and stands in the manifest. Where
sites are as many as cores or more, it is one: two loops of one thread do more than one of two. The
number of workers changes no bit.
"""

SMALLEST_TO_SPREAD = 1_000_000
"""Trainable numbers below which more threads bring nothing: at 64 px, bf16, a second thread made
densenet_small (0.2 million) 1.0 times as fast and densenet121 (7 million) 1.55 times."""


def threads_per_client(num_trainable: int, cohort_size: int, *, cores: int, device: str) -> int:
    """Return the threads of each client, where the user did not say.

    Not probed: a machine that happens to be busy would change the result of the run.

    >>> threads_per_client(7_000_000, 3, cores=16, device="cpu")
    5
    >>> threads_per_client(7_000_000, 5, cores=2, device="cpu")
    1
    >>> threads_per_client(200_000, 3, cores=16, device="cpu")
    1
    """
    if num_trainable < SMALLEST_TO_SPREAD or device != "cpu":
        return 1
    return max(1, cores // cohort_size)


def workers_for(cohort_size: int, *, cores: int, threads: int) -> int:
    """Return how many clients train at once, so that no core is idle before a round's end.

    With 5 sites on 2 cores, two at a time would leave the fifth alone on one core for a sixth of
    the round. Three at a time share the two cores from the start, and the last two end together: as
    many more as the cohort leaves over. That is for clients of one thread: loops of several that
    share cores wait for one another's threads.

    >>> [workers_for(n, cores=2, threads=1) for n in (1, 2, 3, 4, 5, 100)]
    [1, 2, 3, 2, 3, 2]
    >>> workers_for(3, cores=16, threads=5), workers_for(20, cores=16, threads=1)
    (3, 20)
    """
    at_once = max(1, cores // threads)
    left_over = cohort_size % at_once if threads == 1 else 0
    return min(cohort_size, at_once + left_over)
