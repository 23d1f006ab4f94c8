"""The parts of `benchmarks/data.py`, each in a process of its own: its time and its memory.

Prints one JSON line. `decode` says `ready` and waits for a line on standard input before it
starts, so that several can start together.
"""

import argparse
import csv
import json
import resource
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data_files import FOLDER, KINDS, write_images, write_tables
from fedcxr.config.partition import PartitionConfig
from fedcxr.cores import cores
from fedcxr.data.cache.store import build_cache
from fedcxr.data.images.decode import decode
from fedcxr.data.labels import CHEXPERT_LABELS
from fedcxr.data.read import read_dataset
from fedcxr.data.records import DataSet
from fedcxr.data.tokens import Tokens
from fedcxr.errors import FedCxrError
from partitions.plan import make_partition

SIZE_PX = 320
BATCH = 32
KEY = bytes(range(32))
MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024
SCHEMES: dict[str, dict[str, Any]] = {
    "iid": {},
    "dirichlet": {"alpha": 0.5},
    "quantity": {"exponent": 1.0},
    "by-attribute": {"attribute": "projection"},
    "by-source": {},
    "hospitals": {},
    "sites-file": {},
}


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--size", type=float, default=1.0, help="1 = CheXpert's number of rows.")
    parser.add_argument("--kind", choices=KINDS, default="jpeg")
    parser.add_argument("--images", type=int, default=0, help="How many to write.")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--share", type=int, nargs=2, default=(0, 1), help="Which of how many.")
    args = parser.parse_args()
    figures = PARTS[args.part](args)
    figures["peak_bytes"] = MAXRSS_BYTES * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    figures["largest_child_bytes"] = MAXRSS_BYTES * children
    print(json.dumps(figures), flush=True)


def tables(args: argparse.Namespace) -> dict[str, Any]:
    """Write the tables."""
    write_tables(args.folder, args.size)
    return {}


def images(args: argparse.Namespace) -> dict[str, Any]:
    """Write the images of a kind."""
    folder = args.folder / args.kind
    names = write_images(folder, args.kind, args.images, cores())
    sizes = [(folder / name).stat().st_size for name in names]
    return {"images": len(names), "bytes_per_image": sum(sizes) / len(sizes)}


def read(args: argparse.Namespace) -> dict[str, Any]:
    """Time the reader of the tables."""
    seconds = []
    for _ in range(args.repeats):
        begun = time.perf_counter()
        dataset = read_dataset(args.folder / FOLDER)
        seconds.append(time.perf_counter() - begun)
        rows = len(dataset.records)
        del dataset  # not two of them at once
    return {"rows": rows, "seconds": seconds}


def partition(args: argparse.Namespace) -> dict[str, Any]:
    """Time every scheme: from records to a folder that is written, read back and proven."""
    dataset = _of_two_sources(read_dataset(args.folder / FOLDER, views="frontal"))
    patients = sorted({r.patient_id for r in dataset.records if r.split == "train"})
    sites_csv = args.folder / "sites.csv"
    _write_sites(sites_csv, patients, args.clients)
    figures: dict[str, Any] = {"images": len(dataset.records), "patients": len(patients)}
    figures |= {"clients": args.clients, "seconds": {}, "errors": {}}
    for scheme, options in SCHEMES.items():
        more = {"sites_file": str(sites_csv)} if scheme == "sites-file" else options
        config = PartitionConfig.model_validate({"scheme": scheme, "clients": args.clients, **more})
        out = args.folder / "partition"
        begun = time.perf_counter()
        try:
            plan = make_partition(dataset, config=config, seed=0, key=KEY, views="frontal", out=out)
            figures["seconds"][scheme] = time.perf_counter() - begun
            del plan
        except FedCxrError as err:
            figures["errors"][scheme] = str(err)
        shutil.rmtree(out, ignore_errors=True)
    return figures


