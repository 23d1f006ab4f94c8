"""Grad-CAM of the final model on held-out images: a gallery by rule, and the hit rate in boxes."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcxr.config.explain import ExplainConfig
from fedcxr.data.records import Box
from fedcxr.explain.choose import Example, choose_examples
from fedcxr.explain.overlay import write_overlay
from fedcxr.explain.peaks import center_in_box, peak_in_box
from fedcxr.inference import Predictor
from fedcxr.seeding import derive_rng
from server.evaluate import HeldOut

_BATCH = 16


@dataclass(frozen=True, slots=True)
class Gallery:
    """What is shown, and how often the peak of the heat map lies in the finding's box."""

    files: tuple[dict[str, Any], ...]
    hits: tuple[tuple[str, bool, bool], ...]
    """(label, peak in the box, centre of the image in the box), one a box."""

    def summary(self) -> dict[str, Any]:
        """Return the gallery as it stands in summary.json."""
        by_label = {
            label: _rates([h for h in self.hits if h[0] == label])
            for label in sorted({h[0] for h in self.hits})
        }
        return {"files": list(self.files), **_rates(list(self.hits)), "by_label": by_label}


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
    """Write the overlays into `folder` and return what they show and the hits in known boxes."""
    examples = choose_examples(
        test.target,
        probs,
        model.labels,
        dict(auroc),
        labels_count=config.labels,
        per_outcome=config.images_per_outcome,
    )
    box_of = {(b.path, b.label): b for b in boxes}
    files = [
        _draw(model, test, probs, example, box_of, number, folder)
        for number, example in enumerate(examples, start=1)
    ]
    return Gallery(tuple(files), tuple(score_boxes(model, test, boxes, config.max_boxes, seed)))


def score_boxes(
    model: Predictor, test: HeldOut, boxes: Sequence[Box], most: int, seed: int
) -> list[tuple[str, bool, bool]]:
    """Return (label, peak hit, centre hit) for findings with known boxes, at most `most`.

    A finding is one label on one held-out image; a two-sided one has two boxes, and the peak, which
    is one point, hits if it lies in either.

    Source: the pointing game of Zhang et al. 2018, "Top-down neural attention by excitation
    backprop", §4.2, without its margin.
    """
    row_of = {image_id: row for row, image_id in enumerate(test.image_id.tolist())}
    of_finding: dict[tuple[int, str], list[Box]] = {}
    for box in boxes:
        if box.path in row_of:
            of_finding.setdefault((row_of[box.path], box.label), []).append(box)
    findings = sorted(of_finding)
    if len(findings) > most:
        chosen = derive_rng(seed, "boxes").choice(len(findings), size=most, replace=False)
        findings = [findings[i] for i in sorted(chosen)]
    hits: list[tuple[str, bool, bool]] = []
    for start in range(0, len(findings), _BATCH):
        part = findings[start : start + _BATCH]
        columns = [model.labels.index(label) for _, label in part]
        images = test.images[test.rows[[row for row, _ in part]]]
        for finding, heat in zip(part, model.heat_maps(images, columns).heat, strict=True):
            known = of_finding[finding]
            hits.append(
                (
                    finding[1],
                    any(peak_in_box(heat, box) for box in known),
                    any(center_in_box(box) for box in known),
                )
            )
    return hits


def _draw(
    model: Predictor,
    test: HeldOut,
    probs: NDArray[np.float32],
    example: Example,
    box_of: Mapping[tuple[str, str], Box],
    number: int,
    folder: Path,
) -> dict[str, Any]:
    label = model.labels[example.label_index]
    probability = float(probs[example.row, example.label_index])
    truth = int(test.target[example.row, example.label_index])
    slug = re.sub(r"[^a-z0-9]+", "-", f"{label} {example.outcome}".lower()).strip("-")
    file = folder / f"{number:02d}-{slug}.png"
    image = test.images[test.rows[[example.row]]]
    heat = model.heat_maps(image, [example.label_index]).heat[0]
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
    }


def _rates(hits: Sequence[tuple[str, bool, bool]]) -> dict[str, Any]:
    if not hits:
        return {"hit_rate": None, "center_hit_rate": None, "num_findings": 0}
    return {
        "hit_rate": sum(h[1] for h in hits) / len(hits),
        "center_hit_rate": sum(h[2] for h in hits) / len(hits),
        "num_findings": len(hits),
    }
