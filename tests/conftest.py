import io
import logging
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedcxr import plugins
from fedcxr.cli.main import main
from fedcxr.config.algorithm import AlgorithmConfig
from fedcxr.config.server import ServerConfig
from fedcxr.config.task import SiteTask
from fedcxr.data.cache.store import build_cache
from fedcxr.data.records import DataSet, Record, RecordTable
from fedcxr.parameters import ParameterSpec
from fedcxr.schema import WireSchema, schema_of
from fedcxr.shared_part import SharedPart
from fedcxr.wire import Order
from partitions.table import write_table
from server.aggregate.aggregator import AggregatorPlace
from server.bounds import Norms
from server.check import SiteUpdate


@pytest.fixture(scope="session", autouse=True)
def fedcxr_home(tmp_path_factory):
    """No test reads or writes the user's own caches and patient key."""
    home = tmp_path_factory.mktemp("fedcxr-home")
    patch = pytest.MonkeyPatch()
    patch.setenv("FEDCXR_HOME", str(home))
    patch.delenv("FEDCXR_PATIENT_KEY", raising=False)
    yield home
    patch.undo()


@pytest.fixture(autouse=True)
def any_package_may_be_imported(monkeypatch):
    """A site that one test opened decides nothing in the next one."""
    monkeypatch.setattr(plugins, "_allowed", None)


