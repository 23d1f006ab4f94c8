"""The page of a run: what it shows, and what it keeps to itself."""

import base64
import html
import json
import re
import time

import pytest
from fake_run import change, write_run
from outline import Outline

from fedcxr.config import load_config, to_yaml
from fedcxr.errors import ArtefactError
from fedcxr.report.page import write_report


def report(run):
    path = write_report(run, with_figures=False)
    assert path == run / "report.html"
    return path.read_text("utf-8")


def of(run, file, key):
    return json.loads((run / file).read_text("utf-8"))[key]


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "20250301-102030-quickstart")


@pytest.fixture(scope="module")
def whole_page(whole_run):
    return report(whole_run)


def test_the_page_tells_the_headline(whole_page):
    text = Outline(whole_page).text
    assert re.search(r"Global macro AUROC 0\.\d{3} 95 % interval 0\.\d{3}–0\.\d{3}", text)
    assert "5 sites trained densenet_small by FedAvg (McMahan et al. 2017)" in text
    assert re.search(r"Test set \d+ images of 160 patients", text)
    assert "Labels counted 13 of 14" in text
    assert "Patients apart proven 66 pairs of sets compared" in text
    assert "Time 1 min 18 s" in text
    assert "they have no clinical meaning" in text


def test_every_section_is_there(whole_page):
    text = Outline(whole_page).text
    for words in (
        "How it was trained",
        "site-04 missing no answer in 60 s",
        "site-04 refused update is not finite",
        "Fewer than 10 positives in the test set, so that little can be said: Pleural Other",
        "no known positive",
        "the mean, which is over 13 of 14 labels",
        "Label counts by site",
        "global test",
        "61.4 % of 214 findings with a known box",
        "false positive probability",
        "train 51.0 s",
        "Sent a round 4.2 MB",
        "Received a round 1.1 MB",
        "Update codec int8",
        "Label frequencies Positive, among the images whose label is known.",
        "CLAIM 2024: ",
        "CheXpert paper: mean AUROC 0.906 over 5 labels",
        "learning_rate: 0.0001",
        "versions.torch 2.12.1",
        "fedcxr simulate --clients 5",
    ):
        assert words in text, words


def test_what_a_comparison_says_of_an_arm_a_run_says_of_its_model(whole_page):
    text = Outline(whole_page).text
    for words in (
        "Precision and recall Across: recall.",
        "Average precision by label",
        "Operating points The thresholds were fixed on validation patients",
        "Youden The threshold with the largest sum",
        "Calibration A calibrated model's points",
        "Temperature: ",
        "Net benefit with intervals",
        "Subgroups Rates are at one threshold",
        "true positive rate of sex F, minus all others",
        "true positive rate by age band, each minus all others",
    ):
        assert words in text, words
    assert "Means over" not in text
    assert "Global model: " not in text


def test_the_page_needs_nothing_outside_itself(whole_page):
    outline = Outline(whole_page)
    assert "script" not in outline.tags
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in outline.links)
    assert "url(http" not in whole_page
    assert "@import" not in whole_page


def test_ids_are_unique_and_every_reference_inside_the_page_finds_its_own(whole_page):
    outline = Outline(whole_page)
    assert len(outline.ids) == len(set(outline.ids))
    wanted = {link[1:] for link in outline.links if link.startswith("#")}
    wanted |= set(re.findall(r"url\(#([^)]+)\)", whole_page))
    assert wanted <= set(outline.ids)


def test_figures_take_their_colours_from_the_page(whole_page):
    drawn = "".join(re.findall(r"<svg.*?</svg>", whole_page, re.DOTALL))
    assert "var(--ink)" in drawn
    assert not re.search(r"#[0-9a-f]{6}\b", re.sub(r"(href=\"|url\()#[^\")]*", "", drawn))


def test_there_is_a_curve_for_every_defined_label(whole_page):
    for name in ("roc", "precision-recall"):
        assert len(re.findall(rf'<svg id="fig-{name}-\d+"', whole_page)) == 13


def test_heat_maps_are_inside_the_page(whole_run, whole_page):
    for path in whole_run.glob("gradcam/*.png"):
        assert base64.b64encode(path.read_bytes()).decode() in whole_page


def test_the_same_folder_gives_the_same_page(whole_run, whole_page):
    assert report(whole_run) == whole_page


@pytest.mark.alone
def test_a_report_is_written_fast(whole_run):
    start = time.process_time()
    write_report(whole_run, with_figures=False)
    assert time.process_time() - start < 3


