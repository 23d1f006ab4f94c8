"""Each sign changes the film where its mask says, by about its stated contrast."""

import numpy as np
import pytest

from fedcxr.data.synthetic.anatomy import chest_fields
from fedcxr.data.synthetic.phantom import draw_noise
from fedcxr.data.synthetic.plan import plan_data_set
from fedcxr.data.synthetic.signs import NUM_DRAWS, SIGN_NAMES, SIGNS, Strokes, deform, draw_strokes

COUNT = 12


def strokes_of(name):
    rng = np.random.default_rng(0)
    return Strokes(
        image=np.arange(COUNT),
        label=np.zeros(COUNT, dtype=np.int64),
        sign=np.full(COUNT, SIGN_NAMES.index(name)),
        side=np.where(np.arange(COUNT) % 2, 1, -1).astype(np.float32),
        strength=np.ones(COUNT, dtype=np.float32),
        u=rng.random((COUNT, NUM_DRAWS), dtype=np.float32),
    )


@pytest.fixture(scope="module")
def frontal():
    plan = plan_data_set("nih14", patients=COUNT, size_px=96, seed=1, num_sites=1)
    return plan.anatomy.rows(np.arange(COUNT))


def draw(anatomy, name):
    noise = draw_noise([np.random.default_rng(k) for k in range(COUNT)], 96)
    strokes = strokes_of(name)
    chest = chest_fields(deform(anatomy, strokes), noise.mottle)
    film, masks = draw_strokes(np.zeros_like(chest.x), chest, strokes)
    return film, masks, chest


@pytest.mark.parametrize("name", [n for n in SIGN_NAMES if n != "wide heart"])
def test_sign_is_visible_inside_its_mask(frontal, name):
    film, masks, _ = draw(frontal, name)
    assert film.dtype == np.float32
    assert masks.any(axis=(1, 2)).all()
    contrast = SIGNS[name].contrast
    for change, mask in zip(np.abs(film), masks, strict=True):
        assert 0.4 * contrast < change[mask].max() < 2.2 * contrast
        assert change[mask].mean() > 5 * change[~mask].mean()


ACROSS_THE_MIDLINE = ("wide heart", "wide mediastinum", "hernia", "device")


@pytest.mark.parametrize("name", [n for n in SIGN_NAMES if n not in ACROSS_THE_MIDLINE])
def test_sign_is_on_the_side_it_was_given(frontal, name):
    _, masks, chest = draw(frontal, name)
    right = chest.signed_a > 0
    share = (masks & right).sum(axis=(1, 2)) / masks.sum(axis=(1, 2))
    np.testing.assert_array_equal(share > 0.8, np.arange(COUNT) % 2 == 1)


def test_a_wide_heart_is_wider_than_the_same_patients_healthy_one(frontal):
    _, wide, _ = draw(frontal, "wide heart")
    _, _, healthy = draw(frontal, "fracture")
    widths = [np.any(m, axis=1).sum(axis=1) for m in (wide, healthy.heart > 0.5)]
    assert (widths[0] > 1.15 * widths[1]).all()
