import json

import pytest

from benchmarks import check_deployment as module
from benchmarks.soak import Point


def series(size_of_round):
    return [Point(n, round(size_of_round(n) * 1e6), 0, 0, 0) for n in range(1, module.ROUNDS + 1)]


def verdicts(kinds):
    return {row.what.rpartition(" ")[2]: row.met for row in module.growth_rows(kinds)}


def test_a_message_kept_each_round_is_found_among_messages_that_come_and_go():
    coming_and_going = (0, 56, 84, 28, 112)  # what is under way when memory is read
    kinds = {
        "flat": series(lambda n: 200 + coming_and_going[n % 5]),
        "leaking": series(lambda n: 200 + 28 * n + coming_and_going[n % 5]),
        "settling": series(lambda n: 200 + 60 * min(n, 3)),
    }
    assert verdicts(kinds) == {"flat": True, "leaking": False, "settling": True}


def test_a_process_that_was_not_there_all_along_is_not_judged():
    assert module.growth_rows({"task": series(lambda n: 0 if n < 10 else 100)}) == []


def test_a_round_as_dear_as_a_plain_one_is_a_missed_goal():
    assert module.ratio_row([10.0], [9.0]).met is False
    assert module.ratio_row([4.0], [27.0]).met is True


def test_a_run_with_a_site_missing_is_no_measurement(tmp_path):
    (tmp_path / "a-run").mkdir()
    row = {"sites": [1, 2, 3], "seconds_train": 4.0}
    log = tmp_path / "a-run" / "rounds.jsonl"
    log.write_text("\n".join(map(json.dumps, [{**row, "sites": []}, row, row])))
    assert module.seconds_of_rounds(tmp_path) == [4.0]
    log.write_text("\n".join(map(json.dumps, [row, row, {**row, "sites": [1, 2]}])))
    with pytest.raises(RuntimeError, match="a site was missing"):
        module.seconds_of_rounds(tmp_path)
