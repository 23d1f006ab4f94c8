"""One piece of work for all frameworks: images, partition, tables, initial weights, numbers.

    python -m benchmarks.vs.workload --clients 5 --images-per-client 128 --out build/vs/work

    data/CheXpert-v1.0-small/  JPEG files and CheXpert's tables
    partition/                 what `fedcxr simulate --data DIR/data` takes as --partition
    patient.key                of its tokens (FEDCXR_PATIENT_KEY); nobody real is in it
    sites/site-00.csv …        a site's training images: path below data/, then the labels as
    val.csv, test.csv          0, 1 or empty (not known)
    initial.npz                a state dict of torchvision's network: what fedcxr starts from, too
    workload.json              the rest

Every patient has one frontal image, so that a partition of patients into equal parts is one of
images: each site trains on exactly as many. The files have the size of CheXpert-small's: they are
drawn small, since drawing takes 50 ms an image at 320 px, and enlarged under grain.
"""

import argparse
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from fedcxr.config.data import DataConfig
from fedcxr.config.model import ModelConfig
from fedcxr.config.partition import PartitionConfig
from fedcxr.config.train import TrainConfig
from fedcxr.cores import cores
from fedcxr.data.policies import policy_of, score_targets, train_targets
from fedcxr.data.read import read_dataset
from fedcxr.data.records import DataSet, RecordTable
from fedcxr.data.synthetic.write import write_synthetic
from fedcxr.data.tokens import SYNTHETIC_KEY, Tokens
from fedcxr.models.architectures import build_model
from fedcxr.seeding import derive_rng, derive_seed
from partitions.plan import PartitionPlan, make_partition
from partitions.table import read_table

DRAWN_PX = 96
STORED_PX = (390, 320)
"""Width and height of CheXpert-small's files."""
GRAIN = 10.0
"""Deviation in gray levels: what makes the files as large as CheXpert-small's, 50 kB."""
MOST_VAL_IMAGES = 100
TEST_SHARE = 0.2
"""Of the patients whom `write_synthetic` draws."""


@dataclass(frozen=True, slots=True)
class Work:
    """How much work, of which kind."""

    clients: int
    images_per_client: int
    image_size: int = 64
    rounds: int = 5
    model: str = "densenet121"
    learning_rate: float = 3e-4
    batch_size: int = 32
    local_epochs: int = 1
    seed: int = 0

    @property
    def train_images(self) -> int:
        """Return the training images of all sites."""
        return self.clients * self.images_per_client

    @property
    def val_images(self) -> int:
        """Return the images that the server judges every round on."""
        return min(MOST_VAL_IMAGES, self.train_images // 2)


def write_workload(out: Path, work: Work) -> Path:
    """Write the folder of the work and return it.

    Raises:
        FileExistsError: `out` holds something.
    """
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out}: the folder is not empty. Name another, or empty it first.")
    _write_images(out / "data", work)
    tokens = _write_key(out / "patient.key")
    dataset = read_dataset(out / "data", views="frontal")
    partition = PartitionConfig(
        clients=work.clients,
        val_fraction=work.val_images / (work.train_images + work.val_images),
        site_val_fraction=0.0,
    )
    plan = make_partition(
        dataset,
        config=partition,
        seed=work.seed,
        key=tokens.key,
        views="frontal",
        out=out / "partition",
    )
    files = _write_tables(out, plan, dataset, tokens, work)
    np.savez(out / "initial.npz", **initial_state(work, len(plan.labels)))
    tree = {**asdict(work), "labels": plan.labels, "files": files}
    tree |= {"mean": TrainConfig().mean, "std": TrainConfig().std}
    (out / "workload.json").write_text(json.dumps(tree, indent=2) + "\n", encoding="utf-8")
    return out


