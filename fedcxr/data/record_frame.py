"""Records as pandas data frames, for who works with them in Python; no run makes one.

Whatever imports this imports pandas, which takes half a second: `to_frame` does, when it is called.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedcxr.data.labels import UNCERTAIN


def record_frame(
    columns: Mapping[str, Sequence[object]],
    labels: Sequence[str],
    states: NDArray[np.int8],
    *,
    index: str,
) -> pd.DataFrame:
    """Return a row an image, with a column a label: 1, 0, -1, or nan where it is not stated.

    Args:
        columns: what is known of each image, N values each.
        labels: the L names.
        states: (N, L) of `fedcxr/data/labels.py`; blank and masked ones become nan.
        index: the column that names the rows.

    >>> states = np.array([[1, -2], [-1, -3]], dtype=np.int8)
    >>> frame = record_frame({"path": ["a", "b"]}, ["Edema", "Mass"], states, index="path")
    >>> frame.loc["b"].tolist()
    [-1.0, nan]
    """
    stated = np.where(states < UNCERTAIN, np.nan, states.astype(np.float64))
    frame = pd.DataFrame(dict(columns)).set_index(index)
    return frame.join(pd.DataFrame(stated, columns=list(labels), index=frame.index))
