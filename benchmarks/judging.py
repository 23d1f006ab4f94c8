"""Every figure of a comparison from its predictions: 25,000 test images, 14 labels, four arms.

The time of `experiments.compare.judge.judge` and of the page with its tables and figures, over a
comparison's folder whose predictions are made up: three seeds of each arm and five sites, so 24
models; AUROC and average precision, differences, operating points, decision curves,
calibration, subgroups and the site matrix.

    python -m benchmarks.judging [--short]     # the short form has a tenth of the images
"""

import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.result import Result, Row, Table, run_as_command
from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.load import load_config, to_yaml
from fedcxr.config.partition import PartitionConfig
from fedcxr.data.labels import CHEXPERT_LABELS
from fedcxr.data.records import DataSet, Record, RecordTable
from fedcxr.data.tokens import SYNTHETIC_KEY
from fedcxr.experiments.compare.arms import Arm, Training, trainings_of
from fedcxr.experiments.compare.comparing import read_arms
from fedcxr.experiments.compare.judge import judge
from fedcxr.experiments.compare.predict_held_out import SITES_FILE
from fedcxr.report.page import write_report
from fedcxr.results.reading import KIND
from fedcxr.runs.folder import RunFolder
from fedcxr.runs.predictions import Predictions, write_predictions
from fedcxr.seeding import derive_rng
from partitions.plan import make_partition
from partitions.table import read_table

IMAGES, PATIENTS = 25_000, 9_000
GOAL_S = 60.0
OTHER_SHARE = 0.2
"""Images outside the test set, as a share of those in it: they only have to be there."""


def judging(short: bool) -> Result:
    """Return the seconds that the figures and the page take."""
    images = IMAGES // 10 if short else IMAGES
    with tempfile.TemporaryDirectory(prefix="fedcxr-judging-") as place:
        folder = Path(place) / "comparison"
        config = make_comparison(folder, images, max(100, images * PATIENTS // IMAGES))
        arms, trainings = fill(folder, config)
        begun = time.perf_counter()
        judge(folder, arms, trainings)
        judged = time.perf_counter()
        write_report(folder)
        written = time.perf_counter()
    total = written - begun
    what = f"every figure of a comparison, {images:,} images × {len(CHEXPERT_LABELS)} labels"
    return Result(
        name="judging",
        title="A comparison's figures from its predictions",
        command="python -m benchmarks.judging",
        short=short,
        rows=[Row(what, f"< {GOAL_S:.0f} s", f"{total:.1f} s", total < GOAL_S)],
        tables=[
            Table(
                "Where the time goes",
                ("part", "s"),
                [
                    ["statistics of 24 models", f"{judged - begun:.1f}"],
                    ["page, tables, figures", f"{written - judged:.1f}"],
                ],
            )
        ],
        figures={"judge_s": judged - begun, "write_s": written - judged, "images": images},
    )


def make_comparison(folder: Path, images: int, patients: int) -> ExperimentConfig:
    """Write a comparison's own files, its partition among them, and return its configuration."""
    config = load_config(overrides={"compare.seeds": 3})
    dataset = made_up(images, patients)
    folder.mkdir(parents=True)
    make_partition(
        dataset,
        config=PartitionConfig(clients=5),
        seed=0,
        key=SYNTHETIC_KEY,
        views="frontal",
        out=folder / "partition",
    )
    (folder / "config.yaml").write_text(to_yaml(config))
    run = RunFolder(folder)
    run.write_json(
        "manifest.json",
        {"kind": KIND, "status": "running", "further_arms": [], "source": "made up", "notes": []},
    )
    return config


def made_up(images: int, patients: int) -> DataSet:
    """Return records of an official test set with that many images, and of some others."""
    rng = derive_rng(0, "benchmark", "judging")
    frequency = np.geomspace(0.02, 0.5, len(CHEXPERT_LABELS))
    records = []
    for split, first, num, of in (
        ("test", 0, images, patients),
        ("train", patients, int(images * OTHER_SHARE), max(60, int(patients * OTHER_SHARE))),
    ):
        # the first rows give each patient an image, so none is without
        whose = np.concatenate([np.arange(of), rng.integers(0, of, num - of)]) + first
        states = rng.random((num, len(frequency))) < frequency
        for number, (patient, row) in enumerate(zip(whose.tolist(), states, strict=True)):
            name = f"patient{patient:06d}"
            records.append(
                Record(
                    patient_id=name,
                    study_id=f"{name}/study{number}",
                    path=f"{split}/{name}/study{number}/view1_frontal.jpg",
                    view="frontal",
                    projection="AP" if number % 3 else "PA",
                    sex="F" if patient % 2 else "M",
                    age=20 + patient % 70,
                    split=split,
                    labels=tuple(int(value) for value in row),
                )
            )
    return DataSet(Path("made-up"), "chexpert", CHEXPERT_LABELS, tuple(records))


def fill(folder: Path, config: ExperimentConfig) -> tuple[Sequence[Arm], Sequence[Training]]:
    """Write what every training would have left behind."""
    _, arms, plans = read_arms(folder)
    seeds = range(config.compare.seeds)
    trainings = [t for arm in arms for t in trainings_of(arm, seeds, folder / "arms", plans)]
    plan = plans[folder / "partition"]
    test, val = read_table(plan.test_csv), read_table(plan.val_csv)
    sites = {site.site_id: read_table(plan.site_csv(site.site_id)) for site in plan.sites}
    for number, training in enumerate(trainings):
        run = RunFolder.at(training.folder)
        found = {"test": guess(test, number), "val": guess(val, number)}
        write_predictions(run.path / "predictions.npz", found, "image")
        at_sites = {name: guess(table, number) for name, table in sites.items()}
        write_predictions(run.path / SITES_FILE, at_sites, "image")
        after = {label: {"positive": 1, "negative": 1} for label in CHEXPERT_LABELS}
        manifest = {"precision": {"dtype": "fp32"}, "label_counts": {"after": after}}
        run.write_json("manifest.json", {**manifest, "status": "finished"})
        lines = [json.dumps(line_of(r)) + "\n" for r in range(config.server.rounds + 1)]
        (run.path / "rounds.jsonl").write_text("".join(lines))
    return arms, trainings


def guess(table: RecordTable, number: int) -> Predictions:
    """Return what a model that has learned something would say of the images of a table."""
    rng = derive_rng(number, "benchmark", "guess")
    target = np.maximum(table.states, 0).astype(np.float32)
    logit = rng.normal(1.5 * target - 2.0, 1.0)
    ages = [np.nan if age is None else age for age in table.age]
    return Predictions(
        table.labels,
        (1 / (1 + np.exp(-logit))).astype(np.float32),
        target,
        np.array(table.image_id),
        np.array(table.study_id),
        np.array(table.patient_id),
        {
            "sex": np.array(table.sex),
            "age": np.array(ages, dtype=np.float32),
            "view": np.array(table.view),
            "projection": np.array(table.projection),
        },
    )


def line_of(round_num: int) -> dict[str, Any]:
    """Return a line of rounds.jsonl."""
    return {
        "round": round_num,
        "train_loss": 0.5 if round_num else None,
        "val_loss": 0.5,
        "val_accuracy": 0.8,
        "val_macro_auroc": 0.7,
        "sites": [],
        "refused": [],
        "missing": [],
        "seconds": 1.2,
        "images": 100,
        "seconds_train": 1.0,
        "bytes_up": 100,
        "bytes_down": 100,
    }


if __name__ == "__main__":
    run_as_command(judging, __doc__)
