"""A comparison of made-up predictions, through the benchmark's own folder."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from benchmarks.judging import fill, guess, make_comparison
from fedcxr.config.load import read_config, to_yaml, with_values
from fedcxr.errors import ArtefactError
from fedcxr.experiments.compare.judge import judge
from fedcxr.experiments.compare.predict_held_out import SITES_FILE
from fedcxr.experiments.compare.site_differences import site_differences
from fedcxr.experiments.compare.verdicts import difference_of
from fedcxr.metrics.studies import IMAGES, STUDIES, as_scored
from fedcxr.results.details import DifferenceDetails
from fedcxr.results.frozen import Endpoint
from fedcxr.results.judging.scored_arms import ScoredArms
from fedcxr.runs.folder import RunFolder
from fedcxr.runs.predictions import (
    read_prediction_sets,
    read_predictions,
    write_predictions,
)
from partitions.plan import read_plan
from partitions.table import read_table

LABEL = "Support Devices"
"""The most frequent one of what the benchmark makes up."""
LACKING = "Consolidation"
"""Of the competition labels; without a positive where scores are by study."""


def judged_tree(folder, arms, trainings):
    return judge(folder, arms, trainings).model_dump(mode="json")


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("judging") / "comparison"
    config = make_comparison(folder, 400, 150)
    arms, trainings = fill(folder, config)
    return folder, arms, trainings, judged_tree(folder, arms, trainings)


@pytest.fixture(scope="module")
def by_study(tmp_path_factory):
    """Two images a study, as far as a patient's images go; and a label without a positive."""
    folder = tmp_path_factory.mktemp("judging") / "by-study"
    config = make_comparison(folder, 400, 150)
    arms, trainings = fill(folder, config)
    data = config.data.model_copy(update={"score_by": "study"})
    (folder / "config.yaml").write_text(to_yaml(config.model_copy(update={"data": data})))
    for training in trainings:
        file = training.folder / "predictions.npz"
        sets = {split: read_predictions(file, split)[0] for split in ("test", "val")}
        write_predictions(file, {split: in_pairs(one) for split, one in sets.items()}, "study")
    tree = judged_tree(folder, arms, trainings)
    return in_pairs(sets["test"]), tree, trainings, folder, arms


def in_pairs(one):
    before = [np.sum(one.patient_id[:place] == owner) for place, owner in enumerate(one.patient_id)]
    target = one.target.copy()
    target[:, one.labels.index(LACKING)] = 0
    studies = np.array([f"study{number // 2}" for number in before])
    return replace(one, study_id=studies, target=target)


def test_values_are_means_over_models_and_scikit_learns(judged):
    _, _, trainings, tree = judged
    for arm in tree["arms"]:
        own = [t for t in trainings if t.arm == arm["name"]]
        found = [read_predictions(t.folder / "predictions.npz")[0] for t in own]
        column = found[0].labels.index(LABEL)
        pairs = [(p.target[:, column], p.probs[:, column]) for p in found]
        row = arm["by_label"][LABEL]
        aurocs = [roc_auc_score(*pair) for pair in pairs]
        assert row["auroc"]["value"] == pytest.approx(np.mean(aurocs), abs=1e-12)
        aps = [average_precision_score(*pair) for pair in pairs]
        assert row["ap"]["value"] == pytest.approx(np.mean(aps), abs=1e-12)
        brier = arm["calibration"]["by_label"][LABEL]["brier"]["value"]
        briers = [brier_score_loss(*pair) for pair in pairs]
        assert brier == pytest.approx(np.mean(briers), abs=1e-7)  # float32 scores
        points = [p for p in arm["operating_points"] if p["label"] == LABEL]
        assert [p["point"] for p in points] == ["youden", "sens90", "spec90"]
        for point in points:
            if point["threshold"] is None:  # of one of so many models: too few are in val
                assert re.search(r"no threshold: .*, in \d of 15 models", point["reason"])
                continue
            cells = [point[name] for name in ("tp", "fp", "tn", "fn")]
            assert sum(cells) == pytest.approx(400)
        assert points[0]["threshold"] is not None


