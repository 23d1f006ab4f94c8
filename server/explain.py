"""Where the final model looks: a gallery by rule, and how often each method's peak is in a box."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcxr.config.explain import ExplainConfig
from fedcxr.data.records import Box
from fedcxr.explain.choose import Example, best_labels, choose_examples
from fedcxr.explain.methods import METHODS
from fedcxr.explain.overlay import write_overlay
from fedcxr.explain.peaks import center_in_box, peak_in_box
from fedcxr.explain.trust import choose_by_trust
from fedcxr.inference import Predictor
from fedcxr.seeding import derive_rng
from server.evaluate import HeldOut

_BATCH = 16


@dataclass(frozen=True, slots=True)
class Finding:
    """One label on one held-out image where its place is known; a two-sided one has two boxes."""

    row: int
    label: str
    boxes: tuple[Box, ...]


@dataclass(frozen=True, slots=True)
class MethodHits:
    """Which findings the peaks of one method's heat maps lie in."""

    in_box: tuple[bool, ...]
    """One a finding."""
    cells: tuple[int, int] | None
    """Rows and columns of the maps; None if there is no finding."""


@dataclass(frozen=True, slots=True)
class Gallery:
    """What is shown, and how often the peak of the heat map lies in the finding's box."""

    files: tuple[dict[str, Any], ...]
    findings: tuple[Finding, ...]
    hits: Mapping[str, MethodHits]
    """By the name of each method that fits the network."""
    left_out: Mapping[str, str]
    """What the network lacks, by the name of each method that does not fit."""

    def summary(self) -> dict[str, Any]:
        """Return the gallery as it stands in summary.json."""
        of_label: dict[str, list[int]] = {}
        for number, finding in enumerate(self.findings):
            of_label.setdefault(finding.label, []).append(number)
        return {
            "files": list(self.files),
            **self._rates(range(len(self.findings))),
            "by_label": {label: self._rates(of_label[label]) for label in sorted(of_label)},
            "methods": {
                name: {"title": METHODS.get(name).title, "cells": hits.cells}
                for name, hits in self.hits.items()
            },
            "left_out": {
                name: {"title": METHODS.get(name).title, "lacks": lacking}
                for name, lacking in self.left_out.items()
            },
        }

    def _rates(self, numbers: Sequence[int]) -> dict[str, Any]:
        """Return the hit rates over some findings, by their numbers."""
        centers = [any(map(center_in_box, self.findings[i].boxes)) for i in numbers]
        return {
            "num_findings": len(numbers),
            "center_hit_rate": _share(centers),
            "hit_rate": {
                name: _share([hits.in_box[i] for i in numbers]) for name, hits in self.hits.items()
            },
        }


def explain(
    model: Predictor,
    test: HeldOut,
    probs: NDArray[np.float32],
    *,
    boxes: Sequence[Box],
    auroc: Mapping[str, float | None],
    config: ExplainConfig,
    seed: int,
    folder: Path,
) -> Gallery:
    """Return what the overlays show and the hits in known boxes.

    The overlays are of the first method that fits the network, and lie in a folder of its name.

    Args:
        model: loaded.
        test: held-out images.
        probs: (N, L) of them.
        boxes: where findings are known to be.
        auroc: by label; none = not defined.
        config: which methods, how many images and boxes.
        seed: of the run.
        folder: the run's.
    """
    fitting, left_out = _fitting(model, config.methods)
    box_of = {(b.path, b.label): b for b in boxes}
    files = [
        _draw(model, test, probs, example, box_of, number, method, folder)
        for method in fitting[:1]
        for number, example in enumerate(
            _examples(model, test, probs, boxes=boxes, auroc=auroc, config=config, method=method), 1
        )
    ]
    findings = choose_findings(test, boxes, config.max_boxes, seed)
    hits = {method: score_findings(model, test, findings, method) for method in fitting}
    return Gallery(tuple(files), findings, hits, left_out)


