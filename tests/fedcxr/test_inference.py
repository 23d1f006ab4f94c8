import json

import numpy as np
import pytest
import torch
from PIL import Image

from fedcxr.config import load_config
from fedcxr.config.arithmetic import Arithmetic
from fedcxr.config.load import to_yaml
from fedcxr.errors import ArtefactError, ConfigError, ImageError
from fedcxr.explain.methods import METHODS, heat_maps
from fedcxr.inference import Predictor
from fedcxr.parameters import save_parameters
from fedcxr.runs.checkpoint_files import checkpoint_file
from fedcxr.training.precision import Precision
from fedcxr.training.transforms import normalize

LABELS = ("Edema", "Fracture")
FP32 = Precision("fp32", channels_last=False, why="test")
ARITHMETIC = Arithmetic({"seed": 0})


def predictor(name="densenet_small", size=32, **keys):
    overrides = {"model.name": name, "model.image_size": size, **keys}
    config = load_config(overrides=overrides)
    return Predictor(config, LABELS, precision=FP32, device="cpu", threads=1)


@pytest.fixture(scope="module")
def small():
    return predictor()


def films(num=5, height=32, width=32):
    return np.random.default_rng(0).integers(0, 256, (num, height, width), dtype=np.uint8)


def save(folder, images):
    files = [folder / f"{number}.png" for number in range(len(images))]
    for file, pixels in zip(files, images, strict=True):
        Image.fromarray(pixels).save(file)
    return files


@pytest.fixture
def run(tmp_path):
    """A finished run of pooled moments whose best round is 2 of 3; its models are made of seeds."""
    folder = tmp_path / "run"
    models = {}
    for round_num in (2, 3):
        model = predictor(seed=round_num)
        models[round_num] = model
        save_parameters(
            checkpoint_file(folder / "checkpoints", round_num),
            model.parameters(),
            model.spec,
            {"arithmetic": ARITHMETIC.to_json()},
        )
    config = load_config(
        overrides={"model.image_size": 32, "train.normalization": "pooled", "engine.device": "cpu"}
    )
    (folder / "config.yaml").write_text(to_yaml(config))
    manifest = {
        "labels": LABELS,
        "precision": {"dtype": "bf16", "channels_last": False, "why": "test"},
        "normalization": {"kind": "pooled", "mean": 0.5, "std": 0.25},
        "data": {"png_bits": 12},
        "config_digest": ARITHMETIC.digest,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "summary.json").write_text(json.dumps({"best_round": 2}))
    return folder, models


def expected(model, images, mean=0.5, std=0.25):
    """Sigmoid of the network by itself on pixels normalised by hand."""
    pixels = (torch.from_numpy(images)[:, None] / 255 - mean) / std
    with torch.no_grad():
        return torch.sigmoid(model.model.eval()(pixels)).numpy()


def test_a_run_is_opened_at_its_best_round_with_its_moments(run):
    folder, models = run
    opened = Predictor.open(folder)
    assert opened.labels == LABELS
    assert opened.png_bits == 12
    assert opened.probs(films()).dtype == np.float32
    np.testing.assert_allclose(opened.probs(films()), expected(models[2], films()), atol=1e-6)


def test_a_checkpoint_is_opened_by_its_file_even_of_a_run_that_was_stopped(run):
    folder, models = run
    (folder / "summary.json").unlink()
    opened = Predictor.open(checkpoint_file(folder / "checkpoints", 3))
    np.testing.assert_allclose(opened.probs(films()), expected(models[3], films()), atol=1e-6)
    with pytest.raises(ArtefactError, match=r"Finish the run first: `fedcxr resume`"):
        Predictor.open(folder)


def test_what_is_no_run_is_refused(run, tmp_path):
    folder, _ = run
    with pytest.raises(ArtefactError, match="not a run folder"):
        Predictor.open(tmp_path)
    moved = tmp_path / "round-00003.safetensors"
    moved.write_bytes(checkpoint_file(folder / "checkpoints", 3).read_bytes())
    with pytest.raises(ArtefactError, match=r"not in the checkpoints/ folder of a run"):
        Predictor.open(moved)


def test_a_checkpoint_of_another_run_is_refused(run):
    folder, _ = run
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"config_digest": "b" * 64}))
    with pytest.raises(ArtefactError, match="belongs to another run"):
        Predictor.open(folder)


