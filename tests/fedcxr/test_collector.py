import gc

import pytest

from fedcxr.collector import paused_collector, quick_imports


@pytest.fixture
def thawed():
    """Leave the collector as every other test finds it."""
    yield
    gc.unfreeze()
    gc.enable()


def test_the_collector_is_left_as_it_was():
    assert gc.isenabled()
    with paused_collector():
        assert not gc.isenabled()
        with paused_collector():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


@pytest.mark.usefixtures("thawed")
def test_what_was_imported_is_never_looked_at_again():
    gc.unfreeze()
    with quick_imports():
        assert not gc.isenabled()
        kept = [[] for _ in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= len(kept)
