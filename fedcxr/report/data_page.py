"""The page of `fedcxr check-data`: what is wrong with a data set, and what is in it.

One self-contained file like the run's report. Other than that one it names files of the data set
and shows small views of suspicious images: it belongs where the data are.
"""

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from fedcxr.atomic import write_text_atomically
from fedcxr.data.quality.counts import WHOLE, Ages
from fedcxr.data.quality.findings import DataReport, Finding, Picture
from fedcxr.report import figures_data, wording
from fedcxr.report.origin_words import notes_of_official
from fedcxr.report.rendering import Fact, render_page
from fedcxr.version import __version__

STATES = ("positive", "negative", "uncertain", "blank", "masked")
_SEXES = {"F": "female", "M": "male"}
_LAYOUTS = {
    "chexpert": "CheXpert",
    "nih14": "NIH ChestX-ray14",
    "nih14-onehot": "NIH ChestX-ray14, one-hot tables",
    "chexlocalize": "CheXlocalize outlines",
    "files": "image files without readable tables",
    "site": "a hospital's own folder",
    "own": "own data, as dataset.yaml says",
    "mimic-cxr-jpg": "MIMIC-CXR-JPG",
    "padchest": "PadChest",
    "vindr-cxr": "VinDr-CXR",
    "brax": "BRAX",
    "rsna-pneumonia": "RSNA Pneumonia Detection Challenge",
    "chexpert-plus": "CheXpert Plus",
}


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small view of an image."""

    source: str
    """Data URI of a PNG."""
    caption: str


def write_data_page(report: DataReport, path: Path) -> Path:
    """Write the page of a check to `path`, whole or not at all, and return the path."""
    write_text_atomically(path, render_data_page(report))
    return path


def render_data_page(report: DataReport) -> str:
    """Return the page of a check as HTML."""
    return render_page(
        "data_page.html.md",
        report=report,
        version=__version__,
        layout=layout_words(report.layout),
        notes=notes_words(report),
        verdict=verdict(report),
        facts=_facts(report),
        problems=[_row(finding) for finding in report.problems],
        notices=[_row(finding) for finding in report.findings if finding not in report.problems],
        **_labels(report),
        **_people(report),
        disk_facts=_disk_facts(report),
    )


def layout_words(layout: str) -> str:
    """Return what a layout is called.

    >>> layout_words("nih14")
    'NIH ChestX-ray14'
    """
    return _LAYOUTS.get(layout, layout)


def verdict(report: DataReport) -> str:
    """Return in a few words whether the data set is clean."""
    if report.is_clean:
        return "Clean: no problem was found."
    return f"Not clean: {wording.counted(len(report.problems), 'problem', 'problems')}."


def notes_words(report: DataReport) -> list[str]:
    """Return the reader's notes, and what the data set itself holds out."""
    told = [] if report.official is None else notes_of_official(report.official)
    return [*report.notes, *told]


def age_words(ages: Ages) -> str:
    """Return the ages in a sentence.

    >>> age_words(Ages(2, 1, {"min": 9, "25 %": 20, "50 %": 31, "75 %": 42, "max": 53}, {}))
    'median 31, half from 20 to 42, all from 9 to 53; 1 unknown'
    """
    if not ages.known:
        return "none known"
    low, first, median, third, high = (f"{years:g}" for years in ages.quantiles.values())
    unknown = f"; {wording.count(ages.unknown)} unknown" if ages.unknown else ""
    return f"median {median}, half from {first} to {third}, all from {low} to {high}{unknown}"


def _facts(report: DataReport) -> list[Fact]:
    images = report.images
    good = "" if images is None else f"{wording.count(images.good)} can be read"
    spread = report.people.images_per_patient
    depth = []
    if images is not None and images.png_bits is not None:
        depth.append(Fact("Depth", f"{images.png_bits} bits", wording.png_depth(images.png_bits)))
    return [
        Fact("Patients", wording.count(report.patients)),
        Fact("Studies", wording.count(report.studies)),
        Fact("Images", wording.count(report.num_images), good),
        *depth,
        Fact("Images a patient", wording.fixed(spread.mean, 2), f"at most {spread.most}"),
        Fact("Labels", wording.count(len(report.labels))),
        Fact("Checked in", wording.duration(report.seconds)),
    ]


def _row(finding: Finding) -> dict[str, Any]:
    return {
        "finding": finding,
        "more": finding.count - len(finding.examples) if finding.examples else 0,
        "rows": [[_thumbnail(picture) for picture in row] for row in finding.pictures],
    }


def _thumbnail(picture: Picture) -> Thumbnail:
    buffer = io.BytesIO()
    Image.fromarray(picture.pixels).save(buffer, format="PNG", optimize=True)
    text = base64.b64encode(buffer.getvalue()).decode()
    return Thumbnail(f"data:image/png;base64,{text}", picture.caption)


def _labels(report: DataReport) -> dict[str, Any]:
    whole = report.label_counts.get(WHOLE, {})
    states = [
        state for state in STATES if any(counts.get(state, 0) for counts in whole.values())
    ] or ["positive", "negative"]
    return {
        "states": states,
        "label_rows": whole,
        "label_figure": figures_data.draw_label_states(whole) if whole else None,
        "split_counts": {
            split: counts for split, counts in report.label_counts.items() if split != WHOLE
        },
    }


def _people(report: DataReport) -> dict[str, Any]:
    people = report.people
    drawings = [
        figures_data.draw_bars(
            people.images_per_patient.patients_by_count,
            "fig-images-per-patient",
            across="images of a patient",
            up="patients",
            noun=("patient", "patients"),
        ),
        figures_data.draw_bars(
            people.ages.images_by_band,
            "fig-ages",
            across="age in years",
            up="images",
            noun=("image", "images"),
        ),
    ]
    sexes = {_SEXES.get(sex, sex): number for sex, number in people.sexes.items()}
    return {
        "people_figures": [drawing for drawing in drawings if drawing is not None],
        "groups": [
            ("Views", "images", people.views),
            ("Projections", "images", people.projections),
            ("Sexes", "patients", sexes),
        ],
        "ages": age_words(people.ages),
        "studies": people.studies_per_patient,
    }


def _disk_facts(report: DataReport) -> list[Fact]:
    disk = report.disk
    if disk is None:
        return []
    caches = [
        Fact(f"Cache at {size} px", wording.size(num_bytes))
        for size, num_bytes in disk.cache_bytes.items()
    ]
    return [
        Fact("Image files", wording.size(disk.total_bytes), wording.count(disk.files)),
        Fact(
            "Reading",
            f"{disk.megabytes_per_s:,.0f} MB/s",
            f"{disk.files_per_s:,.0f} files/s, over {wording.count(disk.read_files)}",
        ),
        Fact("Decoding", f"{disk.decoded_per_s:,.0f} images/s", "one core, to 320 px"),
        *caches,
        Fact("Free for caches", wording.size(disk.free_bytes), disk.cache_folder),
        Fact("To prepare 320 px", wording.duration(disk.prepare_s), f"{disk.cores} cores, a guess"),
    ]
