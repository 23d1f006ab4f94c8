"""The house keeps its order: who imports whom, how long a module is, what is never used."""

import ast
import functools
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("fedcxr", "clients", "server", "partitions", "configs")
MODULES = sorted(p for name in PACKAGES for p in (ROOT / name).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
MOST_LINES = 300
MOST_FUNCTION_LINES = 60
FORBIDDEN_IMPORTS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
FORBIDDEN_CALLS = {
    "torch.load",
    "torch.save",
    "np.random.seed",
    "numpy.random.seed",
    "torch.manual_seed",
    "random.seed",
    "yaml.unsafe_load",
    "yaml.full_load",
    "eval",
    "exec",
}
FORBIDDEN_NAMES = {"utils", "helpers", "common", "task_utils", "misc"}


@functools.cache
def tree_of(module):
    return ast.parse(module.read_text("utf-8"))


def calls_of(module):
    return [node for node in ast.walk(tree_of(module)) if isinstance(node, ast.Call)]


def those(wrong):
    """Return the names of the modules that `wrong` says yes to; none is what a test wants."""
    return [module.relative_to(ROOT).as_posix() for module in MODULES if wrong(module)]


def dotted(node):
    """Return `a.b.c` of a name or an attribute, empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_every_room_knows_only_the_rooms_below_it():
    # as a program: in this process it would switch off every logger that there is
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


def test_the_modules_were_found():
    assert len(MODULES) > 90
    assert ROOT / "clients" / "egress.py" in MODULES


def test_a_module_is_short():
    assert those(lambda module: len(module.read_text("utf-8").splitlines()) > MOST_LINES) == []


def test_a_function_is_short():
    def is_long(node):
        return (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.end_lineno - node.lineno >= MOST_FUNCTION_LINES
        )

    assert those(lambda module: any(map(is_long, ast.walk(tree_of(module))))) == []


def test_a_module_says_what_it_is_and_is_named_after_a_thing():
    assert those(lambda module: not ast.get_docstring(tree_of(module))) == []
    assert those(lambda module: module.stem in FORBIDDEN_NAMES) == []


def test_nothing_is_unpickled():
    def imports_one(module):
        return {name.partition(".")[0] for name in imported(tree_of(module))} & FORBIDDEN_IMPORTS

    def loads_with_pickle(call):
        allowed = {k.arg: getattr(k.value, "value", None) for k in call.keywords}
        is_load = dotted(call.func) in ("np.load", "numpy.load")
        return is_load and allowed.get("allow_pickle") is not False

    assert those(imports_one) == []
    assert those(lambda module: any(map(loads_with_pickle, calls_of(module)))) == []


def test_nothing_is_evaluated_unsafely_loaded_or_globally_seeded():
    def called(module):
        return {dotted(call.func) for call in calls_of(module)}

    assert those(lambda module: called(module) & FORBIDDEN_CALLS) == []


def test_only_the_command_line_prints():
    assert (
        those(
            lambda module: (
                "cli" not in module.parts and "print" in {dotted(c.func) for c in calls_of(module)}
            )
        )
        == []
    )


@pytest.mark.parametrize(
    ("library", "rooms"),
    [
        (
            "pandas",
            (
                "fedcxr/api/found.py",
                "fedcxr/data",
                "fedcxr/inference.py",
                "fedcxr/results",
                "fedcxr/runs/long_predictions.py",
                "partitions",
            ),
        ),
        ("duckdb", ("fedcxr/results/opened.py", "fedcxr/runs/long_predictions.py")),
        # an algorithm brings the keys of its own parameters
        # and a secure round's messages and state are checked as any foreign text
        (
            "pydantic",
            (
                "fedcxr/config",
                "fedcxr/section.py",
                "fedcxr/algorithms",
                "fedcxr/results",
                "fedcxr/secagg/messages.py",
                "clients/secure_state.py",
            ),
        ),
        ("yaml", ("fedcxr/config",)),
        ("matplotlib", ("fedcxr/api/found.py", "fedcxr/report", "fedcxr/explain/overlay.py")),
        ("typer", ("fedcxr/cli",)),
        ("cryptography", ("fedcxr/deploy", "fedcxr/privacy", "fedcxr/secagg")),
        ("opacus", ("fedcxr/privacy",)),
        (
            "flwr",
            (
                "clients",
                "server",
                "fedcxr/packing.py",
                "fedcxr/wire.py",
                "fedcxr/deploy",
                "fedcxr/engines",
                "fedcxr/experiments",
            ),
        ),
    ],
)
def test_a_library_stays_in_its_rooms(library, rooms):
    users = those(
        lambda module: library in {name.partition(".")[0] for name in imported(tree_of(module))}
    )
    assert [user for user in users if not user.startswith(rooms)] == []


def test_test_files_have_names_of_their_own():
    # pytest imports them by their bare name
    names = [path.name for path in TESTS]
    assert sorted(set(names)) == sorted(names)
    assert len(list((ROOT / "tests").rglob("conftest.py"))) == 1


def test_flowers_bundle_takes_every_module_and_data_file():
    # it leaves out files that are named like tests
    assert len(MODULES) > 200
    assert those(lambda path: path.match("test_*.py") or path.match("*_test.py")) == []
    # ... and takes only those that its patterns name
    app = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["flwr"]["app"]
    included = {path for pattern in app["fab-include"] for path in ROOT.glob(pattern)}
    assert those(lambda path: path not in included) == []
    # ... and of the data files, which are read while a run is judged, those as well
    data = {path for path in (ROOT / "fedcxr").rglob("*.*") if path.suffix in (".json", ".md")}
    data |= set((ROOT / "configs").glob("*.yaml"))
    assert len(data) > 30
    assert sorted(data - included) == []
