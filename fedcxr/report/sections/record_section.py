"""What it takes to do a run again: its configuration and its manifest."""

from collections.abc import Mapping
from typing import Any

from fedcxr.report.shown import Shown, View


def show(view: View) -> Shown | None:
    """Return configuration and manifest of a run, None for a comparison, which has many."""
    run = view.result.run
    if run is None:
        return None
    # the counts have a table of their own
    record = {key: value for key, value in run.record.items() if key != "label_counts"}
    rows = _rows(record)
    if run.summary is not None:
        rows.append(("final parameters, sha256", run.summary.parameters_sha256))
    return Shown({"config_text": run.config_text, "rows": rows})


def _rows(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return a tree as (dotted key, text) rows; lists in one line.

    >>> _rows({"seed": 0, "versions": {"torch": "2"}, "labels": ["a", "b"]})
    [('seed', '0'), ('versions.torch', '2'), ('labels', 'a, b')]
    """
    rows: list[tuple[str, str]] = []
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            rows += _rows(value, f"{name}.")
        elif isinstance(value, list | tuple):
            between = " " if key == "command" else ", "
            rows.append((name, between.join(str(item) for item in value)))
        else:
            rows.append((name, "" if value is None else str(value)))
    return rows
