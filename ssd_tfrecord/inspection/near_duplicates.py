"""Images that are there twice: equal files by their digests, similar ones by a perceptual hash.

Found: copies that were encoded again, resized, made brighter or lost a narrow border, and most
neighbouring frames of a film. Not found: mirrored, turned and cropped copies.

Measured on 363 photographs of VOC and COCO and 364 of blood under a microscope (BCCD), 132,000
pairs: the hashes of unrelated images differed in 12 bits or more; those of copies in at most 4
(quality 60 to 95, half the size), 6 (10 % brighter) and 8 (20 % brighter; of 50, one beyond 6).
"""

import io
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

# Side of the luma that is hashed, and of the thumbnail by which similar hashes are checked.
_SIDE, _THUMBNAIL_SIDE = 32, 16
THUMBNAIL_PIXELS = _THUMBNAIL_SIDE**2
# A hash has this many bits squared.
_FREQUENCIES = 8
HASH_BITS = _FREQUENCIES**2
# Hashes that differ in at most this many bits are similar.
MAX_DISTANCE = 6
# The thumbnails must correlate as well: at least 0.96 for the copies above, at most 0.77 for
# unrelated images of up to 18 bits. A large set has billions of pairs, and none is to be similar by
# chance.
_MIN_CORRELATION = 0.9
# Standard deviation of the luma, of 255, below which the hash would be that of noise. The flattest
# photograph above has 4.2.
_MIN_CONTRAST = 2.0
_FAR = np.iinfo(np.int64).max


def read_luma(encoded: bytes) -> np.ndarray | None:
    """The brightness of an image, uint8 [32, 32]; None if it cannot be decoded or is of one colour.

    Args:
        encoded: a JPEG.
    """
    # Pillow raises all kinds of errors on damaged files.
    try:
        with warnings.catch_warnings():
            # About many pixels, of which few are decoded.
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(encoded), formats=["JPEG"])
            # Brightness alone, reduced by up to 8 while it is decoded; 64 leaves something to
            # average, without which copies of other sizes differ by more bits.
            image.draft("L", (2 * _SIDE, 2 * _SIDE))
            luma = image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    except Exception:
        return None
    pixels = np.asarray(luma)
    return pixels if pixels.std() >= _MIN_CONTRAST else None


def perceptual_hash(luma: np.ndarray) -> int:
    """The 64-bit pHash of an image: which of its low frequencies are above their median.

    Source: C. Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010,
    section 3.2.1, with the 8 x 8 lowest frequencies and the median, as the ImageHash package does.

    Args:
        luma: of ``read_luma``.
    """
    lowest = _COSINES @ luma.astype(np.float64) @ _COSINES.T
    bits = (lowest > np.median(lowest)).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


# Rows of the discrete cosine transform (DCT-II), of the lowest frequencies.
_COSINES = np.cos(np.pi / _SIDE * np.arange(_FREQUENCIES)[:, np.newaxis] * (np.arange(_SIDE) + 0.5))