def test_calibration_has_intervals_over_patients(judged):
    tree = judged[3]
    for arm in tree["arms"]:
        told = arm["calibration"]["by_label"][LABEL]
        for part in (told, told["tempered"]):
            for name in ("brier", "slope", "intercept"):
                low, high = part[name]["ci"]
                assert low < part[name]["value"] < high
            assert part["ece"]["ci"] is None
            assert part["ece"]["reason"].startswith("no interval: it is biased upward")


def test_a_flat_curve_gives_no_warning(judged):
    assert judged[3]["warnings"] == []  # the made-up trainings have the same AUROC in every round


def test_a_difference_is_one_arm_minus_the_other(judged):
    tree = judged[3]
    arms = {arm["name"]: arm for arm in tree["arms"]}
    assert [(d["arm"], d["against"]) for d in tree["differences"]] == [
        ("federated", "centralized"),
        ("federated", "centralized-steps"),
        ("local", "centralized"),
        ("centralized-steps", "centralized"),
    ]
    for gap in tree["differences"]:
        values = [arms[gap[side]]["macro_auroc"]["value"] for side in ("arm", "against")]
        assert gap["macro_auroc"]["value"] == pytest.approx(values[0] - values[1], abs=1e-12)
        low, high = gap["macro_auroc"]["ci"]
        assert low < gap["macro_auroc"]["value"] < high
        of_models = gap["macro_auroc_models"]
        assert of_models["value"] == gap["macro_auroc"]["value"]
        if of_models["ci"]:  # held in the self-test
            assert low < of_models["ci"][0] < of_models["ci"][1] < high
        rows = gap["by_label"].values()
        assert all(row["p_holm"] >= row["p"] for row in rows if row["p"] is not None)


def test_the_local_arm_counts_each_seed_once(judged):
    _, _, _trainings, tree = judged
    arm = next(arm for arm in tree["arms"] if arm["name"] == "local")
    assert (arm["models"], len(arm["macro_by_seed"])) == (15, 3)
    assert np.mean(arm["macro_by_seed"]) == pytest.approx(arm["macro_auroc"]["value"])


def test_the_verdict_is_withheld_on_few_patients_and_the_size_is_told(judged):
    folder, arms, trainings, _ = judged
    kept = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(kept.replace("min_positives: 10", "min_positives: 1"))
    try:
        gap = judged_tree(folder, arms, trainings)["differences"][0]
    finally:
        (folder / "config.yaml").write_text(kept)
    assert gap["verdict"]["word"] == "withheld"
    assert re.match(r"\d patients have [A-Z][A-Za-z ]+; the interval", gap["verdict"]["reason"])
    assert gap["power"].startswith("The test set is too small to decide: with 150 patients")


def test_every_model_is_judged_at_every_site(judged):
    _folder, _, _trainings, tree = judged
    matrix = tree["site_matrix"]
    assert np.shape(matrix["macro_auroc"]) == (5, 3 + 5)
    for row, site in zip(matrix["sites"], tree["site_matrix"]["macro_auroc"], strict=True):
        assert row["images"] >= row["patients"] > 0
        assert len(site) == len(matrix["models"])
    worst = matrix["worst"]["federated"]
    column = [row[0] for row in matrix["macro_auroc"] if row[0] is not None]
    assert worst["value"] == min(column)


def test_the_same_predictions_give_the_same_figures(judged):
    folder, arms, trainings, tree = judged
    again = judged_tree(folder, arms, trainings)
    assert json.dumps({**again, "created": ""}) == json.dumps({**tree, "created": ""})


