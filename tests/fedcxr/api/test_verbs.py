import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import fedcxr
from fedcxr.api.verbs import PARTITION_KEYWORDS
from fedcxr.cli.flags import COMPARE_FLAGS, FLAGS, RUN_FLAGS
from fedcxr.data.synthetic.write import write_synthetic
from fedcxr.errors import ArtefactError, ConfigError

ROOT = Path(__file__).resolve().parents[3]


def test_every_name_of_the_package_is_there():
    for name in fedcxr.__all__:
        assert getattr(fedcxr, name) is not None
    assert set(fedcxr.__all__) <= set(dir(fedcxr))
    with pytest.raises(AttributeError, match="has no attribute 'simulat'"):
        fedcxr.simulat  # noqa: B018  # that it raises is the test


def test_to_import_the_package_imports_neither_torch_nor_flower_nor_pandas():
    code = (
        "import sys, fedcxr; print(*{'torch', 'flwr', 'ray', 'pandas', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    ("verb", "names"),
    [
        (fedcxr.simulate, RUN_FLAGS),
        (fedcxr.compare, COMPARE_FLAGS),
        (fedcxr.partition, PARTITION_KEYWORDS),
    ],
)
def test_help_lists_every_keyword_with_what_it_is(verb, names):
    assert set(names) <= set(inspect.signature(verb).parameters)
    for name in names:
        assert f"{name}: {FLAGS[name].help}" in inspect.getdoc(verb)


def test_a_partition_shows_its_sites_and_can_be_trained_on(tmp_path):
    made = fedcxr.partition(
        out=tmp_path / "plan", clients=3, seed=1, set={"data.synthetic.patients": 90}
    )
    assert list(made.sites["site_id"]) == ["site-00", "site-01", "site-02"]
    assert "3 sites of CheXpert-v1.0-small by iid, no patient in two of them" in repr(made)
    assert "data:image/png;base64," in made._repr_html_()
    assert (made.path / "plan.json").is_file()


def test_folds_of_which_none_is_named_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="Give fold too"):
        fedcxr.partition(out=tmp_path / "plan", folds=5)


def test_a_check_shows_its_findings_and_writes_its_page(tmp_path):
    write_synthetic(tmp_path / "data", patients=12, size_px=48)
    found = fedcxr.check_data(tmp_path / "data", labels_only=True)
    assert found.is_clean is found.report.is_clean
    assert set(found.findings.columns) >= {"severity", "title", "count", "mend"}
    assert "12 patients" in repr(found)
    assert "<table" in found._repr_html_()
    assert found.write_page(tmp_path / "page.html").is_file()
    with pytest.raises(ConfigError, match="workers=0"):
        fedcxr.check_data(tmp_path / "data", workers=0)


def test_what_resume_cannot_go_on_with_is_refused(tmp_path):
    with pytest.raises(ArtefactError):
        fedcxr.resume(tmp_path / "nothing")
