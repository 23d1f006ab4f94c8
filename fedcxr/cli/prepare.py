"""`fedcxr prepare`: the image cache ahead of time, exactly the one that `fedcxr simulate` opens."""

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from fedcxr.cli import options as o
from fedcxr.cli.bar import counting_bar
from fedcxr.cli.flags import config_from_flags, flags_from
from fedcxr.errors import StoppedError
from fedcxr.filenames import shell_command
from fedcxr.report.wording import png_depth

if TYPE_CHECKING:
    from fedcxr.config.experiment import ExperimentConfig
    from fedcxr.data.cache.store import Cache
    from fedcxr.data.records import DataSet

PHASES = {
    "waiting": "Waiting for another process that builds this cache",
    "checking": "Checking what is there",
    "decoding": "Decoding images",
    "verifying": "Reading back and verifying",
}
PLAIN_EVERY_S = 10.0
SHOWN = 10
"""Bad files that are named; all of them are in quarantine.csv."""


def prepare(
    data: Annotated[
        list[str],
        typer.Argument(help="CheXpert, NIH or own folder; several = joined.", metavar="DIR..."),
    ],
    size: Annotated[int, typer.Option(help="Side of the square images, pixels.")] = 320,
    views: Annotated[
        str | None,
        typer.Option(
            help="frontal (default, as in simulate) or all, as in --preset chexpert. "
            "A cache serves runs with the same views."
        ),
    ] = None,
    label_table: Annotated[
        str | None, typer.Option(help="As the run's: train_cheXbert.csv for train.csv.")
    ] = None,
    follow_links: o.FollowLinks = None,
    max_bad_fraction: Annotated[
        float | None, typer.Option(help="Unreadable files that are let pass; default 0.001.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Default: all cores.")] = None,
) -> None:
    """Decode a data set's images once, ahead of the runs that use them.

    DIR is a CheXpert, NIH or own folder; several are joined, as by several `--data` of simulate.
    Safe to interrupt and to start again, and to start twice at once. What is written is read
    back and verified; so is a cache that is there already.
    """
    settings = [] if max_bad_fraction is None else [f"data.max_bad_fraction={max_bad_fraction}"]
    flags = {"data": data, "views": views, "image_size": size, "label_table": label_table}
    flags["follow_links"] = follow_links
    config = config_from_flags(flags, preset="quickstart", file=None, settings=settings)

    display = _display()
    try:
        dataset, cache = _make(config, workers, display)
    except KeyboardInterrupt as err:
        display.close()
        print(
            "\nInterrupted. What is decoded is kept; start the same command again to go on.",
            file=sys.stderr,
        )
        raise typer.Exit(StoppedError.exit_code) from err
    finally:
        display.close()
    _print_result(cache, dataset, config, display)


def _make(
    config: "ExperimentConfig", workers: int | None, display: "Display"
) -> tuple["DataSet", "Cache"]:
    """Return the data set and the cache of a run with this configuration, every image verified."""
    # numpy, pandas, Pillow: too heavy for `fedcxr --help`.
    from fedcxr.cores import cores
    from fedcxr.data.cache.images import cache_of
    from fedcxr.data.cache.store import verify_cache
    from fedcxr.data.tokens import Tokens
    from partitions.prepare import key_for, read_for

    dataset = read_for(config)
    cpus = workers or cores()
    cache = cache_of(
        dataset,
        Tokens(key_for(config)),
        size_px=config.model.image_size,
        max_bad_fraction=config.data.max_bad_fraction,
        workers=cpus,
        watch=display.show,
    )
    if "verifying" not in display.phases:
        verify_cache(
            cache,
            workers=cpus,
            progress=lambda done, total: display.show("verifying", done, total),
        )
    return dataset, cache