@pytest.fixture
def run_main(monkeypatch, capsys, tmp_path):
    """Run the command in this process and return its exit code, stdout and stderr."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    level = logging.getLogger("flwr").level
    monkeypatch.setenv("FLWR_TELEMETRY_ENABLED", "0")
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["fedcxr", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        told = capsys.readouterr()
        return caught.value.code or 0, told.out, told.err

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)
    logging.getLogger("flwr").setLevel(level)


@pytest.fixture
def undrawn(monkeypatch):
    """Pages get empty figures: drawing them is most of the work."""

    def savefig(figure, file, **how):
        empty = '<svg viewBox="0 0 1 1"></svg>'
        file.write(empty if isinstance(file, io.TextIOBase) else empty.encode())

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", savefig)


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """Folder of the sample radiographs, which a fresh clone does not have."""
    named = os.environ.get("FEDCXR_SAMPLE_DATA")
    if not named or not Path(named).is_dir():
        pytest.skip("FEDCXR_SAMPLE_DATA does not name the folder of the sample radiographs")
    return Path(named)


@pytest.fixture(scope="session")
def key() -> bytes:
    return bytes(range(32))


@pytest.fixture(scope="session")
def make_record():
    """Build a record without a file."""

    def make(patient, image, *, split="", labels=(0, 0)):
        name = f"patient{patient:05d}"
        return Record(
            patient_id=name,
            study_id=f"{name}/study{image}",
            path=f"train/{name}/study{image}/view1_frontal.jpg",
            view="frontal",
            projection="AP",
            sex="F",
            age=50,
            split=split,
            labels=labels,
        )

    return make


@pytest.fixture(scope="session")
def make_dataset(make_record):
    """Build a data set of records without files, of patients with different labels."""

    def make(num_patients=40, *, images_each=2, split="", records=None, root="CheXpert-v1.0-small"):
        made = records or [
            make_record(
                patient, image, split=split, labels=(patient % 2, -1 if patient % 3 else -2)
            )
            for patient in range(1, num_patients + 1)
            for image in range(images_each)
        ]
        return DataSet(Path(root), "chexpert", ("Edema", "Fracture"), tuple(made))

    return make


LABELS = ("Edema", "Fracture")
SITES = {"site-00": (6, 3), "site-01": (5, 2), "site-02": (0, 2), "site-03": (1, 0)}
"""Train and val images of the four sites; each image is of another patient."""


@pytest.fixture
def flower(monkeypatch):
    """Flower's messages ask who makes them; its own processes and our grid set it."""
    from flwr.supercore.task_identity import TaskIdentity

    for name in ("_run_id", "_task_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)


@pytest.fixture(scope="session")
def site_records():
    """Build a site's table: `train` and `val` images with the labels 1, 0, -1 and blank in turn."""

    def make(name, train, val, labels=LABELS):
        number = train + val
        states = np.array([[i % 2, (1, -1, -2)[i % 3]] for i in range(number)], dtype=np.int8)
        return RecordTable(
            labels=labels,
            image_id=tuple(f"{name}-image-{i}" for i in range(number)),
            patient_id=tuple(f"{name}-patient-{i}" for i in range(number)),
            study_id=tuple(f"{name}-study-{i}" for i in range(number)),
            split=("train",) * train + ("val",) * val,
            view=("frontal",) * number,
            projection=("AP",) * number,
            sex=("F",) * number,
            age=(50,) * number,
            states=states.reshape(number, 2),
        )

    return make


@pytest.fixture(scope="session")
def sites(tmp_path_factory, site_records):
    """The folder of a partition of four tiny sites, `cache` beside `sites`: noise at 32 pixels."""
    folder = tmp_path_factory.mktemp("tiny-sites")
    (folder / "sites").mkdir()
    rng, items = np.random.default_rng(0), []
    for name, (train, val) in SITES.items():
        table = site_records(name, train, val)
        write_table(table, folder / "sites" / f"{name}.csv")
        for image_id in table.image_id:
            pixels = rng.integers(0, 256, (32, 32), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{image_id}.png")
            items.append((image_id, f"{image_id}.png"))
    options = {"size_px": 32, "max_bad_fraction": 0.0, "workers": 1}
    build_cache(items, folder, **options, folder=folder / "cache")
    return folder


@pytest.fixture(scope="session")
def make_task():
    """Build what the server tells the sites: densenet_small at 32 px, one epoch, batches of 4."""

    def make(*, train=None, **changes):
        fields = {
            "run": "a-run",
            "seed": 0,
            "labels": LABELS,
            "policy": {
                "uncertain": "ignore",
                "uncertain_by_label": {},
                "smooth_low": 0.55,
                "smooth_high": 0.85,
                "self_train_after": 1,
                "blank": "zeros",
                "blank_by_label": {},
            },
            "model": {"name": "densenet_small", "image_size": 32},
            "train": {"batch_size": 4, **(train or {})},
            "algorithm": {"name": "fedavg"},
            "counts_known": False,
            "batch_norm": "average",
            "codec": "none",
            "topk": 0.05,
            "dtype": "fp32",
            "channels_last": False,
            "compile": False,
            "device": "cpu",
            "max_bad_fraction": 0.0,
        }
        return SiteTask.model_validate(fields | changes)

    return make


@pytest.fixture(scope="session")
def make_order():
    """Build an order for a task and a model's layout."""

    def make(task, spec, round_num=1, **changes):
        digest = schema_of(task, spec).digest
        order = Order(task.run, round_num, "a-nonce", digest, task.to_text(), 1e-3)
        return replace(order, **changes)

    return make


class UpdateMaker:
    """Makes updates of one flat tensor."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(
        self, values, weight=1, counters=(), *, site_id="site-00", vectors=None, known=None
    ):
        return SiteUpdate(
            site_id=site_id,
            update=np.atleast_1d(np.asarray(values, np.float32)),
            counters=np.asarray(counters, np.int64),
            num_examples=weight,
            train_loss=0.5,
            images_seen=weight,
            seconds=1.0,
            payload_bytes=0,
            norms=Norms(0.0, 0.0),
            vectors=vectors or {},
            known=None if known is None else np.asarray(known, np.int64),
        )

    def place(self, size, *, algorithm="fedavg", head=(), num_sites=100, buffers=0, **settings):
        """`size` trained values and as many `buffers`; `settings` are keys of `server`."""
        names, shapes, kinds = ("w", "mean"), ((size,), (buffers,)), ("trainable", "buffer")
        number = 2 if buffers else 1
        spec = ParameterSpec(names[:number], shapes[:number], kinds[:number])
        schema = WireSchema(SharedPart(spec), AlgorithmConfig(name=algorithm))
        folder = self._folder / "spool"
        return AggregatorPlace(schema, head, num_sites, folder, ServerConfig(**settings))


@pytest.fixture
def make_update(tmp_path):
    return UpdateMaker(tmp_path)


@pytest.fixture(scope="module")
def no_page():
    """Half of the time of such a run is the page, of which nothing is asked here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("server.finish.write_report", lambda path, **options: None)
        yield


@pytest.fixture(scope="module")
def no_pictures():
    """The files of a comparison's figures take longer than its page, which is still written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fedcxr.report.page.write_pictures", lambda pictures, folder: [])
        yield
