"""Who took part in how many rounds, from the lines of rounds.jsonl."""

from collections.abc import Mapping, Sequence
from typing import Any


def participation(lines: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return by site how often it was asked and counted, and the rounds in which it was not.

    A round whose new model was not taken counts for nobody.

    Args:
        lines: of all rounds, round 0 among them.

    >>> line = {"round": 1, "sites": [{"site_id": "a"}], "refused": [], "taken": True}
    >>> participation([{**line, "missing": [{"site_id": "b", "reason": "no answer"}]}])["b"]
    {'asked': 1, 'counted': 0, 'missing': [1], 'refused': [], 'skipped': []}
    """
    found: dict[str, dict[str, Any]] = {}
    for line in lines:
        number = line["round"]
        for kind in ("sites", "missing", "refused"):
            for row in line[kind]:
                site = found.setdefault(
                    row["site_id"],
                    {"asked": 0, "counted": 0, "missing": [], "refused": [], "skipped": []},
                )
                site["asked"] += 1
                if kind == "sites":
                    site["counted"] += bool(line.get("taken", True))
                elif str(row["reason"]).startswith("skipped"):
                    site["skipped"].append(number)
                else:
                    site[kind].append(number)
    return dict(sorted(found.items()))


def last_rounds(lines: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return by site the newest round that its update is in; sites that are in none are left out.

    >>> last_rounds([{"round": 1, "sites": [{"site_id": "a"}]}, {"round": 2, "sites": []}])
    {'a': 1}
    """
    return {row["site_id"]: line["round"] for line in lines for row in line["sites"]}
