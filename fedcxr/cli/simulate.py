"""`fedcxr simulate`."""

from typing import Any

from fedcxr.cli import options as o
from fedcxr.cli.flags import RUN_FLAGS, config_from_flags, takes_flags
from fedcxr.collector import quick_imports
from fedcxr.cores import cores
from fedcxr.engines.fork_server import fork_server


def simulate(
    preset: o.Preset = "quickstart",
    config: o.ConfigFile = None,
    settings: o.Settings = None,
    quiet: o.Quiet = False,
    **flags: Any,  # noqa: ANN401  # each flag's own type is its key's
) -> None:
    """Train a federation of simulated hospitals and write its report.

    Without `--data` a synthetic data set is made. Ctrl-C keeps what was reached; go on with
    `fedcxr resume RUN`.
    """
    resolved = config_from_flags(flags, preset=preset, file=config, settings=settings or [])
    if resolved.engine.kind == "local" and (resolved.engine.workers or cores()) > 1:
        fork_server(
            "fedcxr.engines.local_worker", "clients.app"
        )  # imports for the workers while this process does

    with quick_imports():
        from fedcxr.cli.outcome import print_outcome, progress_for
        from fedcxr.experiments.simulate import simulate as run_simulation

    with progress_for(quiet) as follow:
        run = run_simulation(resolved, on_start=follow)
    print_outcome(run.path)


takes_flags(simulate, RUN_FLAGS)