def initial_state(work: Work, num_labels: int) -> dict[str, NDArray[np.generic]]:
    """Return fedcxr's initial weights under torchvision's names."""
    config = ModelConfig(name=work.model, image_size=work.image_size)
    model = build_model(config, num_labels, derive_seed(work.seed, "initial weights"))
    return {name: tensor.numpy() for name, tensor in model.network.state_dict().items()}


def _write_images(data: Path, work: Work) -> None:
    """Write a CheXpert of exactly as many training patients as are needed, with an image each."""
    needed = work.train_images + work.val_images
    patients = needed
    while patients - round(TEST_SHARE * patients) < needed:
        patients += 1
    root = write_synthetic(data, patients=patients, size_px=DRAWN_PX, seed=work.seed)
    for extra in ("boxes.csv", "masks.npz", "truth.csv", "sites.csv"):
        (root / extra).unlink()  # a user's data set has none
    kept = _cut(root / "train.csv", needed) | _cut(root / "valid.csv", patients)
    drawn = sorted(root.rglob("*.jpg"))
    with ThreadPoolExecutor(cores()) as pool:
        for number, path in enumerate(drawn):
            if path.relative_to(data).as_posix() in kept:
                pool.submit(_enlarge, path, derive_rng(work.seed, "workload", "grain", number))
            else:
                path.unlink()


def _cut(table: Path, patients: int) -> set[str]:
    """Keep the first frontal image of so many patients; return the paths that are kept."""
    rows = pd.read_csv(table, dtype=str, keep_default_na=False)
    rows = rows[rows["Frontal/Lateral"] == "Frontal"]
    who = rows["Path"].map(lambda path: re.findall(r"patient\d+", path)[0])
    rows = rows[~who.duplicated()].head(patients)
    rows.to_csv(table, index=False, lineterminator="\n")
    return set(rows["Path"])


def _enlarge(path: Path, rng: np.random.Generator) -> None:
    """Give a drawn film the size and the grain of a real file."""
    with Image.open(path) as drawn:
        pixels = np.asarray(drawn.resize(STORED_PX, Image.Resampling.BICUBIC), dtype=np.float32)
    noisy = pixels + GRAIN * rng.standard_normal(pixels.shape, dtype=np.float32)
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path, quality=90)


def _write_key(path: Path) -> Tokens:
    path.touch(mode=0o600)
    path.write_bytes(SYNTHETIC_KEY)
    return Tokens(SYNTHETIC_KEY)


def _write_tables(
    out: Path, plan: PartitionPlan, dataset: DataSet, tokens: Tokens, work: Work
) -> dict[str, int]:
    """Write the peers' tables; return the number of images of each."""
    (out / "sites").mkdir()
    root = dataset.root.relative_to(out / "data")
    path_of = {tokens.image(r.path): (root / r.path).as_posix() for r in dataset.records}
    policy = policy_of(DataConfig(), rounds=work.rounds)
    counts = {}

    def write(name: str, table: RecordTable, target: NDArray[np.float32]) -> None:
        cells = pd.DataFrame(target, columns=list(table.labels)).astype("Int8")
        cells.insert(0, "path", [path_of[image_id] for image_id in table.image_id])
        cells.to_csv(out / name, index=False, lineterminator="\n")
        counts[name] = len(cells)

    for site in plan.sites:
        table = read_table(plan.site_csv(site.site_id))
        target = train_targets(
            table.states, table.labels, policy, image_id=table.image_id, seed=work.seed
        )
        write(f"sites/{site.site_id}.csv", table, target)
    for name, file in (("val.csv", plan.val_csv), ("test.csv", plan.test_csv)):
        table = read_table(file)
        write(name, table, score_targets(table.states, table.labels, policy))
    return counts


def main() -> None:
    """Write the folder that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clients", type=int, default=5)
    parser.add_argument("--images-per-client", type=int, default=128)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default="densenet121", help="Or densenet_small.")
    parser.add_argument("--out", type=Path, required=True)
    args = vars(parser.parse_args())
    print(write_workload(args.pop("out"), Work(**args)))


if __name__ == "__main__":
    main()