def test_predictions_of_other_patients_are_refused(judged):
    folder, arms, trainings, _ = judged
    file = trainings[-1].folder / "predictions.npz"
    kept = file.read_bytes()
    table = read_table(folder / "partition/global/val.csv")
    write_predictions(file, {"test": guess(table, 0), "val": guess(table, 0)}, "image")
    try:
        with pytest.raises(ArtefactError, match="was judged on other images or labels than"):
            judged_tree(folder, arms, trainings)
    finally:
        file.write_bytes(kept)
    assert RunFolder(folder).read_json("comparison.json")["format"] == 4


def test_training_images_are_counted_at_all_sites_whatever_arm_comes_first(judged):
    folder, arms, trainings, tree = judged
    assert tree["label_frequencies"][LABEL]["train"] == [1, 2]  # as every manifest here says
    last = list(reversed([arm for arm in arms if arm.name in ("centralized", "local")]))
    own = [t for arm in last for t in trainings if t.arm == arm.name]
    again = judged_tree(folder, last, own)
    assert [arm["name"] for arm in again["arms"]] == ["local", "centralized"]
    assert again["label_frequencies"][LABEL]["train"] == [5, 10]  # five sites


def test_by_image_every_image_is_scored_and_the_labels_of_the_endpoint_are_in_the_means(judged):
    tree = judged[3]
    for arm in tree["arms"]:
        assert (arm["scored"], arm["macro_labels"]) == (400, len(tree["endpoint"]["labels"]))
        groups = arm["subgroups"]
        assert {row["attribute"] for row in groups["rows"]} == {"sex", "age band", "view"}
        assert "negative images" in groups["rule"]
        assert "no groups" not in groups["rule"]


def test_by_study_the_studies_are_counted_and_called_so(by_study):
    images, tree = by_study[:2]
    studies = len(set(zip(images.patient_id, images.study_id, strict=True)))
    assert 150 < studies < 300
    for arm in tree["arms"]:
        assert arm["scored"] == studies
        texts = json.dumps([arm["operating_points"], arm["subgroups"], arm["calibration"]])
        assert "left out: positive studies: " in texts
        assert not re.search(r": \"[^\"]*\bimages?\b[^\"]*\"", texts)
    assert tree["data"]["test_images"] == 400


def test_by_study_nobody_is_in_a_group_by_view_and_the_rule_says_so(by_study):
    # a study with a frontal and a lateral image would be in the group of whichever comes first
    for arm in by_study[1]["arms"]:
        groups = arm["subgroups"]
        assert {row["attribute"] for row in groups["rows"]} == {"sex", "age band"}
        assert "at least 10 negative studies" in groups["rule"]
        assert groups["rule"].endswith(
            "By view there are no groups: scores are by study, and one "
            "study may have several views."
        )


def test_a_mean_tells_over_how_many_labels_it_is(by_study):
    tree = by_study[1]
    over = list(Endpoint.model_validate(tree["endpoint"]).means_over)
    assert LACKING in over  # by the table; the predictions were changed afterwards
    for arm in tree["arms"]:
        known = [arm["by_label"][label]["auroc"]["value"] for label in over]
        known = [value for value in known if value is not None]
        assert arm["macro_labels"] == len(known) == len(over) - 1
        assert arm["macro_auroc"]["value"] == pytest.approx(np.mean(known))
    for gap in tree["differences"]:
        assert gap["verdict"]["word"] == "withheld"
        assert gap["verdict"]["reason"].startswith(f"no patient has {LACKING}; the interval was")


def test_a_mean_of_labels_that_have_no_auroc_is_none(by_study):
    _, _, trainings, folder, arms = by_study
    kept = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(
        kept.replace("primary_labels: []", f"primary_labels: [{LACKING}]")
    )
    try:
        tree = judged_tree(folder, arms, trainings)
    finally:
        (folder / "config.yaml").write_text(kept)
    assert tree["endpoint"]["labels"] == [LACKING]
    for each in (*tree["arms"], *tree["differences"]):
        assert each["macro_auroc"]["value"] is None
    stored = RunFolder(folder).read_json("comparison.json")
    assert stored["arms"][0]["macro_by_seed"] == [None] * 3
    assert (tree["arms"][0]["macro_labels"], stored["arms"][0]["seed_sd"]) == (0, None)


