"""`fedcxr prepare` makes the very cache that `fedcxr simulate` opens, and says what it did."""

import os
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from fedcxr.cli import prepare as verb
from fedcxr.cli.flags import config_from_flags
from fedcxr.cli.main import main
from fedcxr.data.cache import pool
from fedcxr.data.synthetic.write import write_synthetic
from partitions.prepare import prepare as prepare_run


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A small synthetic CheXpert."""
    out = tmp_path_factory.mktemp("drawn")
    return write_synthetic(out, patients=40, size_px=32, seed=1, workers=1)


@pytest.fixture
def dataset(drawn, tmp_path):
    """A copy of it that a test may damage; its caches are in a home of their own."""
    root = tmp_path / "data" / drawn.name
    for path in sorted(drawn.rglob("*")):
        place = root / path.relative_to(drawn)
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())
    return root


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDCXR_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def run(home, monkeypatch, capsys):
    """Run `fedcxr prepare` in this process and return its exit code, stdout and stderr."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setenv("FLWR_TELEMETRY_ENABLED", "0")

    def prepare(*arguments):
        words = ["fedcxr", "prepare", *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as caught:
            main()
        told = capsys.readouterr()
        return caught.value.code or 0, told.out, told.err

    yield prepare
    signal.signal(signal.SIGTERM, before)


def simulated(command):
    """Return the configuration that a printed `fedcxr simulate …` resolves to."""
    words = shlex.split(command)
    assert words[:2] == ["fedcxr", "simulate"]
    flags, settings, preset = {"data": []}, [], "quickstart"
    for flag, value in zip(words[2::2], words[3::2], strict=True):
        if flag == "--data":
            flags["data"].append(value)
        elif flag == "--set":
            settings.append(value)
        elif flag == "--preset":
            preset = value
        else:
            flags[flag[2:].replace("-", "_")] = int(value) if value.isdigit() else value
    return config_from_flags(flags, preset=preset, file=None, settings=settings)


def command_of(out):
    (line,) = [line for line in out.splitlines() if line.startswith("Use it: ")]
    return line.removeprefix("Use it: ")


@pytest.mark.parametrize("views", [None, "frontal", "all"])
def test_the_printed_command_opens_this_very_cache(run, dataset, home, views):
    code, out, _ = run(dataset, "--size", "40", *(["--views", views] if views else []))
    assert code == 0
    (folder,) = (home / "cache").iterdir()
    assert f"Cache: {folder}" in out
    config = simulated(command_of(out))
    assert config.data.views == (views or "frontal")
    prepared = prepare_run(config, lambda *_: pytest.fail("decoded again"))
    assert prepared.cache == folder


def test_without_views_it_is_the_cache_of_a_plain_simulate(run, dataset, home):
    run(dataset, "--size", "40")
    flags = {"data": [str(dataset)], "image_size": 40}
    config = config_from_flags(flags, preset="quickstart", file=None, settings=[])
    (folder,) = (home / "cache").iterdir()
    assert prepare_run(config).cache == folder


def test_a_linked_images_folder_is_read_where_that_is_asked_for(run, dataset, home, tmp_path):
    (dataset / "train").rename(tmp_path / "large-disk")
    (dataset / "train").symlink_to(tmp_path / "large-disk")
    code, _, told = run(dataset, "--size", 32)
    assert code == 3
    assert "data.follow_links, --follow-links" in told
    code, told, _ = run(dataset, "--size", 32, "--follow-links")
    assert code == 0
    assert shlex.split(command_of(told))[-1] == "--follow-links"
    flags = {"data": [str(dataset)], "image_size": 32, "follow_links": True}
    config = config_from_flags(flags, preset="quickstart", file=None, settings=[])
    (folder,) = (home / "cache").iterdir()
    assert prepare_run(config, lambda *_: pytest.fail("decoded again")).cache == folder


def test_it_says_what_it_made_and_the_second_time_that_it_was_there(run, dataset):
    code, out, err = run(dataset, "--size", "40", "--workers", "2")
    assert code == 0
    number = int(out.partition("Images: ")[2].split()[0])
    assert f"Images: {number} of 40 × 40 pixels, 0.1 MB, read back and verified" in out
    assert f"Decoded: {number} in " in out
    assert err.splitlines() == ["Decoding images …", "Reading back and verifying …"]
    code, out, err = run(dataset, "--size", "40")
    assert code == 0
    assert "Decoded: none, they were there" in out
    assert err.splitlines() == ["Reading back and verifying …"]


def images_of(dataset):
    return sorted(dataset.rglob("*frontal.jpg"))


def test_bad_files_within_the_bounds_are_named_ten_of_them(run, dataset, home):
    for path in images_of(dataset)[:12]:
        path.write_bytes(b"")
    code, out, _ = run(dataset, "--size", "40", "--max-bad-fraction", "0.5")
    assert code == 0
    assert "Left out: 12 unreadable files" in out
    assert out.count(": empty file (0 bytes)") == 10
    assert "  and 2 more; all in " in out
    assert "quarantine.csv" in out
    config = simulated(command_of(out))
    assert config.data.max_bad_fraction == 0.5
    (folder,) = (home / "cache").iterdir()
    assert prepare_run(config).cache == folder


def test_more_bad_files_than_let_pass_is_exit_3_by_name(run, dataset):
    first = images_of(dataset)[0]
    first.write_bytes(first.read_bytes()[:100])
    code, out, err = run(dataset, "--size", "40")
    assert (code, out) == (3, "")
    assert "1 of " in err
    assert f"{first.relative_to(dataset)} (damaged: " in err
    assert "Traceback" not in err


def test_a_cache_that_lost_a_bit_is_exit_4(run, dataset, home):
    run(dataset, "--size", "40")
    (folder,) = (home / "cache").iterdir()
    images = bytearray((folder / "images.u8").read_bytes())
    images[1600 * 3] ^= 1
    (folder / "images.u8").write_bytes(images)
    code, out, err = run(dataset, "--size", "40")
    assert (code, out) == (4, "")
    assert "are not what was written: rows 3. Delete the folder" in err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--views", "side"], 2, "data.views"),
        (["--size", "7"], 2, "image_size"),
        (["--max-bad-fraction", "2"], 2, "max_bad_fraction"),
        (["--workers", "0"], 2, "workers"),
    ],
    ids=str,
)
def test_a_wrong_value_is_exit_2_and_named(run, dataset, home, arguments, code, words):
    got, _, err = run(dataset, *arguments)
    assert got == code
    assert words in err
    assert "Traceback" not in err
    assert not (home / "cache").exists()


