"""`fedcxr partition`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedcxr.cli.flags import PARTITION_FLAGS, config_from_flags, flags_from, takes_flags
from fedcxr.errors import ConfigError
from fedcxr.filenames import shell_command
from fedcxr.home import expanded

if TYPE_CHECKING:  # numpy and rich: too heavy for `fedcxr --help`
    from rich.table import Table

    from fedcxr.config.experiment import ExperimentConfig
    from partitions.plan import PartitionPlan

FLAGS = ("seed", "views", "labels", "task", "label_table", "follow_links", *PARTITION_FLAGS)

_WIDTH = 140
"""Columns of the table where nobody looks at it through a terminal."""


def partition(
    out: Annotated[
        Path, typer.Option(help="The partition folder to make.", metavar="DIR", parser=expanded)
    ],
    data: Annotated[
        list[str] | None,
        typer.Argument(metavar="[DIR]...", help="CheXpert, NIH or own folder; several are joined."),
    ] = None,
    patients: Annotated[
        int | None, typer.Option(help="Without DIR: size of the synthetic data set.")
    ] = None,
    **flags: Any,  # noqa: ANN401  # each flag's own type is its key's
) -> None:
    """Give whole patients to sites, prove that no two share one, and draw what each site has.

    Without DIR the synthetic data set is partitioned. No image is opened.
    """
    if data and patients is not None:
        raise ConfigError(
            "--patients is of the synthetic data set: leave it out, or leave DIR out."
        )
    folds, fold = flags["folds"], flags["fold"]
    if fold is not None and folds is None:
        raise ConfigError("--fold names one of --folds: give both.")
    settings = [] if patients is None else [f"data.synthetic.patients={patients}"]
    given = {"data": data, **flags}
    config = config_from_flags(given, preset="quickstart", file=None, settings=settings)
    _partition(config, out, every_fold=folds is not None and fold is None)


def _partition(config: "ExperimentConfig", out: Path, *, every_fold: bool) -> None:
    """Make, print and draw the partition, or one for each fold."""
    from partitions.plan import make_partition
    from partitions.prepare import key_for, read_for

    dataset = read_for(config)
    for note in dataset.notes:
        print(note)
    folds = range(config.partition.folds or 1) if every_fold else [config.partition.test_fold]
    for fold in folds:
        plan = make_partition(
            dataset,
            config=config.partition.model_copy(update={"fold": fold}),
            seed=config.seed,
            key=key_for(config),
            views=config.data.views,
            out=out / f"fold-{fold}" if every_fold else out,
        )
        _show(plan)
        _draw(plan)
        print(f"Use it: {_command(config, plan)}")


def _show(plan: "PartitionPlan") -> None:
    """Print the sites as a table, then what the server keeps, and the proof."""
    import json
    import sys

    from rich.console import Console

    from fedcxr.report.origin_words import notes_of

    Console(width=None if sys.stdout.isatty() else _WIDTH).print(_table(plan))
    head = json.loads((plan.folder / "plan.json").read_text("utf-8"))
    for name, split in (("validation", "val"), ("test", "test")):
        part = head["global"][split]
        print(f"Global {name}: {part['patients']:,} patients, {part['images']:,} images")
    for note in notes_of(plan.test_set):
        print(note)
    if plan.left_out_images:
        print(f"Left out: {plan.left_out_images:,} images of an official set that is not used")
    if plan.moved_patients:
        print(f"Moved to meet the minimum: {plan.moved_patients:,} patients")
    print(
        f"Proven: no patient and no image is in two of {len(head['proof']['sets'])} sets "
        f"({plan.pairs_checked:,} pairs checked)"
    )


def _table(plan: "PartitionPlan") -> "Table":
    from rich.table import Table
    from rich.text import Text

    parameters = [f"{n} {plan.parameters[n]}" for n in _distinguishing(plan.parameters)]
    title = ", ".join([f"{plan.source}: {plan.scheme}", *parameters, f"seed {plan.seed}"])
    table = Table(title=Text(title), title_justify="left", header_style="bold")
    has_groups = any(site.holds for site in plan.sites)
    table.add_column("site", no_wrap=True)
    if has_groups:
        table.add_column("holds")
    for name in ("patients", "images", "train / val", "JS distance"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("fewest positives")
    for site in plan.sites:
        label, count = site.fewest_positives()
        cells = [site.site_id, *([site.holds] if has_groups else [])]
        cells += [f"{site.patients:,}", f"{site.images:,}"]
        cells += [f"{site.train_images:,} / {site.val_images:,}", f"{site.js_distance:.3f}"]
        table.add_row(*map(Text, [*cells, f"{label} {count:,}"]))
    return table


def _distinguishing(parameters: dict[str, Any]) -> list[str]:
    """Return the parameters that tell partitions of one scheme apart."""
    names = ("alpha", "exponent", "attribute", "folds", "fold", "min_images", "min_positives")
    return [n for n in names if n in parameters and not (n.startswith("min") and not parameters[n])]


def _draw(plan: "PartitionPlan") -> None:
    import json

    from fedcxr.report.partition_figure import write_partition_figure  # matplotlib

    head = json.loads((plan.folder / "plan.json").read_text("utf-8"))
    png, _ = write_partition_figure(head, plan.folder)
    print(f"Drawn: {png} (and .svg)")


def _command(config: "ExperimentConfig", plan: "PartitionPlan") -> str:
    """Return the command that trains over the partition."""
    words = ["fedcxr", "simulate", *flags_from(config, ("data",))]
    if not config.data.roots:
        words += ["--set", f"data.synthetic.patients={config.data.synthetic.patients}"]
    words += flags_from(config, ("views", "labels", "task", "label_table", "follow_links"))
    return shell_command([*words, "--partition", plan.folder.absolute()])


takes_flags(partition, FLAGS)
