"""The same picture twice: files with the same bytes, and pictures that look the same.

Chest radiographs all look alike, so a picture is told by its detail and not by its shading. The
perceptual hash is the signs of 256 coefficients of the square's discrete cosine transform, those of
medium wavelength; two pictures are candidates if one of 12 bands of 21 signs is equal in both, near
if at most 32 signs differ, and the same if their medium and short wavelengths correlate too.

Measured on 984 NIH radiographs at 64 pixels (174,000 pairs, 4,800 of them of one patient) and on
copies of 600 of them:

    two radiographs of different patients     at least 58 signs differ    correlation up to 0.93
    two radiographs of one patient            at least 42 signs differ    correlation up to 0.97
    copies: JPEG 20 to 90, half and twice
    the size, brightness, contrast, gamma     at most 32 signs differ     correlation from 0.98

Of those copies 98 to 100 % are found (97 % of 64-pixel files saved as JPEG 20), and no two
radiographs are called one. Of copies with an equalised histogram half are found, of those cropped
by 1 % of the side a fifth, and of those cropped by 3 % or inverted none. Any two pictures with at
most 11 differing signs share a band: those are found for certain.

Source: Zauner 2010, "Implementation and benchmarking of perceptual image hash functions" (the hash
from the signs of the DCT); Norouzi et al. 2012, "Fast search in Hamming space with multi-index
hashing" (the bands).
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.quality.images import SIDE_PX, DecodedImages
from fedcxr.seeding import derive_rng

NEAR_BITS = 32
SAME_CORRELATION = 0.98
ALIKE_CORRELATION = 0.96
MAX_PAIRS = 100_000
"""More pairs than this are not listed: a folder of the same picture has n² of them."""

HASH_WORDS = 4
_BITS, _BANDS, _BAND_BITS = 64 * HASH_WORDS, 12, 21
_KEPT = 24
"""Coefficients along each side that are looked at, of 64."""
_CHUNK = 1 << 16
"""Pairs of hashes compared at once."""
_PICTURES = 512
"""Pairs of pictures compared at once."""


@dataclass(frozen=True, slots=True)
class Twin:
    """Two images that look the same, by their positions among the looked-at records."""

    first: int
    second: int
    correlation: float
    """Of the medium and short wavelengths; 1 for the same pixels."""


def same_bytes(decoded: DecodedImages) -> list[list[int]]:
    """Return the groups of positions whose files have the same bytes."""
    groups: dict[str, list[int]] = defaultdict(list)
    for position, digest in enumerate(decoded.digests):
        groups[digest].append(position)
    return [group for group in groups.values() if len(group) > 1]


def hash_squares(squares: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Return the perceptual hashes of (B, 64, 64) squares as (B, 4) words of 64 signs."""
    signs = _coefficients(squares)[:, _HASHED] > 0
    return np.ascontiguousarray(np.packbits(signs, axis=1)).view(np.uint64)


def find_twins(
    decoded: DecodedImages, hashes: NDArray[np.uint64], skip: NDArray[np.bool_]
) -> tuple[list[Twin], bool]:
    """Return the pairs that look the same or alike, and whether there were more than MAX_PAIRS.

    Of files with the same bytes only the first takes part.

    Args:
        decoded: the images.
        hashes: (M, 4) from `hash_squares`.
        skip: (M,) images without a picture, whose signs are noise.
    """
    left_out = skip.copy()
    for group in same_bytes(decoded):
        left_out[group[1:]] = True
    positions = np.flatnonzero(~left_out)
    pairs, is_cut = _near_pairs(hashes[positions])
    twins = []
    for start in range(0, len(pairs), _PICTURES):
        chunk = positions[pairs[start : start + _PICTURES]]
        correlation = _detail_correlation(decoded, chunk)
        twins += [
            Twin(int(one), int(two), round(float(value), 4))
            for (one, two), value in zip(chunk, correlation, strict=True)
            if value >= ALIKE_CORRELATION
        ]
    return twins, is_cut


