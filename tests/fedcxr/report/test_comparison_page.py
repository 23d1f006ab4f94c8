import json
import re
import xml.etree.ElementTree as ET

import pytest
from comparison_example import TOO_SMALL, by_study, make_comparison, put, write_comparison_file
from outline import Outline
from PIL import Image

from fedcxr.data.labels import NIH14_LABELS
from fedcxr.errors import ArtefactError
from fedcxr.report.comparison import write_comparison
from fedcxr.report.comparison.arm_style import style_of
from fedcxr.report.comparison.figures import Figures
from fedcxr.report.comparison.page import all_tables, render
from fedcxr.report.comparison.read_comparison import read_comparison

LABELS = ("No Finding", "Atelectasis", "Cardiomegaly", "Edema", "Pleural Other")
FEW = {"labels": ("Edema", "Pleural Other"), "arms": ("federated", "centralized"), "clients": 2}


def undrawn(tree, folder):
    """Return the page's text without a single figure: drawing them is most of the work."""
    comparison = read_comparison(put(folder, tree))
    nothing = Figures([], None, None, None, [], [], None, [], None, None)
    return Outline(render(comparison, all_tables(comparison), nothing)).text


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = write_comparison_file(tmp_path_factory.mktemp("runs") / "compare", labels=LABELS)
    assert write_comparison(folder) == folder / "report.html"
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return (folder / "report.html").read_text("utf-8")


def test_the_page_answers_first_and_says_that_the_test_set_is_too_small(page):
    text = Outline(page).text
    start = text.index("Federated (FedAvg) has a macro AUROC")
    assert start < 300
    assert "the test set is too small to decide" in text[start : start + 260]
    assert TOO_SMALL in text
    assert "they have no clinical meaning" in text


def test_every_section_is_there_in_its_order(page):
    text = Outline(page).text
    places = [
        text.index(words)
        for words in (
            "The arms Means over",
            "Spread over the seeds",
            "Labels Difference in AUROC",
            "ROC and precision-recall curves",
            "Learning curves Thick",
            "Operating points and confusion matrices Means over",
            "Calibration Means over",
            "Subgroups Means over",
            "Every model at every site Macro",
            "Label frequencies Positive",
            "Costs Arm",
            "Published figures beside ours Not like with like",
            "Reporting checklist What",
            "What the numbers rest on All arms",
        )
    ]
    assert places == sorted(places)


def test_the_numbers_on_the_page_are_those_of_the_file(folder, page):
    text = Outline(page).text
    comparison = read_comparison(folder)
    for arm in comparison.arms:
        assert f"{arm.title} {arm.tree['budget']} {arm.score('macro_auroc').value:.3f}" in text
    worst = comparison.part("site_matrix")["worst"]["federated"]
    assert f"federated: worst at {worst['site_id']}, {worst['value']:.3f}" in text
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
    names = {path.stem for path in (folder / "tables").iterdir()}
    assert names == set(all_tables(read_comparison(folder)))
    assert all(path.suffix == ".csv" for path in (folder / "tables").iterdir())


def test_every_figure_is_written_as_svg_and_png(folder):
    found = {
        kind: {path.stem for path in (folder / "figures").glob(f"*.{kind}")}
        for kind in ("svg", "png")
    }
    assert found["svg"] == found["png"]
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
        "tpr-gap-sex",
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
        write_comparison(each)
    first, second = (
        {p.relative_to(each): p.read_bytes() for p in each.rglob("*") if p.is_file()}
        for each in folders
    )
    assert first == second
    assert len(first) > 30


def test_one_arm_and_one_seed_make_a_page(tmp_path):
    tree = make_comparison(arms=("federated",), labels=LABELS, seeds=(0,), clients=1)
    text = undrawn(tree, tmp_path)
    assert "with one arm there is nothing to compare it with" in text
    assert "No differences: there are not two arms to compare" in text
    assert "One seed: how far another training would lie is not known." in text
    assert "No difference by label to draw." in text
    assert "Verdict" not in text


