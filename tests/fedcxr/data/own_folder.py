"""A folder of one's own: DICOM files as hospitals export them, and a table of other columns."""

import csv

import numpy as np
from dicom_writer import dicom_bytes
from PIL import Image

YAML = """\
table: befund.csv
path: {column: datei, folder: bilder}
labels:
  Rundherd: rundherd
  Erguss: erguss
values:
  present: [ja]
  absent: [nein]
  uncertain: ["?"]
  blank: [""]
site: haus
"""
HEADER = ("datei", "rundherd", "erguss", "haus")
HOUSES = ("Nord", "Süd", "West")


def film(number, *, patient, is_nodule, is_effusion, size_px=48, **elements):
    """Return a made film: a nodule is a bright square above, an effusion a bright band below."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(400, 900, (size_px, size_px)).astype(np.uint16)
    if is_nodule:
        pixels[8:20, 8:20] = 3900
    if is_effusion:
        pixels[-10:] = 3900
    return as_dicom(pixels, number, patient=patient, is_lateral=number % 3 == 2, **elements)


def as_dicom(pixels, number, *, patient, is_lateral, **elements):
    """Return 12-bit pixels as a hospital's file; each fourth is in MONOCHROME1."""
    shown = "MONOCHROME1" if number % 4 == 0 else "MONOCHROME2"
    said = {
        "PatientID": patient,
        "StudyInstanceUID": f"1.2.826.{number // 3}",
        "ViewPosition": "LL" if is_lateral else "PA",
        "PatientAge": f"{20 + number % 60:03d}Y",
        "PatientSex": "FM"[number // 3 % 2],
        "Modality": "DX",
        "BodyPartExamined": "CHEST",
        "PhotometricInterpretation": shown,
    }
    if number % 6 == 1 and not is_lateral:  # the view of some is in the orientation alone
        said |= {"ViewPosition": "", "PatientOrientation": ["L", "F"]}
    stored = 4095 - pixels if shown == "MONOCHROME1" else pixels
    return dicom_bytes(stored, bits_stored=12, **(said | elements))


def make_own(
    folder, *, patients=30, first=0, yaml=YAML, header=("datei", "rundherd", "erguss", "haus")
):
    """Lay out three films a patient, two frontal and one lateral, with their table."""
    (folder / "bilder").mkdir(parents=True)
    rows = []
    for number in range(3 * first, 3 * (first + patients)):
        who = number // 3
        is_nodule, is_effusion = who % 2 == 0, who % 3 == 0
        name = f"{number:03d}.dcm"
        (folder / "bilder" / name).write_bytes(
            film(number, patient=f"P-{who}a", is_nodule=is_nodule, is_effusion=is_effusion)
        )
        said = ["ja" if is_nodule else "nein", "ja" if is_effusion else "nein"]
        rows.append([name, *said, HOUSES[who % 3]])
    write_rows(folder, rows)
    if yaml:
        (folder / "dataset.yaml").write_text(yaml, "utf-8")
    return folder


def write_rows(folder, rows, header=HEADER):
    with (folder / "befund.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def make_drawn(folder, drawings, *, films=90):
    """Lay out drawn radiographs as DICOM files with a table of findings, for whole patients.

    Args:
        folder: to make.
        drawings: a synthetic CheXpert (`write_synthetic`).
        films: how many.

    Returns:
        How many of them are frontal.
    """
    (folder / "bilder").mkdir(parents=True)
    with (drawings / "truth.csv").open(newline="") as file:
        truth = list(csv.DictReader(file))[:films]
    names = sorted({row["path"].split("/")[-3] for row in truth})
    rows = []
    for number, row in enumerate(truth):
        who = names.index(row["path"].split("/")[-3])
        is_lateral = "lateral" in row["path"]
        with Image.open(drawings / row["path"]) as image:
            pixels = np.asarray(image.convert("L")).astype(np.uint16) * 16
        person = {"PatientSex": "FM"[who % 2], "PatientAge": f"{20 + who % 60:03d}Y"}
        study = f"1.2.826.{who}.{row['path'].split('/')[-2].removeprefix('study')}"
        data = as_dicom(
            pixels,
            number,
            patient=f"P-{who}a",
            is_lateral=is_lateral,
            StudyInstanceUID=study,
            **person,
        )
        (folder / "bilder" / f"{number:03d}.dcm").write_bytes(data)
        found = [float(row[name]) == 1 for name in ("Support Devices", "Pleural Effusion")]
        said = ["ja" if one else "nein" for one in found]
        rows.append([f"{number:03d}.dcm", *said, HOUSES[who % 3]])
    write_rows(folder, rows)
    return sum("frontal" in row["path"] for row in truth)
