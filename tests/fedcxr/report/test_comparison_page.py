"""The page of a comparison, with the tables and figures beside it."""

import json
import re
import xml.etree.ElementTree as ET

import pytest
from comparison_example import (
    TOO_SMALL,
    by_study,
    make_comparison,
    put,
    typed,
    write_comparison_file,
)
from outline import Outline
from PIL import Image

from fedcxr.errors import ArtefactError
from fedcxr.report.arm_style import style_of
from fedcxr.report.page import render, view_of, write_report
from fedcxr.results.reading import read_result

LABELS = ("No Finding", "Atelectasis", "Cardiomegaly", "Edema", "Pleural Other")
FEW = {"labels": ("Edema", "Pleural Other"), "arms": ("federated", "centralized"), "clients": 2}


def text_of(tree):
    return Outline(render(view_of(typed(tree)))[0]).text


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = write_comparison_file(tmp_path_factory.mktemp("runs") / "compare", labels=LABELS)
    assert write_report(folder) == folder / "report.html"
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return (folder / "report.html").read_text("utf-8")


def test_the_page_answers_first_and_says_that_the_test_set_is_too_small(page):
    text = Outline(page).text
    start = text.index("Federated (FedAvg) has a macro AUROC")
    assert start < 300
    assert "the study is too small to decide" in text[start : start + 260]
    assert TOO_SMALL in text
    assert "they have no clinical meaning" in text


def test_every_section_is_there_in_its_order(page):
    text = Outline(page).text
    places = [
        text.index(words)
        for words in (
            "The arms Means over",
            "Spread over the seeds",
            "Difference in AUROC of each label. Left",
            "Curves Means over",
            "Learning Thick",
            "Operating points Means over",
            "Calibration Means over",
            "Net benefit Net benefit is",
            "Subgroups Means over",
            "Sites Macro",
            "Label frequencies Positive",
            "Scored by image Model",
            "Costs Arm",
            "Read this beside Published scores",
            "Reporting checklist What this",
            "What the numbers rest on All arms",
        )
    ]
    assert places == sorted(places)


def test_the_numbers_on_the_page_are_those_of_the_file(folder, page):
    text = Outline(page).text
    result = read_result(folder)
    for arm in result.arms:
        assert f"{arm.title} {arm.budget} {arm.macro_auroc.value:.3f}" in text
    worst = result.site_matrix.worst["federated"]
    assert f"federated: worst at {worst.site_id}, {worst.value:.3f}" in text
    assert "no known positive" in text
    assert "conditional on its trained models" in text
    assert "for other patients and other trainings, from 3 seeds paired" in text


def test_the_page_needs_nothing_outside_itself(page):
    outline = Outline(page)
    assert "script" not in outline.tags
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in outline.links)
    assert "url(http" not in page
    assert "@import" not in page


def test_ids_are_unique_and_every_reference_finds_its_own(page):
    outline = Outline(page)
    assert len(outline.ids) == len(set(outline.ids))
    wanted = {link[1:] for link in outline.links if link.startswith("#")}
    wanted |= set(re.findall(r"url\(#([^)]+)\)", page))
    assert wanted <= set(outline.ids)


def test_every_table_is_written(folder):
    names = {path.stem for path in (folder / "tables").glob("*.csv")}
    assert names == set(view_of(read_result(folder)).tables)


def test_every_figure_is_written_as_svg_pdf_and_png(folder):
    found = {
        kind: {path.stem for path in (folder / "figures").glob(f"*.{kind}")}
        for kind in ("svg", "pdf", "png")
    }
    assert found["svg"] == found["pdf"] == found["png"]
    assert {
        "forest-federated-centralized",
        "forest-local-centralized",
        "auroc-by-label",
        "roc",
        "precision-recall",
        "learning-train-loss",
        "learning-val-macro-auroc",
        "learning-val-accuracy",
        "confusion-federated-youden",
        "reliability",
        "tpr-gap-sex-female",
        "site-matrix",
        "label-frequencies",
    } <= found["svg"]
    for path in (folder / "figures").glob("*.png"):
        with Image.open(path) as image:
            assert min(image.size) > 300, path.name


def test_figure_files_stand_alone(folder):
    for path in (folder / "figures").glob("*.svg"):
        text = path.read_text("utf-8")
        root = ET.fromstring(text)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert root.get("width").endswith("pt")
        assert "var(--" not in text, path.name
        wanted = set(re.findall(r"url\(#([^)]+)\)|href=\"#([^\"]+)\"", text))
        ids = set(re.findall(r"\bid=\"([^\"]+)\"", text))
        assert {one or other for one, other in wanted} <= ids, path.name


def test_figures_on_the_page_take_their_colours_from_it(page):
    drawn = "".join(re.findall(r"<svg id.*?</svg>", page, re.DOTALL))
    assert "var(--ink)" in drawn
    assert "var(--vermilion)" in drawn


