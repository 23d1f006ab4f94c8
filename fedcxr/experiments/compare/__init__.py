"""A comparison: arms, their trainings, and the judge of their predictions.

What the verdict is about is frozen before training: `freezing.py`, and `endpoint.py` for its
labels. The verdict comes from `verdicts.py`; what else the page shows of an arm from
`arm_scores.py`, `fedcxr.results.judging` (thresholds, calibration, subgroups) and `sites.py`.
`judge.py` joins them.
"""
