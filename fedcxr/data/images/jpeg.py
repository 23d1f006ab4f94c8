"""A JPEG file that holds all of its pixels, or an ImageError.

Where the coded data run out libjpeg paints the rest of the picture grey. It counts a warning, which
Pillow does not pass on. So the decoder is asked instead: the last bytes of the picture data are
held back until it wants them, and behind them stands nothing. It must want them, since the last
block of pixels ends there, and it must not want more. A file that was cut and closed again, filled
with noise or changed in a bit is mostly found so, and no whole file is refused for what it shows.

This is for files of one scan, as baseline ones are. Of a progressive file libjpeg takes in all
scans before it gives a pixel; there each coefficient must have been sent to its last bit.
Source: ITU-T T.81, annexes B (markers), C (codes) and G (progressive scans).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import JpegImagePlugin

from fedcxr.errors import ImageError

if TYPE_CHECKING:
    from PIL._imaging import PixelAccess

_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
"""A marker that is neither part of a scan (a coded 255, a restart) nor without meaning."""

_SCAN, _END = 0xDA, 0xD9
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
"""Frames with Huffman codes; the decoder of others cannot wait for more data."""
_TABLES_AND_NOTES = frozenset((0xC4, 0xCC, 0xDB, 0xDC, 0xDD, 0xFE, *range(0xE0, 0xF0)))
"""May stand before a scan or behind it."""
_FRAMES = frozenset(range(0xC0, 0xD0)) - _TABLES_AND_NOTES

_HELD_BACK = 8
"""Bytes; an encoder that fills up its last word is let pass."""
_ONES = b"\xff\x00" * 8
"""Bits of 1, of which no code is made: hardly a pixel comes of them, and the decoder wants 8 bytes
to look ahead."""


@dataclass(frozen=True, slots=True)
class Scan:
    """One pass over the picture."""

    components: tuple[int, ...]
    """Identifiers of the colour components in it."""
    first: int
    last: int
    """Coefficients of each block, 0 to 63."""
    low_bit: int
    """The lowest bit of them that is sent so far; 0 = all are."""
    end: int
    """Where in the file its coded data end."""


def read_scans(data: bytes) -> tuple[int, tuple[Scan, ...]]:
    """Return the frame's marker (0xC0 = baseline, 0xC2 = progressive, …) and the file's scans.

    Args:
        data: the file; what stands behind its end of image is not looked at.

    Raises:
        ImageError: it has no end of image, or something that cannot stand where it does.
    """
    frame, scans = 0, list[Scan]()
    place = _next_marker(data, 2)
    while (marker := data[place + 1]) != _END:
        # a segment: its length, which counts its own two bytes, and what it holds
        body = place + 4
        behind = max(body, place + 2 + int.from_bytes(data[place + 2 : body]))
        place = _next_marker(data, behind)
        if marker == _SCAN:
            scans.append(_scan(data, body, behind, place))
        elif marker in _FRAMES and not frame:
            frame = marker
        elif marker not in _TABLES_AND_NOTES:
            raise ImageError("damaged: its picture data are interrupted by something else")
    return frame, tuple(scans)


def _next_marker(data: bytes, place: int) -> int:
    found = _MARKER.search(data, place)
    if found is None:
        raise ImageError("damaged: truncated, its end is missing")
    return found.start()


def _scan(data: bytes, header: int, coded: int, end: int) -> Scan:
    """Return a scan, from where its header, its coded data and what follows begin."""
    number = data[header]
    if number == 0 or coded - header != 4 + 2 * number:
        raise ImageError("damaged: the header of a scan is broken")
    while data[end - 1] == 0xFF:  # bytes that fill up; a coded 255 has a 0 behind it
        end -= 1
    components = tuple(data[header + 1 : coded - 3 : 2])
    return Scan(components, data[coded - 3], data[coded - 2], data[coded - 1] & 15, end)


class WholeJpeg(JpegImagePlugin.JpegImageFile):
    """Pillow's JPEG file, whose `load` refuses what libjpeg would paint without having it.

    Opening it reads the header alone; `load` raises what Pillow raises, and ImageError.
    """

    _end: int | None = None
    """Where the picture data end, if they are one scan that can be given in parts."""
    _is_all_given = True

    def load(self) -> "PixelAccess | None":
        """Decode the picture.

        Raises:
            ImageError: the file has no end, lacks scans, or holds too few or too many data.
        """
        access = super().load()
        if not self._is_all_given:
            raise ImageError("damaged: it holds more picture data than its picture needs")
        return access

    def load_prepare(self) -> None:
        """Find the picture data; called by Pillow before the first `load_read`."""
        super().load_prepare()
        assert self.fp is not None
        self.fp.seek(0)
        frame, scans = read_scans(self.fp.read())
        components = [component for component, *_ in self.layer]
        if frame in (_BASELINE, _EXTENDED) and scans and len(scans[0].components) == self.layers:
            self._end, self._is_all_given = scans[0].end, False
        else:
            _check_sent(frame, scans, components)

    def load_read(self, read_bytes: int) -> bytes:
        """Return the next bytes for the decoder; called by Pillow until the last line is there.

        Raises:
            ImageError: the decoder wants more picture data than there are.
        """
        if self._end is None:
            return super().load_read(read_bytes)
        assert self.fp is not None
        left = self._end - self.fp.tell()
        if left > _HELD_BACK:
            return self.fp.read(min(read_bytes, left - _HELD_BACK))
        if self._is_all_given:
            raise ImageError("damaged: truncated, its picture data end before the picture")
        self._is_all_given = True
        return self.fp.read(left) + _ONES

    def _read_dpi_from_exif(self) -> None:
        """Do nothing: Pillow would fail here on a malformed block, for a number not asked for."""


def _check_sent(frame: int, scans: Sequence[Scan], components: Sequence[int]) -> None:
    """Raise ImageError unless the scans send each coefficient to its last bit."""
    low_bits = {component: np.full(64, 15) for component in components}
    for scan in scans:
        for component in scan.components:
            if component not in low_bits:
                raise ImageError("damaged: a scan of a colour that the picture does not have")
            if frame == _PROGRESSIVE:
                low_bits[component][scan.first : scan.last + 1] = scan.low_bit
            else:
                low_bits[component][:] = 0
    if any(bits.any() for bits in low_bits.values()):
        raise ImageError("damaged: truncated, its last scans are missing")