def test_a_folder_without_a_data_set_is_exit_3(run, tmp_path):
    code, _, err = run(tmp_path / "none")
    assert code == 3
    assert str(tmp_path / "none") in err


def test_ctrl_c_is_130_and_the_same_command_goes_on(run, dataset, home, monkeypatch):
    monkeypatch.setattr(pool, "CHUNK", 8)
    take = verb.Display.step

    def step(display, phase, done, total):
        take(display, phase, done, total)
        if done >= 24:
            raise KeyboardInterrupt

    monkeypatch.setattr(verb.Display, "step", step)
    code, out, err = run(dataset, "--size", "40")
    assert (code, out) == (130, "")
    assert "Interrupted. What is decoded is kept; start the same command again to go on." in err
    assert [path.name[:10] for path in (home / "cache").iterdir()] == [".building-"]
    monkeypatch.undo()
    monkeypatch.setenv("FEDCXR_HOME", str(home))
    code, out, err = run(dataset, "--size", "40")
    assert code == 0
    assert err.startswith("Checking what is there …\nDecoding images …\n")
    (folder,) = (home / "cache").iterdir()
    assert f"Cache: {folder}" in out


def start(home, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "fedcxr", "prepare", *map(str, arguments)],
        env={**os.environ, "FEDCXR_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_commands_at_once_make_one_cache_and_both_are_content(dataset, tmp_path):
    # the patient key is made by whoever is first, too
    home = tmp_path / "home"
    both = [start(home, dataset, "--size", "200", "--workers", "1") for _ in range(2)]
    told = [command.communicate(timeout=60) for command in both]
    assert [command.returncode for command in both] == [0, 0], told
    (folder,) = (home / "cache").iterdir()
    assert all(f"Cache: {folder}" in out for out, _ in told)


def test_a_killed_command_is_gone_on_from(dataset, tmp_path):
    home = tmp_path / "home"
    command = start(home, dataset, "--size", "1024", "--workers", "1")
    end = time.monotonic() + 30
    while not list(home.glob("cache/.building-*/journal.jsonl")):
        assert time.monotonic() < end
        assert command.poll() is None, command.communicate()
        time.sleep(0.005)
    command.kill()
    command.communicate()
    again = start(home, dataset, "--size", "1024", "--workers", "2")
    out, err = again.communicate(timeout=60)
    assert again.returncode == 0, err
    (folder,) = (home / "cache").iterdir()
    assert f"Cache: {folder}" in out


class Clock:
    """The time, as a test wants it."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        """Return the time."""
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(verb, "time", clock)
    return clock


def test_plain_lines_come_now_and_then_with_speed_and_time_left(clock, capsys):
    display = verb.Display()
    display.show("waiting", 30, 300)
    display.show("decoding", 100, 1300)
    clock.now = 5.0
    display.show("decoding", 500, 1300)
    clock.now = 10.0
    display.show("decoding", 700, 1300)
    display.show("verifying", 0, 1300)
    # 600 images in 10 s since 100 were there already: 60 a second, 600 left are 10 s
    assert capsys.readouterr().err.splitlines() == [
        "Waiting for another process that builds this cache …",
        "Decoding images …",
        "Decoding images: 700 of 1300  60 images/s  0:10 left",
        "Reading back and verifying …",
    ]
    assert display.decoded == 600
    assert display.seconds == 10.0
    assert display.phases == ["waiting", "decoding", "verifying"]


def test_a_bar_shows_every_phase(clock, capsys):
    bar = verb.Bar()
    for phase in verb.PHASES:
        bar.show(phase, 0, 10)
        clock.now += 1.0
        bar.show(phase, 10, 10)
    bar.close()
    assert bar.decoded == 10
    assert bar.seconds == 1.0
    assert capsys.readouterr().out == ""


def test_the_phases_are_those_that_a_builder_tells():
    from fedcxr.data.cache import builder

    told = {"WAITING", "CHECKING", "DECODING", "VERIFYING"}
    assert {getattr(builder, name) for name in told} == set(verb.PHASES)


def test_the_depth_of_16_bit_png_files_is_told(run, tmp_path):
    root = write_synthetic(tmp_path / "nih", patients=12, size_px=32, layout="nih14", workers=1)
    code, out, _ = run(root, "--size", 32)
    assert code == 0
    assert "16-bit PNG" not in out
    for path in (root / "images").iterdir():
        pixels = np.asarray(Image.open(path)).astype(np.uint16)
        Image.fromarray(pixels * 16).save(path)
    code, out, _ = run(root, "--size", 32)
    assert code == 0
    assert "16-bit PNG files hold 12-bit values: 4095 is white\n" in out
