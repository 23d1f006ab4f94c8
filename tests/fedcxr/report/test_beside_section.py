"""Published scores, and why they are not like with like."""

import pytest
from comparison_example import example, make_comparison, typed

from fedcxr.data.labels import NIH14_LABELS
from fedcxr.data.origin import DrawnPart, FoldPart, OfficialPart, TestSet
from fedcxr.data.records import OfficialSet
from fedcxr.report.sections.beside_section import SOURCES, is_same_set, read_beside

LABELS = ("Atelectasis", "Edema")
VALID = OfficialSet("test", "chexpert-valid", ("valid.csv",), "chexpert")


def test_each_source_has_the_mean_that_its_paper_is_cited_with():
    # CheXNet is cited with a mean of 0.841 over its 14 labels, Wang et al. beside it with 0.738,
    # and the best policies of the CheXpert paper with 0.906 over their five
    found = {source.title: (source.mean_auroc, len(source.labels)) for source in SOURCES}
    assert found == {
        "CheXpert paper": (0.906, 5),
        "Wang et al. 2017": (0.738, 14),
        "CheXNet": (0.841, 14),
    }


def test_only_papers_on_the_same_layout_and_labels_are_read_beside():
    nih = example(labels=NIH14_LABELS[:3], layout="nih14", undefined=())
    assert [each.source.title for each in read_beside(nih)] == ["Wang et al. 2017", "CheXNet"]
    assert read_beside(example(labels=LABELS, layout="files", undefined=())) == []
    assert read_beside(example(labels=("Fracture",), undefined=())) == []


def test_what_is_unlike_is_said_for_each_source():
    tree = make_comparison(labels=LABELS)
    (found,) = read_beside(typed(tree))
    told = " ".join(found.unlike)
    assert "Other data: ours are synthetic" in told
    assert "200 studies labelled by radiologists" in told
    assert "own random split of patients, 900 images of 380 patients" in told
    assert "Other labels: 3 labels are in one mean alone." in told
    assert "320 px there, 64 px here" in told
    assert "Scored by study there, by image here." in told
    tree["data"] |= {"synthetic": False, "score_by": "study"}
    tree["training"]["image_size"] = 320
    told = " ".join(read_beside(typed(tree))[0].unlike)
    assert "Other split" in told
    for word in ("synthetic", "px there", "Scored by"):
        assert word not in told


@pytest.mark.parametrize(
    ("parts", "is_same"),
    [
        ([OfficialPart(VALID, 200)], True),
        ([OfficialPart(VALID, 199)], False),  # a patient is missing: another set
        ([OfficialPart(OfficialSet("test", "table", ("valid.csv",)), 200)], False),
        ([OfficialPart(VALID, 200), DrawnPart("nih14", 0.2, 5, 25)], False),
        ([FoldPart(0, 5, 200, 1000)], False),
    ],
)
def test_the_official_valid_set_is_the_one_that_the_chexpert_paper_was_scored_on(parts, is_same):
    tree = make_comparison(labels=LABELS)
    tree["data"]["test_set"] = TestSet(tuple(parts)).to_json()
    assert not is_same_set(typed(tree), SOURCES[0])  # synthetic
    tree["data"]["synthetic"] = False
    assert is_same_set(typed(tree), SOURCES[0]) == is_same
    (found,) = read_beside(typed(tree))
    assert ("Other split" in " ".join(found.unlike)) != is_same