def _examples(
    model: Predictor,
    test: HeldOut,
    probs: NDArray[np.float32],
    *,
    boxes: Sequence[Box],
    auroc: Mapping[str, float | None],
    config: ExplainConfig,
    method: str,
) -> list[Example]:
    """Return the images to show, by the rule that the configuration names."""
    if config.show == "outcomes":
        return choose_examples(
            test.target,
            probs,
            model.labels,
            dict(auroc),
            labels_count=config.labels,
            per_outcome=config.images_per_outcome,
        )
    known: dict[tuple[str, str], list[Box]] = {}
    for box in boxes:
        known.setdefault((box.path, box.label), []).append(box)
    views = np.array([_view_of(test, row) for row in range(len(test.rows))])
    found: list[Example] = []
    for column in best_labels(model.labels, auroc, config.labels):
        label = model.labels[column]

        def maps_of(rows: Sequence[int], column: int = column) -> NDArray[np.float32]:
            images = test.images[test.rows[list(rows)]]
            return model.heat_maps(images, [column] * len(rows), method).heat

        def boxes_of(row: int, label: str = label) -> list[Box]:
            return known.get((str(test.image_id[row]), label), [])

        found += choose_by_trust(
            test.target[:, column],
            probs[:, column],
            views,
            column,
            boxes=boxes_of,
            maps_of=maps_of,
            per_outcome=config.images_per_outcome,
        )
    return found


def _fitting(model: Predictor, names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return the methods that fit the network, and of the others what it lacks."""
    lacking = {name: METHODS.get(name).lacks(model.model) for name in names}
    left_out = {name: lacks for name, lacks in lacking.items() if lacks is not None}
    return [name for name in lacking if name not in left_out], left_out


def choose_findings(
    test: HeldOut, boxes: Sequence[Box], most: int, seed: int
) -> tuple[Finding, ...]:
    """Return the held-out findings with known boxes, at most `most`, drawn by seed."""
    row_of = {image_id: row for row, image_id in enumerate(test.image_id.tolist())}
    of_finding: dict[tuple[int, str], list[Box]] = {}
    for box in boxes:
        if box.path in row_of:
            of_finding.setdefault((row_of[box.path], box.label), []).append(box)
    findings = sorted(of_finding)
    if len(findings) > most:
        chosen = derive_rng(seed, "boxes").choice(len(findings), size=most, replace=False)
        findings = [findings[i] for i in sorted(chosen)]
    return tuple(Finding(row, label, tuple(of_finding[row, label])) for row, label in findings)


def score_findings(
    model: Predictor, test: HeldOut, findings: Sequence[Finding], method: str
) -> MethodHits:
    """Return whether each finding's peak, which is one point, lies in one of its boxes.

    Source: the pointing game of Zhang et al. 2018, "Top-down neural attention by excitation
    backprop", §4.2, without its margin.
    """
    hits: list[bool] = []
    cells = None
    for start in range(0, len(findings), _BATCH):
        part = findings[start : start + _BATCH]
        images = test.images[test.rows[[finding.row for finding in part]]]
        columns = [model.labels.index(finding.label) for finding in part]
        found = model.heat_maps(images, columns, method)
        cells = found.cells
        for finding, heat in zip(part, found.heat, strict=True):
            hits.append(any(peak_in_box(heat, box) for box in finding.boxes))
    return MethodHits(tuple(hits), cells)


def _draw(
    model: Predictor,
    test: HeldOut,
    probs: NDArray[np.float32],
    example: Example,
    box_of: Mapping[tuple[str, str], Box],
    number: int,
    method: str,
    run: Path,
) -> dict[str, Any]:
    label = model.labels[example.label_index]
    probability = float(probs[example.row, example.label_index])
    truth = int(test.target[example.row, example.label_index])
    slug = re.sub(r"[^a-z0-9]+", "-", f"{label} {example.outcome}".lower()).strip("-")
    # a user's method is called package.module:Name
    folder = run / re.sub(r"[^\w-]+", "-", method)
    file = folder / f"{number:02d}-{slug}.png"
    image = test.images[test.rows[[example.row]]]
    heat = model.heat_maps(image, [example.label_index], method).heat[0]
    title = f"{label}: p = {probability:.2f}, truth: {'present' if truth else 'absent'}"
    write_overlay(
        file,
        np.asarray(image[0]),
        heat,
        title=title,
        box=box_of.get((str(test.image_id[example.row]), label)),
    )
    return {
        "file": f"{folder.name}/{file.name}",
        "label": label,
        "probability": probability,
        "truth": truth,
        "outcome": example.outcome,
        "view": _view_of(test, example.row),
    }


def _view_of(test: HeldOut, row: int) -> str:
    return str(test.attributes["view"][row]) if "view" in test.attributes else ""


def _share(hits: Sequence[bool]) -> float | None:
    return sum(hits) / len(hits) if hits else None
