"""`fedcxr init-data`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedcxr.errors import ConfigError, FedCxrError
from fedcxr.filenames import DATASET_YAML, shell_command
from fedcxr.home import expanded

if TYPE_CHECKING:
    from fedcxr.data.records import DataSet

_SHOWN_ROWS = 5


def init_data(
    folder: Annotated[
        Path,
        typer.Argument(help="Folder with images and a table.", metavar="DIR", parser=expanded),
    ],
    table: Annotated[
        str | None, typer.Option(help="The CSV file in DIR, where there are several.")
    ] = None,
    images: Annotated[
        str | None, typer.Option(help="The images' folder in DIR, where several fit.")
    ] = None,
) -> None:
    """Propose a `dataset.yaml` for a folder of your own, with a reason for each line.

    Looks at the tables, the image files and the headers of DICOM files, writes DIR/dataset.yaml,
    never over one that is there, and shows the first rows as they would be read. Exits with the
    code of the error that reading would end with, if any: then correct the line that it names.
    """
    # numpy: too heavy for `fedcxr --help`.
    from fedcxr.data.proposal.propose import propose
    from fedcxr.data.readers.site_folder import SITE_CSV

    file = folder / DATASET_YAML
    if os.path.lexists(file):
        raise ConfigError(
            f"{file}: is there already and stays as it is. Edit it; to have one proposed anew, "
            f"move it away."
        )
    if (folder / SITE_CSV).is_file():
        raise ConfigError(
            f"{folder}: has a {SITE_CSV} and is read as it is, without {DATASET_YAML}."
        )
    text = propose(folder, table, images)
    _write_new(file, text)
    print(f"{file}:\n\n{text}")
    _show(folder, file)


def _write_new(file: Path, text: str) -> None:
    """Write a file that must not be there yet."""
    from fedcxr.storage import writing

    with writing(file), file.open("x", encoding="utf-8") as stream:
        stream.write(text)


def _show(folder: Path, file: Path) -> None:
    """Print the first rows as they would be read, or why they would not be."""
    from fedcxr.data.read import read_dataset

    try:
        dataset = read_dataset(folder)
    except FedCxrError as err:
        print(f"As it stands it would be refused:\n{err}")
        raise typer.Exit(err.exit_code) from err
    for note in dataset.notes:
        print(note)
    _print_rows(dataset)
    check = shell_command(["fedcxr", "check-data", folder])
    print(f"Correct {file} where it is wrong, then: {check}")


def _print_rows(dataset: "DataSet") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from fedcxr.data.labels import STATE_NAMES

    patients = len({record.patient_id for record in dataset.records})
    title = f"{len(dataset.records)} images of {patients} patients; the first as they are read"
    shown = Table(title=title, title_justify="left", header_style="bold")
    for name in ("image", "patient", "view", "sex", "age", "labels"):
        shown.add_column(name, overflow="fold")
    for record in dataset.records[:_SHOWN_ROWS]:
        states = zip(dataset.labels, record.labels, strict=True)
        labels = ", ".join(f"{label} {STATE_NAMES[state]}" for label, state in states)
        age = "" if record.age is None else str(record.age)
        cells = (record.path, record.patient_id, record.view, record.sex, age, labels)
        shown.add_row(*map(Text, cells))
    Console(width=140).print(shown)