def test_without_the_five_labels_their_column_is_left_out(tmp_path):
    tree = make_comparison(labels=("Pneumonia", "Fracture"), undefined=(), clients=2)
    for each in (*tree["arms"], *tree["differences"]):
        each["five_auroc"] = None
    text = undrawn(tree, tmp_path)
    assert "five competition labels" not in text
    assert "No published figures are known for this layout and these labels." in text


def test_a_comparison_with_nothing_but_arms_makes_a_page_of_empty_states(tmp_path):
    arms = [{"name": "federated", "macro_auroc": None}, {"name": "centralized"}]
    text = Outline(
        write_comparison(put(tmp_path, {"format": 4, "arms": arms})).read_text("utf-8")
    ).text
    for words in (
        "federated has no macro AUROC: no label has both classes.",
        "No differences",
        "No ROC curves",
        "No precision-recall curves",
        "No learning curves",
        "No operating points",
        "No calibration",
        "No subgroups",
        "No site has held-out patients of its own",
        "No label frequencies",
        "No published figures",
    ):
        assert words in text, words
    assert list((tmp_path / "figures").glob("*")) == []
    assert "nan" not in text.lower().split()


def test_nulls_inside_make_dashes_not_errors(tmp_path):
    tree = make_comparison(**FEW)
    arm = tree["arms"][0]
    arm["curves"]["Edema"] = None
    arm["calibration"]["by_label"]["Edema"] = None
    arm["operating_points"][0] |= {"threshold": None, "tp": None, "sensitivity": None}
    arm["learning"][0]["val_loss"] = None
    arm["subgroups"]["rows"][0] |= {"auroc": None, "tpr": None}
    tree["differences"][0]["by_label"]["Edema"] = None
    tree["site_matrix"]["macro_auroc"][0][0] = None
    tree["label_frequencies"]["Edema"] = {"train": None, "test": [None, 3]}
    outline = Outline(write_comparison(put(tmp_path, tree)).read_text("utf-8"))
    assert not re.search(r"\bNone\b(?!: the scores| of these)|\bnan\b", outline.text)


def test_the_answer_under_another_budget_stands_below_the_answer(tmp_path):
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
    text = undrawn(tree, tmp_path)
    found = "the difference is +0.002 (95 % interval −0.003 to +0.007): non-inferior."
    assert text.index("Federated (FedAvg) has a macro AUROC") < text.index(found) < 1000
    assert "Difference to Centralized" in text  # the main table's, as before


def test_an_arm_without_a_temperature_says_why(tmp_path):
    tree = make_comparison(**FEW)
    tree["arms"][1]["calibration"] |= {"temperature": None, "reason": "no temperature: too few"}
    text = undrawn(tree, tmp_path)
    assert "Temperatures: Federated (FedAvg) 1.21; Centralized – (no temperature: too few)." in text


def test_names_from_the_file_are_escaped_everywhere(tmp_path):
    bad = "<script>alert('x')</script> & $a$"
    tree = make_comparison(arms=("federated", "centralized"), labels=(bad, "Edema"), clients=2)
    tree["arms"][0]["title"] = bad
    tree["notes"] = [bad]
    page = write_comparison(put(tmp_path, tree)).read_text("utf-8")
    assert "<script" not in page
    Outline(page)
    for path in (tmp_path / "figures").glob("*.svg"):
        ET.fromstring(path.read_text("utf-8"))


def test_nih_labels_stand_beside_their_papers(tmp_path):
    labels = NIH14_LABELS[:3]
    text = undrawn(make_comparison(labels=labels, layout="nih14", undefined=()), tmp_path)
    assert "Wang et al. 2017" in text
    assert "arXiv 1711.05225 v3" in text
    assert "Not like with like." in text
    assert "0.925" in text  # CheXNet's Cardiomegaly


def test_many_arms_and_sites_make_a_page(tmp_path):
    arms = ("federated", "centralized", *(f"fedprox-{n}" for n in range(5)))
    tree = make_comparison(arms=arms, labels=("Edema",), undefined=(), clients=30)
    page = write_comparison(put(tmp_path, tree)).read_text("utf-8")
    assert "fedprox-4 minus Centralized" in Outline(page).text
    assert "site-29" in Outline(page).text