def test_the_margin_is_drawn_and_told(page):
    forest = re.search(r"<svg id=\"fig-forest-federated-centralized\".*?</svg>", page, re.DOTALL)[0]
    assert "margin −0.010" in forest
    assert "Macro mean" in forest


def test_lines_of_arms_differ_by_more_than_colour():
    styles = [style_of(place) for place in range(35)]
    assert len({(s.colour, s.dash) for s in styles}) == 35
    for place in range(6):
        assert style_of(place).dash != style_of(place + 1).dash
        assert style_of(place).marker != style_of(place + 1).marker


def test_the_same_file_gives_the_same_bytes(tmp_path):
    folders = [
        write_comparison_file(tmp_path / name, **{**FEW, "labels": ("Edema",)})
        for name in ("one", "two")
    ]
    for each in folders:
        write_report(each)
    first, second = (
        {p.relative_to(each): p.read_bytes() for p in each.rglob("*") if p.is_file()}
        for each in folders
    )
    assert first == second
    assert len(first) > 30


@pytest.mark.usefixtures("undrawn")
def test_what_has_nothing_to_say_is_left_out():
    tree = make_comparison(arms=("federated",), labels=LABELS, seeds=(0,), clients=1)
    tree["site_matrix"] = {"sites": [], "models": [], "macro_auroc": [], "labels": [], "worst": {}}
    tree["label_frequencies"] = {}
    tree["data"]["layout"] = "files"
    page = render(view_of(typed(tree)))[0]
    text = Outline(page).text
    assert "with one arm there is nothing to compare it with" in text
    assert "Spread over the seeds" not in text
    assert "Verdict" not in text
    for name in ("sites", "data", "beside", "heat-maps", "record"):
        assert f'id="{name}"' not in page
        assert f'href="#{name}"' not in page


@pytest.mark.usefixtures("undrawn")
@pytest.mark.usefixtures("undrawn")
def test_without_the_five_labels_their_column_is_left_out():
    tree = make_comparison(labels=("Pneumonia", "Fracture"), undefined=(), clients=2)
    for each in (*tree["arms"], *tree["differences"]):
        each["five_auroc"] = None
    assert "five competition labels" not in text_of(tree)


@pytest.mark.usefixtures("undrawn")
def test_the_answer_under_another_budget_stands_below_the_answer():
    arms = ("federated", "centralized", "centralized-steps")
    tree = make_comparison(labels=FEW["labels"], arms=arms, clients=2)
    of = {(each["arm"], each["against"]): each for each in tree["differences"]}
    mine = json.loads(json.dumps(of["federated", "centralized"]))
    mine |= {
        "against": "centralized-steps",
        "macro_auroc": {"value": 0.0021, "ci": [-0.003, 0.007]},
    }
    mine["verdict"] = {"word": "non-inferior", "reason": "the interval lies above"}
    tree["differences"].insert(1, mine)
    tree = json.loads(json.dumps(tree))
    text = text_of(tree)
    found = "the difference is +0.002 (95 % interval −0.003 to +0.007): non-inferior."
    assert text.index("Federated (FedAvg) has a macro AUROC") < text.index(found) < 1000
    assert "Difference to Centralized" in text  # the main table's, as before


@pytest.mark.usefixtures("undrawn")
def test_an_arm_without_a_temperature_says_why():
    tree = make_comparison(**FEW)
    tree["arms"][1]["calibration"] |= {"temperature": None, "reason": "no temperature: too few"}
    text = text_of(tree)
    told = "Federated (FedAvg) 1.21 (1.15 to 1.30); Centralized none (no temperature: too few)."
    assert f"Temperatures: {told}" in text


@pytest.mark.usefixtures("undrawn")
def test_labels_that_lose_stand_beside_the_answer():
    tree = make_comparison(**FEW)
    tree["differences"][0] |= {"worse_labels": ["Edema", "Fracture"], "inferior_labels": ["Edema"]}
    told = (
        "Worse by their own intervals, not adjusted for their number: Edema and Fracture, of them "
        "beyond the margin Edema."
    )
    assert told in text_of(tree)


def test_names_from_the_file_are_escaped_everywhere(tmp_path):
    bad = "<script>alert('x')</script> & $a$"
    tree = make_comparison(arms=("federated", "centralized"), labels=(bad, "Edema"), clients=2)
    tree["arms"][0]["title"] = bad
    tree["notes"] = [bad]
    page = write_report(put(tmp_path, tree)).read_text("utf-8")
    assert "<script" not in page
    Outline(page)
    for path in (tmp_path / "figures").glob("*.svg"):
        ET.fromstring(path.read_text("utf-8"))


