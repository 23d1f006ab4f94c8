import numpy as np
import pytest

from benchmarks import overhead
from benchmarks.echo import echo_schema
from benchmarks.echo_server import one_round
from benchmarks.overhead import Case, Run, judge, table, why_not
from fedcxr.engines.app_ref import AppRef
from fedcxr.engines.local import local_grid
from fedcxr.parameters import Parameters
from server.step import first_state


def run(round_s, gigabytes=0.5):
    return Run(round_s, int(gigabytes * 1e9), int(2e9))


FOUND = {
    Case("fedcxr", 10, 1): [run(0.1)],
    Case("flower", 10, 1): [run(1.0)],
    Case("fedcxr", 100, 1): [run(0.5), run(1.0)],
    Case("flower", 100, 1): [run(9.0), run(9.0)],
    Case("fedcxr", 1000, 1): [run(9.0, 1.1), run(10.5, 1.3)],
    Case("flower", 1000, 1): [],
}


def test_goals_are_judged_on_ratios_and_the_worst_memory():
    rows = {row.what: row for row in judge(FOUND, judged=True)}
    found = {what: (row.found, row.met) for what, row in rows.items()}
    assert found == {
        "stock Flower's round ÷ fedcxr's, 10 clients × 28 MB": ("10.0", None),
        "stock Flower's round ÷ fedcxr's, 100 clients × 28 MB": ("13.5 (9.0 to 18.0)", True),
        "peak memory of fedcxr's server process, 100 clients × 28 MB": (
            "0.50 (0.50 to 0.50) GB",
            True,
        ),
        "peak memory of fedcxr's server process, 1,000 clients × 28 MB": (
            "1.20 (1.10 to 1.30) GB",
            False,
        ),
        "a round of 1,000 echo clients": ("9.8 (9.0 to 10.5) s", True),
    }
    assert {row.met for row in judge(FOUND, judged=False)} == {None}


def test_what_does_not_fit_into_memory_is_a_row_and_not_run(tmp_path, monkeypatch):
    memory = tmp_path / "meminfo"
    memory.write_text("MemTotal:       24000000 kB\nMemAvailable:   20000000 kB\n")
    monkeypatch.setattr(overhead, "MEMORY", memory)
    case = Case("flower", 1000, 1)
    # 6.8 GB at 100 clients
    assert why_not(case) == "not run: it would hold about 68 GB, and 20 GB are free"
    assert why_not(Case("flower", 100, 1)) == why_not(Case("fedcxr", 1000, 1)) == ""
    line = table(FOUND, {case: why_not(case)}).rows[-1]
    assert line == ["flower", "1,000", why_not(case), "", ""]


@pytest.mark.parametrize(("gigabytes", "is_flat"), [(0.85, True), (0.95, False)])
def test_an_algorithm_with_state_is_judged_by_how_its_memory_grows(gigabytes, is_flat):
    found = FOUND | {
        Case("fedcxr", 100, 1, "scaffold"): [run(1.0, 0.8)],
        Case("fedcxr", 1000, 1, "scaffold"): [run(9.0, gigabytes)],
    }
    row = judge(found, judged=True)[-1]
    assert row.what == "peak memory of the server under scaffold, 1,000 clients minus 100"
    assert row.found == f"+{gigabytes - 0.8:.2f} GB ({gigabytes:.2f} GB)"
    assert row.met is is_flat


@pytest.mark.parametrize("algorithm", ["fedavg", "scaffold"])
def test_echo_clients_pass_every_check_of_the_server(algorithm):
    schema = echo_schema(algorithm)
    vector = np.arange(schema.spec.num_float, dtype=np.float32)
    counters = np.ones(schema.spec.num_counters, np.int64)
    begun = Parameters(vector, counters), first_state(schema)
    with local_grid(AppRef("benchmarks.echo", "echo_app"), 3, 1) as grid:
        found, _ = one_round(grid, schema, begun, sites=3, workers=1)
    np.testing.assert_array_equal(found.vector, vector)
