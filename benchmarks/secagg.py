"""How long secure aggregation takes for 100 sites and a densenet121's 7 million parameters.

The protocol's core is played through in two processes on this machine: every site's key agreements,
shares, quantising and masking, and the server's unmasking. Nothing is trained or sent, so what is
timed is what secure aggregation adds to a round's arithmetic. At real sites the sites' part runs
side by side. The sum is compared, word by word, with that of the words that were masked.

    python -m benchmarks.secagg            # two rounds: nobody silent, and 30 of 100
    python -m benchmarks.secagg --short    # seconds: 20,000 parameters, no verdict
"""

import json
import mmap
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.result import Result, Row, Table, run_as_command
from fedcxr.secagg.graph import graph_plan
from fedcxr.secagg.quantise import (
    Layout,
    Numbers,
    Quantiser,
    Words,
    quantiser_for,
    to_mean,
    to_words,
)
from fedcxr.secagg.server_stages import (
    Gathered,
    Opened,
    keys_for,
    request_for,
    shares_for,
    unmask,
)
from fedcxr.secagg.setup import Advertised, Setup
from fedcxr.secagg.site_stages import (
    OwnShares,
    SharePair,
    SiteSecrets,
    advertise,
    mask,
    new_secrets,
    open_shares,
    reveal,
    share,
)
from fedcxr.seeding import derive_rng

GOAL_S = 60.0
PROCESSES = 2
BUSY = 0.5
"""Load of the machine before a round, from which on others have used its cores: not judged."""
IMAGES = 2000
"""Of a site; 200,000 in all, as of CheXpert."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is played."""

    sites: int
    layout: Layout
    silent: tuple[int, ...]
    """In each round, sites that share their secrets and then send no values."""


FULL = Plan(100, Layout(trained=7_000_000, buffers=83_648, counters=121), (0, 30))
SHORT = Plan(100, Layout(trained=20_000, buffers=500, counters=3), (0, 30))


@dataclass(slots=True)
class Stopwatch:
    """Seconds by stage: on the clock, and of a core."""

    seconds: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def on(self, stage: str) -> Iterator[None]:
        """Time what is done inside."""
        begun, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            took, used = time.perf_counter() - begun, time.process_time() - cpu
            self.seconds[stage] = self.seconds.get(stage, 0.0) + took
            self.cpu[stage] = self.cpu.get(stage, 0.0) + used


@dataclass(frozen=True, slots=True)
class Shared:
    """What is known when stage 1 is over."""

    setup: Setup
    secrets: Mapping[str, SiteSecrets]
    advertised: Advertised
    own: Mapping[str, OwnShares]
    survivors: frozenset[str]
    held: Mapping[str, Mapping[str, SharePair]]


def secagg(short: bool) -> Result:
    """Play the rounds and return what each stage took."""
    plan = SHORT if short else FULL
    load = os.getloadavg()[0]
    rounds = {silent: play(plan, silent) for silent in plan.silent}
    graph = graph_plan(plan.sites)
    took = {silent: sum(found["seconds"].values()) for silent, found in rounds.items()}
    size = plan.layout.trained
    return Result(
        name="secagg",
        title="Secure aggregation: 100 sites, 7 million parameters",
        command="python -m benchmarks.secagg",
        short=short,
        rows=[
            Row(
                f"a round of {plan.sites} sites, {size:,} parameters, {silent} silent: all stages",
                f"<= {GOAL_S:g} s",
                f"{took[silent]:.1f} s",
                None if short or load > BUSY else took[silent] <= GOAL_S,
            )
            for silent in rounds
        ]
        + [
            Row(
                "the sum is that of the sites that stayed, word for word",
                "all words",
                "all words" if all(x["is_exact"] for x in rounds.values()) else "not all",
                all(x["is_exact"] for x in rounds.values()),
            )
        ],
        tables=[stages_table(rounds)],
        notes=[
            f"{graph.degree} neighbours each, {graph.threshold} of {graph.degree + 1} shares open "
            f"a secret, {graph.fewest} sites must stay; privacy fails with probability "
            f"{graph.privacy_failure:.3g}, correctness with {graph.correctness_failure:.3g}, where "
            "30 % are silent and a third tell the server all they know.",
            f"{PROCESSES} processes. Load of the machine before the first round: "
            f"{load:.1f}; above {BUSY:g} the seconds on the clock are not judged, since "
            "others have used the cores. Of cores: the seconds of all processes together.",
        ],
        figures={
            "load": load,
            "sites": plan.sites,
            "parameters": size,
            "rounds": list(rounds.values()),
        },
    )


def stages_table(rounds: Mapping[int, Mapping[str, Any]]) -> Table:
    """Return the seconds of each stage, a column a round."""
    stages = list(next(iter(rounds.values()))["seconds"])
    kinds = [(found, kind) for found in rounds.values() for kind in ("seconds", "cpu_seconds")]
    rows = [[stage, *(f"{found[kind][stage]:.2f}" for found, kind in kinds)] for stage in stages]
    header = [f"{silent} silent{of}" for silent in rounds for of in ("", ", of cores")]
    return Table("", ["stage, s", *header], rows)


