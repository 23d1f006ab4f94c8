"""Tables of six public data sets in their published columns, made up, with tiny images."""

import csv
import gzip
import io
import json

import numpy as np
from dicom_writer import dicom_bytes
from PIL import Image

CHEXPERT = (
    *("No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Lesion", "Lung Opacity"),
    *("Edema", "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion"),
    *("Pleural Other", "Fracture", "Support Devices"),
)
VINDR = (
    *("Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Clavicle fracture"),
    *("Consolidation", "Edema", "Emphysema", "Enlarged PA", "ILD", "Infiltration", "Lung Opacity"),
    *("Lung cavity", "Lung cyst", "Mediastinal shift", "Nodule/Mass", "Pleural effusion"),
    *("Pleural thickening", "Pneumothorax", "Pulmonary fibrosis", "Rib fracture", "Other lesion"),
    *("COPD", "Lung tumor", "Pneumonia", "Tuberculosis"),
)
PADCHEST = (
    *("", "ImageID", "ImageDir", "StudyDate_DICOM", "StudyID", "PatientID", "PatientBirth"),
    *("PatientSex_DICOM", "ViewPosition_DICOM", "Projection", "MethodProjection", "Pediatric"),
    *("Modality_DICOM", "Manufacturer_DICOM", "PhotometricInterpretation_DICOM"),
    *("PixelRepresentation_DICOM", "PixelAspectRatio_DICOM", "SpatialResolution_DICOM"),
    *("BitsStored_DICOM", "WindowCenter_DICOM", "WindowWidth_DICOM", "Rows_DICOM"),
    *("Columns_DICOM", "XRayTubeCurrent_DICOM", "Exposure_DICOM", "ExposureInuAs_DICOM"),
    *("ExposureTime", "RelativeXRayExposure_DICOM", "ReportID", "Report", "MethodLabel", "Labels"),
    *("Localizations", "LabelsLocalizationsBySentence", "labelCUIS", "LocalizationsCUIS"),
)
PLUS = (
    *("path_to_image", "path_to_dcm", "frontal_lateral", "ap_pa", "deid_patient_id"),
    *("patient_report_date_order", "report", "section_narrative", "section_clinical_history"),
    *("section_history", "section_comparison", "section_technique", "section_procedure_comments"),
    *("section_findings", "section_impression", "section_end_of_impression", "section_summary"),
    *("section_accession_number", "age", "sex", "race", "ethnicity", "interpreter_needed"),
    *("insurance_type", "recent_bmi", "deceased", "split"),
)


def write_table(file, header, rows):
    """Write rows, given as dicts; what a row does not name is blank. Packed where it ends in gz."""
    file.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([row.get(name, "") for name in header] for row in rows)
    data = text.getvalue().encode()
    file.write_bytes(gzip.compress(data) if file.suffix == ".gz" else data)


def write_images(folder, names, size=(8, 8)):
    """Write small pictures, DICOM files by their names, each of its own gray."""
    for number, name in enumerate(names):
        pixels = np.full(size, 60 + number, dtype=np.uint8)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith((".dcm", ".dicom")):
            elements = {"Modality": "DX", "PatientSex": "FM"[number % 2], "ViewPosition": "PA"}
            (folder / name).write_bytes(dicom_bytes(pixels, PatientAge="051Y", **elements))
        else:
            Image.fromarray(pixels).save(folder / name)


