"""What the server tells a run's trackers, and what it notes of those that failed."""

import dataclasses
import logging
import time
from collections.abc import Mapping
from typing import Any

from fedcxr.errors import StorageError
from fedcxr.trackers.chosen import chosen_trackers
from fedcxr.trackers.protocol import RunEnd, Status
from fedcxr.trackers.relay import Relay
from fedcxr.trackers.told import round_numbers, run_end, run_start
from server.job import Job

log = logging.getLogger(__name__)


def with_tracking(job: Job) -> Job:
    """Return the job with its trackers running; `ConfigError` where one cannot be had."""
    return dataclasses.replace(job, tracking=Relay(chosen_trackers(job.config.track)))


def track_start(job: Job) -> None:
    """Tell the trackers that the run begins, or goes on."""
    sites = len(job.prepared.plan.sites)
    after = None
    if job.resume:
        after = max((line["round"] for line in job.run.read_lines("rounds.jsonl")), default=None)
    job.tracking.tell(run_start(job.config, job.run.path, sites=sites, resumed_after=after))


def track_round(job: Job, line: Mapping[str, Any]) -> None:
    """Tell the trackers of a round that is kept."""
    job.tracking.tell(round_numbers(line))


def track_result(job: Job, summary: Mapping[str, Any]) -> dict[str, str]:
    """Tell the trackers the result, and return what went wrong, by tracker."""
    job.tracking.tell(run_end(summary))
    return job.tracking.close()


def track_break(job: Job, status: Status) -> None:
    """Tell the trackers that the run ended without a result."""
    job.tracking.tell(RunEnd(status, {}, None, time.time()))
    problems = job.tracking.close()
    if problems:
        try:
            job.run.update_manifest(tracker_problems=problems)
        except StorageError as err:  # the log has them
            log.warning("what trackers failed with could not be written down: %s", err)
