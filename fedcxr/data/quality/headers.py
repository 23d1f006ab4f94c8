"""What the headers of image files say: sizes, types, and what viewers make of their colours.

Some files are looked at, spread over all. Decoding takes the stored values as they are; a viewer
may correct them by a gamma or a colour profile that the file states, and so show another picture.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from PIL import PngImagePlugin

from fedcxr.data.images.jpeg import WholeJpeg
from fedcxr.data.paths import Fence
from fedcxr.data.quality.findings import NOTICE, Finding, Images, finding_of
from fedcxr.data.quality.images import DecodedImages
from fedcxr.data.records import DataSet

MAX_HEADERS = 2000
"""Files whose header is read."""

_SUFFIXES = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".dcm": "DICOM", ".dicom": "DICOM"}
_DISPLAY_GAMMA = 0.45455
"""1 / 2.2, for which PNG files without a gamma are shown too."""
_SAME_GAMMA = 0.02
_SRGB = (b"sRGB", "sRGB".encode("utf-16-be"))
"""The name of the profile that displays have, as old and new profiles spell it."""


@dataclass(frozen=True, slots=True)
class _Header:
    kind: str
    """JPEG, PNG or DICOM."""
    shape: str
    """Such as `320 × 390 L JPEG`."""
    correction: str = ""
    """What a viewer would correct by; empty if nothing."""


def read_headers(decoded: DecodedImages, dataset: DataSet) -> tuple[Images, tuple[Finding, ...]]:
    """Return sizes and types, and the findings: names that contradict the type, other colours.

    Args:
        decoded: the images of a check.
        dataset: whose they are.
    """
    step = max(1, -(-len(decoded.records) // MAX_HEADERS))
    fence, shapes = Fence(dataset.files), Counter[str]()
    wrong, corrected = list[str](), list[str]()
    chosen = decoded.records[::step]
    for record in chosen:
        header = _header(fence.file(record.path))
        shapes[header.shape] += 1
        if _SUFFIXES.get(Path(record.path).suffix.lower()) != header.kind:
            wrong.append(f"{record.path}: {header.kind}")
        if header.correction:
            corrected.append(f"{record.path}: {header.correction}")
    images = Images(
        looked_at=decoded.num_all,
        good=len(decoded.records),
        shapes=dict(shapes.most_common()),
        from_headers=len(chosen),
        png_bits=decoded.png_bits,
    )
    return images, (*_wrong_suffix(wrong), *_corrected(corrected))


def _wrong_suffix(wrong: list[str]) -> tuple[Finding, ...]:
    return finding_of(
        "wrong-suffix",
        NOTICE,
        wrong,
        "Names that contradict the type",
        text="The file's ending says another type than its content; it is decoded by its content.",
        mend="Nothing here; other programs may stumble over it.",
    )


def _corrected(corrected: list[str]) -> tuple[Finding, ...]:
    return finding_of(
        "other-colours",
        NOTICE,
        corrected,
        "Images that viewers show in other greys",
        text="The file states a gamma or a colour profile by which a viewer corrects its values. "
        "They are taken as they are stored here.",
        mend="Nothing, if all files of the data set are alike; else save them without it.",
    )


def _header(path: Path) -> _Header:
    """Return what is said of an image that was decoded before."""
    with path.open("rb") as file:
        start = file.read(132)
        file.seek(0)
        if start.startswith(b"\xff\xd8"):
            jpeg = WholeJpeg(file)
            shape = f"{jpeg.width} × {jpeg.height} {jpeg.mode} JPEG"
            return _Header("JPEG", shape, _correction(jpeg.info))
        if start.startswith(b"\x89PNG"):
            png = PngImagePlugin.PngImageFile(file)
            shape = f"{png.width} × {png.height} {png.mode} PNG"
            return _Header("PNG", shape, _correction(png.info))
    return _Header("DICOM", "DICOM")


def _correction(info: dict[str | tuple[int, int], object]) -> str:
    """Return what viewers correct by, from what Pillow found in a header.

    Source: PNG specification (third edition), 4.3: a profile goes before sRGB, sRGB before a gamma.
    """
    profile, gamma = info.get("icc_profile"), info.get("gamma")
    if isinstance(profile, bytes):
        return "" if any(name in profile for name in _SRGB) else "a colour profile"
    if "srgb" in info or not isinstance(gamma, float):
        return ""
    return "" if abs(gamma - _DISPLAY_GAMMA) < _SAME_GAMMA else f"gamma {gamma:g}"
