"""`fedcxr.data` as a notebook sees it: the names are there, and nothing heavy comes along."""

import subprocess
import sys

import pytest

import fedcxr.data


def run(code):
    command = [sys.executable, "-c", f"import sys\n{code}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def test_every_name_is_there():
    assert set(fedcxr.data.__all__) <= set(dir(fedcxr.data))
    for name in fedcxr.data.__all__:
        assert getattr(fedcxr.data, name).__name__ == name


def test_the_reader_behind_a_name_is_the_one_of_its_module():
    from fedcxr.data.read import read_dataset

    assert fedcxr.data.read_dataset is read_dataset


def test_another_name_is_refused():
    with pytest.raises(AttributeError, match=r"'fedcxr.data' has no attribute 'read_mimic'"):
        _ = fedcxr.data.read_mimic


def test_reading_tables_brings_in_nothing_heavy():
    heavy = ("torch", "flwr", "ray", "pandas", "pydicom", "PIL", "scipy", "pydantic")
    code = "from fedcxr.data import *\nprint(*[m for m in sys.modules if '.' not in m])"
    assert "PIL" in run(code)  # the decoder is asked for
    code = "from fedcxr.data import read_dataset, read_segmentations, has_leak\n"
    code += f"print(*[m for m in {heavy} if m in sys.modules])"
    assert run(code) == []


def test_importing_the_package_imports_none_of_its_modules():
    code = "import fedcxr.data\nprint(*[m for m in sys.modules if m.startswith('fedcxr.data.')])"
    assert run(code) == []


def test_the_torch_data_set_is_imported_when_it_is_asked_for():
    code = "import fedcxr.data as d\nprint('torch' in sys.modules, d.RadiographDataset.__name__)"
    assert run(code) == ["False", "RadiographDataset"]