def _near_pairs(hashes: NDArray[np.uint64]) -> tuple[NDArray[np.int64], bool]:
    """Return (P, 2) positions, the lower first, of hashes that share a band and are near."""
    bits = np.unpackbits(hashes.view(np.uint8), axis=1) if len(hashes) else np.zeros((0, _BITS))
    # Neighbouring coefficients go together; bands of signs from anywhere spread the images better.
    order = derive_rng(0, "check-data", "bands").permutation(_BITS)
    weights = (1 << np.arange(_BAND_BITS)).astype(np.int64)
    found: set[tuple[int, int]] = set()
    for band in range(_BANDS):
        columns = order[band * _BAND_BITS : (band + 1) * _BAND_BITS]
        key = bits[:, columns].astype(np.int64) @ weights
        for one, two in _equal_keys(key):
            distance = np.bitwise_count(hashes[one] ^ hashes[two]).sum(axis=1)
            near = distance <= NEAR_BITS
            low, high = np.minimum(one[near], two[near]), np.maximum(one[near], two[near])
            found.update(zip(low.tolist(), high.tolist(), strict=True))
            if len(found) >= MAX_PAIRS:
                return np.array(sorted(found)[:MAX_PAIRS], dtype=np.int64), True
    return np.array(sorted(found), dtype=np.int64).reshape(-1, 2), False


def _equal_keys(
    key: NDArray[np.int64],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield every pair of positions with equal keys, a bounded number of pairs at a time.

    Sorted by key, equal ones are neighbours: first all pairs one place apart, then two, …
    """
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    offset = 1
    alive = np.flatnonzero(ordered[:-1] == ordered[1:])
    while len(alive):
        for start in range(0, len(alive), _CHUNK):
            part = alive[start : start + _CHUNK]
            yield order[part], order[part + offset]
        offset += 1
        alive = alive[alive + offset < len(key)]
        alive = alive[ordered[alive] == ordered[alive + offset]]


def _detail_correlation(decoded: DecodedImages, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how the detail of the two images of each pair correlates, (P,)."""
    one, two = (
        _coefficients(decoded.pixels(pairs[:, side]))[:, _DETAIL].astype(np.float64)
        for side in (0, 1)
    )
    # The cosines are orthonormal: a sum over coefficients is a sum over the filtered pixels.
    size = np.sqrt((one * one).sum(axis=1) * (two * two).sum(axis=1))
    correlation: NDArray[np.float64] = (one * two).sum(axis=1) / np.maximum(size, 1e-6)
    return correlation


def _coefficients(squares: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the lowest 24 × 24 coefficients of the cosine transform of (B, 64, 64), flat."""
    kept: NDArray[np.float32] = np.matmul(np.matmul(_COSINES, squares), _COSINES.T)
    flat: NDArray[np.float32] = kept.reshape(len(squares), _KEPT**2)
    return flat


def _cosines() -> NDArray[np.float32]:
    """Return the (24, 64) first rows of the orthonormal DCT-II."""
    place, wave = np.arange(SIDE_PX), np.arange(_KEPT)[:, None]
    rows: NDArray[np.float64] = np.sqrt(2 / SIDE_PX) * np.cos(
        np.pi * (2 * place + 1) * wave / (2 * SIDE_PX)
    )
    rows[0] /= np.sqrt(2)
    return rows.astype(np.float32)


_COSINES = _cosines()
_WAVES = np.hypot(*np.indices((_KEPT, _KEPT))).ravel()
"""(576,) half-waves across the square, of each coefficient."""
_LOWEST_HASHED, _LOWEST_DETAIL = 2, 4
_BY_WAVES = np.argsort(_WAVES, kind="stable")
_HASHED = _BY_WAVES[_WAVES[_BY_WAVES] >= _LOWEST_HASHED][:_BITS]
_DETAIL = np.flatnonzero(_WAVES >= _LOWEST_DETAIL)
