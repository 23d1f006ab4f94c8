"""That memory of large messages is given back."""

import subprocess
import sys

import pytest

from fedcxr.deploy.allocator import VARIABLES, give_back_large_blocks
from fedcxr.deploy.child import flower_environment

FRAGMENTS = """
import ctypes, sys
from pathlib import Path
from fedcxr.deploy.allocator import give_back_large_blocks
if sys.argv[1] == "set":
    assert give_back_large_blocks()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
size = 20 * 2**20
libc.free(libc.malloc(size))  # from here on glibc keeps blocks of this size
pair = [libc.malloc(size), libc.malloc(100_000)]
ctypes.memset(pair[0], 1, size)
libc.free(pair[0])  # lies below the other one
status = Path("/proc/self/status").read_text()
print(int(status.partition("RssAnon:")[2].split()[0]) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's setting")
def test_a_large_block_below_a_small_one_is_given_back():
    def own_mb(how: str) -> int:
        words = [sys.executable, "-c", FRAGMENTS, how]
        return int(subprocess.run(words, capture_output=True, check=True, text=True).stdout)

    assert own_mb("not") - own_mb("set") > 15


def test_flowers_programs_are_started_with_it(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDCXR_HOME", str(tmp_path))
    assert VARIABLES.items() <= flower_environment("server").items()
    assert give_back_large_blocks() in (True, False)
