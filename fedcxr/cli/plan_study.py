"""`fedcxr plan-study`: how large a study must be, from a pilot comparison."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedcxr.collector import quick_imports
from fedcxr.home import expanded

if TYPE_CHECKING:  # scipy and matplotlib: too heavy for `fedcxr --help`
    from fedcxr.experiments.plan_study import WrittenPlan


def plan_study(
    comparison: Annotated[
        Path,
        typer.Argument(
            help="A finished comparison's folder: the pilot.",
            metavar="COMPARISON",
            parser=expanded,
        ),
    ],
    margin: Annotated[
        float | None,
        typer.Option(help="Largest loss of macro AUROC that does not matter; default the pilot's."),
    ] = None,
    power: Annotated[float, typer.Option(help="Chance of showing non-inferiority.")] = 0.8,
    pair: Annotated[
        str | None,
        typer.Option(
            help="The arm to plan for, as in fedprox; default the pilot's main one.", metavar="ARM"
        ),
    ] = None,
    true_difference: Annotated[
        float, typer.Option(help="Of the arms, in macro AUROC; 0: they do not differ.")
    ] = 0.0,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the plan; default the comparison's.", metavar="DIR", parser=expanded
        ),
    ] = None,
) -> None:
    """Say how many test patients and trainings a study needs, from a pilot's variances.

    Writes study_plan.json, study_plan.csv and study_plan.html.
    """
    with quick_imports():
        from fedcxr.experiments import plan_study as experiment

    print_plan(
        experiment.plan_study(
            comparison,
            margin=margin,
            power=power,
            true_difference=true_difference,
            pair=pair,
            out=out,
        )
    )


def print_plan(found: "WrittenPlan") -> None:
    """Print the sentence, what to know of the margin, the table, and what it rests on."""
    from fedcxr.report import study_plan_words as words

    plan = found.plan
    print(words.sentence(plan))
    for more in (words.caution(plan), *words.notices(plan, found.pilot)):
        if more is not None:
            print(more)
    print()
    has_partitions = plan.variances.partitions is not None
    head = f"{'seeds':>5}" + f"{'partitions':>12}" * has_partitions
    print(f"{head}{'test patients':>16}{'if the pilot was lucky':>25}")
    for row in words.rows(plan):
        design = f"{row.design.seeds:5}" + f"{row.design.partitions:12}" * has_partitions
        print(f"{design}{row.patients:>16}{row.if_lucky:>25}")
    print()
    for note in words.notes(plan):
        print(note)
    print(f"Report: {found.page}")
