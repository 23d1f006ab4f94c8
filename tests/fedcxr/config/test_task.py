import json

import pytest

from fedcxr.config.task import parse_task
from fedcxr.errors import ConfigError


def test_a_task_comes_back_from_its_text(make_task):
    task = make_task()
    assert parse_task(task.to_text()) == task


def test_equal_tasks_have_equal_texts(make_task):
    assert make_task().to_text() == make_task().to_text()
    assert make_task().to_text() != make_task(seed=1).to_text()


@pytest.mark.parametrize(
    "change",
    [
        {"run": "../../etc"},
        {"run": "a/b"},
        {"labels": []},
        {"threads": 0},
        {"seed": -1},
        {"dtype": "fp16"},
        {"path": "/etc/passwd"},
        {"train": {"learning_rate": -1}},
        {"model": {"image_size": 10**6}},
    ],
)
def test_a_task_with_a_wrong_field_is_refused_without_repeating_it(change, make_task):
    tree = json.loads(make_task().to_text()) | change
    with pytest.raises(ConfigError, match=r"has 1 wrong fields; server and site must run the same"):
        parse_task(json.dumps(tree))


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_a_text_that_is_no_task_is_refused(text):
    with pytest.raises(ConfigError, match="wrong fields"):
        parse_task(text)
