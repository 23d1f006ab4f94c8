"""Whole runs with another loss, optimiser and schedule than the default, and with an early end."""

from test_end_to_end import tiny

from fedcxr.experiments import resume, simulate
from fedcxr.runs.folder import RunFolder

OTHER = {
    "train__loss": "asymmetric",
    "train__optimizer": "sgd",
    "train__learning_rate": 0.01,
    "train__moments": "keep",
    "train__lr_schedule": "plateau",
    "train__lr_factor": 0.5,
}


def test_a_run_that_does_not_get_better_ends_early_and_says_so(tmp_path):
    # no AUROC can be better than that of round 0 by more than 0.99
    stop = {"server__rounds": 4, "server__stop_after": 2, "server__min_improvement": 0.99}
    ended = simulate(tiny(tmp_path, **OTHER, **stop))
    run = RunFolder.open(ended.path)
    assert [line["round"] for line in run.read_lines("rounds.jsonl")] == [0, 1, 2]
    assert ended.summary["num_rounds"] == 2
    grounds = {"stop_after": 2, "min_improvement": 0.99, "round": 2}
    assert ended.summary["stopped_early"].items() >= grounds.items()
    assert run.read_json("manifest.json")["stopped_early"] == ended.summary["stopped_early"]
    assert run.read_json("manifest.json")["status"] == "finished"
    assert "stopped early of 4, after 2 rounds" in ended.report.read_text("utf-8")


def test_a_halted_run_ends_with_the_rates_and_bits_of_one_that_was_not(tmp_path):
    rounds = {"server__rounds": 3}
    whole = simulate(tiny(tmp_path / "whole", **OTHER, **rounds))
    halted = simulate(tiny(tmp_path / "halted", **OTHER, **rounds))
    run = RunFolder.open(halted.path)
    # as after a crash in round 3: neither its checkpoint nor its line, nor what comes after
    for file in ("summary.json", "report.html", "checkpoints/round-00003.safetensors"):
        (run.path / file).unlink()
    run.replace_lines("rounds.jsonl", run.read_lines("rounds.jsonl")[:-1])
    run.update_manifest(status="interrupted")
    again = resume(run.path)
    assert again.summary["parameters_sha256"] == whole.summary["parameters_sha256"]
    rates = [
        [line.get("learning_rate") for line in RunFolder.open(path).read_lines("rounds.jsonl")]
        for path in (again.path, whole.path)
    ]
    assert rates[0] == rates[1]
