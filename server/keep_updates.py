"""Keeps what the server sees of each site, for attacks on it later: `server.keep_updates`.

An observer of the intake. It shows what a curious server could do; a run that means to protect its
patients leaves it off.
"""

from pathlib import Path

from fedcxr.config.arithmetic import Arithmetic
from fedcxr.parameters import Parameters, save_parameters
from fedcxr.runs.kept_updates import given_file, update_file
from fedcxr.schema import WireSchema
from fedcxr.wire import Order
from server.check import SiteUpdate


class UpdateKeeper:
    """Writes each round's model and, as they come, those of its sites."""

    def __init__(self, run: Path, schema: WireSchema, arithmetic: Arithmetic) -> None:
        """Begin.

        Args:
            run: the run folder.
            schema: what a reply carries.
            arithmetic: what decides the run's weights; it says whose the files are.
        """
        self._run = run
        self._shared = schema.shared
        self._spec = schema.spec
        self._metadata = {"arithmetic": arithmetic.to_json()}
        self._given: Parameters | None = None

    def begin(self, round_num: int, given: Parameters) -> None:
        """Keep the model that the sites of a round are given."""
        self._given = given
        self._write(given_file(self._run, round_num), given)

    def keep(self, order: Order, update: SiteUpdate) -> None:
        """Keep the model of a site: what it was given with its update added."""
        assert self._given is not None, "a round has begun"
        before = self._shared.take(self._given)
        after = Parameters(before.vector + update.update, update.counters.copy())
        model = self._shared.put(after, self._given)
        self._write(update_file(self._run, order.round_num, update.site_id), model)

    def _write(self, file: Path, parameters: Parameters) -> None:
        save_parameters(file, parameters, self._spec, self._metadata)
