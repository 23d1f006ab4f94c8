"""From comparison.json to the page that answers: what does federation cost in accuracy?

Reads and shows only; every number on the page was computed before (`fedcxr/metrics/`).
"""

from fedcxr.report.comparison.page import write_comparison

__all__ = ["write_comparison"]
