"""What a site has spent of its privacy in a run, and the secret that its noise is from.

Both lie in the folder of what never leaves the site, under the run's name. Spent is written before
training begins and is never taken back, so a site that was killed has spent the round. What the
noise is for is named by all that the training is given: an order sent again, word for word, gives
the same bits and spends nothing; one of the same round with another model spends again and has
other noise, since two updates under the same noise would tell their difference without any.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from clients.site import SiteLocation
from fedcxr.atomic import write_bytes_atomically
from fedcxr.errors import ArtefactError
from fedcxr.privacy.accounting import composed_epsilon
from fedcxr.privacy.secret_file import held, secret_in
from fedcxr.privacy.secret_noise import SecretStream

LEDGER_FILE = "spent.json"
"""ε by RDP of all that was spent, δ, and what was begun; for who sits at the site."""


class Plan(Protocol):
    """What an account needs to know of a site's plan."""

    @property
    def most_steps(self) -> int:
        """Of the run."""

    @property
    def delta(self) -> float:
        """δ."""


@dataclass(frozen=True, slots=True)
class Spent:
    """One training that was begun."""

    round_num: int
    """Of a VAE: from which on it is used."""
    inputs: str
    """Digest of all that it was given."""
    noise: float
    rate: float
    steps: int
    what: str = "round"
    """`round`, of the classifier; or `vae`, of the site's own."""


@dataclass(frozen=True, slots=True)
class Budget:
    """A site's account of one run."""

    folder: Path

    def spend(self, entry: Spent, plan: Plan, most: float | None, last_round: int) -> bool:
        """Write down that a training begins; return False, and write nothing, if that is too much.

        Args:
            entry: the training.
            plan: of the site.
            most: the largest ε; none = as many steps as the run has.
            last_round: the newest round that the server has of the site.

        Raises:
            ArtefactError: the account is damaged or gone.
        """
        with held(self.folder):
            known = self._read(last_round)
            if any((k.round_num, k.inputs) == (entry.round_num, entry.inputs) for k in known):
                return True
            known.append(entry)
            if most is None and sum(k.steps for k in known) > plan.most_steps:
                return False
            spent = _epsilon(known, plan.delta)
            if most is not None and spent > most:
                return False
            rows = [_to_json(k) for k in known]
            tree = {"epsilon": spent, "delta": plan.delta, "trainings": rows}
            write_bytes_atomically(
                self.folder / LEDGER_FILE, json.dumps(tree, indent=1).encode(), mode=0o600
            )
            return True

    def stream(self, *names: str | int) -> SecretStream:
        """Return the draws of a name under the site's secret, which is made at first use.

        Raises:
            ArtefactError: the secret's file is damaged.
        """
        return SecretStream(secret_in(self.folder), *names)

    def epsilon(self, delta: float) -> float:
        """Return ε by RDP of all that was spent."""
        return _epsilon(self._read(0), delta)

    def _read(self, last_round: int) -> list[Spent]:
        file = self.folder / LEDGER_FILE
        try:
            tree = json.loads(file.read_bytes()) if file.is_file() else {"trainings": []}
            known = [_from_json(row) for row in tree["trainings"]]
        except (ValueError, KeyError, TypeError) as err:
            raise ArtefactError(f"{file}: damaged. Put it back, or start the run anew.") from err
        if max((k.round_num for k in known), default=0) < last_round:
            raise ArtefactError(
                f"{file}: what this site spent in round {last_round} is gone, so it cannot go on "
                "as if nothing had happened. Put the folder back, or start the run anew."
            )
        return known


def budget_of(location: SiteLocation, run: str) -> Budget:
    """Return a site's account of a run; not in a simulation's run folder, which is passed on."""
    return Budget((location.own_images or location.state) / run / "privacy")


def digest_of(*parts: str | Mapping[str, NDArray[Any]]) -> str:
    """Return the sha256 of texts and named arrays."""
    sha = hashlib.sha256()
    for part in parts:
        named = {"": np.frombuffer(part.encode(), np.uint8)} if isinstance(part, str) else part
        for name, array in sorted(named.items()):
            own = hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
            sha.update(json.dumps([name, array.dtype.str, array.shape, own]).encode())
        sha.update(b"\0")
    return sha.hexdigest()


def _epsilon(known: list[Spent], delta: float) -> float:
    steps: Counter[tuple[float, float]] = Counter()
    for k in known:
        steps[k.noise, k.rate] += k.steps
    return composed_epsilon(steps, delta) if steps else 0.0


def _to_json(entry: Spent) -> dict[str, Any]:
    return {
        "round": entry.round_num,
        "inputs": entry.inputs,
        "noise": entry.noise,
        "rate": entry.rate,
        "steps": entry.steps,
        "what": entry.what,
    }


def _from_json(row: dict[str, Any]) -> Spent:
    return Spent(
        int(row["round"]),
        str(row["inputs"]),
        float(row["noise"]),
        float(row["rate"]),
        int(row["steps"]),
        str(row.get("what", "round")),
    )
