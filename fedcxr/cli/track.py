"""`fedcxr track`."""

from pathlib import Path
from typing import Any

from fedcxr.cli import options as o
from fedcxr.cli.flags import FLAGS, config_from_flags, takes_flags
from fedcxr.collector import quick_imports
from fedcxr.errors import ConfigError, RunError

TRACK_FLAGS = tuple(name for name, flagged in FLAGS.items() if flagged.section == "track")


def track(
    run: o.Run,
    **flags: Any,  # noqa: ANN401  # each flag's own type is its key's
) -> None:
    """Tell experiment trackers of a finished run, as if it went on now.

    What is told, at its own times, is the same as `--tensorboard` and the like tell of a run.
    """
    config = config_from_flags(flags, preset="quickstart", file=None, settings=[])
    with quick_imports():
        from fedcxr.trackers.chosen import chosen_trackers
        from fedcxr.trackers.replay import replay

    trackers = chosen_trackers(config.track)
    if not trackers:
        names = ", ".join(FLAGS[name].name for name in TRACK_FLAGS)
        raise ConfigError(f"fedcxr track: tells nobody. Give one of {names}.")
    problems = replay(Path(run).absolute(), trackers)
    for name in trackers:
        print(f"{name}: {problems.get(name, 'told')}")
    if problems:
        raise RunError(f"A tracker failed: {', '.join(problems)}. Mend that and track again.")


takes_flags(track, TRACK_FLAGS)
