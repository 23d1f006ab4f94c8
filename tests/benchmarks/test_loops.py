"""What `train_loop` and `gpu` make of their times; nothing is trained here."""

import json

import pytest
import torch

from benchmarks import gpu, train_loop
from benchmarks.loops import Bench, Plain, Simulated, _read
from benchmarks.vs.workload import Work

WORK = Work(clients=2, images_per_client=64, local_epochs=2)
MANIFEST = {
    "precision": {"dtype": "bf16", "channels_last": True},
    "cache_digest": "a-digest",
    "workers": 3,
    "threads_per_client": 1,
}


def run_folder(folder, images=(256, 256, 256), seconds=(9.0, 2.0, 2.0)):
    lines = [{"round": 0}]
    for n, (seen, took) in enumerate(zip(images, seconds, strict=True), start=1):
        lines.append({"round": n, "images": seen, "seconds_train": took})
    (folder / "rounds.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "manifest.json").write_text(json.dumps(MANIFEST))
    return folder


def test_a_federations_first_round_is_not_counted(tmp_path):
    found = _read(run_folder(tmp_path), WORK)
    assert (found.images, found.seconds, found.rate) == (512, 4.0, 128.0)


def test_a_federation_that_trained_on_other_images_is_refused(tmp_path):
    # 2 sites × 64 images × 2 epochs are 256
    with pytest.raises(RuntimeError, match="other than 256 images"):
        _read(run_folder(tmp_path, images=(256, 224, 256)), WORK)


def test_the_images_are_written_once_for_all_sizes(tmp_path):
    (tmp_path / "work").mkdir()
    assert Bench(tmp_path, WORK).data == tmp_path / "work"


class FakeBench:
    """Answers with given rates and writes down who was asked."""

    def __init__(self, work, plain, simulate):
        self.work, self.rates, self.inside, self.asked = work, plain, simulate, []

    def plain(self, setup, manifest, num_images):
        assert manifest is MANIFEST
        self.asked.append((setup.name, num_images))
        rates = self.rates[setup.name]
        return rates.pop(0) if isinstance(rates, list) else rates

    def simulate(self, rounds, *flags):
        self.asked.append(("simulate", rounds))
        return Simulated(int(self.inside), 1.0, MANIFEST)


ONE, TWO = "one process, 2 threads", "2 processes, 1 thread"


def test_the_sides_take_turns_over_equal_work():
    case = train_loop.Case(WORK, rounds=3, repeats=1, judged=True)
    # before 80 and after 120 images a second for the same images: 2 ÷ (1/80 + 1/120) = 96
    bench = FakeBench(WORK, {ONE: 50.0, TWO: [80.0, 120.0]}, 95)
    found = train_loop.measure_case(bench, case, before=True)
    assert bench.asked == [
        ("simulate", 1),
        *((ONE, 128), (TWO, 128)),
        ("simulate", 3),
        *((ONE, 128), (TWO, 128)),
    ]
    assert found.plain == {ONE: [50.0], TWO: [pytest.approx(96.0)]}
    assert found.ratios == [pytest.approx(95 / 96)]
    assert train_loop.row(case, found).met is True
    assert "96.0" in train_loop.table([case], [found]).rows[0]


def test_the_short_form_judges_nothing():
    case = train_loop.SHORT[0]
    found = train_loop.measure_case(FakeBench(WORK, {ONE: 50.0, TWO: 90.0}, 45), case, before=False)
    assert found.ratios == [0.5]
    assert train_loop.row(case, found).met is None


def test_the_plain_loop_is_the_set_up_that_is_better_over_all_repeats():
    found = train_loop.Found({ONE: [100.0, 10.0], TWO: [90.0, 90.0]}, [45.0, 90.0])
    assert found.ratios == [0.5, 1.0]


def test_a_set_up_says_what_it_is():
    assert [setup.name for setup in train_loop.SETUPS] == [ONE, TWO]
    assert Plain(1, device="cuda:0").name == "one process"


def test_without_a_gpu_its_benchmark_says_so_and_misses_nothing(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = gpu.measure(short=False)
    assert [(row.found, row.met) for row in result.rows] == [("no GPU here", None)]
    assert not result.missed


@pytest.mark.parametrize(
    ("name", "rate", "met"),
    [
        ("NVIDIA H200", 3600.0, [True, True]),
        ("NVIDIA H200", 3400.0, [False, True]),
        ("NVIDIA A100", 3400.0, [None, True]),
    ],
)
def test_only_the_goals_own_gpu_is_held_to_its_rate(name, rate, met, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    work = gpu.WORK
    plain = {"one process": rate, "2 processes": 10.0}
    fast = gpu.measure_case(FakeBench(work, plain, rate), compiled=False, repeats=3)
    slow = gpu.measure_case(FakeBench(work, plain, 1.0), compiled=True, repeats=3)
    founds = {(224, False): fast, (224, True): slow}
    assert [row.met for row in gpu.judge(224, founds, judged=True)] == met
    assert [row.met for row in gpu.judge(224, founds, judged=False)] == [None, None]
    assert len(gpu.table({"a": fast}).rows) == 4
