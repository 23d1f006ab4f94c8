"""A whole study of augmentation: its arms, what they added, stopped and resumed, and the page."""

import json
import shutil

import pytest

from fedcxr.cli.augment_study import STUDY
from fedcxr.cli.compare import print_comparison
from fedcxr.config import load_config
from fedcxr.errors import DataError
from fedcxr.experiments.compare import comparing as run_module
from fedcxr.experiments.compare import trainings as trainings_module
from fedcxr.experiments.compare.comparing import compare, resume_comparison
from fedcxr.experiments.compare.predict_held_out import predict_at_sites
from fedcxr.training import sample_quality

pytestmark = pytest.mark.usefixtures("no_page", "no_pictures", "in_this_process")

KINDS = ("none", "copies", "classical", "vae")
TINY = {
    "data.synthetic.patients": 120,
    "data.synthetic.size_px": 48,
    "data.labels": ["Cardiomegaly", "Pleural Effusion"],
    "model.image_size": 32,
    "partition.clients": 2,
    "server.rounds": 1,
    "explain.max_boxes": 0,
    "explain.images_per_outcome": 0,
    "engine.precision": "fp32",
    "engine.workers": 1,
    "compare.seeds": 1,
    "compare.at_once": 1,
    "vae.width": 8,
    "vae.latent": 4,
    "vae.epochs": 2,
    "vae.kl_warmup_epochs": 1,
    "vae.min_images": 20,
    "vae.samples_per_label": 5,
}


@pytest.fixture(scope="module")
def in_this_process():
    """Trainings one after another here, with hasty judges, and no figures: what takes seconds."""

    def savefig(figure, file, **how):
        file.write('<svg viewBox="0 0 1 1"></svg>')

    def run_trainings(trainings, *, at_once, on_progress):
        for training in trainings:
            if not trainings_module.is_finished(training):
                tree = training.config.model_dump(mode="json")
                trainings_module._train_or_resume(training.folder, tree)
                predict_at_sites(training.folder, training.federation)
            on_progress(trainings_module.progress_of(trainings))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "run_trainings", run_trainings)
        patch.setattr(sample_quality, "_STEPS", 10)
        patch.setattr("matplotlib.figure.Figure.savefig", savefig)
        yield


def configured(folder, **settings):
    keys = {key.replace("__", "."): value for key, value in settings.items()}
    return load_config(overrides={**TINY, "runs_dir": str(folder), **keys}, verb=STUDY)


@pytest.fixture(scope="module")
def done(tmp_path_factory, no_page, no_pictures, in_this_process):
    return compare(configured(tmp_path_factory.mktemp("study")))


def figures(folder):
    tree = json.loads((folder / "comparison.json").read_text())
    del tree["created"]
    return tree


def runs(folder):
    return {kind: folder / "arms" / f"federated-{kind}-seed-0" for kind in KINDS}


def told(run):
    lines = [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]
    return lines[0], [row for line in lines[1:] for row in line["sites"]]


def test_all_arms_start_alike_and_take_as_many_steps_with_as_many_images(done):
    first = {kind: told(run)[0]["parameters_sha256"] for kind, run in runs(done).items()}
    assert len(set(first.values())) == 1
    last = {
        json.loads((run / "summary.json").read_text())["parameters_sha256"]
        for run in runs(done).values()
    }
    assert len(last) == len(KINDS)  # and then each goes its own way
    arms = {arm["name"]: arm for arm in figures(done)["arms"]}
    assert len({arm["steps"] for arm in arms.values()}) == 1
    adding = [arms[f"federated-{kind}"] for kind in KINDS[1:]]
    assert len({arm["images_seen"] for arm in adding}) == 1


def test_what_was_added_is_told_by_label_and_is_as_planned(done):
    arms = {arm["name"]: arm["added"] for arm in figures(done)["arms"]}
    assert arms.pop("federated-none") is None
    for added in arms.values():
        assert added["images"] == added["planned"] > 0
        assert len(added["sites"]) == 2
    assert len({json.dumps(added["positives"]) for added in arms.values()}) == 1
    by_site = sum(one["told"]["numbers"]["samples"] for one in arms["federated-vae"]["sites"])
    assert by_site == arms["federated-vae"]["images"]
    # 5 of each label that has a positive at the site
    assert min(n for n in arms["federated-copies"]["positives"].values() if n) >= 5


def test_no_vae_is_trained_for_a_control(done, fedcxr_home):
    said = {kind: told(run)[1] for kind, run in runs(done).items()}
    numbers = {kind: [row["vae"] for row in rows if row.get("vae")] for kind, rows in said.items()}
    assert numbers["none"] == []
    assert all(one["epochs"] is None for one in numbers["copies"] + numbers["classical"])
    assert all(one["epochs"] == 2 for one in numbers["vae"])


def test_the_page_and_the_last_lines_answer_the_question(done, capsys):
    page = " ".join((done / "report.html").read_text().split())
    assert "<h1>VAE samples against Copies</h1>" in page
    assert "the VAE helps more than copies do" in page or "The VAE " in page
    assert "What was added" in page
    assert "The sites&#39; own VAEs" in page or "The sites' own VAEs" in page
    assert (done / "tables" / "added_images.csv").is_file()
    print_comparison(done)
    assert "than training with copies of real images" in capsys.readouterr().out


def test_stopped_and_resumed_it_ends_in_the_same_figures(done, tmp_path):
    folder = tmp_path / done.name
    shutil.copytree(done, folder)
    (folder / "comparison.json").unlink()
    shutil.rmtree(runs(folder)["classical"])
    shutil.rmtree(runs(folder)["vae"])
    resume_comparison(folder)
    wanted, found = figures(done), figures(folder)
    for tree in (wanted, found):
        for arm in tree["arms"]:
            del arm["seconds"]
    assert found == wanted


def test_a_study_for_which_no_site_has_images_enough_leaves_nothing_behind(tmp_path):
    with pytest.raises(DataError, match=r"the largest site has \d+ training images.*min_images"):
        compare(configured(tmp_path / "runs", vae__min_images=100_000))
    assert not (tmp_path / "runs").exists()