def test_many_arms_and_sites_make_a_page(tmp_path):
    arms = ("federated", "centralized", *(f"fedprox-{n}" for n in range(5)))
    tree = make_comparison(arms=arms, labels=("Edema",), undefined=(), clients=30)
    page = write_report(put(tmp_path, tree)).read_text("utf-8")
    assert "fedprox-4 minus Centralized" in Outline(page).text
    assert "site-29" in Outline(page).text


def test_nothing_is_written_where_there_is_no_comparison(tmp_path):
    with pytest.raises(ArtefactError):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("undrawn")
def test_by_study_the_page_counts_studies():
    text = text_of(by_study(make_comparison(**FEW)))
    for words in (
        "Test set 610 studies of 380 patients; 900 images in the table",
        "All arms were scored on the same 610 studies of 380 patients, who took part in no",
        "The test table lists 900 images. A study's score is the maximum over its images; what is "
        "counted is studies.",
        "The matrices count studies",
        "Bins hold equally many studies.",
        "among the images whose label is known; on val and test, where scores are by study, among "
        "the studies.",
        "610 studies of 380 patients (900 images in the test table) in the test set.",
        "Group Label Studies Patients",
    ):
        assert words in text, words


def test_by_image_the_page_counts_images(page):
    text = Outline(page).text
    for words in (
        "Test set 900 images of 380 patients Sites",
        "All arms were scored on the same 900 images of 380 patients, who took part in no",
        "The matrices count images",
        "Bins hold equally many images.",
        "among the images whose label is known.",
        "900 images of 380 patients in the test set.",
        "Group Label Images Patients",
    ):
        assert words in text, words
    assert "The test table lists" not in text


@pytest.mark.usefixtures("undrawn")
def test_images_that_could_not_be_read_are_not_among_those_scored():
    tree = make_comparison(**FEW)
    for arm in tree["arms"]:
        arm["scored"] = 895
    text = text_of(tree)
    assert "Test set 895 images of 380 patients; 900 images in the table" in text
    assert "scored on the same 895 images of 380 patients" in text
    assert "The test table lists 900 images. Those that are not scored could not be read." in text


@pytest.mark.usefixtures("undrawn")
def test_the_page_says_over_how_many_labels_the_means_are(page):
    text = Outline(page).text  # Pleural Other has no positive
    assert "Labels 5 chexpert, 4 in the means" in text
    assert (
        "The endpoint is the macro AUROC over 4 of 5 labels: No Finding, Atelectasis, Cardiomegaly "
        "and Edema. Left out of it, by a count of test patients before training: Pleural Other: no "
        "patient has it; 10 are needed."
    ) in text
    whole = text_of(make_comparison(**{**FEW, "undefined": ()}))
    assert "Labels 2 chexpert Time" in whole
    assert "The endpoint is the macro AUROC over all 2 labels: Edema and Pleural Other." in whole
    assert "Left out of it" not in whole


@pytest.mark.usefixtures("undrawn")
@pytest.mark.usefixtures("undrawn")
def test_that_no_protocol_was_frozen_stands_beside_the_verdict():
    text = text_of(make_comparison(**FEW, protocol=None))
    assert text.index("No protocol was frozen before this comparison's training") < 1000
    assert "macro AUROC, no protocol was frozen" in text
    assert "fixed beforehand" not in text


@pytest.mark.usefixtures("undrawn")
def test_what_was_planned_otherwise_stands_beside_the_verdict():
    tree = make_comparison(**FEW)
    planned = text_of(tree)
    assert "macro AUROC, fixed beforehand" in planned
    assert "Deviation" not in planned
    digest = typed(tree).protocol.digest[:16]
    assert f"Protocol {digest} digest, fixed before training" in planned
    tree["deviations"] = [
        {"key": "margin", "planned": 0.01, "now": 0.02},
        {"key": "seeds", "planned": [0, 1], "now": [0, 1, 2]},
    ]
    tree["statistics"]["margin"] = 0.02
    text = text_of(tree)
    assert text.index("Macro AUROC, Federated") > text.index(
        "Deviation from the protocol: margin 0.01 → 0.02, changed after training began. Deviation "
        "from the protocol: seeds 0, 1 → 0, 1, 2, changed after training began."
    )
    assert "Margin 0.020 macro AUROC, changed: 0.01 was planned" in text
    assert "fixed beforehand" not in text


@pytest.mark.usefixtures("undrawn")
def test_why_there_is_no_mean_of_five_stands_below_the_table():
    tree = make_comparison(**FEW)
    reason = "not defined for all 5 labels: Edema (no known positive)"
    tree["arms"][0]["five_auroc"] = {"value": None, "ci": None, "reason": reason}
    assert reason in text_of(tree)


def test_sites_are_judged_on_their_own_held_out_patients(page):
    text = Outline(page).text
    assert (
        "each site's own held-out patients (its validation split, on which nothing was trained or "
        "chosen)"
    ) in text
    assert "own test patients" not in text
    assert "on the own held-out patients of 5 sites (the validation split of each" in text
