import pytest

from fedcxr.cli.trainings_display import TrainingsDisplay, percent
from fedcxr.experiments.compare.trainings import TrainingsProgress


class Clock:
    """A time that is set by hand."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tell(clock, capsys):
    """Tell the display how far 400 images of 2 trainings are, and return what it printed."""
    display = TrainingsDisplay(is_bar=False, clock=clock)

    def at(seconds, images, trainings, total=400, total_trainings=2):
        clock.now = 1000.0 + seconds
        display.show(TrainingsProgress(images, total, trainings, total_trainings))
        return capsys.readouterr().err

    return at


def test_it_is_100_percent_only_when_all_is_done():
    assert percent(TrainingsProgress(399.9, 400, 1, 2)) == 99
    assert percent(TrainingsProgress(400, 400, 1, 2)) == 99  # trained, and still being judged
    assert percent(TrainingsProgress(400, 400, 2, 2)) == 100
    assert percent(TrainingsProgress(3.99, 400, 0, 2)) == 0
    assert percent(TrainingsProgress(0, 0, 0, 2)) == 0


def test_a_line_comes_when_a_training_ends_or_half_a_minute_has_passed(tell):
    assert tell(0, 0, 0) == ""
    assert tell(0.5, 10, 0) == ""
    assert tell(29.9, 100, 0) == ""
    # 100 images in 30 s: the other 300 take 90 s
    assert tell(30, 100, 0) == " 25%  0 of 2 trainings, 1:30 left\n"
    assert tell(30.5, 101, 0) == ""
    # 200 images in 50 s: the other 200 take as long
    assert tell(50, 200, 1) == " 50%  1 of 2 trainings, 0:50 left\n"
    assert tell(50.5, 200, 1) == ""
    assert tell(79.9, 300, 1) == ""
    assert tell(80, 320, 1) == " 80%  1 of 2 trainings, 0:20 left\n"


def test_while_the_last_one_is_judged_nothing_is_told_again_and_again(tell):
    tell(0, 0, 0)
    assert tell(60, 400, 1) == " 99%  1 of 2 trainings\n"  # no "0:00 left": judging takes time
    for tenth in range(1, 100):
        assert tell(60 + tenth / 10, 400, 1) == ""
    assert tell(70, 400, 2) == "100%  2 of 2 trainings\n"
    assert tell(70.5, 400, 2) == ""


def test_the_time_left_is_left_out_until_something_is_trained(tell):
    tell(0, 100, 0)  # a comparison that goes on: these were trained before
    assert tell(31, 100, 0) == " 25%  0 of 2 trainings\n"
    # 50 more in 62 s: the other 250 take 310 s
    assert tell(62, 150, 0) == " 37%  0 of 2 trainings, 5:10 left\n"


def test_the_trainings_after_the_tuning_are_a_new_beginning(tell):
    tell(0, 0, 0)
    assert tell(40, 400, 2) == "100%  2 of 2 trainings\n"
    assert tell(41, 0, 0, total=900, total_trainings=6) == ""
    # 100 of 900 images in 40 s: 320 s for the others
    assert tell(81, 100, 0, total=900, total_trainings=6) == " 11%  0 of 6 trainings, 5:20 left\n"


def test_trainings_of_the_same_size_after_the_tuning_are_a_new_beginning_too(tell):
    tell(0, 0, 0)
    tell(40, 400, 2)
    tell(41, 0, 0)
    assert tell(81, 100, 0) == " 25%  0 of 2 trainings, 2:00 left\n"


def test_the_bar_takes_the_same_values(clock, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    display = TrainingsDisplay(is_bar=True, clock=clock)
    display.show(TrainingsProgress(0, 400, 0, 2))
    clock.now += 10
    display.show(TrainingsProgress(100, 400, 0, 2))
    display.close()
    assert "0 of 2 trainings, 0:30 left" in capsys.readouterr().err
