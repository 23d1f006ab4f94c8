"""What is done to the runs of `fedcxr chaos`, and what must come of each."""

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fedcxr.deploy.loopback import Loopback, send
from fedcxr.seeding import derive_rng

SITES = ("site-00", "site-01", "site-02")
ROUNDS = 3
LATEST_S = 8.0
"""Latest instant after the beginning of a round."""
FROZEN_S = (3.0, 12.0)
"""How long a server is frozen: less than it takes for dead."""
CLIENT_FROZEN_S = (3.0, 45.0)
"""How long a client is: also beyond the deadline of its answer."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done to whom, and when."""

    kind: str
    """A key of `FAULTS`."""
    site: str
    """The site whose client it is; of no account where it is the server."""
    round_num: int
    """After whose beginning; 0 = after the run's."""
    after_s: float
    frozen_s: float


Victims = Callable[[Loopback, str], list[int]]


@dataclass(frozen=True, slots=True)
class _Way:
    """A way of disturbing a deployment."""

    victims: Victims
    freezes: bool = False
    is_group: bool = False
    of_server: bool = False
    """Whether it may cost no bit."""
    ends_client: bool = False
    """Whether the site's client must be started again by hand, or by a service manager."""


FAULTS: dict[str, _Way] = {
    "SuperLink killed": _Way(lambda d, _: d.superlink(), of_server=True),
    "run's server killed": _Way(lambda d, _: d.run_server(), of_server=True),
    "both killed": _Way(lambda d, _: d.run_server() + d.superlink(), of_server=True),
    "SuperLink frozen": _Way(lambda d, _: d.superlink(), freezes=True, of_server=True),
    "run's server frozen": _Way(lambda d, _: d.run_server(), freezes=True, of_server=True),
    "client killed": _Way(lambda d, site: d.client(site), ends_client=True),
    "node killed": _Way(lambda d, site: d.node(site)),
    "node frozen": _Way(lambda d, site: d.node(site), freezes=True, is_group=True),
}


def draw_faults(trials: int, seed: int) -> list[Fault]:
    """Return the faults of so many trials; every kind comes once before one comes twice.

    >>> [fault.kind for fault in draw_faults(2, 0)] == [f.kind for f in draw_faults(3, 0)][:2]
    True
    """
    drawn = []
    for number in range(trials):
        rng = derive_rng(seed, "chaos", number)
        turn, place = divmod(number, len(FAULTS))
        kinds = derive_rng(seed, "chaos-kinds", turn).permutation(list(FAULTS))
        kind = str(kinds[place])
        frozen_s = FROZEN_S if FAULTS[kind].of_server else CLIENT_FROZEN_S
        drawn.append(
            Fault(
                kind,
                str(rng.choice(SITES)),
                int(rng.integers(0, ROUNDS + 1)),
                float(rng.uniform(0.0, LATEST_S)),
                float(rng.uniform(*frozen_s)),
            )
        )
    return drawn


def judge(
    lines: Sequence[dict[str, Any]], fault: Fault, *, is_equal: bool, rounds: int = ROUNDS
) -> list[str]:
    """Return what of a finished run's rounds is not as it must be.

    Args:
        lines: of rounds.jsonl.
        fault: what was done to the run.
        is_equal: whether its weights are those of the undisturbed run.
        rounds: how many it must have.
    """
    found = []
    if [line["round"] for line in lines] != list(range(rounds + 1)):
        found.append(f"rounds {[line['round'] for line in lines]}")
    missing = []
    for line in lines[1:]:
        rows = [*line["sites"], *line["missing"], *line["refused"]]
        if sorted(row["site_id"] for row in rows) != sorted(SITES):
            found.append(f"round {line['round']} does not tell of every site")
        away = [*line["missing"], *line["refused"]]
        found += [f"round {line['round']} does not say why" for row in away if not row["reason"]]
        missing += [row["site_id"] for row in away]
    if FAULTS[fault.kind].of_server:
        found += [f"{site} was missing" for site in missing]
    else:
        found += [f"{site} was missing" for site in missing if site != fault.site]
    if not missing and not is_equal:
        found.append("other weights than the undisturbed run")
    return found


def disturb(deployment: Loopback, fault: Fault) -> None:
    """Do it, now; what is frozen goes on again, and a client that was killed is started."""
    way = FAULTS[fault.kind]
    victims = way.victims(deployment, fault.site)
    if not way.freezes:
        send(victims, signal.SIGKILL)
        if way.ends_client:
            deployment.wait(fault.site, 5.0)
            deployment.start_client(fault.site)
        return
    send(victims, signal.SIGSTOP, to_group=way.is_group)
    try:
        time.sleep(fault.frozen_s)
    finally:
        send(victims, signal.SIGCONT, to_group=way.is_group)
