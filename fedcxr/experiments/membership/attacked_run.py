"""A finished run opened for an attack: its model, its patients, and how it was trained."""

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcxr.attacks.signals import Answers
from fedcxr.config.load import by_key
from fedcxr.experiments.membership.population import Population, read_population
from fedcxr.inference import Predictor
from fedcxr.parameters import Parameters
from fedcxr.runs.folder import RunFolder
from fedcxr.runs.saved_model import read_weights


@dataclass(frozen=True, slots=True, eq=False)
class Attacked:
    """A run, opened for an attack."""

    folder: Path
    model: Predictor
    """Of its best round."""
    population: Population
    rates: tuple[float, ...]
    """Learning rates of the rounds up to the best one."""
    best_round: int
    final: Parameters
    """The model's."""
    config_digest: str

    @classmethod
    def open(cls, folder: Path) -> "Attacked":
        """Return a finished run, its model and its patients.

        Raises:
            ArtefactError: not a finished run, or something of it is missing or damaged.
            DataError: it has too few patients to attack.
        """
        run = RunFolder.open(folder)
        manifest, summary = run.read_json("manifest.json"), run.read_json("summary.json")
        model = Predictor.open(folder)
        population = read_population(folder, model.config, model.labels, manifest["cache_digest"])
        best = int(summary["best_round"])
        lines = [line for line in run.read_lines("rounds.jsonl") if 1 <= line["round"] <= best]
        rates = tuple(float(line["learning_rate"]) for line in lines)
        digest = str(manifest["config_digest"])
        return cls(folder, model, population, rates, best, model.parameters(), digest)

    @property
    def sites(self) -> list[str]:
        """The sites that have members."""
        return sorted(set(self.population.site.tolist()) - {""})

    def answers(self, file: Path | None = None) -> Answers:
        """Return what the run's model says of all images, or that in a file of the run."""
        stored = self.final
        if file is not None:
            stored = read_weights(file, self.model.spec, self.config_digest)
        self.model.load(stored)
        return Answers.of(self.probs_of(self.model), self.population.target)

    def probs_of(self, model: Predictor) -> NDArray[np.float32]:
        """Return (N, L) a model's probabilities of all images."""
        return model.probs_at(self.population.images, self.population.rows)

    def made_of(self) -> str:
        """Return the digest of what a shadow model is made of."""
        keys = by_key(self.model.config)
        kept = {
            key: value
            for key, value in keys.items()
            if key.partition(".")[0] in ("seed", "model", "train") or key == "server.batch_norm"
        }
        text = json.dumps([kept, self.rates, self.model.labels, self.population.digest])
        return sha256(text.encode()).hexdigest()
