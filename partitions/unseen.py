"""The server's data folder for hospitals whose tables nobody has seen.

Its plan has the server's own validation and test patients, and of each hospital one number: the
most training images that it may weigh in the mean, which the server's operator and the hospital
agree on. All its label counts are masked: not known, and shown as such.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedcxr.config.partition import PartitionConfig
from fedcxr.data.labels import STATE_NAMES
from fedcxr.data.records import DataSet
from fedcxr.errors import ConfigError, some
from partitions.export import export_global
from partitions.plan import make_partition
from partitions.plan_folder import GLOBAL, PartitionPlan
from partitions.plan_reader import read_plan
from partitions.summary import SiteSummary, site_to_json

OWN_DATA = "own data"
"""How patients came to sites: they were there."""


def most_images(texts: Sequence[str], sites: Sequence[str]) -> dict[str, int]:
    """Return the most training images of each site, from `N` for all and `NAME=N` for one.

    >>> most_images(["100", "b=20"], ["a", "b"])
    {'a': 100, 'b': 20}

    Raises:
        ConfigError: a text is neither, a name is of no site, or a site has no number.
    """
    for_all: int | None = None
    by_site: dict[str, int] = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        if not number.isdecimal() or not 0 < int(number) <= 10**9:
            raise ConfigError(f"--most {text}: give N, or NAME=N, as in site-00=5000.")
        if not name:
            for_all = int(number)
        elif name not in sites:
            raise ConfigError(f"--most {text}: no site of the kit; it knows {some(list(sites))}.")
        else:
            by_site[name] = int(number)
    missing = [site for site in sites if site not in by_site]
    if missing and for_all is None:
        raise ConfigError(f"--most: no number for {some(missing)}. Give N for all the others.")
    return {site: by_site.get(site, for_all or 0) for site in sites}


def write_server_folder(
    dataset: DataSet,
    most: Mapping[str, int],
    *,
    key: bytes,
    views: str,
    out: Path,
    config: PartitionConfig | None = None,
    seed: int = 0,
) -> PartitionPlan:
    """Return the plan of the server's data folder, made at `out`.

    Args:
        dataset: the server's own; its official test set is the test set, else one is drawn, and so
            are the validation patients. The rest of it is not used.
        most: by site, the training images that it may weigh at most.
        key: of the tokens.
        views: which views the data set was read with.
        out: the folder to make; it may exist if it is empty.
        config: the fractions of validation and test; none = the defaults.
        seed: of the drawing.

    Raises:
        ConfigError, DataError, LeakError: as `make_partition`.
        ArtefactError: `out` cannot be written, or is there already.
    """
    if not most:
        raise ConfigError("There is no site to make a plan for.")
    config = (config or PartitionConfig()).model_copy(update={"scheme": "iid", "clients": 1})

    def change_head(head: dict[str, Any]) -> None:
        (unused,) = head["sites"]
        sets = [name for name in head["proof"]["sets"] if name.startswith(f"{GLOBAL}/")]
        pairs = len(sets) * (len(sets) - 1) // 2
        head["proof"] = {"disjoint": True, "pairs_checked": pairs, "sets": sets}
        head["left_out_images"] += unused["images"]
        head["scheme"] = OWN_DATA
        head["sites"] = [site_to_json(_unseen(name, dataset.labels, n)) for name, n in most.items()]

    with tempfile.TemporaryDirectory() as folder:
        plan = make_partition(
            dataset, config=config, seed=seed, key=key, views=views, out=Path(folder) / "plan"
        )
        export_global(plan, dataset, key, out, change_head=change_head)
    return read_plan(out)


def _unseen(site_id: str, labels: Sequence[str], most: int) -> SiteSummary:
    counts = {name: 0 for name in STATE_NAMES.values()} | {"masked": most}
    return SiteSummary(
        site_id=site_id,
        patients=0,
        images=most,
        train_images=most,
        val_images=0,
        label_counts={label: dict(counts) for label in labels},
        no_positive=most,
        holds="not seen",
    )
