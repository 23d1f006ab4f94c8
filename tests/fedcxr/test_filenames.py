import json
import os
import subprocess

import pytest

from fedcxr.filenames import in_json, readable, shell_command, shortened

LATIN = os.fsdecode(b"Thorax-Kl\xe4ren")


def test_bytes_that_are_no_utf8_are_shown_as_replacement_characters():
    assert readable(LATIN) == "Thorax-Kl\ufffdren"
    assert readable("Röntgen 胸 ✗") == "Röntgen 胸 ✗"


def test_a_name_comes_back_from_json_as_the_same_file():
    text = in_json(json.dumps({"path": LATIN, "site": "Hôpital"}, ensure_ascii=False))
    assert "Hôpital" in text.encode("utf-8").decode("utf-8")  # valid UTF-8, and not all escaped
    assert os.fsencode(json.loads(text)["path"]) == b"Thorax-Kl\xe4ren"


@pytest.mark.parametrize("limit", range(9))
def test_a_name_is_never_cut_inside_a_character(limit):
    # ä takes two bytes, 胸 three: ends of characters lie at 0, 1, 3, 6, 7 bytes
    cut = shortened("aä胸b", limit)
    assert "aä胸b".startswith(cut)
    assert len(cut.encode()) == max(end for end in (0, 1, 3, 6, 7) if end <= limit)


@pytest.mark.parametrize(
    "name",
    ["plain", "two words", "it's", 'a "b" $HOME `x`', "new\nline", "a\\b\x1b[2J'", LATIN, "é", ""],
)
def test_a_shown_command_gives_the_shell_the_very_name(name):
    # bash is asked: it prints its argument's bytes
    line = shell_command(["printf", "%s", name])
    assert "\n" not in line
    found = subprocess.run(["bash", "-c", line], capture_output=True, check=True).stdout
    assert found == os.fsencode(name)
    line.encode()  # can be shown
