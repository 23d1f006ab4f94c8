"""What a run prints: its progress, from the event log, and its result."""

import contextlib
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fedcxr.cli.progress import Display, Follower, LiveDisplay, PlainDisplay
from fedcxr.errors import RunError, StoppedError, StorageError, some
from fedcxr.filenames import shell_command
from fedcxr.runs.folder import RunFolder

if TYPE_CHECKING:
    from fedcxr.results.heat_maps import HeatMaps
    from fedcxr.results.run_files import RunSummary
    from fedcxr.results.vae_numbers import SiteVae


@contextlib.contextmanager
def progress_for(quiet: bool, *, from_begin: bool = False) -> Iterator[Callable[[RunFolder], None]]:
    """Yield what a run is to call with its folder; it says where the run is when it ends badly.

    Args:
        quiet: whether nothing is shown meanwhile.
        from_begin: whether the run may have begun before its folder is known here.
    """
    started: list[RunFolder] = []
    with contextlib.nullcontext() if quiet else Follower(_display()) as follower:

        def on_start(run: RunFolder) -> None:
            started.append(run)
            if follower is not None:
                follower.follow(run, from_begin=from_begin)

        try:
            yield on_start
        except (KeyboardInterrupt, StoppedError) as err:
            _print_aside(f"\nInterrupted. {_what_is_left(started)}")
            raise typer.Exit(StoppedError.exit_code) from err
        except (RunError, StorageError):
            _print_aside(_what_is_left(started))
            raise


def _display() -> Display:
    return LiveDisplay() if sys.stderr.isatty() else PlainDisplay()


def _what_is_left(started: list[RunFolder]) -> str:
    if started and any((started[0].path / "checkpoints").glob("round-*.safetensors")):
        command = shell_command(["fedcxr", "resume", started[0].path])
        return f"What was reached is kept; go on with: {command}"
    return "Nothing was reached yet."


def _print_aside(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def print_outcome(path: Path) -> None:
    """Print the global macro AUROC of a finished run with its interval, and where its report is."""
    from fedcxr.results.reading import read_summary

    summary = read_summary(path)
    value, interval = summary.macro_auroc, summary.macro_auroc_ci
    if value is None:
        print("Global macro AUROC: not defined (no label has both classes in the test set)")
    else:
        ci_text = f" (95 % CI {interval[0]:.3f}–{interval[1]:.3f})" if interval else ""
        print(
            f"Global macro AUROC: {value:.3f}{ci_text}, "
            f"{summary.macro_labels} of {len(summary.auroc)} labels, "
            f"{summary.test_images} images of {summary.test_patients} held-out patients"
        )
    print_sample(path / "manifest.json", "data")
    _print_privacy(path)
    for line in _warnings(summary):
        print(line)
    if summary.heat_maps.num_findings and summary.heat_maps.hit_rate:
        print(_hits(summary.heat_maps))
    print(f"Seconds: {math.ceil(summary.seconds)}")
    print(f"Report: {path / 'report.html'}")


def _print_privacy(path: Path) -> None:
    """Print what each patient's protection has cost, where there is one."""
    run = RunFolder.open(path)
    tree = run.read_json("manifest.json").get("privacy")
    if tree is None:
        return
    from fedcxr.report.privacy_words import privacy_line
    from fedcxr.results.run_privacy import RunEpsilon, RunPrivacy

    last = run.read_lines("rounds.jsonl")[-1].get("epsilon")
    spent = None if last is None else RunEpsilon.model_validate(last)
    print(privacy_line(RunPrivacy.model_validate(tree), spent))


def print_sample(file: Path, *keys: str) -> None:
    """Print what was drawn, where the images are a sample by class.

    Args:
        file: JSON that holds where the test patients came from, as `test_set`.
        keys: under which it is.
    """
    import json

    from fedcxr.data.origin import TestSet
    from fedcxr.report.origin_words import sample_notes

    tree = json.loads(file.read_text("utf-8"))
    for key in keys:
        tree = tree[key]
    for note in sample_notes(TestSet.from_json(tree["test_set"])):
        print(note)


def _hits(found: "HeatMaps") -> str:
    """Return how often the peaks lie in the box: the first method's, then the others'."""
    rates = [(found.methods[name].title, rate) for name, rate in found.hit_rate.items()]
    (title, rate), *others = [*rates, ("image centre", found.center_hit_rate)]
    beside = ", ".join(f"{other}: {share:.1%}" for other, share in others)
    return f"{title} peaks inside the box: {rate:.1%} of {found.num_findings} findings ({beside})"


def _warnings(summary: "RunSummary") -> list[str]:
    """Return what a reader of the figure must know of the run behind it."""
    lines = []
    if summary.collapsed_labels:
        lines.append(
            "The model gives every test image the same probability of "
            f"{some(list(summary.collapsed_labels), 14)}: it has collapsed. Lower the learning "
            "rate, or train for longer."
        )
    if summary.refused_rounds:
        rounds = some([str(number) for number in summary.refused_rounds])
        lines.append(f"Rounds whose new model was not taken: {rounds} (see rounds.jsonl)")
    lines += _vae_lines(summary.vae or ())
    lines += [f"Tracker {name}: {why}" for name, why in summary.tracker_problems.items()]
    parts = summary.participation.items()
    absent = {site: found for site, found in parts if found.missing or found.refused}
    for site, found in list(absent.items())[:10]:
        why = [
            f"{what} in {some([str(number) for number in numbers])}"
            for what, numbers in (("missing", found.missing), ("refused", found.refused))
            if numbers
        ]
        lines.append(
            f"{site} took part in {found.counted} of {found.asked} rounds: {', '.join(why)}"
        )
    if len(absent) > 10:
        lines.append(f"and {len(absent) - 10} more sites were missing from rounds")
    return lines


def _vae_lines(sites: "Sequence[SiteVae]") -> list[str]:
    """Return which sites went without samples, and whose samples copy training images."""
    lines = [
        f"{site.site_id} {site.numbers.status_words()}" for site in sites if site.numbers.status
    ]
    copying = [site.site_id for site in sites if site.numbers.is_copying]
    if copying:
        lines.append(
            f"The samples of {some(copying)} copy training images: a smaller "
            "vae.latent or a larger vae.beta make that less likely, --vae-refuse-copies drops them"
        )
    return lines


def print_scores(scores: dict[str, Any]) -> None:
    """Print the table of an evaluation."""
    for label, row in scores["auroc"].items():
        found = "not defined" if row["value"] is None else f"{row['value']:.3f}"
        ci_text = f"  {row['ci'][0]:.3f}–{row['ci'][1]:.3f}" if row["ci"] else ""
        why = f"  ({row['reason']})" if row["reason"] else ""
        print(f"{label:28} {row['positives']:6d} / {row['negatives']:<6d} {found}{ci_text}{why}")
    value, interval = scores["macro_auroc"], scores["macro_auroc_ci"]
    ci_text = f" (95 % CI {interval[0]:.3f}–{interval[1]:.3f})" if interval else ""
    print(
        f"Macro AUROC: {'not defined' if value is None else f'{value:.3f}'}{ci_text}, "
        f"{scores['macro_labels']} labels, {scores['test_images']} images of "
        f"{scores['test_patients']} patients"
    )
    if scores["left_out_images"]:
        print(f"Left out: {scores['left_out_images']} images of patients that the run learned from")
    if scores["not_scored"]:
        print(f"Not in this data set: {', '.join(scores['not_scored'])}")