def test_tables_and_figures_stand_beside_the_page(tmp_path):
    run = write_run(tmp_path / "run", num_sites=2, labels=["Edema"], undefined=(), rounds=1)
    before = {path.name for path in run.iterdir()}
    write_report(run, with_figures=False)
    assert {path.name for path in run.iterdir()} == before | {"report.html", "tables"}
    assert (run / "tables" / "labels_auroc.csv").read_text().startswith("label,auroc_federated")
    write_report(run)
    names = {path.stem for path in (run / "figures").iterdir()}
    assert {"auroc-by-label", "roc", "learning-val-macro-auroc", "label-frequencies"} <= names


def test_text_from_files_cannot_become_markup(tmp_path):
    evil = "<script>alert('x')</script>\"&"
    run = write_run(tmp_path / "run", num_sites=2, labels=[evil, "Edema"], rounds=1)
    change(
        run / "manifest.json",
        run=evil,
        command=[evil],
        uncertain={"all": evil},
        data={**of(run, "manifest.json", "data"), "source": evil, "layout": evil, "notes": [evil]},
    )
    sites = of(run, "partition/plan.json", "sites")
    sites[0]["site_id"] = evil
    change(run / "partition" / "plan.json", scheme=evil, sites=sites)
    with (run / "config.yaml").open("a") as file:
        file.write(f"# {evil}\n")
    last = json.loads((run / "rounds.jsonl").read_text().splitlines()[-1])
    missing = [{"site_id": "<u>", "reason": "<s>"}]
    with (run / "rounds.jsonl").open("a") as file:
        file.write(json.dumps({**last, "round": 2, "missing": missing}) + "\n")
    page = report(run)
    outline = Outline(page)
    assert "script" not in outline.tags
    assert not {"u", "s"} & set(outline.tags)
    assert html.escape("<u>") in page
    assert evil in outline.text


def test_methods_are_named_beside_the_centre_with_how_finely_they_tell(whole_page):
    text = Outline(whole_page).text
    assert "that of CAM in 30.7 %; the centre of the image does in 21.3 %" in text
    assert "Label Grad-CAM CAM Image centre Findings" in text
    assert "at least 7 cells a side, here 8 × 8 cells. CAM is the class" in text
    assert "here 2 × 2 cells. These are too coarse to point well." in text


def test_a_method_that_did_not_fit_is_said_to_be_left_out(tmp_path):
    run = write_run(tmp_path / "run", num_sites=1, labels=["Edema"], rounds=1)
    left_out = {"cam": {"title": "CAM", "lacks": "no-pooled-head"}}
    methods = {"gradcam": {"title": "Grad-CAM", "cells": None}}
    nothing = {"hit_rate": {"gradcam": None}, "num_findings": 0, "center_hit_rate": None}
    found = {"methods": methods, **nothing, "files": [], "by_label": {}, "left_out": left_out}
    change(run / "summary.json", heat_maps=found)
    text = Outline(report(run)).text
    assert "CAM is left out: it needs a network whose logits are one linear layer" in text
    assert "and densenet_small is none." in text
    assert "These data have no boxes to score the heat maps against." in text


def change_heat_maps(run, files):
    told = {"label": "Edema", "probability": 0.5, "truth": 1, "outcome": "miss"}
    found = [{"file": file, **told} for file in files]
    heat_maps = {**of(run, "summary.json", "heat_maps"), "files": found}
    change(run / "summary.json", heat_maps=heat_maps)


def test_pictures_of_another_folder_of_the_run_are_overlays_too(tmp_path):
    run = write_run(tmp_path / "run", num_sites=1, labels=["Edema"], rounds=1)
    (run / "cam").mkdir()
    (run / "cam" / "01.png").write_bytes(b"a picture")
    change_heat_maps(run, ["cam/01.png"])
    assert base64.b64encode(b"a picture").decode() in report(run)


def test_a_file_outside_the_gallery_is_not_taken_in(tmp_path):
    run = write_run(tmp_path / "run", num_sites=1, labels=["Edema"], rounds=1)
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret picture")
    change_heat_maps(run, ["../secret.png", str(secret), "gradcam/gone.png"])
    page = report(run)
    assert base64.b64encode(b"secret picture").decode() not in page
    assert page.count("is not in the run folder") == 3


