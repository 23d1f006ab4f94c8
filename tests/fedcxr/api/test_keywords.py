"""The typed keywords are those of the flags; run as a program this file writes them."""

from pathlib import Path

from fedcxr.api.own_parts import PART_KEYS
from fedcxr.api.verbs import PARTITION_KEYWORDS
from fedcxr.cli.flags import COMPARE_FLAGS, FLAGS, RUN_FLAGS

FILE = Path(__file__).resolve().parents[3] / "fedcxr" / "api" / "keywords.py"

HEAD = '''"""The keywords of the verbs, for type checkers and editors.

Made of the configuration's flags by `tests/fedcxr/api/test_keywords.py`; not to be edited.
"""

from collections.abc import Sequence
from os import PathLike
from typing import TypedDict

AnyPath = str | PathLike[str]
'''

CLASSES = {
    "SimulateKeywords": ("simulate", RUN_FLAGS),
    "CompareKeywords": ("compare", COMPARE_FLAGS),
    "PartitionKeywords": ("partition", PARTITION_KEYWORDS),
}


def type_of(flagged):
    if flagged.key in PART_KEYS:
        return "object"
    is_path = flagged.is_path or flagged.key in ("runs_dir", "model.weights")
    one = "AnyPath" if is_path else flagged.type.__name__
    if flagged.is_repeated:
        return f"{one} | Sequence[{one}] | None"
    if flagged.is_list:
        text = "" if one == "str" else "str | "
        return f"{text}{one} | Sequence[{one}] | None"
    return f"{one} | None"


def source():
    parts = [HEAD]
    for name, (verb, flags) in CLASSES.items():
        lines = [f"    {flag}: {type_of(FLAGS[flag])}" for flag in flags]
        head = f'class {name}(TypedDict, total=False):\n    """Of `fedcxr.{verb}`."""\n'
        parts.append("\n".join([head, *lines]) + "\n")
    return "\n\n".join(parts)


def test_the_typed_keywords_are_those_of_the_flags():
    assert FILE.read_text("utf-8") == source(), f"run python {Path(__file__).name}"


if __name__ == "__main__":
    FILE.write_text(source(), "utf-8")
