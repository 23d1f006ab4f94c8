import pytest

from benchmarks.cost_formula import Cost, Fit, check_rows, constants_rows, extrapolate, fit


def cost(sites, vector_mb, round_s):
    return Cost(sites, vector_mb, round_s, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0)


MEASURED = [cost(n, v, 2 + 0.1 * v + 0.5 * n + 0.01 * n * v) for n in (2, 4, 8) for v in (1, 28)]


def test_constants_that_made_the_costs_are_found_and_hold_beyond_them():
    found = fit(MEASURED, "round_s")
    assert found.constants == pytest.approx((2, 0.1, 0.5, 0.01))
    assert found.relative_rest == pytest.approx(0, abs=1e-9)
    assert found.predict(100, 28) == pytest.approx(2 + 2.8 + 50 + 28)


def test_no_constant_is_negative():
    falling = [cost(n, 1.0, 10.0 - n) for n in (1, 2, 3)]
    assert min(fit(falling, "round_s").constants) >= 0


def test_a_small_round_counts_as_much_as_a_large_one():
    # One constant for 1 and 100: the relative errors of c = 2/(1 + 1/100) · 1/100 … are smallest
    # where c = Σ(1/y) / Σ(1/y²) = 1.01 / 1.0001, far from the mean of 50.5.
    found = fit([cost(0, 0.0, 1.0), cost(0, 0.0, 100.0)], "round_s")
    assert found.constants[0] == pytest.approx(1.01 / 1.0001)


def test_a_prediction_stands_beside_what_was_measured():
    fits = {"round_s": Fit((2.0, 0.0, 0.5, 0.0), 0.042)}
    assert constants_rows(fits) == [["s a round", "2 + 0.5·N", "4%"]]
    (row,) = check_rows(fits, [cost(12, 28.0, 4.0)])
    assert row == ["s a round", "12", "28.0", "8", "4", "0.50"]


def test_a_round_of_many_lasts_as_long_as_the_slower_of_processor_and_line():
    fits = dict.fromkeys(["serverapp_cpu_s", "superlink_mb", "serverapp_mb"], Fit((0, 0, 0, 0), 0))
    fits |= {"superlink_cpu_s": Fit((0, 0, 0.1, 0), 0), "down_mb": Fit((0, 0, 0, 1), 0)}
    fits |= {"up_mb": Fit((0, 0, 0, 0.5), 0), "idle_cpu_s": Fit((0, 0, 0.06, 0), 0)}
    # 100 in a round: 10 s of CPU; 2,800 MB at 125 MB/s are 22.4 s. 1,000 wait: 60 s a minute.
    line = extrapolate(fits, 1000, 100, 28.0)
    assert line[:2] == ["1,000", "100"]
    assert (line[2], line[4], line[5], line[-1]) == ("10", "22.4", "22.4", "1")
