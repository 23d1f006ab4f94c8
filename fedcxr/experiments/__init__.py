"""What a researcher runs, as Python: each returns a finished run.

>>> from fedcxr.config import load_config
>>> from fedcxr.experiments import simulate
>>> run = simulate(load_config())  # doctest: +SKIP
>>> run.summary["macro_auroc"]  # doctest: +SKIP
"""

from fedcxr.experiments.simulate import FinishedRun, resume, simulate

__all__ = ["FinishedRun", "resume", "simulate"]