def make_mimic(folder):
    """Six images of three patients: four frontal, one lateral, one oblique."""
    images = [  # dicom, subject, study, view, split
        ("a1", 10000032, 50414267, "PA", "train"),
        ("a2", 10000032, 50414267, "LATERAL", "train"),
        ("a3", 10000032, 53189527, "AP", "train"),
        ("b1", 11000001, 51000001, "AP", "validate"),
        ("c1", 19999987, 55368167, "PA", "test"),
        ("c2", 19999987, 58621812, "LAO", "test"),
    ]
    columns = ("dicom_id", "subject_id", "study_id", "ViewPosition", "split")
    rows = [dict(zip(columns, map(str, row), strict=True)) for row in images]
    metadata = (
        *("dicom_id", "subject_id", "study_id", "PerformedProcedureStepDescription"),
        *("ViewPosition", "Rows", "Columns", "StudyDate", "StudyTime"),
        *("ProcedureCodeSequence_CodeMeaning", "ViewCodeSequence_CodeMeaning"),
        "PatientOrientationCodeSequence_CodeMeaning",
    )
    start = "mimic-cxr-2.0.0-"
    write_table(folder / f"{start}metadata.csv.gz", metadata, rows)
    split = ("dicom_id", "study_id", "subject_id", "split")
    write_table(folder / f"{start}split.csv.gz", split, rows)
    said = [  # study 53189527 has no row
        {"subject_id": "10000032", "study_id": "50414267", "No Finding": "1.0"},
        {"subject_id": "11000001", "study_id": "51000001", "Edema": "-1.0", "Pneumonia": "0.0"},
        {"subject_id": "19999987", "study_id": "55368167", "Edema": "1.0"},
        {"subject_id": "19999987", "study_id": "58621812", "Edema": "1.0"},
    ]
    write_table(
        folder / f"{start}chexpert.csv.gz", ("subject_id", "study_id", *sorted(CHEXPERT)), said
    )
    paths = [f"files/p{str(s)[:2]}/p{s}/s{study}/{d}.jpg" for d, s, study, _, _ in images]
    write_images(folder, paths)