def play(plan: Plan, silent: int) -> dict[str, Any]:
    """Return the seconds of a round by stage, and whether its sum was exact."""
    watch = Stopwatch()
    names = tuple(f"site-{number:03d}" for number in range(plan.sites))
    circle = tuple(names[place] for place in derive_rng(0, "circle").permutation(len(names)))
    setup = Setup("benchmark", 1, f"silent-{silent}", circle)
    quantiser = quantiser_for(
        plan.sites * IMAGES, plan.sites, trained_range=0.1, buffer_range=1000.0
    )
    shared = share_secrets(setup, frozenset(names[silent:]), watch)
    # Each process makes a part of the sites and unmasks a part of the masks: sums add up.
    masked = in_processes(
        plan.layout.words, 2, lambda part, out: mask_part(shared, plan, quantiser, part, out)
    )
    total, plain = masked.words
    watch.seconds |= masked.seconds
    watch.cpu |= masked.cpu
    gathered = Gathered(setup, shared.advertised, frozenset(names), shared.survivors)
    opened = Opened(gathered)
    with watch.on("reveal"):
        for name in sorted(shared.survivors):
            held = shared.held[name]
            opened.add(name, reveal(setup, name, held, request_for(gathered, name)))
    with watch.on("unmask"):
        unmask(opened, total)
    with watch.on("decode"):
        to_mean(quantiser, plan.layout, total, len(shared.survivors))
    return {
        "silent": silent,
        "seconds": watch.seconds,
        "cpu_seconds": watch.cpu,
        "is_exact": bool(np.array_equal(total, plain)),
    }


def share_secrets(setup: Setup, survivors: frozenset[str], watch: Stopwatch) -> Shared:
    """Go through stages 0 and 1, and open what was shared."""
    secrets = {name: new_secrets() for name in setup.circle}
    with watch.on("advertise"):
        advertised = {n: advertise(setup, n, own) for n, own in secrets.items()}
    keys = {n: keys_for(setup, advertised, n) for n in secrets}
    with watch.on("share"):
        own = {n: share(setup, n, secrets[n], keys[n]) for n in secrets}
    sealed = {n: made.sealed for n, made in own.items()}
    held: dict[str, Mapping[str, SharePair]] = {}
    with watch.on("open shares"):
        for name in sorted(survivors):
            boxes = shares_for(setup, sealed, name)
            opened = open_shares(setup, name, secrets[name], keys[name], boxes)
            held[name] = {**opened, name: own[name].own}
    return Shared(setup, secrets, advertised, own, survivors, held)


def mask_part(
    shared: Shared, plan: Plan, quantiser: Quantiser, part: int, out: Sequence[Words]
) -> Stopwatch:
    """Quantise and mask every site of a process's part; add up masked and plain words in `out`."""
    watch, setup = Stopwatch(), shared.setup
    total, plain = out
    size = plan.layout.trained + plan.layout.buffers
    update = derive_rng(0, "update").normal(0.0, 0.01, size).astype(np.float32)
    for number, name in enumerate(sorted(shared.survivors)):
        if number % PROCESSES != part:
            continue
        numbers = Numbers(
            np.roll(update, number), np.full(plan.layout.counters, 7), 0.5, IMAGES - number
        )
        with watch.on("quantise"):
            words = to_words(quantiser, plan.layout, numbers, derive_rng(0, "round", name))
        np.add(plain, words, out=plain)
        with watch.on("mask"):
            mask(
                setup,
                name,
                shared.secrets[name],
                keys_for(setup, shared.advertised, name),
                sharers=frozenset(setup.neighbours(name)),
                values=words,
            )
        with watch.on("add up"):
            np.add(total, words, out=total)
    return watch


Work = Callable[[int, Sequence[Words]], Stopwatch]
"""(number of the process, the vectors that it fills) → the seconds that it took."""


@dataclass(frozen=True, slots=True)
class Added:
    """What several processes have made together."""

    words: Sequence[Words]
    seconds: Mapping[str, float]
    """By stage, of the process that took longest for it."""
    cpu: Mapping[str, float]
    """By stage, of all processes together."""


def in_processes(size: int, vectors: int, work: Work) -> Added:
    """Return the sums, over the processes, of the vectors that each has filled.

    Args:
        size: words of a vector.
        vectors: how many each process fills.
        work: what each does.
    """
    rooms, readers, children = [], [], []
    for part in range(PROCESSES):
        room = mmap.mmap(-1, 4 * size * vectors)  # shared with the child
        words = np.frombuffer(room, np.uint32).reshape(vectors, size)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                watch = work(part, list(words))
                os.write(writer, json.dumps([watch.seconds, watch.cpu]).encode())
                status = 0
            finally:
                os._exit(status)
        os.close(writer)
        rooms.append(words)
        readers.append(reader)
        children.append(child)
    told = []
    for reader, child in zip(readers, children, strict=True):
        with os.fdopen(reader, "rb") as pipe:
            text = pipe.read()
        _, status = os.waitpid(child, 0)
        if status != 0:
            raise RuntimeError(f"a process of the benchmark ended with status {status}")
        told.append(json.loads(text))
    stages = dict.fromkeys(stage for clock, _ in told for stage in clock)
    seconds = {stage: max(clock.get(stage, 0.0) for clock, _ in told) for stage in stages}
    cpu = {stage: sum(used.get(stage, 0.0) for _, used in told) for stage in stages}
    sums = [np.sum([room[n] for room in rooms], axis=0, dtype=np.uint32) for n in range(vectors)]
    return Added(sums, seconds, cpu)


if __name__ == "__main__":
    run_as_command(secagg, __doc__)