def decode_alone(args: argparse.Namespace) -> dict[str, Any]:
    """Decode a share of the images in this process and thread, and keep none."""
    (which, of), folder = args.share, args.folder / args.kind
    paths = [folder / name for name in _names(folder)[which::of]]
    for path in paths[:20]:
        decode(path, SIZE_PX)
    print("ready", flush=True)
    sys.stdin.readline()
    begun = time.time()
    for path in paths:
        decode(path, SIZE_PX)
    return {"images": len(paths), "begun": begun, "ended": time.time()}


def prepare(args: argparse.Namespace) -> dict[str, Any]:
    """Time the building of a cache in a new folder, whatever that holds."""
    tokens, folder = Tokens(KEY), args.folder / args.kind
    items = [(tokens.image(name), name) for name in _names(folder)]
    out = args.folder / f"{args.kind}-cache"
    shutil.rmtree(out, ignore_errors=True)
    begun = time.perf_counter()
    cache = build_cache(
        items,
        folder,
        size_px=SIZE_PX,
        max_bad_fraction=0.0,
        workers=cores(),
        folder=out,
    )
    seconds = time.perf_counter() - begun
    return {"images": len(cache.row_by_id), "seconds": seconds}


def gather_batches(args: argparse.Namespace) -> dict[str, Any]:
    """Time random batches out of the cache, as a site and as a `DataLoader` asks for them."""
    # only here: the other parts are to be free of what torch takes in memory
    import torch

    from fedcxr.data.cache.store import open_cache
    from fedcxr.data.dataset import RadiographDataset
    from fedcxr.training.batches import gather

    cache = open_cache(args.folder / "jpeg-cache")
    ids, labels = list(cache.row_by_id), CHEXPERT_LABELS
    target = np.zeros((len(ids), len(labels)), np.float32)
    plain = RadiographDataset(cache, ids, target, labels=labels, dtype=torch.uint8)
    scaled = RadiographDataset(cache, ids, target, labels=labels)
    order = np.random.default_rng(0).integers(len(ids), size=(args.repeats, BATCH))
    return {
        "gather": _times(lambda rows: gather(cache.images, rows), order),
        "dataset": _times(lambda rows: plain.__getitems__(rows.tolist()), order),
        "dataset_float32": _times(lambda rows: scaled.__getitems__(rows.tolist()), order),
        "mapped_bytes": _mapped_bytes(cache.folder),
    }


def _times(fetch: Callable[[np.ndarray], object], order: np.ndarray) -> list[float]:
    """Return the seconds of each batch."""
    seconds = []
    for rows in order:
        begun = time.perf_counter()
        fetch(rows)
        seconds.append(time.perf_counter() - begun)
    return seconds


def _mapped_bytes(folder: Path) -> int:
    """Return the bytes of the folder's files that are mapped and in memory; 0 without /proc."""
    smaps = Path("/proc/self/smaps")
    lines = smaps.read_text().splitlines() if smaps.exists() else []
    starts = [i for i, line in enumerate(lines) if f"{folder}/" in line]
    sizes = [next(x for x in lines[i:] if x.startswith("Rss:")) for i in starts]
    return sum(1024 * int(size.split()[1]) for size in sizes)


def _names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/*"))


def _of_two_sources(dataset: DataSet) -> DataSet:
    """Return the data set as if every other patient came from NIH."""
    sources = ("chexpert", "nih14")
    records = tuple(
        replace(record, source=sources[int(record.patient_id[-1]) % 2])
        for record in dataset.records
    )
    return replace(dataset, records=records)


def _write_sites(csv_path: Path, patients: list[str], clients: int) -> None:
    with csv_path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["patient_id", "site"])
        writer.writerows([who, f"site-{i % clients:02d}"] for i, who in enumerate(patients))


PARTS = {
    "tables": tables,
    "images": images,
    "read": read,
    "partition": partition,
    "decode": decode_alone,
    "prepare": prepare,
    "gather": gather_batches,
}

if __name__ == "__main__":
    main()