def thumbnail(luma: np.ndarray) -> np.ndarray:
    """The means of 2 x 2 pixels of ``read_luma``, uint8 [256]."""
    blocks = luma.reshape(_THUMBNAIL_SIDE, -1, _THUMBNAIL_SIDE, _SIDE // _THUMBNAIL_SIDE)
    return np.round(blocks.mean(axis=(1, 3))).astype(np.uint8).ravel()


def equal_pairs(digests: Sequence[bytes], sets: np.ndarray) -> np.ndarray:
    """Pairs of equal images, int64 [P, 2], the smaller index first, in rising order.

    An image is paired with the first equal one of each set.

    Args:
        digests: of the N images.
        sets: int [N], the set of each, from 0.
    """
    _, group = np.unique(np.array(digests, "S32"), return_inverse=True)
    item, first = _items(group, sets)
    partner = np.full((len(first), sets.max(initial=0) + 1), _FAR)
    for one, other in grouped_pairs(group[first]):
        partner[one, sets[first[other]]] = first[other]
        partner[other, sets[first[one]]] = first[one]
    return _pairs(partner[item], first[item], sets)[0]


def similar_pairs(
    hashes: np.ndarray, thumbnails: np.ndarray, sets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of similar images, the smaller index first, in rising order.

    An image is paired with the most similar one of each set (the first among equals), so that there
    are few pairs even if it has many likenesses. Of the images of a set with equal hashes, the
    first stands for all when they are compared with others.

    Args:
        hashes: uint64 [N], of ``perceptual_hash``.
        thumbnails: uint8 [N, 256], of ``thumbnail``.
        sets: int [N], the set of each image, from 0.

    Returns:
        int64 [P, 2], and int64 [P], the number of bits in which the hashes differ.
    """
    item, first = _items(hashes, sets)
    closest = np.full((len(first), sets.max(initial=0) + 1), _FAR)
    for one, other, distance in close_pairs(hashes[first], MAX_DISTANCE):
        alike = _correlate(thumbnails[first[one]], thumbnails[first[other]])
        ends = first[one[alike]], first[other[alike]]
        # The distance above, the image below: the smallest is the closest image, the first of many.
        near = distance[alike].astype(np.int64) << 32
        np.minimum.at(closest, (one[alike], sets[ends[1]]), near | ends[1])
        np.minimum.at(closest, (other[alike], sets[ends[0]]), near | ends[0])
    pairs, distances = _pairs(closest[item], first[item], sets)
    alike = _correlate(thumbnails[pairs[:, 0]], thumbnails[pairs[:, 1]])
    return pairs[alike], distances[alike]


def close_pairs(
    hashes: np.ndarray, max_distance: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yields every pair of hashes that differ in few bits, once, as two arrays of indices and bits.

    The bits are dealt into ``max_distance`` + 1 bands: in one of them such hashes are equal. Takes
    memory for a few numbers per hash, however many pairs there are.

    Args:
        hashes: uint64 [N].
        max_distance: the number of bits.
    """
    # Every so many bits: neighbouring ones are often equal together, and a band of them would not
    # tell images apart.
    bits = np.arange(HASH_BITS, dtype=np.uint64)
    num_bands = max_distance + 1
    masks = [
        np.bitwise_or.reduce(np.uint64(1) << bits[band::num_bands]) for band in range(num_bands)
    ]
    for band, mask in enumerate(masks):
        order = np.argsort(hashes & mask, kind="stable")
        ordered = hashes[order]
        for one, other in grouped_pairs(ordered & mask):
            different = ordered[one] ^ ordered[other]
            distance = _count_bits(different)
            close = distance <= max_distance
            # Pairs that an earlier band has yielded.
            for earlier in masks[:band]:
                close &= (different & earlier) != 0
            if close.any():
                yield order[one[close]], order[other[close]], distance[close]


def grouped_pairs(keys: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields every pair of places with equal keys, as two arrays; no place is twice in an array.

    Args:
        keys: [N], equal ones beside each other.
    """
    step, one = 1, np.arange(len(keys))
    while len(one := one[one < len(keys) - step]):
        # Whoever differs from the one before differs from those further on too.
        one = one[keys[one] == keys[one + step]]
        yield one, one + step
        step += 1


def _items(keys: np.ndarray, sets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Groups of equal key and set: the group [N] of each image, and the first image [G] of each."""
    order = np.lexsort((sets, keys))
    is_new = np.ones(len(order), bool)
    is_new[1:] = (np.diff(keys[order]) != 0) | (np.diff(sets[order]) != 0)
    item = np.empty(len(order), np.int64)
    item[order] = np.cumsum(is_new) - 1
    return item, order[is_new]


def _pairs(
    closest: np.ndarray, first: np.ndarray, sets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs and their distances.

    Args:
        closest: [N, sets], the closest image of each set and its distance, or _FAR.
        first: [N], the first image of the group of each; it is 0 away from the others.
        sets: [N], the set of each image.
    """
    images = np.arange(len(first))
    later = first != images
    closest[images[later], sets[later]] = first[later]
    one, column = np.nonzero(closest < _FAR)
    value = closest[one, column]
    other, distance = value & 0xFFFFFFFF, value >> 32
    pairs = np.sort(np.stack([one, other], axis=1), axis=1)
    pairs, places = np.unique(pairs, axis=0, return_index=True)
    return pairs, distance[places]


def _correlate(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Whether thumbnails [P, 256] correlate, bool [P]."""
    alike = np.zeros(len(ones), bool)
    # In blocks, as floats take four times the memory.
    for start in range(0, len(ones), _BLOCK):
        block = slice(start, start + _BLOCK)
        one, other = (
            part[block].astype(np.float32) - part[block].mean(axis=1, keepdims=True)
            for part in (ones, others)
        )
        norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        alike[block] = (one * other).sum(axis=1) >= _MIN_CORRELATION * norms
    return alike


_BLOCK = 2**14


def _count_bits(values: np.ndarray) -> np.ndarray:
    """The number of ones in uint64, as uint8; NumPy has a function for it from version 2 on."""
    # Sums of 2, 4, 8 bits; the multiplication adds the eight bytes in the highest one.
    values = values - ((values >> np.uint64(1)) & _EVERY[0])
    values = (values & _EVERY[1]) + ((values >> np.uint64(2)) & _EVERY[1])
    values = (values + (values >> np.uint64(4))) & _EVERY[2]
    return ((values * _EVERY[3]) >> np.uint64(56)).astype(np.uint8)


_EVERY = [np.uint64(int(byte * 8, 16)) for byte in ("55", "33", "0F", "01")]
