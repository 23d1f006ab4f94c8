"""The costs of a round as a formula of its sites and its vectors, fitted to measurements.

A quantity is c0 + c1·V + c2·N + c3·N·V with N sites and vectors of V MB; the constants are not
negative. Weights are those of relative errors, so that small rounds count as much as large ones.

    python -m benchmarks.cost_formula docs/benchmarks/supernodes.json    # what many would need
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.result import load, table_lines

QUANTITIES: Mapping[str, str] = {
    "round_s": "s a round",
    "superlink_cpu_s": "SuperLink's CPU s a round",
    "serverapp_cpu_s": "ServerApp's CPU s a round",
    "superlink_mb": "SuperLink's peak MB",
    "serverapp_mb": "ServerApp's peak MB",
    "up_mb": "MB up a round",
    "down_mb": "MB down a round",
}
IDLE = "idle_cpu_s"
WORDS = {**QUANTITIES, IDLE: "SuperLink's CPU s a minute in which all sites wait"}
TERMS = ("", "·V", "·N", "·N·V")


@dataclass(frozen=True)
class Cost:
    """What a round cost."""

    sites: int
    vector_mb: float
    """To each site, and as much back."""
    round_s: float
    superlink_cpu_s: float
    serverapp_cpu_s: float
    superlink_mb: float
    """Peak of the memory that is its own."""
    serverapp_mb: float
    up_mb: float
    """On the line from all sites to the server, a round; TLS, HTTP and polls included."""
    down_mb: float
    load: float
    """Of the machine at the run's end."""


@dataclass(frozen=True)
class Fit:
    """The constants of one quantity."""

    constants: Sequence[float]
    """In the order of `TERMS`."""
    relative_rest: float
    """Median of |measured ÷ fitted - 1| over what it was fitted to."""

    def predict(self, sites: int, vector_mb: float) -> float:
        """Return the quantity at N sites and V MB."""
        return float(terms(sites, vector_mb) @ np.array(self.constants))


def terms(sites: int, vector_mb: float) -> NDArray[np.float64]:
    """Return what the constants are multiplied by, (4,)."""
    return np.array([1.0, vector_mb, sites, sites * vector_mb])


def fit_costs(costs: Sequence[Cost]) -> dict[str, Fit]:
    """Return the fit of every quantity."""
    return {name: fit(costs, name) for name in QUANTITIES}


def fit(costs: Sequence[Cost], name: str) -> Fit:
    """Return the constants of one quantity of these."""
    return fit_points([(cost.sites, cost.vector_mb, getattr(cost, name)) for cost in costs])


def fit_points(points: Sequence[tuple[int, float, float]]) -> Fit:
    """Return the constants for (sites, MB a vector, quantity).

    Least squares of relative errors, no constant negative.
    """
    from scipy.optimize import nnls

    measured = np.array([point[2] for point in points], dtype=np.float64)
    design = np.array([terms(sites, vector_mb) for sites, vector_mb, _ in points])
    constants, _ = nnls(design / measured[:, None], np.ones(len(points)))
    rest = np.abs(measured / (design @ constants) - 1)
    return Fit(tuple(float(c) for c in constants), float(np.median(rest)))


def constants_rows(fits: Mapping[str, Fit]) -> list[list[str]]:
    """Return each quantity's formula and how far it is from what it was fitted to."""
    return [
        [WORDS[name], formula(one.constants), f"{one.relative_rest:.0%}"]
        for name, one in fits.items()
    ]


def formula(constants: Sequence[float]) -> str:
    """Return the formula in words of N and V, without what is nought.

    >>> formula((1.5, 0.0, 0.25, 0.0012345))
    '1.5 + 0.25·N + 0.00123·N·V'
    """
    shown = [f"{c:.3g}{term}" for c, term in zip(constants, TERMS, strict=True) if c > 0]
    return " + ".join(shown) or "0"


def check_rows(fits: Mapping[str, Fit], costs: Sequence[Cost]) -> list[list[str]]:
    """Return what was predicted beside what was measured."""
    return [
        check_row(name, one, cost.sites, cost.vector_mb, getattr(cost, name))
        for name, one in fits.items()
        for cost in costs
    ]


def check_row(name: str, one: Fit, sites: int, vector_mb: float, found: float) -> list[str]:
    """Return one quantity as predicted beside what was measured."""
    predicted = one.predict(sites, vector_mb)
    cells = (f"{vector_mb:.1f}", f"{predicted:.3g}", f"{found:.3g}", f"{found / predicted:.2f}")
    return [WORDS[name], str(sites), *cells]


def extrapolate(fits: Mapping[str, Fit], sites: int, cohort: int, vector_mb: float) -> list[str]:
    """Return a line of what `sites` would need of which `cohort` take part in a round.

    The SuperLink is one Python process, so a round lasts at least its processor time; and at least
    what the vectors to and from the sites take on a line of 1 Gbit/s each way, 125 MB/s.
    """
    found = {name: one.predict(cohort, vector_mb) for name, one in fits.items() if name != IDLE}
    cpu_s = found["superlink_cpu_s"]
    line_s = max(found["up_mb"], found["down_mb"]) / 125
    cores = fits[IDLE].predict(sites, 0.0) / 60
    cells = (cpu_s, found["serverapp_cpu_s"], line_s, max(cpu_s, line_s))
    memory = (found["superlink_mb"] / 1e3, found["serverapp_mb"] / 1e3)
    traffic = (found["up_mb"] / 1e3, found["down_mb"] / 1e3)
    shown = (*cells, *memory, *traffic, cores)
    return [f"{sites:,}", f"{cohort:,}", *(f"{value:,.3g}" for value in shown)]


def main() -> None:
    """Print what many sites would need, by a file of fitted constants."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path, help="supernodes.json")
    parser.add_argument("--vector-mb", type=float, default=28.18)
    args = parser.parse_args()
    result, _ = load(args.file)
    fits = {name: Fit(**one) for name, one in result.figures["formula"].items()}
    header = (
        *("sites", "of them in a round", "SuperLink CPU s", "ServerApp CPU s"),
        *("s on 1 Gbit/s", "s a round, at least", "SuperLink GB", "ServerApp GB"),
        *("GB up a round", "GB down", "cores for idle sites"),
    )
    sizes = ((100, 100), (1000, 1000), (1000, 100), (10_000, 10_000), (10_000, 100))
    lines = [extrapolate(fits, *size, args.vector_mb) for size in sizes]
    print("\n".join(table_lines(header, lines)))


if __name__ == "__main__":
    main()