def test_four_competition_labels_make_no_mean_of_five(by_study, judged):
    tree = by_study[1]
    for each in (*tree["arms"], *tree["differences"]):
        assert each["five_auroc"] == {
            "value": None,
            "ci": None,
            "reason": "not defined for all 5 labels: Consolidation (no known positive)",
        }
    for each in (*judged[3]["arms"], *judged[3]["differences"]):
        assert each["five_auroc"]["value"] is not None


@pytest.mark.parametrize("units", [IMAGES, STUDIES])
def test_a_difference_names_what_its_rows_are(by_study, units):
    images, _, trainings = by_study[:3]
    test = as_scored(images, "study")
    test = replace(test, patient_id=np.array([f"p{n // 20}" for n in range(len(test.target))]))
    rng = np.random.default_rng(0)  # two arms alike but for noise
    probs = [
        (replace(trainings[0], arm=name), test.probs + rng.normal(0, 0.05, test.probs.shape))
        for name in "ab"
    ]
    found = difference_of(
        ("a", "b"),
        ScoredArms.of(test, probs, 0.95, units),
        test,
        margin=1e-4,
        endpoint=Endpoint(
            primary_labels=(), min_positives=1, patients=(), labels=tuple(test.labels)
        ),
        details=DifferenceDetails(
            operating_points=(), calibration={}, decision_curves={}, subgroups=()
        ),
    )
    assert found.about == "models"
    assert found.power is None  # no number of such patients would do
    assert re.search(rf"the test set has [0-9.]+ {units[1]} a patient", found.verdict.reason)


def test_each_site_learns_what_the_federation_changed_for_its_own_patients(judged):
    folder, arms, trainings, tree = judged
    assert all(row["reason"].startswith("no label that 10") for row in tree["site_differences"])
    found = site_differences(
        read_plan(folder / "partition"),
        {arm.name: [t for t in trainings if t.arm == arm.name] for arm in arms},
        with_values(read_config(folder / "config.yaml"), {"compare.min_positives": 2}),
        0.95,
    )
    rows = [row.model_dump() for row in found]
    sites = [site["site_id"] for site in tree["site_matrix"]["sites"]]
    expected = [(site, against) for site in sites for against in ("local", "centralized")]
    assert [(row["site_id"], row["against"]) for row in rows] == expected
    for row in rows:
        if not row["labels"]:
            assert row["reason"].startswith("no label that 2 of its patients have")
            continue
        site, against = row["site_id"], row["against"]
        own = [
            (training.arm, read_prediction_sets(training.folder / SITES_FILE, [site])[0][site])
            for training in trainings
            if training.arm in ("federated", against) and training.site in ("", site)
        ]
        means = {
            arm: np.mean(
                [
                    roc_auc_score(found.target[:, column], found.probs[:, column])
                    for name, found in own
                    if name == arm
                    for column in map(found.labels.index, row["labels"])
                ]
            )
            for arm in ("federated", against)
        }
        assert row["value"] == pytest.approx(means["federated"] - means[against], abs=1e-9)
        assert row["about"] == "methods"
        if row["ci"]:
            assert row["ci"][0] < row["value"] < row["ci"][1]
    assert any(row["labels"] for row in rows)


def test_without_a_federation_or_a_reference_no_site_has_a_question(judged):
    folder, arms, trainings, _ = judged
    own = [t for t in trainings if t.arm in ("centralized", "local")]
    rest = [arm for arm in arms if arm.name in ("centralized", "local")]
    assert judged_tree(folder, rest, own)["site_differences"] == []
