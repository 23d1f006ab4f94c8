"""For which labels samples are made, how many, and that they are the same on every try."""

import numpy as np

from fedcxr.config.vae import VaeConfig
from fedcxr.models.vae import build_vae
from fedcxr.training.sample_sheet import write_sheet
from fedcxr.training.samples import draw_samples, plan_samples

LABELS = ("Common", "Rare", "Absent")


def targets():
    rows = np.zeros((20, 3), np.float32)
    rows[:10, 0] = 1
    rows[8:11, 1] = 1
    rows[15, 0] = np.nan
    return rows


def plan(**changes):
    return plan_samples(targets(), VaeConfig(**changes), LABELS, seed=0)


def test_the_rarest_label_comes_first_and_the_cap_ends_it():
    found = plan(samples_per_label=15, max_ratio=1.0)
    assert found.column.tolist() == [1] * 15 + [0] * 5
    assert (found.target[np.arange(20), found.column] == 1).all()


def test_label_vectors_are_the_sites_own():
    own = {row.tobytes() for row in targets()}
    found = plan(samples_per_label=10, classes="both", max_ratio=5)
    assert {row.tobytes() for row in found.target} <= own
    # 10 of either class of the two labels that have positives
    asked = found.target[np.arange(40), found.column]
    assert (asked.sum(), len(asked)) == (20, 40)


def test_only_named_labels_are_sampled_and_none_without_positives():
    assert set(plan(labels=("Common",)).column) == {0}
    assert len(plan(labels=("Absent",))) == 0


def test_samples_are_bytes_of_the_images_size_and_follow_from_the_seed():
    model = build_vae(VaeConfig(width=8), size_px=32, num_labels=3, seed=0).eval()
    asked = plan(samples_per_label=3).target

    def draw(seed):
        options = {"size_px": 32, "image_size": 64, "device": "cpu"}
        return draw_samples(model, asked, seed=seed, **options)

    assert draw(0).shape == (6, 64, 64)
    assert draw(0).dtype == np.uint8
    assert (draw(0) == draw(0)).all()
    assert (draw(0) != draw(1)).any()


def test_a_sheet_is_the_same_bytes_again(tmp_path):
    rows = {"real": np.zeros((2, 32, 32), np.uint8), "sampled": np.ones((3, 32, 32), np.uint8)}
    for name in ("a.png", "b.png"):
        write_sheet(tmp_path / name, rows)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
