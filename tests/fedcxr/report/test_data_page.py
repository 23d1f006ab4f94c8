import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from outline import Outline
from PIL import Image

from fedcxr.data.quality.check import check_data
from fedcxr.data.quality.counts import count_people
from fedcxr.data.quality.findings import DataReport, Finding, Picture
from fedcxr.data.synthetic.write import write_synthetic
from fedcxr.report.data_page import render_data_page, write_data_page


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    root = write_synthetic(tmp_path_factory.mktemp("page"), patients=40, size_px=64, workers=1)
    images = sorted((root / "train").rglob("*frontal.jpg"))
    Image.open(images[2]).rotate(90).save(images[2])
    Image.open(images[5]).save(images[11], quality=70)
    images[15].unlink()
    return check_data(root, workers=1, disk_budget_s=0.02)


@pytest.fixture(scope="module")
def page(report):
    return render_data_page(report)


def empty_report(**changes):
    fields = {
        "root": Path("nowhere"),
        "layout": "files",
        "labels": (),
        "findings": (),
        "patients": 0,
        "studies": 0,
        "num_images": 0,
        "label_counts": {},
        "people": count_people([]),
        "pairs": (),
        "images": None,
        "disk": None,
    }
    return DataReport(**(fields | changes))


def test_the_page_tells_the_findings_with_their_mends(report, page):
    text = Outline(page).text
    assert "Not clean: 3 problems." in text
    for finding in report.findings:
        assert finding.title in text
        assert finding.mend in text
    assert "1 Missing images" in text
    assert report.problems[0].examples[0] in text
    assert "Keep it where the data are" in text


def test_suspicious_images_are_shown_small(page):
    links = Outline(page).links
    pictures = [link for link in links if link.startswith("data:image/png;base64,")]
    # one turned, two of a pair
    assert len(pictures) == 3
    for link in pictures:
        data = base64.b64decode(link.partition(",")[2])
        assert Image.open(io.BytesIO(data)).size == (64, 64)


def test_the_page_needs_nothing_from_outside(page):
    links = Outline(page).links
    assert all(link.startswith(("data:", "#")) for link in links)
    ids = Outline(page).ids
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)
    assert page.count("<script") == 0


def test_the_figures_say_what_they_show(page):
    assert 'aria-label="Share of positive images by label: No Finding' in page
    assert re.search(r'aria-label="patients by images of a patient: 1: \d+ patients', page)
    assert 'aria-label="images by age in years: ' in page
    assert "uncertain" in Outline(page).text


def test_every_section_has_words_when_it_is_empty():
    text = Outline(render_data_page(empty_report())).text
    for words in (
        "Clean: no problem was found.",
        "No problem was found.",
        "Nothing else stood out.",
        "No labels could be read.",
        "The data set gives no two splits to compare.",
        "There are no patients to count.",
        "The image files were not looked at.",
        "none known",
    ):
        assert words in text


def test_what_comes_from_files_is_escaped():
    pixels = np.zeros((64, 64), dtype=np.uint8)
    evil = '<img src=x onerror="alert(1)">'
    finding = Finding(
        "missing", "problem", 1, evil, evil, evil, (evil,), ((Picture(evil, pixels),),)
    )
    counts = {"all": {evil: {"positive": 1, "negative": 1, "uncertain": 0, "blank": 0}}}
    page = render_data_page(
        empty_report(root=Path(evil), findings=(finding,), label_counts=counts, notes=(evil,))
    )
    Outline(page)
    assert "onerror=&#34;" in page
    assert "<img src=x" not in page


def test_more_than_the_first_ten_are_counted():
    names = tuple(f"{i}.png" for i in range(10))
    finding = Finding("missing", "problem", 1234, "Missing", "", "", names)
    assert "and 1,224 more" in Outline(render_data_page(empty_report(findings=(finding,)))).text


def test_the_page_is_written_whole(tmp_path):
    path = write_data_page(empty_report(), tmp_path / "new" / "check.html")
    assert path.read_text("utf-8") == render_data_page(empty_report())
