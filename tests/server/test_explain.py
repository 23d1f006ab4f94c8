"""What the server shows of where its model looks, and the methods' hits side by side."""

import numpy as np
import pytest

from fedcxr.config import load_config
from fedcxr.config.explain import ExplainConfig
from fedcxr.data.records import Box
from fedcxr.errors import ConfigError
from fedcxr.explain.methods import check_methods
from fedcxr.explain.peaks import peak_in_box
from fedcxr.inference import Predictor
from fedcxr.training.precision import Precision
from server.evaluate import HeldOut
from server.explain import choose_findings, explain

LABELS = ("Edema", "Fracture")
NUM = 6


def predictor(name="densenet_small", size=32):
    config = load_config(overrides={"model.name": name, "model.image_size": size})
    exact = Precision("fp32", channels_last=False, why="test")
    return Predictor(config, LABELS, precision=exact, device="cpu", threads=1)


def held(size=32):
    """Six images in a map in which they lie backwards, each label known in both ways."""
    images = np.random.default_rng(0).integers(0, 256, (NUM, size, size), dtype=np.uint8)
    names = np.array([f"image-{number}" for number in range(NUM)])
    target = np.float32([[number % 2, (number + 1) % 2] for number in range(NUM)])
    return HeldOut(images, np.arange(NUM)[::-1], target, names, names, names)


def box(number, label, x=0.0, y=0.0, side=0.5):
    return Box(f"image-{number}", label, x=x, y=y, width=side, height=side)


BOXES = (
    box(0, "Edema"),
    box(1, "Edema", x=0.4, y=0.4, side=0.2),
    box(1, "Edema", x=0.5, y=0.5),
    box(3, "Fracture", x=0.5),
    Box("elsewhere", "Edema", x=0.0, y=0.0, width=1.0, height=1.0),
)


def explained(folder, model, size=32, **keys):
    settings = ExplainConfig(**{"labels": 1, "images_per_outcome": 1, **keys})
    test = held(size)
    return explain(
        model,
        test,
        model.probs_at(test.images, test.rows),
        boxes=BOXES,
        auroc={"Edema": 0.8},
        config=settings,
        seed=0,
        folder=folder,
    )


def test_every_method_is_scored_on_the_same_findings_beside_the_centre(tmp_path):
    model, test = predictor(), held()
    found = explained(tmp_path, model).summary()
    assert found["num_findings"] == 3  # two boxes of image 1 are one finding
    # the centre (0.5, 0.5) lies in the corner of image 0's box, in both of image 1, in image 3's
    assert found["center_hit_rate"] == 1.0
    assert found["methods"] == {
        "gradcam": {"title": "Grad-CAM", "cells": (8, 8)},
        "cam": {"title": "CAM", "cells": (1, 1)},  # 32 px are one cell of the last map
    }
    assert list(found["by_label"]) == ["Edema", "Fracture"]
    assert [row["num_findings"] for row in found["by_label"].values()] == [2, 1]
    for name in ("gradcam", "cam"):
        hits = []
        for number, label, boxes in ((0, 0, BOXES[:1]), (1, 0, BOXES[1:3]), (3, 1, BOXES[3:4])):
            image = test.images[test.rows[[number]]]
            heat = model.heat_maps(image, [label], name).heat[0]
            hits.append(any(peak_in_box(heat, box) for box in boxes))
        assert found["hit_rate"][name] == pytest.approx(sum(hits) / 3)
        assert found["by_label"]["Edema"]["hit_rate"][name] == pytest.approx(sum(hits[:2]) / 2)


@pytest.mark.parametrize("first", ["gradcam", "cam"])
def test_overlays_are_of_the_first_method_in_a_folder_of_its_name(first, tmp_path):
    methods = (first, *({"gradcam", "cam"} - {first}))
    files = explained(tmp_path, predictor(), methods=methods).summary()["files"]
    assert files[0]["file"].startswith(f"{first}/01-edema-")
    assert sorted(f["file"] for f in files) == sorted(
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png")
    )


def test_a_method_that_does_not_fit_the_network_is_left_out(tmp_path):
    model = predictor("alexnet", size=64)
    found = explained(tmp_path, model, size=64).summary()
    assert list(found["methods"]) == list(found["hit_rate"]) == ["gradcam"]
    assert found["left_out"] == {"cam": {"title": "CAM", "lacks": "no-pooled-head"}}
    nothing = explained(tmp_path / "none", model, size=64, methods=("cam",)).summary()
    assert (nothing["files"], nothing["hit_rate"], nothing["methods"]) == ([], {}, {})


def test_without_boxes_there_is_no_rate(tmp_path):
    found = explained(tmp_path, predictor(), max_boxes=0, methods=("gradcam",)).summary()
    assert (found["num_findings"], found["center_hit_rate"]) == (0, None)
    assert found["hit_rate"] == {"gradcam": None}
    assert found["methods"]["gradcam"]["cells"] is None


def test_most_findings_are_drawn_by_seed():
    drawn = [choose_findings(held(), BOXES, 2, seed) for seed in range(20)]
    assert {len(findings) for findings in drawn} == {2}
    assert len({tuple(finding.row for finding in findings) for findings in drawn}) == 3
    assert choose_findings(held(), BOXES, 2, 0) == drawn[0]


def test_an_unknown_method_is_refused_before_anything_is_trained():
    with pytest.raises(ConfigError, match=r"explain\.methods: there is no method 'cams'"):
        check_methods(("gradcam", "cams"))
