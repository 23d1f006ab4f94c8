"""The part of a page about the sites' VAEs."""

from fake_run import change, write_run
from outline import Outline

from fedcxr.config.load import read_config, to_yaml, with_values
from fedcxr.report.page import write_report


def page_of(run):
    return Outline(write_report(run, with_figures=False).read_text("utf-8")).text


def row(site_id, **numbers):
    return {"site_id": site_id, "made_in": 1, "numbers": numbers}


def test_a_page_tells_of_vaes_those_that_failed_and_those_that_copy(tmp_path):
    run = write_run(tmp_path / "run", labels=("Edema", "Mass"), num_sites=2)
    assert "variational auto-encoder" not in page_of(run)
    well = {"images": 349.0, "samples": 280.0, "mse": 0.007, "mean_image_mse": 0.03}
    made = [
        row("site-00", status=0, copy_p_pixel=0.002, copy_p_feature=0.4, **well),
        row("site-01", status=4, images=120.0, samples=0.0),
        row("site-02"),
    ]
    change(run / "summary.json", vae=made)
    text = page_of(run)
    assert "The samples of site-00 copy training images, by its own test." in text
    assert "site-01 trained without samples: its VAE diverged; lower vae.learning_rate." in text
    assert "site-02 said nothing of a VAE." in text
    assert "site-00 349 280 – 0.007 0.030" in text


def test_a_page_of_a_run_that_adds_copies_speaks_of_no_vae(tmp_path):
    run = write_run(tmp_path / "run", labels=("Edema", "Mass"), num_sites=2)
    config = with_values(
        read_config(run / "config.yaml"), {"vae.enabled": True, "vae.added": "copies"}
    )
    (run / "config.yaml").write_text(to_yaml(config))
    told = [
        row("site-00", status=0, images=349.0, samples=280.0),
        row("site-01", status=1, images=20.0, samples=0.0),
    ]
    change(run / "summary.json", vae=told)
    text = page_of(run)
    assert "variational auto-encoder" not in text
    assert "Each site added real training images again, as they are" in text
    assert "site-00 349 280" in text
    assert "site-01 had too few images for a VAE and trained without samples." in text
