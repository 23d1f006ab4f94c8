"""The command `fedcxr`: its verbs, and what the user sees when something is wrong.

Verbs import torch and flwr only when they run, so that `--help` answers at once.
"""

import logging
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from fedcxr.cli.attack import attack
from fedcxr.cli.audit import audit
from fedcxr.cli.augment_study import augment_study
from fedcxr.cli.byzantine import byzantine
from fedcxr.cli.chaos import chaos
from fedcxr.cli.check_data import check_data
from fedcxr.cli.check_overlap import check_overlap
from fedcxr.cli.clean import clean
from fedcxr.cli.client import client
from fedcxr.cli.compare import compare
from fedcxr.cli.deploy import deploy
from fedcxr.cli.evaluate import evaluate
from fedcxr.cli.init_data import init_data
from fedcxr.cli.kit import kit
from fedcxr.cli.launch import launch
from fedcxr.cli.output import secure_output
from fedcxr.cli.partition import partition
from fedcxr.cli.plan_study import plan_study
from fedcxr.cli.predict import predict
from fedcxr.cli.prepare import prepare
from fedcxr.cli.privacy import privacy
from fedcxr.cli.privacy_sweep import privacy_sweep
from fedcxr.cli.provision import provision
from fedcxr.cli.report import report
from fedcxr.cli.resume import resume
from fedcxr.cli.run import run
from fedcxr.cli.selftest import selftest
from fedcxr.cli.server import server
from fedcxr.cli.simulate import simulate
from fedcxr.cli.status import status, stop
from fedcxr.cli.synth import synth
from fedcxr.cli.track import track
from fedcxr.engines.fork_server import end_fork_server
from fedcxr.errors import FedCxrError
from fedcxr.home import is_in_home
from fedcxr.interrupts import end_on_signals
from fedcxr.storage import is_full, refused
from fedcxr.version import __version__

cli = typer.Typer(
    name="fedcxr",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Federated learning for chest radiographs: simulated hospitals, global AUROC, Grad-CAM.",
)
for verb in (
    simulate,
    compare,
    augment_study,
    byzantine,
    privacy_sweep,
    plan_study,
    resume,
    evaluate,
    predict,
    report,
    track,
    init_data,
    check_data,
    prepare,
    partition,
    synth,
    clean,
    provision,
    launch,
    run,
    status,
    stop,
    chaos,
):
    cli.command()(verb)
cli.add_typer(kit, name="kit")
cli.add_typer(server, name="server")
cli.add_typer(client, name="client")
cli.add_typer(deploy, name="deploy")
cli.add_typer(check_overlap, name="check-overlap")
cli.add_typer(attack, name="attack")
cli.add_typer(privacy, name="privacy")
cli.add_typer(attack, name="attack")
cli.add_typer(audit, name="audit")
cli.add_typer(selftest, name="selftest")


@cli.callback(invoke_without_command=True)
def options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks and log messages.")
    ] = False,
) -> None:
    """Read what stands before the verb."""
    if version:
        print(f"fedcxr {__version__}")
        raise typer.Exit
    logging.basicConfig(level=logging.INFO if debug else logging.ERROR)
    logging.getLogger("flwr").setLevel(logging.INFO if debug else logging.ERROR)


def command() -> None:
    """Run the command line and leave at once: tearing torch down would take another second."""
    secure_output()
    code: object = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    if isinstance(code, str):
        print(code, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    end_fork_server()
    logging.shutdown()
    os._exit(code if isinstance(code, int) else int(code is not None))


def main() -> None:
    """Run the command line and exit with the codes of docs/guide/troubleshooting.md."""
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    end_on_signals()  # workers are stopped, the manifest is right
    debug = "--debug" in sys.argv
    if debug:
        sys.argv = [sys.argv[0], "--debug", *(a for a in sys.argv[1:] if a != "--debug")]
    try:
        cli(standalone_mode=True)
    except SystemExit as end:
        # click ends silently on any broken pipe, as if it were that of stdout, which has none here.
        if debug or not isinstance(end.__context__, BrokenPipeError):
            raise
        _fail(end.__context__)
    except Exception as err:
        if debug:
            raise
        _fail(err)


def _fail(err: Exception) -> NoReturn:
    print(f"fedcxr: {_one_line(err)}", file=sys.stderr)
    sys.exit(err.exit_code if isinstance(err, FedCxrError) else FedCxrError.exit_code)


def _one_line(err: Exception) -> str:
    if isinstance(err, FedCxrError):
        return str(err)
    if isinstance(err, OSError):
        if isinstance(err.filename, str) and (is_full(err) or is_in_home(Path(err.filename))):
            return str(refused(Path(err.filename), err))
        where = f"{err.filename}: " if err.filename else ""
        return f"{where}{err.strerror or err}. Mend that and try again."
    return f"unexpected {type(err).__name__}: {err}. Run it again with --debug and report it."
