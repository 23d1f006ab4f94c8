import json
import re

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from fedcxr.data.labels import CHEXPERT_LABELS
from fedcxr.report.partition_figure import (
    draw_partition,
    prevalence,
    site_names,
    write_partition_figure,
)


def make_plan(num_sites, *, labels=CHEXPERT_LABELS, holds="", masked=(), seed=0, **changes):
    rng = np.random.default_rng(seed)
    sites = []
    for number in range(num_sites):
        images = int(rng.integers(300, 200_000))
        counts = {}
        for label in labels:
            absent = images if label in masked and number % 2 else 0
            positive = 0 if absent else int(images * rng.uniform(0, 0.6))
            counts[label] = {"positive": positive, "masked": absent}
        sites.append(
            {
                "site_id": f"site-{number:03d}",
                "patients": images // 3,
                "images": images,
                "holds": holds,
                "js_distance": float(rng.uniform(0, 0.4)),
                "label_counts": counts,
            }
        )
    part = {"patients": 1234, "images": 5678}
    plan = {
        "source": "CheXpert-v1.0-small",
        "scheme": "dirichlet",
        "parameters": {"alpha": 0.3},
        "seed": 0,
        "labels": list(labels),
        "sites": sites,
        "global": {"val": part, "test": part},
    }
    return {**plan, **changes}


def boxes_of(figure):
    """Return where every text is that can be seen, in pixels, and the figure's own box."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    texts = list(figure.texts)
    for axes in figure.axes:
        legend = axes.get_legend()
        texts += [*axes.texts, axes.xaxis.label, axes.yaxis.label]
        texts += legend.get_texts() if legend else []
        low, high = sorted(axes.get_xlim()), sorted(axes.get_ylim())
        ticks = [(t, low) for t in axes.xaxis.get_major_ticks()]
        ticks += [(t, high) for t in axes.yaxis.get_major_ticks()]
        texts += [t.label1 for t, (a, b) in ticks if a <= t.get_loc() <= b]
        texts += [t.label2 for t, (a, b) in ticks if a <= t.get_loc() <= b]
    seen = [text for text in texts if text.get_text().strip() and text.get_visible()]
    return [(text.get_text(), text.get_window_extent(renderer)) for text in seen], figure.bbox


@pytest.mark.parametrize(
    "plan",
    [
        make_plan(1, labels=("Edema",)),
        make_plan(2),
        make_plan(5, holds="rare disease", masked=CHEXPERT_LABELS[::3]),
        make_plan(
            5, parameters={"attribute": "A column with quite a long name", "folds": 10, "fold": 9}
        ),
        make_plan(12, holds="18-39, 40-59, unknown and 2 more"),
        make_plan(20),
        make_plan(100),
    ],
    ids=["one", "two", "five", "folds", "twelve", "twenty", "hundred"],
)
def test_no_text_covers_another_or_leaves_the_picture(plan):
    boxes, whole = boxes_of(draw_partition(plan))
    assert len(boxes) > 10
    for text, box in boxes:
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= whole.x1 and box.y1 <= whole.y1
        assert inside, text
    for i, (text, box) in enumerate(boxes):
        for other, second in boxes[:i]:
            wide = min(box.x1, second.x1) - max(box.x0, second.x0)
            high = min(box.y1, second.y1) - max(box.y0, second.y0)
            assert wide <= 1 or high <= 1, f"{text!r} covers {other!r}"


def test_prevalence_is_the_share_of_images_whose_source_has_the_label():
    plan = make_plan(2, labels=("Edema", "Fracture"), masked=("Fracture",))
    first, second = plan["sites"]
    for site, images, edema, fracture in ((first, 100, 30, 10), (second, 300, 30, 0)):
        site["images"] = images
        site["label_counts"]["Edema"]["positive"] = edema
        site["label_counts"]["Fracture"]["positive"] = fracture
    second["label_counts"]["Fracture"]["masked"] = 300
    # all sites: 60 of 400 and, of those that have the label, 10 of 100
    np.testing.assert_array_equal(
        prevalence(plan["sites"], plan["labels"]), [[0.15, 0.3, 0.1], [0.1, 0.1, np.nan]]
    )


def test_the_numbers_can_be_read_up_to_twenty_sites():
    few = [text for text, _ in boxes_of(draw_partition(make_plan(20)))[0]]
    many = [text for text, _ in boxes_of(draw_partition(make_plan(21)))[0]]
    assert len(few) > 14 * 21
    assert 14 < len(many) < 14 * 6  # labels and all sites' own numbers stay


def test_a_site_is_named_with_what_it_holds():
    assert site_names(make_plan(1, holds="inpatient")["sites"]) == ["site-000\ninpatient"]
    assert site_names(make_plan(1)["sites"]) == ["site-000"]


def test_the_same_plan_gives_the_same_bytes(tmp_path):
    plan = make_plan(3)
    files = [write_partition_figure(plan, tmp_path / name) for name in "ab"]
    for one, other in zip(*files, strict=True):
        assert one.read_bytes() == other.read_bytes()
    with Image.open(files[0][0]) as picture:
        assert picture.width > 900
    assert [path.name for path in files[0]] == ["partition.png", "partition.svg"]


def test_the_svg_says_what_is_drawn_and_keeps_odd_names_as_they_are(tmp_path):
    plan = make_plan(2, labels=("$x$ & <b>", "浮腫"), source="A & B")
    _, svg = write_partition_figure(json.loads(json.dumps(plan)), tmp_path)
    text = svg.read_text("utf-8")
    said = " ".join(re.findall(r">([^<>]+)</text>", text))
    for words in ("A &amp; B · dirichlet · alpha 0.3 · 2 sites · seed 0", "$x$ &amp; &lt;b&gt;"):
        assert words in said
    for words in ("浮腫", "global validation 5,678 images of 1,234 patients", "images", "patients"):
        assert words in said


@pytest.mark.parametrize("name", ["Thorax-Kl\udce4ren", "two\nlines", "[bold]$x$<&>'\""])
def test_a_data_set_of_any_name_is_drawn(tmp_path, name):
    _, svg = write_partition_figure(make_plan(3, source=name), tmp_path)
    svg.read_text("utf-8")
