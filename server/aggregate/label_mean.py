"""The weighted mean in which a label's rows of the head weigh by the targets known of that label.

A site that knows no target of a label has trained nothing of its row, and still returns it at the
full weight of its images: with two equal sites of which one knows the label, the row moves by half.
Here a row's update is Σ kₛ·Δₛ / Σ kₛ, with the known training targets kₛ of its label at each site;
a row that nobody knows stays. All other values weigh by images, as in `mean.py`, and where every
site knows all targets the two are equal.
"""

import numpy as np

from fedcxr.codecs import Floats
from server.aggregate.aggregator import Aggregate, AggregatorKind, AggregatorPlace
from server.aggregate.mean import RunningMean
from server.check import SiteUpdate


class LabelMean:
    """The running mean, with a sum of its own for each label's rows."""

    def __init__(self, place: AggregatorPlace) -> None:
        self._mean = RunningMean(place)
        self._rows = place.head
        self._sums = [np.zeros(_length(row.places)) for row in self._rows]
        self._known = np.zeros(len(self._rows), np.int64)

    def add(self, update: SiteUpdate) -> None:
        """Add a site's update."""
        assert update.known is not None, "the schema has sites count them"
        self._mean.add(update)
        for number, row in enumerate(self._rows):
            known = int(update.known[row.label])
            self._sums[number] += _values(update.update, row.places) * known
            self._known[number] += known

    def result(self) -> Aggregate:
        """Return the mean, its rows by what is known."""
        found = self._mean.result()
        for row, total, known in zip(self._rows, self._sums, self._known.tolist(), strict=True):
            start = 0
            for place in row.places:
                size = place.stop - place.start
                found.update[place] = total[start : start + size] / max(known, 1)
                start += size
        return found


def _values(
    update: Floats, places: tuple[slice, ...]
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.concatenate([update[place] for place in places]).astype(np.float64)


def _length(places: tuple[slice, ...]) -> int:
    return sum(place.stop - place.start for place in places)


AGGREGATORS = {
    "label-mean": AggregatorKind(
        "mean by images, the head's rows by known targets", LabelMean, counts_known=True
    )
}
