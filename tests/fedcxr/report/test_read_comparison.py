import json

import pytest
from comparison_example import make_comparison, put, write_comparison_file

from fedcxr.errors import ArtefactError
from fedcxr.report.comparison.read_comparison import Estimate, read_comparison
from fedcxr.report.comparison.shape import SHAPE, misfits

FEW = {"labels": ("Edema", "Pneumonia"), "undefined": ()}


def test_the_arms_keep_their_order_and_scores(tmp_path):
    comparison = read_comparison(write_comparison_file(tmp_path, **FEW))
    assert [arm.name for arm in comparison.arms] == ["federated", "centralized", "local"]
    assert [arm.place for arm in comparison.arms] == [0, 1, 2]
    told = comparison.arms[0].tree["by_label"]["Edema"]["auroc"]
    low, high = told["ci"]
    assert comparison.arms[0].of_label("Edema") == Estimate(told["value"], (low, high))
    assert comparison.num_seeds == 3
    assert comparison.margin == 0.01


def test_the_page_is_about_federated_against_centralized_wherever_it_stands(tmp_path):
    tree = make_comparison(**FEW)
    tree["differences"].reverse()
    primary = read_comparison(put(tmp_path, tree)).primary
    assert (primary.arm.name, primary.against.name) == ("federated", "centralized")


def test_without_that_pair_the_first_difference_is_the_main_one(tmp_path):
    comparison = read_comparison(
        write_comparison_file(tmp_path, arms=("fedprox", "federated"), **FEW)
    )
    assert comparison.primary.arm.name == "fedprox"
    assert comparison.main_arm.name == "fedprox"


def test_the_example_is_of_the_shape():
    tree = json.loads(json.dumps(make_comparison()))
    assert list(misfits(tree, SHAPE)) == []


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("arms",), {}, r"arms is \{\}, expected a list"),
        (("arms", 0, "macro_auroc"), "0.8", r"arms\[0\].macro_auroc is '0.8', expected a number"),
        (("arms", 0, "macro_auroc", "ci"), [0.1], "expected a low and a high bound"),
        (("arms", 0, "curves"), [], r"curves is \[\], expected an object"),
        (("data", "synthetic"), "no", "data.synthetic is 'no', expected true or false"),
        (("statistics", "margin"), True, "statistics.margin is True, expected a number"),
        (("differences", 0, "by_label", "Edema", "p"), "x", r"by_label.Edema.p is 'x'"),
        (("site_matrix", "macro_auroc"), [0.5], r"macro_auroc\[0\] is 0.5, expected a list"),
    ],
)
def test_a_file_of_another_shape_is_refused_with_the_place(tmp_path, place, value, words):
    tree = make_comparison(**FEW)
    inner = tree
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(ArtefactError, match=words):
        read_comparison(put(tmp_path, tree))


def test_every_key_may_be_null_but_the_arms_and_their_names(tmp_path):
    tree = dict.fromkeys(SHAPE)
    tree |= {"format": 4, "arms": [{**dict.fromkeys(SHAPE["arms"][0]), "name": "federated"}]}
    comparison = read_comparison(put(tmp_path, tree))
    assert comparison.arms[0].title == "federated"
    assert comparison.labels == ()
    assert comparison.primary is None


def test_keys_of_a_later_version_are_let_through(tmp_path):
    tree = make_comparison(**FEW)
    tree["arms"][0]["later"] = {"any": "thing"}
    assert read_comparison(put(tmp_path, tree)).arms[0].tree["later"] == {"any": "thing"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 1}, "format 1, this fedcxr reads format 4"),
        ({"arms": []}, "no arm was judged yet"),
        ({"arms": [{"title": "x"}]}, r"arms\[0\] has no name"),
        ({"arms": [{"name": "a"}, {"name": "a"}]}, r"arms\[1\] has the name 'a' again"),
        (
            {"arms": [{"name": "a"}], "differences": [{"arm": "a", "against": "b"}]},
            "differences name b, which no arm is",
        ),
    ],
)
def test_a_file_that_does_not_hang_together_is_refused(tmp_path, change, words):
    with pytest.raises(ArtefactError, match=words):
        read_comparison(put(tmp_path, {"format": 4, **change}))


def test_a_folder_without_a_comparison_says_so(tmp_path):
    with pytest.raises(ArtefactError, match=r"comparison\.json: missing"):
        read_comparison(tmp_path)


def test_a_file_cut_short_says_so(tmp_path):
    (tmp_path / "comparison.json").write_text('{"format": 1, "arms": [', "utf-8")
    with pytest.raises(ArtefactError, match="not JSON"):
        read_comparison(tmp_path)
