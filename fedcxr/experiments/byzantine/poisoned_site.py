"""Sites of a simulation that train on labels turned round: their tables, and their clients' app.

A hostile site is given a table of its own, in which what it trains on is wrong; all else of its
client is as ever. The app is named by nothing but a study of attacks.
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from flwr.app import Context
from flwr.clientapp import ClientApp
from numpy.typing import NDArray

from clients.app import build_app
from clients.locate import locate_in_run
from clients.log import keep_log
from clients.site import SiteLocation
from fedcxr.config.data import BlankPolicy, DataConfig
from fedcxr.data.labels import BLANK, NEGATIVE, POSITIVE
from fedcxr.home import home_folder
from partitions.table import read_table, write_table

POISONED = "poisoned"
"""Folder in the run folder with the tables of the hostile sites."""

_BLANK_BECOMES: dict[BlankPolicy, int] = {"ignore": BLANK, "zeros": POSITIVE, "ones": NEGATIVE}
"""By what a blank label counts as in training: its opposite."""


def poisoned_app(run_path: str) -> ClientApp:
    """Return the app of the clients of a run in which some of the sites are poisoned."""
    keep_log(home_folder() / "logs" / f"{Path(run_path).name}.log")
    return build_app(partial(_locate, Path(run_path)))


def write_poisoned(run_path: Path, sites: Iterable[str], data: DataConfig) -> None:
    """Write the tables of the hostile sites, their training labels turned round.

    Args:
        run_path: the run folder, with its partition.
        sites: the hostile ones.
        data: says what a blank label counts as.
    """
    folder = run_path / POISONED
    folder.mkdir(exist_ok=True)
    for site_id in sites:
        table = read_table(run_path / "partition" / "sites" / f"{site_id}.csv")
        policies = [data.blank_by_label.get(label, data.blank) for label in table.labels]
        train = np.array(table.split) == "train"
        states = table.states.copy()
        states[train] = flipped(table.states[train], policies)
        write_table(replace(table, states=states), folder / f"{site_id}.csv")


def flipped(states: NDArray[np.int8], blank: Iterable[BlankPolicy]) -> NDArray[np.int8]:
    """Return states with present and absent turned round; uncertain ones stay.

    Args:
        states: (N, L).
        blank: (L,) what a blank one counts as.
    """
    found = states.copy()
    found[states == POSITIVE] = NEGATIVE
    found[states == NEGATIVE] = POSITIVE
    becomes = np.array([_BLANK_BECOMES[policy] for policy in blank], np.int8)
    return np.where(states == BLANK, becomes, found)


def _locate(run_path: Path, context: Context) -> SiteLocation:
    honest = locate_in_run(run_path, context)
    table = run_path / POISONED / honest.table.name
    return replace(honest, table=table) if table.is_file() else honest
