"""`fedcxr compare`."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from fedcxr.cli import options as o
from fedcxr.cli.flags import COMPARE_KEYS, KEYS, config_from_flags
from fedcxr.cli.signature import takes_flags
from fedcxr.collector import collector_paused
from fedcxr.engines.fork_server import fork_server
from fedcxr.errors import ConfigError, StoppedError
from fedcxr.home import expanded

_TRAININGS = "fedcxr.experiments.trainings"
_LINE_EVERY_S = 30.0
"""Between two lines of progress where there is no terminal."""


def compare(
    preset: o.Preset = "quickstart",
    config: o.ConfigFile = None,
    settings: o.Settings = None,
    arm: Annotated[
        list[str] | None,
        typer.Option("--arm", help="NAME=FILE: one more arm, a YAML file over the federation's."),
    ] = None,
    quiet: o.Quiet = False,
    **flags: Any,  # noqa: ANN401  # each flag's own type is in `options`
) -> None:
    """Compare federated with centralized and local training on the same held-out patients.

    Ctrl-C keeps what was reached; go on with `fedcxr resume FOLDER`.
    """
    resolved = config_from_flags(flags, preset=preset, file=config, settings=settings or [])
    fork_server(_TRAININGS, "clients.app")  # imports for the trainings while this process does
    with collector_paused():
        from fedcxr.experiments.compare import compare as run_comparison

    with telling(quiet) as (on_start, tell):
        folder = run_comparison(resolved, further=_further(arm or []), on_start=on_start, tell=tell)
    print_comparison(folder)


def print_comparison(folder: Path) -> None:
    """Print each arm's macro AUROC, the difference that was asked for, and where the page is."""
    found = json.loads((folder / "comparison.json").read_text("utf-8"))
    for arm in found["arms"]:
        print(f"{arm['title']:28} macro AUROC {_told(arm['macro_auroc'])}")
    for difference in found["differences"]:
        print(
            f"{difference['arm']} minus {difference['against']}: "
            f"{_told(difference['macro_auroc'], signed=True)}: {difference['verdict']['word']}"
        )
        reason, power = difference["verdict"]["reason"], difference["power"] or ""
        if reason not in power:
            print(f"  {reason}")
        if power and difference == found["differences"][0]:  # of the others the page tells
            print(f"  {power}")
    print(f"Report: {folder / 'report.html'}")


@contextmanager
def telling(quiet: bool) -> Iterator[tuple[Any, Any]]:
    """Yield what a comparison is to call with its folder, and with how far it is."""
    shown = _Shown(quiet)
    try:
        yield shown.start, shown.tell
    except KeyboardInterrupt as err:
        shown.close()
        where = f"go on with: fedcxr resume {shown.folder}" if shown.folder else "Nothing is kept."
        print(f"\nInterrupted. What was reached is kept; {where}", file=sys.stderr, flush=True)
        raise typer.Exit(StoppedError.exit_code) from err
    finally:
        shown.close()


class _Shown:
    """A bar over all trainings on a terminal, a line now and then elsewhere."""

    def __init__(self, quiet: bool) -> None:
        self.folder: Path | None = None
        self._quiet, self._begun, self._told = quiet, time.monotonic(), 0.0
        self._first = 0.0
        self._bar: Any = None

    def start(self, folder: Path) -> None:
        """Take note of the folder."""
        self.folder = folder

    def tell(self, how_far: Any) -> None:  # noqa: ANN401  # its class would import torch
        """Show how far the trainings are, and the time left."""
        if self._quiet:
            return
        now = time.monotonic()
        if self._told == 0.0:
            self._begun, self._first = now, how_far.images
        share = how_far.images / max(how_far.total_images, 1)
        new = how_far.images - self._first
        left_s = (now - self._begun) * (how_far.total_images - how_far.images) / new if new else 0.0
        left = f"{int(left_s // 60)}:{int(left_s % 60):02d} left" if new else ""
        text = f"{how_far.trainings} of {how_far.total_trainings} trainings"
        if sys.stderr.isatty():
            self._draw(share, f"{text}, {left}" if left else text)
        elif now - self._told >= _LINE_EVERY_S or share == 1.0:
            self._told = now
            print(f"{share:4.0%}  {text}  {left}".rstrip(), file=sys.stderr, flush=True)
        self._told = self._told or now

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _draw(self, share: float, text: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        if self._bar is None:
            columns = (TextColumn("Training"), BarColumn(), TextColumn("{task.description}"))
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.add_task("", total=1.0)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=share, description=text)


def _further(arms: list[str]) -> dict[str, Path]:
    found = {}
    for text in arms:
        name, sign, path = text.partition("=")
        if not sign or not name or not path:
            raise ConfigError(f"--arm {text}: expected NAME=FILE, as in prox=prox.yaml.")
        if name in found:
            raise ConfigError(f"--arm {text}: there is an arm {name} already; choose another name.")
        found[name] = expanded(path)
    return found


def _told(found: dict[str, Any], *, signed: bool = False) -> str:
    value, interval = found["value"], found["ci"]
    if value is None:
        return "not defined"
    form = "+.3f" if signed else ".3f"
    told = f" (95 % CI {interval[0]:{form}} to {interval[1]:{form}})" if interval else ""
    return f"{value:{form}}{told}"


takes_flags(compare, [*KEYS, *COMPARE_KEYS])
