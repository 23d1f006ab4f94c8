"""A finished run, told to trackers from its folder."""

import json
from pathlib import Path

from fedcxr.errors import ArtefactError
from fedcxr.results.reading import is_comparison, read_result
from fedcxr.runs.folder import RunFolder
from fedcxr.trackers.protocol import Tracker
from fedcxr.trackers.relay import END_S, Relay
from fedcxr.trackers.told import round_numbers, run_end, run_start


def replay(folder: Path, trackers: dict[str, Tracker], wait_s: float = END_S) -> dict[str, str]:
    """Tell trackers of a finished run as if it went on now, at its own times.

    Args:
        folder: the run's.
        trackers: by name.
        wait_s: longest wait for them.

    Returns:
        What went wrong, by tracker.

    Raises:
        ArtefactError: not a finished run's folder, or a file in it is damaged.
    """
    if is_comparison(folder):
        raise ArtefactError(
            f"{folder}: is a comparison. Name one of its trainings: {folder}/arms/…"
        )
    found = read_result(folder).run
    if found is None or found.summary is None:
        raise ArtefactError(
            f"{folder}: the run is not finished. Go on with it first: `fedcxr resume {folder}`."
        )
    run, times = RunFolder(folder), _times(folder)
    lines = {line["round"]: line for line in run.read_lines("rounds.jsonl")}
    relay = Relay(trackers)
    relay.tell(run_start(found.config, folder, sites=len(found.plan.sites)))
    for number in sorted(lines):
        relay.tell(round_numbers(lines[number], times.get(number)))
    relay.tell(run_end(run.read_json("summary.json"), max(times.values(), default=None)))
    return relay.close(wait_s)


def _times(folder: Path) -> dict[int, float]:
    """Return when each round ended, as far as the event log says so."""
    file = folder / "events.jsonl"
    if not file.is_file():
        return {}
    try:
        events = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    except (json.JSONDecodeError, UnicodeDecodeError) as err:
        raise ArtefactError(f"{file}: a line is no event ({err}). Restore or remove it.") from err
    return {event["round"]: event["time"] for event in events if event["event"] == "round_done"}