def test_nothing_is_written_where_there_is_no_comparison(tmp_path):
    with pytest.raises(ArtefactError):
        write_comparison(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_by_study_the_page_counts_studies(tmp_path):
    text = undrawn(by_study(make_comparison(**FEW)), tmp_path)
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


def test_images_that_could_not_be_read_are_not_among_those_scored(tmp_path):
    tree = make_comparison(**FEW)
    for arm in tree["arms"]:
        arm["scored"] = 895
    text = undrawn(tree, tmp_path)
    assert "Test set 895 images of 380 patients; 900 images in the table" in text
    assert "scored on the same 895 images of 380 patients" in text
    assert "The test table lists 900 images. Those that are not scored could not be read." in text


def test_a_file_that_does_not_tell_what_was_scored_has_its_images_counted(tmp_path):
    tree = make_comparison(**FEW)
    tree["data"]["score_by"] = "study"
    for arm in tree["arms"]:
        del arm["scored"], arm["macro_labels"]
    text = undrawn(tree, tmp_path)
    assert "scored on the same 900 images of 380 patients" in text
    assert "in the means" not in text


def test_the_page_says_over_how_many_labels_the_means_are(page, tmp_path):
    text = Outline(page).text  # Pleural Other has no positive
    assert "Labels 5 chexpert, 4 in the means" in text
    assert (
        "The endpoint is the macro AUROC over 4 of 5 labels: No Finding, Atelectasis, Cardiomegaly "
        "and Edema. Left out of it, by a count of test patients before training: Pleural Other: no "
        "patient has it; 10 are needed."
    ) in text
    whole = undrawn(make_comparison(**{**FEW, "undefined": ()}), tmp_path)
    assert "Labels 2 chexpert Time" in whole
    assert "The endpoint is the macro AUROC over all 2 labels: Edema and Pleural Other." in whole
    assert "Left out of it" not in whole


def test_a_file_of_an_earlier_fedcxr_tells_no_endpoint_and_no_protocol(tmp_path):
    tree = make_comparison(**FEW)
    for key in ("protocol", "deviations", "endpoint"):
        del tree[key]
    text = undrawn(tree, tmp_path)
    assert "is left out of the means, which are over 1 of 2 labels." in text
    assert "The endpoint is" not in text
    assert text.index("No protocol was frozen before this comparison's training") < 1000
    assert "macro AUROC, no protocol was frozen" in text
    assert "fixed beforehand" not in text


def test_what_was_planned_otherwise_stands_beside_the_verdict(tmp_path):
    tree = make_comparison(**FEW)
    planned = undrawn(tree, tmp_path)
    assert "macro AUROC, fixed beforehand" in planned
    assert "Deviation" not in planned
    assert "Protocol 5e5e5e5e5e5e5e5e digest, fixed before training" in planned
    tree["deviations"] = [
        {"key": "margin", "planned": 0.01, "now": 0.02},
        {"key": "seeds", "planned": [0, 1], "now": [0, 1, 2]},
    ]
    tree["statistics"]["margin"] = 0.02
    text = undrawn(tree, tmp_path)
    assert text.index("Macro AUROC, Federated") > text.index(
        "Deviation from the protocol: margin 0.01 → 0.02, changed after training began. Deviation "
        "from the protocol: seeds 0, 1 → 0, 1, 2, changed after training began."
    )
    assert "Margin 0.020 macro AUROC, changed: 0.01 was planned" in text
    assert "fixed beforehand" not in text


def test_why_there_is_no_mean_of_five_stands_below_the_table(tmp_path):
    tree = make_comparison(**FEW)
    reason = "not defined for all 5 labels: Edema (no known positive)"
    tree["arms"][0]["five_auroc"] = {"value": None, "ci": None, "reason": reason}
    assert reason in undrawn(tree, tmp_path)


def test_sites_are_judged_on_their_own_held_out_patients(page):
    text = Outline(page).text
    assert (
        "each site's own held-out patients (its validation split, on which nothing was trained or "
        "chosen)"
    ) in text
    assert "own test patients" not in text
    assert "on the own held-out patients of 5 sites (the validation split of each" in text
