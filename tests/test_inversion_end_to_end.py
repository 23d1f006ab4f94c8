"""`fedcxr attack inversion` without a run: a small network's update, with and without noise."""

import pytest

from fedcxr.results.inversion import read_inversion


@pytest.mark.slow
def test_a_sites_image_is_sought_and_the_page_written(run_main, tmp_path):
    code, out, err = run_main(
        *("attack", "inversion", "--size-px", "32", "--images", "2", "--steps", "25"),
        *("--protection", "frozen,dp"),
    )
    assert code == 0, err
    (folder,) = tmp_path.glob("runs/*-inversion/attacks/inversion")
    assert f"Report: {folder.relative_to(tmp_path) / 'report.html'}" in out
    result = read_inversion(folder)
    assert [each.protection for each in result.inversions] == ["frozen", "dp"]
    frozen, noised = result.of("frozen"), result.of("dp")
    assert frozen.reidentified.candidates >= 100
    assert frozen.reidentified.median_rank < noised.reidentified.median_rank
    # what the bias tells of the labels is near, and noise hides it
    errors = {each.protection: each.error for each in result.label_mix}
    assert errors["frozen"] < 0.05 < errors["dp"]
    assert (folder / "images.png").is_file()


def test_what_a_run_has_of_its_own_is_refused(run_main, tmp_path):
    code, _, err = run_main("attack", "inversion", str(tmp_path), "--size-px", "32")
    assert code == 2
    assert "--size-px: a run has its own" in err


def test_a_number_out_of_range_ends_before_anything_is_read(run_main):
    code, _, err = run_main("attack", "inversion", "--clip", "0")
    assert code == 2
    assert "--clip 0: expected a number above 0" in err


@pytest.mark.slow
def test_one_small_image_under_batch_norm_is_refused_before_any_search(run_main):
    code, _, err = run_main("attack", "inversion", "--size-px", "32", "--protection", "frozen,sum")
    assert code == 2, err
    assert "Take larger images" in err
