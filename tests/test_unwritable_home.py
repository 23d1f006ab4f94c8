"""A home folder that cannot be written is named with its variable by whatever meets it first."""

import errno
import os

import pytest

from fedcxr.config import load_config
from fedcxr.config.data import SyntheticConfig
from fedcxr.config.model import ModelConfig
from fedcxr.config.partition import PartitionConfig
from fedcxr.data.cache.store import build_cache
from fedcxr.data.synthetic.write import embedded_dataset, write_synthetic
from fedcxr.data.tokens import load_key
from fedcxr.errors import FedCxrError
from fedcxr.training import probe
from partitions.plan import make_partition
from partitions.prepare import prepare

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_synthetic(tmp_path_factory.mktemp("source"), patients=12, size_px=32, workers=1)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDCXR_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture(params=[errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EDQUOT])
def unwritable(request, home, monkeypatch):
    """A home folder in which nothing can be made; root could, whatever its permissions are."""
    open_, mkdir = os.open, os.mkdir

    def check(path):
        if os.fspath(path).startswith(str(home)):
            raise OSError(request.param, os.strerror(request.param), str(path))

    def guarded_open(path, flags, *more, **options):
        if flags & WRITES:
            check(path)
        return open_(path, flags, *more, **options)

    def guarded_mkdir(path, *more, **options):
        check(path)
        return mkdir(path, *more, **options)

    monkeypatch.setattr(os, "open", guarded_open)
    monkeypatch.setattr(os, "mkdir", guarded_mkdir)
    return home


def key(source, dataset):
    load_key()


def cache(source, dataset):
    build_cache([("a", "no.png")], source, size_px=32, max_bad_fraction=1.0, workers=1)


def precision(source, dataset):
    probe.time_pairs(ModelConfig(), batch_size=2, threads=1)


def synthetic(source, dataset):
    embedded_dataset(SyntheticConfig(patients=6, size_px=32))


def partition(source, dataset):
    make_partition(
        dataset,
        config=PartitionConfig(clients=2),
        seed=0,
        key=bytes(32),
        views="frontal",
        out=probe.home_folder() / "partitions" / "abc",
    )


def logs(source, dataset):
    prepare(load_config(overrides={"data.root": str(source), "name": "logs"}))


@pytest.mark.parametrize("part", [key, cache, precision, synthetic, partition, logs])
def test_each_part_names_the_home_folder_and_its_variable(
    part, unwritable, source, make_dataset, monkeypatch
):
    monkeypatch.setattr(probe, "_measure", lambda *_: dict.fromkeys(probe.PAIRS, 1.0))
    with pytest.raises(FedCxrError) as caught:
        part(source, make_dataset())
    told = str(caught.value)
    assert told.startswith(str(unwritable))
    assert "FEDCXR_HOME" in told
    assert list(unwritable.iterdir()) == []
