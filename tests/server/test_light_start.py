"""What a run's two sides import before they work: seconds of each process otherwise."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["server.app", "clients.app", "fedcxr.report.page"])
def test_a_run_imports_no_library_that_only_notebooks_and_comparisons_need(module):
    heavy = "{'pandas', 'sklearn', 'scipy.optimize', 'scipy.stats', 'ray', 'torchvision', 'captum'}"
    code = f"import sys, {module}\nprint(sorted({heavy} & set(sys.modules)))"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "[]\n"), ended.stderr


@pytest.mark.parametrize("module", ["fedcxr.cli.main", "fedcxr.deploy.serve", "fedcxr.deploy.join"])
def test_what_waits_beside_a_run_does_without_pytorch(module):
    code = f"import sys, {module}\nprint('torch' in sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "False\n"), ended.stderr
