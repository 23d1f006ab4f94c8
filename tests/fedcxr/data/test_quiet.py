import logging
import threading
import warnings

import pytest

from fedcxr.data.images.quiet import quiet_libraries


def warn_as(module):
    warnings.warn_explicit("odd value", UserWarning, "x.py", 1, module=module)


def test_pillow_and_pydicom_are_quiet_inside_and_others_are_not():
    with quiet_libraries:
        warn_as("PIL.Image")
        warn_as("pydicom.valuerep")
        with pytest.raises(UserWarning, match="odd value"):
            warn_as("PILOT")
    for module in ("PIL.Image", "pydicom.valuerep"):
        with pytest.raises(UserWarning, match="odd value"):
            warn_as(module)


def test_pydicoms_log_goes_nowhere_inside(caplog):
    logger = logging.getLogger("pydicom.pixels")
    with quiet_libraries:
        logger.error("Doe^Jane")
    assert not caplog.records
    logger.error("heard")
    assert [record.message for record in caplog.records] == ["heard"]


def test_an_error_inside_does_not_leave_it_quiet():
    with pytest.raises(ValueError, match="broken"), quiet_libraries:
        raise ValueError("broken")
    assert logging.getLogger("pydicom").propagate
    with pytest.raises(UserWarning, match="odd value"):
        warn_as("pydicom")


def test_threads_that_overlap_leave_the_filters_as_they_were():
    # in and out in the order 1, 2, 1, 2: each restoring what it found would keep 1's filter
    before = list(warnings.filters)
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()
    heard = []

    def first():
        with quiet_libraries:
            first_in.set()
            second_in.wait(10)
        first_out.set()

    def second():
        first_in.wait(10)
        with quiet_libraries:
            second_in.set()
            first_out.wait(10)
            try:
                warn_as("pydicom")
            except UserWarning as err:
                heard.append(err)

    threads = [threading.Thread(target=target) for target in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not heard
    assert warnings.filters == before
    assert logging.getLogger("pydicom").propagate
