"""Every number of calibration of one model and label, as the product finds them."""

from types import SimpleNamespace

import numpy as np

from fedcxr.metrics.calibration import BINS, expected_error, reliability
from fedcxr.metrics.scored_calibration import score_calibration

NAN = float("nan")


def calibration(target, probs, bins=BINS, *, level=0.95):
    found = reliability(target, probs, bins, level=level)
    truth, chance = (np.asarray(each, dtype=float) for each in (target, probs))
    # one image a patient: the values do not depend on whose the images are
    scored = score_calibration(truth[:, None], chance[None, :, None], np.arange(len(truth)), ["a"])
    values = {name: each.value.item() for name, each in scored.items()}
    slope = scored["slope"]
    reason = slope.reasons[0][0] if np.isnan(slope.value).any() else None
    ece = expected_error(found) if found else NAN
    return SimpleNamespace(**values, ece=ece, bins=found, reason=reason)
