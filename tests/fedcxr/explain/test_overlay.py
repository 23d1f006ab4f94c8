import numpy as np
from PIL import Image

from fedcxr.data.records import Box
from fedcxr.explain.overlay import write_overlay


def film(size=64):
    ramp = np.linspace(40, 200, size)
    return np.broadcast_to(ramp, (size, size)).astype(np.uint8)


def hot_corner(size=64):
    heat = np.zeros((size, size), dtype=np.float32)
    heat[: size // 4, : size // 4] = 1.0
    return heat


def drawn(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def coloured(pixels):
    return np.ptp(pixels, axis=-1) > 30


def test_the_film_is_left_and_the_heat_right(tmp_path):
    write_overlay(tmp_path / "a.png", film(), hot_corner(), title="Edema · 0.91 · truth: positive")
    pixels = drawn(tmp_path / "a.png")
    assert pixels.shape == (320 + 44, 2 * 320 + 8, 3)
    left, right = pixels[44:, :320], pixels[44:, 328:]
    assert not coloured(left).any()
    assert coloured(right[:60, :60]).mean() > 0.9
    assert not coloured(right[160:, 160:]).any()


def test_the_box_is_drawn_on_both_panels(tmp_path):
    box = Box("a.png", "Edema", x=0.5, y=0.5, width=0.25, height=0.25)
    write_overlay(tmp_path / "a.png", film(), np.zeros((64, 64), np.float32), title="", box=box)
    pixels = drawn(tmp_path / "a.png")
    for left in (0, 328):
        panel = coloured(pixels[44:, left : left + 320])
        rows, columns = np.nonzero(panel)
        assert abs(rows.min() - 160) <= 2
        assert abs(columns.max() - 240) <= 2
        assert not panel[180:220, 180:220].any()  # the frame only


def test_the_same_input_gives_the_same_bytes(tmp_path):
    for name in ("a.png", "b.png"):
        write_overlay(tmp_path / name, film(), hot_corner(), title="Edema")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_label_with_dollar_signs_is_a_name_and_no_formula(tmp_path):
    # as a formula "$\x$" cannot be read at all
    write_overlay(tmp_path / "a.png", film(), hot_corner(), title=r"cost $\x$")
    assert (tmp_path / "a.png").stat().st_size > 1000
