import re

import pytest

from fedcxr.config.dataset_file import read_dataset_file
from fedcxr.errors import ConfigError

GOOD = """\
table: a.csv
path: file
labels:
  Nodule: nodule
"""


def read(tmp_path, text):
    file = tmp_path / "dataset.yaml"
    file.write_text(text, "utf-8")
    return read_dataset_file(file)


def test_every_value_is_text_as_it_is_spelled(tmp_path):
    found = read(tmp_path, GOOD + "values: {present: [1.0, yes], absent: [no, 007], blank: [~]}\n")
    assert found.says.values.present == ("1.0", "yes")
    assert found.says.values.absent == ("no", "007")
    assert found.says.values.blank == ("~",)
    assert found.says.rules_of("Nodule")["present"] == ("1.0", "yes")


def test_a_key_is_shown_with_its_line(tmp_path):
    found = read(tmp_path, "# mine\n" + GOOD)
    assert found.at("labels", "Nodule") == f"{tmp_path}/dataset.yaml: line 5 (labels.Nodule)"
    assert found.at("view") == f"{tmp_path}/dataset.yaml (no view yet)"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD + "pateint: id\n", r"line 5: pateint: there is no such key \(did you mean 'patient'"),
        (GOOD + "view: {colum: v}\n", r"line 5: view\.colum: there is no such key \(did you mean"),
        (GOOD.replace("path: file\n", ""), r"path: Field required"),
        ("table: a.csv\npath: f\nlabels: {}\n", r"line 3: labels: .*at least 1"),
        (GOOD.replace("a.csv", "../a.csv"), r"line 1: table: must lie in the folder"),
        (GOOD + "view: {unknown: both}\n", r"line 5: view\.unknown: .*'frontal', 'lateral'"),
        (GOOD + "  path: x\n", r"'path' cannot name a label"),
        (GOOD + "  'a,b': x\n", r"'a,b' cannot name a label"),
        (GOOD + "  nodule: x\n", r"'Nodule' and 'nodule' differ in case or blanks alone"),
        (GOOD + "values: {present: [1], absent: ['1']}\n", r"'1' would mean both present and abs"),
        (
            GOOD + "view: {column: v, frontal: [PA], lateral: [pa]}\n",
            r"line 5 \(view\): 'pa' w",
        ),
        ("table: a.csv\npath: f\nlabels:\n  A: {present: [1]}\n", r"line 4 .*names no column"),
        (
            "table: a.csv\npath: f\nfindings: {column: c, ignored: [x]}\nlabels:\n  A: [X]\n",
            r"line 5 \(labels\.A\): 'x' would mean both present and ignored",
        ),
        (GOOD + "path: again\n", r"line 5: key 'path' is given twice"),
        ("a: &x 1\nb: *x\n", r"aliases"),
    ],
)
def test_faults_of_the_file_are_refused_with_their_line(tmp_path, text, words):
    with pytest.raises(ConfigError, match=re.compile(words, re.DOTALL)) as told:
        read(tmp_path, text)
    assert told.value.exit_code == 2
    assert str(tmp_path / "dataset.yaml") in str(told.value)
