import logging

import pytest

from clients.log import LOGGER, keep_log


@pytest.fixture(autouse=True)
def logger(monkeypatch):
    """The clients' logger, put back as it was."""
    found = logging.getLogger(LOGGER)
    monkeypatch.setattr(found, "propagate", True)
    before = found.handlers[:]
    monkeypatch.setattr(found, "handlers", [])
    yield found
    for handler in found.handlers:
        if handler not in before:
            handler.close()


def fail(text):
    try:
        raise ValueError(text)
    except ValueError:
        logging.getLogger(f"{LOGGER}.egress").exception("a handler failed")


def test_the_full_text_of_an_error_is_in_the_sites_log_and_nowhere_else(tmp_path, capfd, caplog):
    keep_log(tmp_path / "logs" / "a.log")
    fail("patient64541")
    written = (tmp_path / "logs" / "a.log").read_text()
    assert "ERROR a handler failed" in written
    assert "ValueError: patient64541" in written
    assert "patient64541" not in caplog.text
    assert "patient64541" not in "".join(capfd.readouterr())


def test_a_second_run_of_the_process_has_a_log_of_its_own(tmp_path):
    keep_log(tmp_path / "a.log")
    fail("one")
    keep_log(tmp_path / "b.log")
    fail("two")
    assert "two" not in (tmp_path / "a.log").read_text()
    assert "one" not in (tmp_path / "b.log").read_text()


def test_a_run_without_errors_leaves_no_log(tmp_path):
    keep_log(tmp_path / "a.log")
    assert not (tmp_path / "a.log").exists()
