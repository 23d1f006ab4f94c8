"""DICOM files as the tests want them, written with pydicom."""

import io
import warnings

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, RLELossless

NAME = "Doe^Jane"
"""The patient's name in every file."""


def dicom_bytes(
    pixels, *, syntax=ExplicitVRLittleEndian, bits_stored=None, frame=None, without=(), **elements
):
    """Return a DICOM file of one image.

    Args:
        pixels: (H, W) for MONOCHROME2 or (H, W, 3) for RGB; 8 or 16 bits, signed or not.
        syntax: transfer syntax.
        bits_stored: as many as the type has if None.
        frame: the compressed image, for encapsulated transfer syntaxes.
        without: keywords to leave out.
        elements: by keyword, over those that follow from the pixels.
    """
    bits = 8 * pixels.dtype.itemsize
    stored = bits_stored or bits
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.PatientName = NAME
    described = {
        "SamplesPerPixel": 1 if pixels.ndim == 2 else 3,
        "PhotometricInterpretation": "MONOCHROME2" if pixels.ndim == 2 else "RGB",
        **({} if pixels.ndim == 2 else {"PlanarConfiguration": 0}),
        **{"Rows": pixels.shape[0], "Columns": pixels.shape[1]},
        **{"BitsAllocated": bits, "BitsStored": stored, "HighBit": stored - 1},
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
    }
    if frame is None:
        order = ">" if syntax == ExplicitVRBigEndian else "<"
        raw = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
        described["PixelData"] = raw + b"\0" * (len(raw) % 2)
    else:
        described["PixelData"] = encapsulate([frame])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it wonders about what the tests write on purpose
        for keyword, value in (described | elements).items():
            if keyword not in without:
                setattr(dataset, keyword, value)
        if "PixelData" in dataset:
            dataset["PixelData"].VR = "OW" if bits == 16 and frame is None else "OB"
            dataset["PixelData"].is_undefined_length = frame is not None
        return _written(dataset)


def table(entries, *, first=0, bits=16, packed=False):
    """Return a lookup table as the value of a sequence; `packed` puts two 8-bit entries a word."""
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries) % 65536, first, bits])
    kind = np.uint8 if packed else np.dtype("<u2")
    raw = np.asarray(entries).astype(kind).tobytes()
    item.add_new("LUTData", "OW", raw + b"\0" * (len(raw) % 2))
    return [item]


def run_length_encoded(data):
    """Return the file with its pixels in RLE Lossless."""
    dataset = pydicom.dcmread(io.BytesIO(data))
    dataset.compress(RLELossless, generate_instance_uid=False)
    return _written(dataset)


def image_bytes(pixels, kind, mode=None, **options):
    """Return the pixels as Pillow writes them: JPEG, JPEG2000 or PNG."""
    file = io.BytesIO()
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(file, kind, **options)
    return file.getvalue()


def _written(dataset):
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()
