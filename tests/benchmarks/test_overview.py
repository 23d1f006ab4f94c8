from benchmarks.overview import FILE, draw
from benchmarks.result import Result, save


def test_nothing_is_drawn_without_figures(tmp_path):
    assert draw(tmp_path, tmp_path / FILE) is False
    assert not (tmp_path / FILE).exists()


def test_bars_are_medians_of_every_arm_that_ran_and_drawn_the_same_again(tmp_path):
    arms = {
        "fedcxr-auto": {"runs": [{"images": rate * 10, "wall_s": 10.0} for rate in (90, 120, 100)]},
        "flower": {"runs": [{"images": 255, "wall_s": 10.0}]},
        "pfl": {"error": "not installed", "runs": []},
    }
    save(Result("end_to_end", "", "", False, figures={"5 clients": arms}), tmp_path)
    echo = {"fedcxr, 100 clients": {"runs": [{"round_s": 0.8, "server_bytes": 9.1e8}]}}
    save(Result("overhead", "", "", False, figures=echo), tmp_path)
    assert draw(tmp_path, tmp_path / FILE) is True
    text = (tmp_path / FILE).read_text()
    for word in ("From command to result: 5 clients", "fedcxr-auto", ">100<", ">25.5<", ">0.91<"):
        assert word in text
    assert "pfl" not in text
    first = (tmp_path / FILE).read_bytes()
    draw(tmp_path, tmp_path / FILE)
    assert (tmp_path / FILE).read_bytes() == first
