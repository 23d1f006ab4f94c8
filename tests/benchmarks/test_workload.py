import ast
import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.vs import plain_torch
from benchmarks.vs.workload import Work, initial_state, write_workload
from fedcxr.config.load import load_config
from fedcxr.data.images.decode import decode
from fedcxr.inference import Predictor
from fedcxr.training.precision import Precision
from partitions.plan import read_plan

WORK = Work(clients=3, images_per_client=6, image_size=32, rounds=2, model="densenet_small")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_workload(tmp_path_factory.mktemp("workload") / "work", WORK)


@pytest.fixture(scope="module")
def workload(folder):
    return plain_torch.load_workload(folder)


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def test_every_site_trains_on_exactly_as_many_images_and_none_is_in_two_tables(folder, workload):
    tables = {name: rows_of(folder / name) for name in workload["files"]}
    sites = [len(rows) for name, rows in tables.items() if name.startswith("sites/")]
    assert sites == [6, 6, 6]
    assert {name: len(rows) for name, rows in tables.items()} == workload["files"]
    paths = [row["path"] for rows in tables.values() for row in rows]
    assert len(set(paths)) == len(paths)
    assert {(folder / "data" / path).is_file() for path in paths} == {True}


def test_fedcxr_trains_on_as_many_images_from_the_partition_folder(folder):
    plan = read_plan(folder / "partition")  # proves anew that no two sets share a patient
    assert [site.train_images for site in plan.sites] == [6, 6, 6]
    assert [site.val_images for site in plan.sites] == [0, 0, 0]


def test_the_targets_are_those_of_the_official_table_under_the_default_policy(folder, workload):
    # uncertain = not known, blank = 0, as configs/quickstart.yaml has it
    becomes = {"1.0": "1", "0.0": "0", "-1.0": "", "": "0"}
    official = {
        row["Path"]: row
        for table in ("train.csv", "valid.csv")
        for row in rows_of(folder / "data" / "CheXpert-v1.0-small" / table)
    }
    for name in workload["files"]:
        for row in rows_of(folder / name):
            stated = official.pop(row["path"])
            assert [row[label] for label in workload["labels"]] == [
                becomes[stated[label]] for label in workload["labels"]
            ]
    assert official == {}  # and no image of the data set is left out


def test_the_peers_start_from_the_weights_that_fedcxr_starts_from(workload):
    config = load_config(
        overrides={"model.name": "densenet_small", "model.image_size": 32, "seed": 0}
    )
    exact = Precision("fp32", channels_last=False, why="")
    ours = Predictor(config, workload["labels"], precision=exact, device="cpu", threads=1)
    network = plain_torch.model(workload)
    network.load_state_dict(plain_torch.initial_state(workload))  # strict: every name and shape
    expected = ours.model.network.state_dict()
    found = network.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    images = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(network.eval()(images), ours.model.eval()(images), atol=1e-6)


def test_densenet121_has_torchvisions_names_and_one_channel():
    workload = {"model": "densenet121", "labels": list(range(14))}
    state = initial_state(Work(clients=1, images_per_client=2), 14)
    network = plain_torch.model(workload)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert {name: array.shape for name, array in state.items()} == shapes
    assert shapes["features.conv0.weight"] == (64, 1, 7, 7)
    assert len(shapes) == 727


def test_the_peers_see_the_pixels_that_fedcxr_sees(workload):
    images = plain_torch.Images(workload, "val.csv")
    theirs = images[0][0].numpy()[0] * workload["std"] + workload["mean"]
    ours = decode(images.paths[0], 32) / 255
    # libjpeg shrinks for fedcxr before the rest is resized: a few gray levels, most at edges
    assert np.abs(theirs - ours).mean() < 3 / 255


def test_training_lowers_the_loss_and_unknown_labels_do_not_count(workload):
    torch.manual_seed(0)
    network = plain_torch.model(workload)
    network.load_state_dict(plain_torch.initial_state(workload))
    images = plain_torch.Images(workload, "sites/site-00.csv")
    loader = torch.utils.data.DataLoader(images, batch_size=6)
    losses = [plain_torch.train(network, loader, 3e-3, 1) for _ in range(5)]
    assert losses[-1] < losses[0]
    assert 0 <= plain_torch.evaluate(network, workload, "test.csv") <= 1
    # -ln sigmoid(0) = ln 2 over the one that is known
    loss = plain_torch.masked_bce(torch.zeros(1, 2), torch.tensor([[1.0, torch.nan]]))
    assert loss.item() == pytest.approx(np.log(2))


def test_macro_auroc_is_the_mean_over_the_labels_with_both_classes():
    nan = np.nan
    target = np.array([[1, 1, 1], [0, 0, 1], [1, nan, 1], [0, 0, 1]], np.float32)
    probs = np.array([[0.9, 0.1, 0.5], [0.8, 0.3, 0.5], [0.7, 0.9, 0.5], [0.1, 0.0, 0.5]])
    # first label: 3 of 4 pairs in order; second: 1 of 2, its third row unknown; the last undefined
    assert plain_torch.macro_auroc(target, probs) == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert np.isnan(plain_torch.macro_auroc(target[:, 2:], probs[:, 2:]))


def test_the_shared_part_of_the_peers_knows_nothing_of_fedcxr():
    names = set()
    for node in ast.walk(ast.parse(Path(plain_torch.__file__).read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    assert names.isdisjoint({"fedcxr", "clients", "server", "partitions", "benchmarks"})


def test_a_folder_that_holds_something_is_not_written_into(folder):
    with pytest.raises(FileExistsError, match="the folder is not empty"):
        write_workload(folder, WORK)
