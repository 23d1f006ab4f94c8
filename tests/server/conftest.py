"""Updates as the intake yields them, and places for aggregators."""

from pathlib import Path

import numpy as np
import pytest

from fedcxr.config.algorithm import AlgorithmConfig
from fedcxr.parameters import ParameterSpec
from fedcxr.schema import WireSchema
from fedcxr.shared_part import SharedPart
from server.aggregate.protocol import AggregatorPlace
from server.bounds import Norms
from server.check import SiteUpdate


class UpdateMaker:
    """Makes updates of one flat tensor."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, values, weight=1, counters=(), *, vectors=None, known=None):
        return SiteUpdate(
            site_id="site-00",
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

    def place(self, size, *, algorithm="fedavg", head=(), num_sites=100):
        spec = ParameterSpec(("w",), ((size,),), ("trainable",))
        schema = WireSchema(SharedPart(spec), AlgorithmConfig(name=algorithm))
        return AggregatorPlace(schema, head, num_sites, self._folder / "spool")


@pytest.fixture
def make_update(tmp_path):
    return UpdateMaker(tmp_path)