def test_a_checkpoint_of_no_run_is_refused(run):
    folder, models = run
    file = checkpoint_file(folder / "checkpoints", 3)
    save_parameters(file, models[3].parameters(), models[3].spec, {})
    with pytest.raises(ArtefactError, match="not a checkpoint of a run"):
        Predictor.open(file)


def test_files_arrays_and_rows_of_a_map_have_the_same_probabilities(small, tmp_path):
    images = films(70)  # more than one batch
    probs = small.probs(images)
    assert probs.shape == (70, 2)
    np.testing.assert_array_equal(small.probs(save(tmp_path, images)), probs)
    np.testing.assert_array_equal(small.probs_at(images, np.arange(70)), probs)
    np.testing.assert_allclose(small.probs_at(images, np.array([69, 3])), probs[[69, 3]], atol=1e-6)


def test_images_of_another_size_are_resized_as_files_are(small, tmp_path):
    images = films(2, height=50, width=41)
    files = save(tmp_path, images)
    np.testing.assert_array_equal(small.probs(images), small.probs(files))
    np.testing.assert_array_equal(small.probs(str(files[0])), small.probs(images[:1]))


def test_no_images_have_no_probabilities(small):
    assert small.probs([]).shape == (0, 2)
    assert small.probs(films(0)).shape == (0, 2)


def test_what_is_no_8_bit_grey_is_refused(small, tmp_path):
    with pytest.raises(ImageError, match=r"float64 \(1, 32, 32\): expected \(N, H, W\) of uint8"):
        small.probs(films(1) / 255)
    with pytest.raises(ImageError, match=r"uint8 \(32, 32\): expected"):
        small.probs(films(1)[0])
    with pytest.raises(ImageError, match=r"none\.png: cannot be read: No such file"):
        small.probs([tmp_path / "none.png"])


def test_a_table_has_a_row_an_image_and_a_column_a_label(small, tmp_path):
    files = save(tmp_path, films())
    table = small.table(files)
    assert list(table.columns) == list(LABELS)
    assert table.index.name == "image"
    assert list(table.index) == [str(file) for file in files]
    np.testing.assert_array_equal(table.to_numpy(), small.probs(films()))


def test_statistics_are_measured_anew_from_given_images():
    model = predictor()
    before = model.parameters()
    model.recalibrate(films(), np.arange(5))
    after = model.parameters()
    trained = model.spec.num_trainable
    np.testing.assert_array_equal(before.vector[:trained], after.vector[:trained])
    assert not np.array_equal(before.vector[trained:], after.vector[trained:])


@pytest.mark.parametrize("method", ["gradcam", "cam"])
def test_an_image_is_explained_by_a_methods_name(small, method, tmp_path):
    images = films(1, height=50, width=41)
    heat = small.explain(images[0], "Fracture", method)
    assert heat.shape == (32, 32)
    assert heat.min() >= 0
    np.testing.assert_array_equal(
        small.explain(save(tmp_path, images)[0], "Fracture", method), heat
    )


def test_a_heat_map_is_of_the_labels_own_output():
    # under multi_class there are two more outputs behind the labels' own
    model, images = predictor(**{"data.uncertain": "multi_class"}), films(2)
    assert len(model.outputs) == 4
    heat = model.heat_maps(images, [1, 0]).heat
    inputs = normalize(torch.from_numpy(images), model.normalization)
    alone = heat_maps(METHODS.get("gradcam"), model.model, inputs, torch.tensor([1, 0]))
    np.testing.assert_array_equal(heat, alone.heat)
    np.testing.assert_array_equal(heat[0], model.explain(images[0], "Fracture"))


def test_an_unknown_label_or_method_is_refused(small):
    image = films(1)[0]
    with pytest.raises(ConfigError, match="label 'Mass': the model has Edema, Fracture"):
        small.explain(image, "Mass")
    with pytest.raises(ConfigError, match=r"no method 'grad-cam'.*Known: gradcam, cam"):
        small.explain(image, "Edema", "grad-cam")


def test_a_class_activation_map_is_refused_where_the_head_is_another():
    model = predictor("alexnet", size=64)
    with pytest.raises(ConfigError, match=r"cam: this method needs .* alexnet is none"):
        model.explain(films(1)[0], "Edema", "cam")
    assert model.explain(films(1)[0], "Edema").shape == (64, 64)
