"""What a DICOM file's header says of its patient and of how the film was taken.

For tables that do not say it. Only the elements named here are asked for, the pixels are not read,
and no message quotes a text of the header. What is no chest film, or has several frames, is told
here, before anything is decoded.
Source: DICOM PS3.3 C.7.1.1 (patient), C.7.3.1 (modality, body part), C.7.6.1.1.1 (orientation),
C.8.11.5 (view position).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from fedcxr.data.identity import normal_id
from fedcxr.data.images.dicom import BROKEN, DEFLATED, is_dicom
from fedcxr.data.images.quiet import quiet_libraries
from fedcxr.data.paths import Fence

if TYPE_CHECKING:
    from pydicom import Dataset

_ELEMENTS = (
    *("PatientID", "StudyInstanceUID", "ViewPosition", "PatientOrientation", "PatientAge"),
    *("PatientSex", "Modality", "BodyPartExamined", "NumberOfFrames", "PhotometricInterpretation"),
    *("SharedFunctionalGroupsSequence", "Rows", "Columns"),
)
_OTHER_SUFFIXES = (".jpg", ".jpeg", ".png", ".csv", ".txt")
"""Files of these names are not opened to see whether they are DICOM."""
_START_BYTES = 4096
"""Hold the preamble and the transfer syntax."""
_FRONTAL = frozenset({"AP", "PA"})
_LATERAL = frozenset({"LL", "RL", "LAT", "LATERAL"})
_AGE = re.compile(r"([0-9]{1,3})([DWMY]?)")
_DAYS = {"D": 1.0, "W": 7.0, "M": 365.25 / 12, "Y": 365.25, "": 365.25}
_KNOWN_MODALITIES = frozenset(
    {"CT", "ES", "IO", "MG", "MR", "NM", "OP", "OT", "PR", "PT", "PX", "RF", "SC", "SEG", "SM"}
    | {"SR", "US", "XA", "XC"}
)
_KNOWN_PARTS = frozenset(
    {"ABDOMEN", "ANKLE", "BREAST", "CSPINE", "ELBOW", "FOOT", "HAND", "HEAD", "HIP", "KNEE"}
    | {"LSPINE", "NECK", "PELVIS", "SHOULDER", "SKULL", "SPINE", "TSPINE", "WRIST"}
)
"""Those that a message may name: any text could be in a header."""


@dataclass(frozen=True, slots=True)
class DicomFacts:
    """What one header says; empty where it says nothing, or nothing that can be read."""

    patient: str
    """As `normal_id` spells it."""
    study: str
    view: str
    """`frontal`, `lateral` or empty."""
    projection: str
    """`AP`, `PA`, `LL`, `RL` or empty."""
    sex: str
    age: int | None
    modality: str
    body_part: str
    is_several: bool
    """Whether it has several frames, or is an enhanced object."""
    is_monochrome1: bool
    size_px: tuple[int, int] | None
    """Width and height."""

    def strangeness(self, modalities: Sequence[str], parts: Sequence[str]) -> str:
        """Return why the file is no chest film, empty if it may be one.

        Args:
            modalities: of chest films.
            parts: names of body parts; what begins with one is one.
        """
        if self.modality and self.modality not in modalities:
            known = self.modality if self.modality in _KNOWN_MODALITIES else "another"
            return f"its Modality is {known}"
        if self.body_part and not any(self.body_part.startswith(p) for p in parts if p):
            known = self.body_part if self.body_part in _KNOWN_PARTS else "another"
            return f"its BodyPartExamined is {known}"
        if self.is_several:
            return "it has several frames"
        return ""


def read_facts(paths: Sequence[str], fence: Fence) -> dict[str, DicomFacts]:
    """Return what the headers say, by path, of the paths at which there is a DICOM file.

    A file that is missing, is no DICOM file or is damaged is not among them: whoever decodes it
    says so.

    Raises:
        DataError: a path leads out of the data folder.
    """
    found = {}
    with quiet_libraries:
        for path in dict.fromkeys(paths):
            if path.lower().endswith(_OTHER_SUFFIXES) or fence.stat(path) is None:
                continue
            facts = _facts_at(fence.file(path))
            if facts is not None:
                found[path] = facts
    return found


def _facts_at(file: Path) -> DicomFacts | None:
    try:
        with file.open("rb") as stream:
            start = stream.read(_START_BYTES)
            # pydicom would inflate a deflated file whole, without a limit
            if not is_dicom(start) or DEFLATED in start:
                return None
            return _parsed(stream)
    except OSError:
        return None


def _parsed(stream: BinaryIO) -> DicomFacts | None:
    # pydicom takes 0.1 s to import, and most data sets have no DICOM file
    from pydicom import dcmread
    from pydicom.errors import BytesLengthException, InvalidDicomError

    stream.seek(0)
    try:
        header = dcmread(stream, stop_before_pixels=True, specific_tags=list(_ELEMENTS))
        return _facts_of(header)
    except (*BROKEN, BytesLengthException, InvalidDicomError):
        return None


def _facts_of(header: "Dataset") -> DicomFacts:
    position = _code(header, "ViewPosition")
    is_lateral = position in _LATERAL
    view = "frontal" if position in _FRONTAL else "lateral" if is_lateral else ""
    return DicomFacts(
        patient=normal_id(_text(header, "PatientID")),
        study=_text(header, "StudyInstanceUID"),
        view=view or _view_of_orientation(header),
        projection=position if position in ("AP", "PA", "LL", "RL") else "",
        sex=sex if (sex := _code(header, "PatientSex")) in ("F", "M") else "",
        age=_age(_code(header, "PatientAge")),
        modality=_code(header, "Modality"),
        body_part=_code(header, "BodyPartExamined"),
        is_several=_code(header, "NumberOfFrames") not in ("", "0", "1")
        or "SharedFunctionalGroupsSequence" in header,
        is_monochrome1=_code(header, "PhotometricInterpretation") == "MONOCHROME1",
        size_px=_size(header),
    )


def _view_of_orientation(header: "Dataset") -> str:
    """Return the view by where the rows run: to a side of the patient, or to front or back."""
    value = header.get("PatientOrientation")
    row = str(value[0]).strip().upper() if value and not isinstance(value, str) else ""
    return {"L": "frontal", "R": "frontal", "A": "lateral", "P": "lateral"}.get(row[:1], "")


def _size(header: "Dataset") -> tuple[int, int] | None:
    sides = (header.get("Columns"), header.get("Rows"))
    return sides if all(isinstance(side, int) and side > 0 for side in sides) else None


def _age(cell: str) -> int | None:
    match = _AGE.fullmatch(cell)
    if match is None:
        return None
    years = int(int(match[1]) * _DAYS[match[2]] / _DAYS["Y"])
    return years if years <= 150 else None


def _text(header: "Dataset", keyword: str) -> str:
    value = header.get(keyword)
    return "" if value is None else str(value).strip()


def _code(header: "Dataset", keyword: str) -> str:
    return _text(header, keyword).upper()