class Display:
    """Follows the phases; this one prints a line now and then, for logs and pipes."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        """Those that have begun."""
        self.decoded = 0
        """Images decoded by this process."""
        self.seconds = 0.0
        """What that took."""
        self._began = self._printed = time.monotonic()
        self._from = 0

    def show(self, phase: str, done: int, total: int) -> None:
        """Take a step of a phase."""
        now = time.monotonic()
        if phase not in self.phases[-1:]:
            self.phases.append(phase)
            self._began, self._from = now, done
            self.begin(phase)
        if phase == "decoding":
            self.decoded, self.seconds = done - self._from, now - self._began
        self.step(phase, done, total)

    def begin(self, phase: str) -> None:
        """Show that a phase begins."""
        self._printed = time.monotonic()
        print(f"{PHASES[phase]} …", file=sys.stderr, flush=True)

    def step(self, phase: str, done: int, total: int) -> None:
        """Show how far the phase is."""
        now = time.monotonic()
        if now - self._printed >= PLAIN_EVERY_S:
            self._printed = now
            line = f"{PHASES[phase]}: {done} of {total}  {self.speed(done, total)}"
            print(line.rstrip(), file=sys.stderr, flush=True)

    def speed(self, done: int, total: int) -> str:
        """Return images a second and time left of the phase, empty while unknown."""
        passed, new = time.monotonic() - self._began, done - self._from
        if new <= 0 or passed <= 0:
            return ""
        left = int((total - done) * passed / new)
        return f"{new / passed:.0f} images/s  {left // 60}:{left % 60:02d} left"

    def close(self) -> None:
        """End the display."""


class Bar(Display):
    """A bar on a terminal."""

    def __init__(self) -> None:
        super().__init__()
        self._progress = counting_bar()
        self._task = self._progress.add_task("Looking at the files", total=None, extra="")
        self._progress.start()

    def begin(self, phase: str) -> None:
        """Name the phase."""
        self._progress.reset(self._task, description=PHASES[phase], extra="")

    def step(self, phase: str, done: int, total: int) -> None:
        """Move the bar."""
        extra = self.speed(done, total)
        self._progress.update(self._task, completed=done, total=total, extra=extra)

    def close(self) -> None:
        """Take the bar away."""
        self._progress.stop()


def _display() -> Display:
    return Bar() if sys.stderr.isatty() else Display()


def _print_result(
    cache: "Cache", dataset: "DataSet", config: "ExperimentConfig", display: Display
) -> None:
    """Print what there is now, and the command that uses it."""
    total, size, _ = cache.images.shape
    good, on_disk = total - len(cache.bad), _bytes(cache.images.nbytes)
    print(f"Cache: {cache.folder}")
    print(f"Images: {good} of {size} × {size} pixels, {on_disk}, read back and verified")
    if cache.png_bits is not None:
        print(png_depth(cache.png_bits))
    if display.decoded:
        rate = display.decoded / max(display.seconds, 1e-9)
        print(f"Decoded: {display.decoded} in {display.seconds:.1f} s, {rate:.0f} images/s")
    else:
        print("Decoded: none, they were there")
    if cache.bad:
        allowed = int(config.data.max_bad_fraction * total)
        print(f"Left out: {len(cache.bad)} unreadable files, {allowed} would be let pass")
        for _, path, reason in cache.bad[:SHOWN]:
            print(f"  {path}: {reason}")
        rest = len(cache.bad) - SHOWN
        more = f"and {rest} more; " if rest > 0 else ""
        print(f"  {more}all in {cache.folder / 'quarantine.csv'}")
    print(f"Use it: {_command(dataset, config)}")


def _bytes(number: int) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.1f} MB"


def _command(dataset: "DataSet", config: "ExperimentConfig") -> str:
    """Return the `fedcxr simulate` that opens this cache."""
    words = ["fedcxr", "simulate"]
    is_synthetic = (dataset.root / "synthetic.json").is_file()
    if dataset.layout in ("chexpert", "nih14") and not is_synthetic:
        words += ["--preset", dataset.layout]
    words += flags_from(
        config, ("data", "views", "task", "image_size", "label_table", "follow_links")
    )
    allowed = config.data.max_bad_fraction
    if allowed != type(config.data)().max_bad_fraction:
        words += ["--set", f"data.max_bad_fraction={allowed:g}"]
    return shell_command(words)