def test_a_run_that_was_stopped_says_so_and_shows_its_rounds(tmp_path):
    run = write_run(tmp_path / "run", finished=False, rounds=3)
    text = Outline(report(run)).text
    assert "This run was interrupted." in text
    assert "3 of 10 rounds are done and there is no test result yet" in text
    assert "fedcxr resume run" in text
    assert "Global macro AUROC – no test result yet" in text
    assert "Training loss" in text
    assert "Label counts by site" in text
    assert "AUROC by label" not in text
    assert "Where the model looks" not in text


def test_a_run_that_has_hardly_begun_has_a_page(tmp_path):
    run = write_run(tmp_path / "run", finished=False, num_sites=1, labels=["Edema"], rounds=0)
    (run / "rounds.jsonl").unlink()
    change(run / "manifest.json", status="running", normalization=None)
    page = report(run)
    text = Outline(page).text
    assert "is still running, or was killed" in text
    assert "0 of 10 rounds are done" in text
    assert "Normalisation –" in text
    assert 'id="learning"' not in page


def test_one_label_one_site_no_interval_no_heat_map(tmp_path):
    run = write_run(
        tmp_path / "run",
        labels=["Pneumothorax"],
        num_sites=1,
        rounds=1,
        undefined=(),
        gradcam=False,
        intervals=False,
    )
    text = Outline(report(run)).text
    assert (
        "1 site trained densenet_small by FedAvg (McMahan et al. 2017), on its own patients" in text
    )
    assert "no interval" in text
    assert "Labels counted 1 of 1" in text
    assert "Where the model looks" not in text


def test_no_defined_label_says_why_and_shows_no_number(tmp_path):
    run = write_run(tmp_path / "run", labels=["Edema"], num_sites=1, rounds=1, undefined=("Edema",))
    text = Outline(report(run)).text
    assert "Global macro AUROC – not defined: no label has both classes" in text
    assert "no known positive" in text
    assert "no AUROC to draw" in text
    assert "Curves" not in text


def test_a_hundred_sites_become_figures_and_stay_listed(tmp_path):
    run = write_run(tmp_path / "run", num_sites=100, rounds=2, labels=["Edema", "Fracture"])
    page = report(run)
    assert 'id="fig-sizes"' in page
    assert 'id="fig-prevalence"' in page
    text = Outline(page).text
    assert "Every site as a table" in text
    assert "site-99" in text


def test_names_too_long_or_foreign_for_a_figure_do_no_harm(tmp_path):
    labels = ["x" * 200, "$a_1$ and $b", "肺炎"]
    page = report(write_run(tmp_path / "run", num_sites=20, labels=labels, rounds=1))
    assert "x" * 200 in page
    assert "$a_1$ and $b" in re.search(r'<svg id="fig-auroc-by-label".*?</svg>', page, re.DOTALL)[0]


def test_what_nobody_could_compare_is_not_called_proven(tmp_path):
    run = write_run(tmp_path / "run", num_sites=1, labels=["Edema"], rounds=1)
    why = "the sites' tables stay with them"
    change(run / "manifest.json", disjoint={"verified": False, "pairs_checked": 1, "reason": why})
    assert f"Patients apart not verifiable {why}" in Outline(report(run)).text
    told = {"verified": False, "status": "checked", "pairs_checked": 3, "reason": "by tokens"}
    change(run / "manifest.json", disjoint=told)
    assert "Patients apart checked by tokens" in Outline(report(run)).text


def test_the_sites_table_says_in_how_many_rounds_each_took_part(tmp_path):
    run = write_run(tmp_path / "run", num_sites=2, labels=["Edema"], rounds=4)
    taken = {
        "site-00": {"asked": 4, "counted": 4, "missing": [], "refused": [], "skipped": []},
        "site-01": {"asked": 4, "counted": 1, "missing": [2, 3, 4], "refused": [], "skipped": []},
    }
    change(run / "summary.json", participation=taken)
    page = report(run)
    assert "Rounds: in how many of those that it was asked in" in Outline(page).text
    rows = re.findall(r'<th scope="row">(site-0\d)</th>.*?(\d of 4)</td>', page)
    assert rows == [("site-00", "4 of 4"), ("site-01", "1 of 4")]


