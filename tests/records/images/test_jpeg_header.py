"""JPEG headers against Pillow's own reading, and every way a header can be cut or wrong."""

import io
import time

import numpy as np
import pytest
from PIL import Image

from ssd_tfrecord.records.images.jpeg_header import read_header


def _jpeg(mode="RGB", **options):
    target = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(target, "JPEG", **options)
    return target.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_size_and_scans(mode, progressive):
    encoded = _jpeg(mode, progressive=progressive)
    header = read_header(encoded)
    assert (header.height, header.width) == (30, 40)
    assert (header.common, header.closed, header.exif) == (True, True, b"")
    # libjpeg's progressive scripts: 10 scans for YCbCr, 6 for grey, 18 for four equal channels.
    scans = {"RGB": 10, "L": 6, "CMYK": 18}[mode] if progressive else 1
    assert header.num_scans == scans
    assert header.progressive == progressive
    assert header.chroma == {"RGB": "4:2:0", "L": "grey", "CMYK": "other"}[mode]


@pytest.mark.parametrize(
    ("factors", "chroma"),
    [
        ((0x11, 0x11, 0x11), "4:4:4"),
        ((0x21, 0x11, 0x11), "4:2:2"),
        ((0x22, 0x11, 0x11), "4:2:0"),
        ((0x22, 0x21, 0x21), "4:4:0"),
        ((0x41, 0x11, 0x11), "4:1:1"),
        ((0x22, 0x12, 0x21), "other"),
        ((0x11, 0x22, 0x22), "other"),
        ((0x31, 0x21, 0x21), "other"),
        ((0x21, 0x00, 0x00), "other"),
    ],
    ids=str,
)
def test_chroma_of_sampling_factors(factors, chroma):
    encoded = bytearray(_jpeg())
    # Marker, length, bits, height, width and number of components; then three bytes of each.
    first = encoded.index(b"\xff\xc0") + 10
    for number, factor in enumerate(factors):
        encoded[first + 3 * number + 1] = factor
    assert read_header(bytes(encoded)).chroma == chroma


def test_the_exif_segment_is_cut_out_and_its_thumbnail_does_not_end_the_image():
    exif = Image.Exif()
    exif[0x0112] = 6
    encoded = _jpeg(exif=exif)
    header = read_header(encoded)
    assert header.exif == exif.tobytes()
    with_thumbnail = _jpeg(exif=b"Exif\0\0" + _jpeg())
    cut = with_thumbnail[: with_thumbnail.rindex(b"\xff\xd9")]
    assert not read_header(cut).closed
    assert read_header(with_thumbnail).closed


def test_fill_bytes_and_comments_are_skipped():
    encoded = _jpeg()
    assert read_header(encoded[:2] + b"\xff\xff\xff\xfe\x00\x04ab" + encoded[2:]).width == 40


def _of_many_scans(progressive, number):
    """A whole JPEG, whose first scan is there ``number`` times; a sequential one's is of grey."""
    encoded = _jpeg(progressive=progressive)
    start = encoded.index(b"\xff\xda")
    scan = b"\xff\xda\0\x08\1\1\0\0\x3f\0\x12\xff\0"
    if progressive:
        scan = encoded[start : encoded.index(b"\xff\xc4", start)]
    return encoded[:start] + number * scan + encoded[start:]


@pytest.mark.parametrize("progressive", [False, True])
def test_scans_are_counted_to_the_end_of_the_image(progressive):
    encoded = _of_many_scans(progressive, 7)
    whole = 17 if progressive else 8
    assert read_header(encoded).num_scans == whole
    assert read_header(encoded + 100 * b"\xff\xda").num_scans == whole
    # Neither a comment's content nor a reserved marker's length is what it seems to be.
    start = encoded.index(b"\xff\xda")
    start += 2 + encoded[start + 3]
    for marker in (b"\xff\xfe\0\6\xff\xd9\xff\xda", b"\xff\x02\xff\xff", b"\xff\xff\xff\xd3"):
        assert read_header(encoded[:start] + marker + encoded[start:]).num_scans == whole


def test_one_scan_of_all_components_is_not_looked_through():
    assert read_header(_jpeg() + 100 * b"\xff\xda").num_scans == 1
    assert read_header(_jpeg("L")[:-2] + 100 * b"\xff\xda").num_scans == 1


def test_fill_bytes_without_end_are_passed_quickly():
    encoded = _of_many_scans(False, 1)
    start = time.process_time()
    assert read_header(encoded[:-2] + 10**6 * b"\xff" + b"\0\xff\xda").num_scans == 3
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("frame", "bits", "components"), [(0xC3, 8, 3), (0xC0, 12, 3), (0xC0, 8, 2)]
)
def test_uncommon_frames(frame, bits, components):
    encoded = bytearray(_jpeg())
    position = encoded.index(b"\xff\xc0")
    encoded[position + 1], encoded[position + 4], encoded[position + 9] = frame, bits, components
    assert not read_header(bytes(encoded)).common


def test_no_whole_header():
    encoded = _jpeg()
    start = encoded.index(b"\xff\xda") + 14
    assert read_header(encoded[:start]) is not None
    for length in range(start):
        assert read_header(encoded[:length]) is None
    frame = encoded.index(b"\xff\xc0")
    for wrong in (
        encoded[:frame] + encoded[frame + 19 :],  # no frame
        encoded[: frame + 5] + b"\0\0" + encoded[frame + 7 :],  # no height
        encoded[: frame + 2] + b"\0\1" + encoded[frame + 4 :],  # length less than its own bytes
        encoded[: frame + 2] + b"\xff\xff" + encoded[frame + 4 :],  # length beyond the end
        encoded[:2] + b"\xff\xd9" + encoded[2:],
        encoded[:2] + b"text" + encoded[2:],
    ):
        assert read_header(wrong) is None
