"""16 bits -> 8: numbers worked by hand, for scaled and for stretched levels."""

import numpy as np
import pytest
from PIL import Image

from ssd_tfrecord.records.images import levels


def _reduce(pixels, stretch="percentile", dtype=np.uint16):
    image, done = levels.to_8_bits(Image.fromarray(np.asarray(pixels, dtype)), stretch)
    assert image.mode == "L"
    return np.asarray(image), done


@pytest.mark.parametrize("dtype", [np.uint16, np.dtype(">u2"), np.int32])
def test_all_levels_are_scaled_to_the_nearest(dtype):
    every = np.arange(65536).reshape(256, 256)
    reduced, done = _reduce(every, "none", dtype)
    np.testing.assert_array_equal(reduced, np.round(every * 255 / 65535))
    assert done == {}


def test_bands_of_rows_are_one_image(monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 65536, (37, 11))
    whole = {stretch: _reduce(pixels, stretch) for stretch in ("none", "percentile")}
    monkeypatch.setattr(levels, "_BAND_PIXELS", 50)
    for stretch, (expected, done) in whole.items():
        reduced, other = _reduce(pixels, stretch)
        np.testing.assert_array_equal(reduced, expected)
        assert done == other


def test_the_percentiles_become_black_and_white_and_what_is_beyond_is_clipped():
    # 2000 pixels: 0.1 % are two of them. The two darkest and the two brightest are far off.
    middle = np.linspace(20000, 20510, 1996).round()
    pixels = np.concatenate([[3, 5], middle, [60000, 65535]]).reshape(40, 50)
    reduced, done = _reduce(pixels)
    # By nearest rank the percentiles are the 2nd and the 1998th level: 5 and 20510.
    expected = np.round((np.clip(pixels, 5, 20510) - 5) * 255 / 20505)
    np.testing.assert_allclose(reduced, expected, atol=0.5)
    assert done["stretched"] == ""
    # Of 3000, three: now the 3rd darkest and the 2997th count, and the range is that of the rest.
    middle = np.linspace(20000, 20510, 2994).round()
    pixels = np.concatenate([[3, 5, 20000], middle, [20510, 60000, 65535]]).reshape(60, 50)
    reduced, done = _reduce(pixels)
    np.testing.assert_array_equal(reduced, np.clip(np.floor((pixels - 20000) / 2 + 0.5), 0, 255))
    assert done == {"stretched": ""}


def test_half_levels_are_rounded_up():
    assert _reduce([[1000, 1001, 1002]])[0].tolist() == [[0, 128, 255]]


@pytest.mark.parametrize("level", [0, 30000, 65535])
def test_a_constant_image_is_scaled(level):
    reduced, done = _reduce(np.full((8, 8), level))
    assert (reduced == round(level / 257)).all()
    assert done == {}


def test_an_image_constant_but_for_its_tails_is_scaled():
    pixels = np.full(10_000, 30000)
    pixels[:3] = 1, 2, 65535
    reduced, done = _reduce(pixels.reshape(100, 100))
    assert np.unique(reduced).tolist() == [0, 117, 255]
    assert done == {"few_levels": "16 bits, 1 to 65535 of 65535: 3 grey levels of 256 are left"}


def _using(num_left, num_levels):
    """Levels of which ``num_left`` are left when they are scaled."""
    used = np.concatenate([257 * np.arange(num_left), np.arange(1, num_levels - num_left + 1)])
    return used.reshape(1, -1)


@pytest.mark.parametrize(
    ("pixels", "detail"),
    [
        (_using(63, 64), "16 bits, 0 to 15934 of 65535: 63 grey levels of 256 are left"),
        (_using(64, 100), None),
        # As many as there were: nothing has vanished.
        (_using(63, 63), None),
        (_using(2, 2), None),
        # A mask: each of its levels has become black.
        ([[0, 1, 2, 3]], "16 bits, 0 to 3 of 65535: 1 grey level of 256 is left"),
        ([[9]], None),
    ],
)
def test_few_levels_are_those_of_which_some_have_vanished(pixels, detail):
    expected = {} if detail is None else {"few_levels": f"{detail}; see --stretch"}
    assert _reduce(pixels, "none")[1] == expected


@pytest.mark.parametrize("value", [-1, 65536])
def test_more_than_16_bits_are_an_error(value):
    with pytest.raises(ValueError, match="more than 16 bits per channel"):
        _reduce([[0, value]], "none", np.int32)
