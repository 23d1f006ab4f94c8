"""Each row of the bad-input table is named by a test: `# row N of the bad-input table`."""

import re
from collections import defaultdict
from pathlib import Path

TESTS = Path(__file__).parent
LAST = 40
WITHOUT_A_TEST: dict[int, str] = {}
"""Rows that nothing promises yet, with the reason."""


def rows_named():
    """Return for each row the tests in whose body it is named, as FILE::NAME."""
    found = defaultdict(list)
    for file in sorted(TESTS.rglob("test_*.py")):
        test = ""
        for line in file.read_text("utf-8").splitlines():
            if begun := re.match(r"\s*(?:async )?def (\w+)", line):
                test = begun[1]
            if named := re.match(r"\s+# row (\d+) of the bad-input table$", line):
                assert test.startswith("test_"), f"{file}: {line} stands outside a test"
                found[int(named[1])].append(f"{file.relative_to(TESTS)}::{test}")
    return found


def test_every_row_of_the_bad_input_table_is_named_by_a_test():
    named = rows_named()
    assert set(named) <= set(range(1, LAST + 1))
    missing = set(range(1, LAST + 1)) - set(named)
    assert missing == set(WITHOUT_A_TEST), f"rows without a test: {sorted(missing)}"
