"""All benchmarks, one after another, and the page of what they found.

    python -m benchmarks.run_all --short        # make bench: short forms, in under 10 minutes
    python -m benchmarks.run_all                # make verify-bench: long forms, some hours
    python -m benchmarks.run_all --write-only   # the page from the JSON files as they are

One that fails or takes too long does not stop the others; it is on the page as not ended. Long
forms go to `docs/benchmarks`, short ones to `build/bench`. Exit 1 if a goal is missed.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from rich.progress import BarColumn, Progress, TaskID, TextColumn

from benchmarks.page import LONG, write_page
from benchmarks.processes import started, tail
from benchmarks.result import OUT, Result, Row, load, save
from fedcxr.interrupts import end_on_signals

SHORT_S = {
    "evaluation": 20,
    "judging": 30,
    "digests": 54,
    "scaling": 45,
    "soak": 65,
    "vae": 15,
    "codecs": 60,
    "train_loop": 75,
    "overhead": 95,
    "end_to_end": 130,
    "gpu": 10,
}
"""What each short form may take; what one leaves over, the next ones have, too."""
LONG_S = {
    "evaluation": 300,
    "judging": 300,
    "vae": 600,
    "digests": 1200,
    "scaling": 1200,
    "soak": 900,
    "quickstart": 600,
    "data": 900,
    "gpu": 1800,
    "deployment": 3600,
    "deployment_soak": 2400,
    "supernodes": 3600,
    "codecs": 5400,
    "secagg": 600,
    "train_loop": 5400,
    "overhead": 5400,
    "end_to_end": 10_800,
}
"""What each long form may take, some four times of what it does on two cores."""
POLL_S = 0.2


def main() -> None:
    """Run them, write the page, exit 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--short", action="store_true", help="Short forms, as `make bench`.")
    parser.add_argument("--write-only", action="store_true", help="Only write the page.")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="Only these.")
    args = parser.parse_args()
    end_on_signals()  # so that SIGTERM, too, ends what is running
    missed = False
    if not args.write_only:
        limits = SHORT_S if args.short else LONG_S
        strangers = set(args.only or ()) - set(limits)
        if strangers:
            parser.error(f"not among {', '.join(limits)}: {', '.join(sorted(strangers))}")
        chosen = {name: s for name, s in limits.items() if not args.only or name in args.only}
        missed = run_all(chosen, OUT if args.short else LONG, short=args.short)
    write_page()
    sys.exit(1 if missed else 0)


def run_all(
    limits: Mapping[str, float], out: Path, *, short: bool, package: str = "benchmarks"
) -> bool:
    """Run modules of `package` in turn, put their results into `out`; return whether one missed.

    Args:
        limits: module → seconds it may take, and in the short form what those before it left over.
        out: folder for the JSON files; what a module prints goes to NAME.log in `OUT`.
        short: run the short forms.
        package: where the modules are.
    """
    OUT.mkdir(parents=True, exist_ok=True)
    missed, begun, allowed_s = False, time.monotonic(), 0.0
    with tempfile.TemporaryDirectory(prefix="fedcxr-bench-") as folder, progress() as shown:
        watch = Watch(shown, shown.add_task("", total=sum(limits.values()), left="", name=""))
        for name, limit_s in limits.items():
            allowed_s += limit_s
            this_s = allowed_s - (time.monotonic() - begun) if short else limit_s
            watch.begin(name, limit_s, sum(limits.values()) - allowed_s)
            result = run_one(f"{package}.{name}", Path(folder), this_s, watch, short=short)
            keep(result, Path(folder), out)
            watch.end(result)
            missed = missed or result.missed
    return missed


def run_one(module: str, folder: Path, limit_s: float, watch: "Watch", *, short: bool) -> Result:
    """Run one module and return what it found; a failure is a result, too."""
    name = module.rpartition(".")[2]
    words = [sys.executable, "-m", module, "--out", str(folder), *(["--short"] if short else [])]
    log, file = OUT / f"{name}.log", folder / f"{name}.json"
    end = time.monotonic() + limit_s
    with started(words, folder / "home", log) as process:
        while process.poll() is None and time.monotonic() < end:
            watch.tick()
            time.sleep(POLL_S)
        reason = ""
        if process.poll() is None:
            reason = f"stopped after {limit_s:.0f} s"
    if file.is_file():
        return load(file)[0]
    reason = reason or f"exit status {process.returncode}: {tail(log)}"
    row = Row("runs to its end", "yes", f"did not end: {reason}", met=False)
    return Result(name, name, f"python -m {module}", short, rows=[row])


def keep(result: Result, folder: Path, out: Path) -> None:
    """Put a result's file into `out`, as the module wrote it or, where it failed, as it is told."""
    file = folder / f"{result.name}.json"
    if file.is_file():
        out.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, out / file.name)
    else:
        save(result, out)


def progress() -> Progress:
    """Return the line that shows how far it is, on a terminal."""
    return Progress(
        TextColumn("{task.fields[name]}"), BarColumn(), TextColumn("{task.fields[left]}")
    )


class Watch:
    """Tells which benchmark runs, how long for, and what is left."""

    def __init__(self, shown: Progress, task: TaskID) -> None:
        self._shown, self._task = shown, task
        self._begun, self._name, self._limit_s, self._later_s = 0.0, "", 0.0, 0.0

    def begin(self, name: str, limit_s: float, later_s: float) -> None:
        """Show that a benchmark starts, with the seconds that those after it may take."""
        self._begun, self._name = time.monotonic(), name
        self._limit_s, self._later_s = limit_s, later_s

    def tick(self) -> None:
        """Show the time."""
        took_s = time.monotonic() - self._begun
        left_s = self._later_s + max(0.0, self._limit_s - took_s)
        total = self._shown.tasks[0].total or 0.0
        self._shown.update(
            self._task,
            completed=total - left_s,
            name=self._name,
            left=f"{took_s:.0f} s; at most {left_s / 60:.0f} min left",
        )

    def end(self, result: Result) -> None:
        """Leave a line of what was found."""
        took_s = time.monotonic() - self._begun
        missed = [f"{row.what}: {row.found}" for row in result.rows if row.met is False]
        self._shown.console.print(
            f"{result.name}: {took_s:.0f} s" + "".join(f"\n  missed: {text}" for text in missed)
        )


if __name__ == "__main__":
    main()
