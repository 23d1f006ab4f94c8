import errno
import os

import pytest

from fedcxr.errors import FedCxrError, StorageError
from fedcxr.storage import writing


def fail(path, number):
    with writing(path):
        raise OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "No space left on device"),
        (errno.EDQUOT, "quota exceeded"),
    ],
)
def test_a_full_disk_and_a_quota_name_the_path_and_what_to_do(tmp_path, number, words):
    with pytest.raises(StorageError) as caught:
        fail(tmp_path / "runs" / "a", number)
    told = str(caught.value)
    assert told.startswith(f"{tmp_path}/runs/a: cannot be written (")
    assert words in told
    assert told.endswith("Make room, or name a folder on another disk.")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_in_the_home_folder_it_is_named_with_its_variable(fedcxr_home, number):
    with pytest.raises(StorageError) as caught:
        fail(fedcxr_home / "precision.json", number)
    assert str(fedcxr_home / "precision.json") in str(caught.value)
    assert f"home folder is {fedcxr_home}" in str(caught.value)
    assert "set FEDCXR_HOME to" in str(caught.value)


def test_it_is_an_oserror_with_its_number_and_one_of_ours(tmp_path):
    with pytest.raises(OSError, match="Read-only") as caught:
        fail(tmp_path / "a", errno.EROFS)
    assert isinstance(caught.value, FedCxrError)
    assert (caught.value.errno, caught.value.filename) == (errno.EROFS, str(tmp_path / "a"))


def test_the_innermost_path_is_kept(tmp_path):
    with pytest.raises(StorageError, match="inner: cannot"), writing(tmp_path / "outer"):
        fail(tmp_path / "inner", errno.ENOSPC)


def test_what_is_no_disks_refusal_stays_as_it_is(tmp_path):
    with pytest.raises(FileExistsError), writing(tmp_path):
        raise FileExistsError(errno.EEXIST, "exists")
