"""Twins among images: the hash against a worked pattern, the pairs against all pairs."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from ssd_tfrecord.inspection import near_duplicates


def _scene(seed, size=(320, 240)):
    """A picture of blurred patches of colour with a fine grain, as photographs are."""
    random = np.random.default_rng(seed)
    patches = Image.fromarray(random.integers(0, 256, [9, 12, 3], np.uint8))
    pixels = np.asarray(patches.resize(size, Image.Resampling.BICUBIC), np.int16)
    grain = random.integers(-8, 9, pixels.shape)
    return Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8))


def _jpeg(image, quality=90):
    target = io.BytesIO()
    image.save(target, "JPEG", quality=quality)
    return target.getvalue()


def _hash(encoded):
    return near_duplicates.perceptual_hash(near_duplicates.read_luma(encoded))


def _distance(one, other):
    return (_hash(one) ^ _hash(other)).bit_count()


def test_the_hash_tells_which_low_frequencies_are_strong():
    """Of a luma made of 64 cosines, 32 of them added, the constant one too, and 32 taken away."""
    others = np.random.default_rng(1).permutation(np.repeat([True, False], [31, 32]))
    strong = np.array([True, *others]).reshape(8, 8)
    places = np.arange(32) + 0.5
    waves = np.cos(np.pi / 32 * np.arange(8)[:, np.newaxis] * places)
    luma = 128 + waves.T @ np.where(strong, 3.0, -3.0) @ waves
    value = near_duplicates.perceptual_hash(np.round(np.clip(luma, 0, 255)).astype(np.uint8))
    assert f"{value:064b}" == "".join("01"[bit] for bit in strong.ravel().astype(int))


@pytest.mark.parametrize(
    "change",
    [
        lambda image: _jpeg(image, 60),
        lambda image: _jpeg(image, 95),
        lambda image: _jpeg(image.resize((160, 120))),
        lambda image: _jpeg(image.resize((500, 375))),
        lambda image: _jpeg(ImageEnhance.Brightness(image).enhance(1.1)),
        lambda image: _jpeg(image.convert("L")),
        lambda image: _jpeg(image.convert("CMYK")),
    ],
    ids=["quality 60", "quality 95", "half", "larger", "brighter", "grey", "cmyk"],
)
def test_a_copy_has_nearly_the_same_hash(change):
    for seed in range(5):
        image = _scene(seed)
        assert _distance(_jpeg(image), change(image)) <= near_duplicates.MAX_DISTANCE


def test_another_scene_has_another_hash():
    hashes = [_hash(_jpeg(_scene(seed))) for seed in range(20)]
    distances = [(a ^ b).bit_count() for i, a in enumerate(hashes) for b in hashes[:i]]
    assert min(distances) > 2 * near_duplicates.MAX_DISTANCE


@pytest.mark.parametrize(
    "encoded",
    [
        _jpeg(Image.new("RGB", (80, 60), (10, 200, 30))),
        _jpeg(_scene(0))[:900],
        b"",
        b"\x89PNG\r\n\x1a\n",
    ],
    ids=["one colour", "cut off", "empty", "png"],
)
def test_what_has_no_hash(encoded):
    assert near_duplicates.read_luma(encoded) is None


def test_the_thumbnail_is_the_mean_of_four_pixels():
    luma = np.arange(1024).reshape(32, 32).astype(np.uint8)
    thumbnail = near_duplicates.thumbnail(luma)
    assert thumbnail.shape == (256,)
    # 0, 1, 32 and 33; 2, 3, 34 and 35; and of the third row of thumbnail pixels 128, 129, 160, 161.
    assert thumbnail[[0, 1, 32]].tolist() == [16, 18, 144]


def test_every_pair_of_equal_neighbours_comes_once():
    pairs = [
        (int(one), int(other))
        for ones, others in near_duplicates.grouped_pairs(np.array([4, 4, 4, 7, 2, 2]))
        for one, other in zip(ones, others)
    ]
    assert sorted(pairs) == [(0, 1), (0, 2), (1, 2), (4, 5)]


def _likenesses(random, num_hashes):
    """Hashes in families, whose members differ from the first in up to six bits, or in none."""
    families = random.integers(0, 2**64, num_hashes // 10 + 1, np.uint64)
    hashes = random.permutation(np.repeat(families, 10)[:num_hashes])
    for _ in range(6):
        flips = np.uint64(1) << random.integers(0, 64, num_hashes).astype(np.uint64)
        hashes ^= np.where(random.random(num_hashes) < 0.25, flips, np.uint64(0))
    return hashes


def _all_close_pairs(hashes, max_distance):
    values = [int(value) for value in hashes]
    pairs = [(a, b) for b in range(len(values)) for a in range(b)]
    distances = {(a, b): (values[a] ^ values[b]).bit_count() for a, b in pairs}
    return {pair: bits for pair, bits in distances.items() if bits <= max_distance}


@pytest.mark.parametrize("max_distance", [0, 1, 4, 6, 9])
@pytest.mark.parametrize("num_hashes", [0, 1, 400, pytest.param(3000, marks=pytest.mark.soak)])
def test_close_pairs_are_those_that_comparing_all_finds(num_hashes, max_distance):
    hashes = _likenesses(np.random.default_rng(max_distance), num_hashes)
    found = [
        ((min(one, other), max(one, other)), bits)
        for ones, others, distances in near_duplicates.close_pairs(hashes, max_distance)
        for one, other, bits in zip(ones.tolist(), others.tolist(), distances.tolist())
    ]
    expected = _all_close_pairs(hashes, max_distance)
    assert len(expected) >= (num_hashes >= 400)
    # Each pair once.
    assert len(found) == len(expected)
    assert dict(found) == expected


def test_equal_images_are_paired_with_the_first_of_each_set():
    digests = [letter * 32 for letter in (b"a", b"b", b"a", b"\x00", b"a", b"c", b"b", b"a")]
    sets = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    pairs = near_duplicates.equal_pairs(digests, sets)
    # 0 and 2 are "a" in the first set, 4 and 7 in the second.
    assert pairs.tolist() == [[0, 2], [0, 4], [0, 7], [1, 6], [2, 4], [4, 7]]


def _thumbnails(*seeds):
    rows = [np.random.default_rng(seed).integers(0, 256, 256) for seed in seeds]
    return np.array(rows, np.uint8)


def test_similar_images_are_paired_with_the_closest_of_each_set():
    hashes = np.array([0b0, 0b1111, 0b1, 0b0, 0b111, ~0], np.int64).astype(np.uint64)
    sets = np.array([0, 0, 0, 1, 1, 1])
    pairs, distances = near_duplicates.similar_pairs(hashes, _thumbnails(*[1] * 6), sets)
    assert dict(zip(map(tuple, pairs.tolist()), distances.tolist())) == {
        (0, 2): 1,
        (0, 3): 0,
        (1, 2): 3,
        (1, 4): 1,
        (2, 3): 1,
        (3, 4): 3,
    }


def test_of_equal_hashes_in_a_set_each_is_paired_with_the_first_and_with_the_other_set():
    hashes = np.array([5, 5, 5, 7], np.uint64)
    sets = np.array([0, 0, 0, 1])
    pairs, distances = near_duplicates.similar_pairs(hashes, _thumbnails(*[1] * 4), sets)
    assert pairs.tolist() == [[0, 1], [0, 2], [0, 3], [1, 3], [2, 3]]
    assert distances.tolist() == [0, 0, 1, 1, 1]


def test_pictures_that_look_different_are_no_pair_whatever_their_hashes():
    hashes = np.array([5, 5, 4], np.uint64)
    pairs, _ = near_duplicates.similar_pairs(hashes, _thumbnails(1, 2, 1), np.array([0, 0, 0]))
    assert pairs.tolist() == [[0, 2]]


def test_many_images_of_one_hash_are_few_pairs():
    hashes = np.zeros(2000, np.uint64)
    thumbnails = np.broadcast_to(_thumbnails(1), [2000, 256])
    pairs, _ = near_duplicates.similar_pairs(hashes, thumbnails, np.arange(2000) % 2)
    # Each with the first of its set, and with the first of the other; the two firsts once.
    assert len(pairs) == 2 * 999 + 2 * 999 + 1


def test_without_images_there_are_no_pairs():
    none = np.zeros(0, np.int64)
    assert near_duplicates.equal_pairs([], none).shape == (0, 2)
    empty = np.zeros([0, 256], np.uint8)
    pairs, distances = near_duplicates.similar_pairs(none.astype(np.uint64), empty, none)
    assert (pairs.shape, distances.shape) == ((0, 2), (0,))


def _similar(paths):
    lumas = [near_duplicates.read_luma(path.read_bytes()) for path in paths]
    hashes = np.array([near_duplicates.perceptual_hash(luma) for luma in lumas], np.uint64)
    thumbnails = np.array([near_duplicates.thumbnail(luma) for luma in lumas])
    pairs, _ = near_duplicates.similar_pairs(hashes, thumbnails, np.zeros(len(paths), np.int64))
    return [tuple(paths[image].stem for image in pair) for pair in pairs]


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (["VOCdevkit/VOC2012/JPEGImages", "coco_mini/train2017", "coco_mini/val2017"], []),
        # The same field of view twice.
        (["bccd/JPEGImages"], [("BloodImage_00037", "BloodImage_00038")]),
    ],
)
def test_of_real_images_no_two_are_taken_for_twins(real_data, folders, expected):
    paths = [path for name in folders for path in sorted((real_data / name).glob("*.jpg"))]
    assert len(paths) >= 350
    assert _similar(paths) == expected


def test_copies_of_real_images_are_found(real_data):
    paths = sorted((real_data / "VOCdevkit/VOC2012/JPEGImages").glob("*.jpg"))[::4]
    for path in paths:
        encoded = path.read_bytes()
        image = Image.open(io.BytesIO(encoded))
        half = image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC)
        brighter = ImageEnhance.Brightness(image).enhance(1.1)
        for copy in (_jpeg(image, 60), _jpeg(image, 95), _jpeg(half), _jpeg(brighter)):
            assert _distance(encoded, copy) <= near_duplicates.MAX_DISTANCE, path