def test_a_site_that_trained_on_other_data_than_the_plan_has_is_named(tmp_path):
    folder = write_run(tmp_path / "run")
    assert "Trained on" not in write_report(folder).read_text()
    lines = [json.loads(line) for line in (folder / "rounds.jsonl").read_text().splitlines()]
    site_id = lines[-1]["sites"][0]["site_id"]
    for line in lines[1:]:
        for site in line["sites"]:
            site["num_examples"] = 7 if site["site_id"] == site_id else site["num_examples"]
    (folder / "rounds.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    page = write_report(folder).read_text()
    assert f"{site_id} trained on other data than the server's plan has." in page
    row = page.partition(f'<th scope="row">{site_id}</th>')[2].partition("</tr>")[0]
    assert '<td class="n">7</td>' in row


def test_scores_by_study_and_real_data_are_stated(tmp_path):
    run = write_run(tmp_path / "run", num_sites=1, labels=["Edema"], rounds=1)
    data = {**of(run, "manifest.json", "data"), "source": "nih14", "notes": ["Images: NIH."]}
    change(run / "manifest.json", score_by="study", data=data)
    text = Outline(report(run)).text
    assert "Scored by study" in text
    assert "The chance that a study with the finding" in text
    assert "a study's score is the maximum over its views" in text
    assert "Images: NIH." in text
    assert "Synthetic data" not in text


def test_intervals_that_rest_on_too_little_are_said_to(tmp_path):
    run = write_run(tmp_path / "run", num_sites=1, labels=["Edema", "Fracture"], rounds=1)
    scores = {
        "Edema": {"value": 0.7, "ci": [0.5, 0.8], "positives": 5, "negatives": 9, "reason": None},
        "Fracture": {
            "value": 0.6,
            "ci": None,
            "positives": 2,
            "negatives": 12,
            "reason": "no interval: all positives are of one patient",
        },
    }
    change(run / "summary.json", auroc=scores, test_patients=9)
    text = Outline(report(run)).text
    assert "The test set has 9 patients: intervals from so few are rough" in text
    assert "1 label has a value but no interval" in text
    assert "all positives are of one patient" in text


def test_a_site_s_own_score_stands_beside_it(tmp_path):
    run = write_run(tmp_path / "run", num_sites=2, labels=["Edema"], rounds=1)
    assert "Val AUROC" not in Outline(report(run)).text
    scores = [{"site_id": "site-00", "val_macro_auroc": 0.6789}, {"site_id": "site-01"}]
    change(run / "summary.json", site_scores=scores)
    assert re.search(r"site-00 [\d ,]+ 0\.679 ", Outline(report(run)).text)


def test_policies_with_exceptions_are_spelled_out(tmp_path):
    run = write_run(tmp_path / "run", num_sites=1, labels=["Edema"], rounds=1)
    change(run / "manifest.json", uncertain={"all": "ignore", "Edema": "ones"})
    assert "Uncertain labels ignore, Edema: ones" in Outline(report(run)).text


def test_a_codec_that_sends_a_share_says_which(tmp_path):
    run = write_run(tmp_path / "run", num_sites=1, labels=["Edema"], rounds=1)
    change(run / "manifest.json", codec="topk", topk=0.05)
    assert "Update codec topk, 5 % of the weights" in Outline(report(run)).text


def test_secure_aggregation_says_what_the_server_saw_and_what_could_fail(tmp_path):
    run = write_run(tmp_path / "run", num_sites=1, labels=["Edema"], rounds=1)
    assert "Secure aggregation" not in Outline(report(run)).text
    facts = {"sites": 100, "degree": 66, "threshold": 34, "fewest": 70, "range": 0.1, "step": 1e-5}
    facts |= {"privacy_failure": 1e-13, "correctness_failure": 0.0}
    change(run / "manifest.json", secure_aggregation=facts)
    text = Outline(report(run)).text
    assert "Secure aggregation the server saw sums only" in text
    assert "masks 66 neighbours each; 34 shares open a secret, 70 sites must stay" in text
    assert "failure of privacy 1e-13, correctness 0; a step of 1e-05 within ± 0.1" in text


def counted_manifest(**changes):
    """Return what a manifest says of the labels of two findings."""
    before = {"positive": 40, "negative": 11, "uncertain": 23, "blank": 7, "masked": 0}
    after = {"positive": 40, "negative": 18, "soft": 0, "uncertain_class": 23, "unknown": 0}
    counts = {
        "of": "the sites' training images",
        "images": 81,
        "before": {"Edema": before, "No Finding": {**before, "masked": 5}},
        "after": {"Edema": after, "No Finding": {**after, "soft": 19}},
        "reason": None,
    }
    return {
        "labels": ["Edema", "No Finding"],
        "uncertain": {"all": "smoothed", "Edema": "multi_class"},
        "blank": {"all": "zeros", "No Finding": "ignore"},
        "smoothed": [0.55, 0.85],
        "self_train_after": None,
        "label_counts": {**counts, **changes},
    }


def test_labels_are_counted_before_and_after_their_policies(tmp_path):
    run = write_run(tmp_path / "run", num_sites=1, labels=["Edema", "No Finding"], rounds=1)
    change(run / "manifest.json", **counted_manifest())
    text = Outline(report(run)).text
    assert "Edema multi_class zeros 40 11 23 7 0 40 18 0 23 0" in text
    assert "No Finding smoothed ignore 40 11 23 7 5 40 18 19 23 0" in text
    assert "Counted over the sites' training images: 81 images." in text
    assert "smoothed: a random value from 0.55–0.85, drawn once." in text
    assert "No Finding: a blank one is 0 where another finding is positive." in text
    assert "self_trained" not in text
    assert "label_counts" not in text  # in the table, not once more in the record


def test_labels_that_every_source_has_need_no_column_for_those_it_lacks(tmp_path):
    run = write_run(tmp_path / "run", num_sites=1, labels=["Edema"], rounds=1)
    change(run / "manifest.json", **{**counted_manifest(), "labels": ["Edema"]})
    change(run / "manifest.json", self_train_after=3)
    text = Outline(report(run)).text
    assert "Edema multi_class zeros 40 11 23 7 40 18 0 23 0" in text
    assert "Not in source" not in text
    assert "self_trained: unknown for 3 rounds, then soft" in text


def test_targets_that_were_not_counted_say_why(tmp_path):
    run = write_run(tmp_path / "run", num_sites=1, labels=["Edema", "No Finding"], rounds=1)
    change(run / "manifest.json", **counted_manifest(after=None, reason="the tables stay there"))
    text = Outline(report(run)).text
    assert "Edema multi_class zeros 40 11 23 7 0 – – – – –" in text
    assert "No targets are counted: the tables stay there." in text


def test_a_label_that_a_sites_source_lacks_is_not_counted_as_absent(tmp_path):
    run = write_run(tmp_path / "run", num_sites=1, labels=["Edema"], rounds=1)
    none = {"positive": 0, "negative": 0, "uncertain": 0, "blank": 0}
    sizes = {"patients": 9, "images": 50, "train_images": 45, "val_images": 5}
    sites = [
        {"site_id": name, **sizes, "label_counts": {"Edema": {**none, **counts}}}
        for name, counts in (("site-00", {"masked": 50}), ("site-01", {"blank": 50, "masked": 0}))
    ]
    change(run / "partition" / "plan.json", sites=sites)
    assert "site-00 site-01 global val global test Edema – – 0 0 %" in Outline(report(run)).text


def test_a_run_that_ended_early_says_so_and_why(tmp_path):
    run = write_run(tmp_path / "run", rounds=4)
    grounds = {"round": 4, "best_round": 2, "stop_after": 2, "min_improvement": 0.0}
    change(run / "summary.json", best_round=2, stopped_early=grounds)
    words = "Rounds 4 best: round 2; stopped early of 10, after 2 rounds without a better one"
    assert words in Outline(report(run)).text


def test_a_folder_that_is_no_run_gets_no_page(tmp_path):
    with pytest.raises(ArtefactError, match="not a run folder"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_the_page_says_how_was_trained(tmp_path):
    run = write_run(tmp_path / "run")
    settings = ["algorithm.name=fedprox", "algorithm.mu=0.5", "train.loss=focal"]
    config = load_config(settings=[*settings, "server.aggregator=label-mean"])
    (run / "config.yaml").write_text(to_yaml(config), "utf-8")
    text = Outline(report(run)).text
    assert "trained densenet_small by FedProx (Li et al. 2020)" in text
    assert "Algorithm fedprox mu 0.5" in text
    assert "Aggregator label-mean" in text
    assert "Loss and optimiser focal, adam" in text
    assert f"Learning rate {config.train.learning_rate:g} {config.train.lr_schedule}" in text


def test_the_page_says_whose_model_is_scored_where_sites_have_batch_norms_of_their_own(tmp_path):
    run = write_run(tmp_path / "run")
    config = load_config(settings=["algorithm.name=fedbn"])
    (run / "config.yaml").write_text(to_yaml(config), "utf-8")
    text = Outline(report(run)).text
    assert "Batch norm each site's own scored is the server's model, without any site's own" in text