def make_padchest(folder):
    """Five images of four patients: three frontal, one lateral, one of ribs."""
    cells = [  # image, dir, patient, birth, projection, labels
        ("1.png", "0", "839860488", "1932.0", "PA", "['pulmonary fibrosis', 'chronic changes']"),
        ("2.png", "0", "839860488", "1932.0", "L", "['pulmonary fibrosis', 'chronic changes']"),
        ("3.png", "1", "71", "1950.0", "AP_horizontal", "['pleural effusion', ' pneumonia']"),
        ("4.png", "1", "72", "", "PA", "['unchanged', 'cardiomegaly']"),
        ("5.png", "1", "73", "1990.0", "COSTAL", "['normal']"),
    ]
    columns = ("ImageID", "ImageDir", "PatientID", "PatientBirth", "Projection", "Labels")
    rows = [
        dict(zip(columns, row, strict=True))
        | {"StudyDate_DICOM": "20140915", "StudyID": f"s{row[2]}", "PatientSex_DICOM": "F"}
        | {"Report": "- sin hallazg .", "Modality_DICOM": "CR"}
        for row in cells
    ]
    write_table(folder / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv", PADCHEST, rows)
    write_images(folder, [f"{row[1]}/{row[0]}" for row in cells])


def make_vindr(folder):
    """Three images with three readers each and one test image with their consensus."""
    header = ("image_id", "rad_id", *VINDR, "Other diseases", "No finding")
    readers = [  # of each image, which readers see cardiomegaly
        ("i1", "R8", 1),
        ("i1", "R9", 1),
        ("i1", "R10", 0),
        ("i2", "R8", 0),
        ("i2", "R9", 0),
        ("i2", "R10", 1),
        ("i3", "R8", 0),
        ("i3", "R9", 0),
        ("i3", "R10", 0),
    ]
    zeros = dict.fromkeys(header[2:], "0")
    rows = [
        zeros
        | {"image_id": image, "rad_id": reader, "Cardiomegaly": str(sees)}
        | {"No finding": str(1 - sees)}
        for image, reader, sees in readers
    ]
    place = folder / "annotations"
    write_table(place / "image_labels_train.csv", header, rows)
    test = ("image_id", *VINDR, "Other disease", "No finding")
    one = zeros | {"image_id": "t1", "Pleural effusion": "1", "Other disease": "1"}
    write_table(place / "image_labels_test.csv", test, [one])
    sides = ("x_min", "y_min", "x_max", "y_max")
    boxes = [
        {"image_id": "i1", "rad_id": "R8", "class_name": "Cardiomegaly"}
        | dict(zip(sides, ("4", "2", "12", "6"), strict=True)),
        {"image_id": "i2", "rad_id": "R10", "class_name": "Cardiomegaly"}
        | dict(zip(sides, ("4", "2", "12", "6"), strict=True)),
        {"image_id": "i3", "rad_id": "R8", "class_name": "No finding"},
    ]
    write_table(
        place / "annotations_train.csv", ("image_id", "rad_id", "class_name", *sides), boxes
    )
    effusion = {"image_id": "t1", "class_name": "Pleural effusion"}
    effusion |= dict(zip(sides, ("0", "4", "16", "8"), strict=True))
    write_table(place / "annotations_test.csv", ("image_id", "class_name", *sides), [effusion])
    names = [*(f"train/i{n}.dicom" for n in (1, 2, 3)), "test/t1.dicom"]
    write_images(folder, names, size=(8, 16))


def make_brax(folder):
    """Four images of three patients: two frontal, one lateral, one without a view."""
    header = (
        *("", "DicomPath", "PngPath", "PatientID", "PatientSex", "PatientAge", "AccessionNumber"),
        *("StudyDate", *CHEXPERT, "ViewPosition", "Rows", "Columns", "Manufacturer"),
    )
    cells = [  # patient, age, view, edema
        ("id_1", "65", "PA", "1.0"),
        ("id_1", "65", "L", "1.0"),
        ("id_2", "85 or more", "AP", "-1.0"),
        ("id_3", "40", "", "0.0"),
    ]
    paths = [f"images/{row[0]}/Study_1/Series_1/image-{n}.png" for n, row in enumerate(cells)]
    rows = [
        {"PngPath": path, "PatientID": who, "PatientAge": age, "ViewPosition": view}
        | {"Edema": edema, "PatientSex": "M", "AccessionNumber": "1"}
        for path, (who, age, view, edema) in zip(paths, cells, strict=True)
    ]
    write_table(folder / "master_spreadsheet_update.csv", header, rows)
    write_images(folder, paths)


def make_rsna(folder):
    """Three images: one with two boxes, one normal, one otherwise ill."""
    header = ("patientId", "x", "y", "width", "height", "Target")
    boxes = [
        ("p1", "256.0", "128.0", "512.0", "256.0", "1"),
        ("p1", "0.0", "0.0", "64.0", "64.0", "1"),
        ("p2", "", "", "", "", "0"),
        ("p3", "", "", "", "", "0"),
    ]
    rows = [dict(zip(header, row, strict=True)) for row in boxes]
    write_table(folder / "stage_2_train_labels.csv", header, rows)
    kinds = ("Lung Opacity", "Lung Opacity", "Normal", "No Lung Opacity / Not Normal")
    said = [{"patientId": row[0], "class": kind} for row, kind in zip(boxes, kinds, strict=True)]
    write_table(folder / "stage_2_detailed_class_info.csv", ("patientId", "class"), said)
    write_images(folder, [f"stage_2_train_images/p{n}.dcm" for n in (1, 2, 3)])


def make_plus(folder):
    """Four images of three patients, one of them of the official valid set without labels."""
    cells = [  # path, view, projection, patient, report, sex, split
        ("train/patient1/study1/view1_frontal.jpg", "Frontal", "AP", "patient1", "1", "Male"),
        ("train/patient1/study1/view2_lateral.jpg", "Lateral", "", "patient1", "1", "Male"),
        ("train/patient2/study1/view1_frontal.jpg", "Frontal", "PA", "patient2", "1", "Female"),
        ("valid/patient3/study1/view1_frontal.jpg", "Frontal", "PA", "patient3", "1", "Unknown"),
    ]
    columns = (*PLUS[:1], *PLUS[2:6], "sex")
    rows = [
        dict(zip(columns, row, strict=True))
        | {"split": row[0].partition("/")[0], "age": "67.0", "report": "=NARRATIVE\n- Edema."}
        for row in cells
    ]
    write_table(folder / "df_chexpert_plus_240401.csv", PLUS, rows)
    labels = [
        {"path_to_image": row[0]} | dict.fromkeys(CHEXPERT) | {"Edema": edema, "Fracture": 0.0}
        for row, edema in zip(cells[:3], (1.0, 1.0, -1.0), strict=True)
    ]
    lines = "".join(json.dumps(row) + "\n" for row in labels)
    (folder / "chexbert_labels").mkdir()
    (folder / "chexbert_labels/impression_fixed.json").write_text(lines, "utf-8")
    write_images(folder, [f"PNG/{row[0].removesuffix('jpg')}png" for row in cells])
