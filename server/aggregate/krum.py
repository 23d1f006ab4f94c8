"""The update that has the nearest neighbours, or the mean of those that have: Krum and Multi-Krum.

Of n updates at most f are taken for hostile (`server.byzantine`). The score of an update is the sum
of its squared distances to the n − f − 2 others that are nearest to it; `krum` takes the one of the
lowest score, `multi-krum` the mean of the m = n − f lowest. Equal scores go by the sites' names.

Unweighted, as in the paper: a site could lie about its weight. What it costs: with `krum` a round
learns from one site alone, so what only other sites know of is lost where sites differ by nature.

Distances are of the trained values. The papers' models have no batch-norm statistics: variances
move by whole numbers and would outweigh all else, and a site that trains as the others do could
send any statistics. So the shared statistics become the median over all sites, number by number,
and the counters the largest of the chosen sites. What is private to a site never comes here.

Source: Blanchard et al. 2017, "Machine learning with adversaries: Byzantine tolerant gradient
descent", §4 (Krum; n ≥ 2f + 3) and §5 (Multi-Krum), there of gradients, here of updates.
"""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from fedcxr.config.server import ServerConfig
from server.aggregate.aggregator import Aggregate, AggregatorKind, AggregatorPlace, Doubles
from server.aggregate.spool import Spool
from server.check import SiteUpdate


class Krum:
    """Keeps all updates of a round on disk."""

    def __init__(self, place: AggregatorPlace, *, is_multi: bool) -> None:
        spec = place.schema.shared.spec
        self._is_multi = is_multi
        self._hostile = place.settings.byzantine
        self._trained, self._size = spec.num_trainable, spec.num_float
        self._spool = Spool(place.folder, place.num_sites, self._size)
        self._site_ids: list[str] = []
        self._counters: list[NDArray[np.int64]] = []

    def add(self, update: SiteUpdate) -> None:
        """Keep a site's update."""
        self._spool.add(update.update)
        self._site_ids.append(update.site_id)
        self._counters.append(update.counters.copy())

    def result(self) -> Aggregate:
        """Return the chosen update, or the mean of those chosen."""
        count = len(self._site_ids)
        scores = krum_scores(self._distances(), self._hostile)
        order = sorted(range(count), key=lambda row: (scores[row], self._site_ids[row]))
        chosen = order[: count - self._hostile] if self._is_multi else order[:1]
        # By name, so that the order in which the sites came does not change a bit of the mean.
        chosen.sort(key=lambda row: self._site_ids[row])
        found = np.empty(self._size)
        for part, values in self._spool.slices():
            end = self._trained_in(part)
            whole = found[part]
            whole[:end] = values[chosen, :end].mean(axis=0, dtype=np.float64)
            if end < values.shape[1]:
                whole[end:] = np.median(values[:, end:], axis=0)
        self._spool.close()
        counters = np.max([self._counters[row] for row in chosen], axis=0)
        return Aggregate(found, counters, {})

    def _distances(self) -> Doubles:
        """Return the squared distances of the updates' trained values, (S, S)."""
        count = len(self._site_ids)
        found = np.zeros((count, count))
        for part, values in self._spool.slices():
            add_squared_distances(found, values[:, : self._trained_in(part)])
        return found

    def _trained_in(self, part: slice) -> int:
        """Return how many numbers of a slice are trained values; they come first."""
        return max(0, min(self._trained, int(part.stop)) - int(part.start))


def add_squared_distances(total: Doubles, values: NDArray[np.float32]) -> None:
    """Add to `total`, (S, S), the squared distances of the rows of `values`, (S, n), in place.

    The differences themselves are squared, in float64: from the products of the rows, which would
    be quicker, near rows of large values would lose their digits, and the number of BLAS's threads
    would change the last bits.
    """
    for row in range(len(values)):
        for other in range(row):
            difference = values[row].astype(np.float64) - values[other]
            squared = float(np.einsum("i,i->", difference, difference))
            total[row, other] += squared
            total[other, row] += squared


def krum_scores(distances: Doubles, hostile: int) -> Doubles:
    """Return the score of each update, (S,): the lower, the nearer are the others.

    Args:
        distances: (S, S) squared, 0 on the diagonal.
        hostile: f, how many updates may be hostile; S ≥ 2f + 3.
    """
    count = len(distances)
    others = distances[~np.eye(count, dtype=bool)].reshape(count, count - 1)
    nearest = np.sort(others, axis=1)[:, : count - hostile - 2]
    return np.asarray(nearest.sum(axis=1))


def too_few(name: str, count: int, settings: ServerConfig) -> str | None:
    """Return the figures where there are fewer than 2f + 3 updates."""
    needed = 2 * settings.byzantine + 3
    if count >= needed:
        return None
    return (
        f"{name} with server.byzantine={settings.byzantine} needs at least "
        f"2·{settings.byzantine} + 3 = {needed} updates a round, and there are {count}. "
        "Lower server.byzantine, have more sites in a round, or take another server.aggregator."
    )


AGGREGATORS = {
    "krum": AggregatorKind(
        "the update with the nearest neighbours (Blanchard et al. 2017)",
        partial(Krum, is_multi=False),
        needs_all=True,
        is_mean=False,
        too_few=partial(too_few, "krum"),
    ),
    "multi-krum": AggregatorKind(
        "mean of the updates with the nearest neighbours (Blanchard et al. 2017)",
        partial(Krum, is_multi=True),
        needs_all=True,
        is_mean=False,
        too_few=partial(too_few, "multi-krum"),
    ),
}
