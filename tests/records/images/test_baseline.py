"""Progressive JPEGs as baseline ones: equal pixels or none, whatever jpegtran does."""

import io
import shutil
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import ImageOptions, RecordSetOptions
from ssd_tfrecord.records import schema
from ssd_tfrecord.records.images import baseline, stored_image
from ssd_tfrecord.records.images.formats import UnreadableImageError
from ssd_tfrecord.records.images.jpeg_header import read_header
from ssd_tfrecord.records.rejects import DroppedImage
from ssd_tfrecord.records.sources import voc
from ssd_tfrecord.records.sources.source_set import SourceImage
from ssd_tfrecord.records.writing import convert

with_jpegtran = pytest.mark.skipif(
    shutil.which("jpegtran") is None,
    reason="jpegtran is not installed (Debian: libjpeg-turbo-progs)",
)


def _jpeg(mode="RGB", height=37, width=53, seed=0, **options):
    # Small pictures in noise: coefficients of all frequencies.
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    pixels = np.minimum(pixels, np.arange(width, dtype=np.uint8)[:, None] * 4)
    target = io.BytesIO()
    options = {"progressive": True, "quality": 85, **options}
    Image.fromarray(pixels).convert(mode).save(target, "JPEG", **options)
    return target.getvalue()


def _as_baseline(content):
    return baseline.as_baseline(content, read_header(content))


def _decoded(encoded):
    return tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE").numpy()


KINDS = {
    "4:2:0": {},
    "4:2:2": {"subsampling": 1},
    "4:4:4": {"subsampling": 0},
    "grey": {"mode": "L"},
    "CMYK": {"mode": "CMYK"},
    "a pixel": {"height": 1, "width": 1},
    "a pixel wide": {"height": 3000, "width": 1},
    "restarts": {"restart_marker_rows": 1},
    "quality 100": {"quality": 100},
}


@with_jpegtran
@pytest.mark.parametrize("kind", KINDS)
def test_one_scan_of_equal_pixels(kind):
    content = _jpeg(**KINDS[kind])
    rewritten = _as_baseline(content)
    header = read_header(rewritten)
    assert read_header(content).num_scans > 1
    assert (header.num_scans, header.common, header.closed) == (1, True, True)
    assert b"\xff\xc2" not in rewritten
    np.testing.assert_array_equal(_decoded(rewritten), _decoded(content))


@with_jpegtran
def test_all_segments_stay():
    exif = Image.Exif()
    exif[0x0112] = 6
    content = _jpeg(exif=exif, icc_profile=b"profile" * 20, comment=b"a comment", dpi=(72, 96))
    before, after = (Image.open(io.BytesIO(item)) for item in (content, _as_baseline(content)))
    assert after.getexif() == before.getexif() == {0x0112: 6}
    for key in ("icc_profile", "comment", "dpi"):
        assert after.info[key] == before.info[key]


@with_jpegtran
def test_without_the_last_bits_a_decoder_guesses_so_the_file_stays():
    content = _jpeg(quality=95)
    # Up to the fourth scan: what the later ones would say is smoothed by libjpeg as it decodes.
    starts = [place for place in range(len(content)) if content.startswith(b"\xff\xda", place)]
    tables = content.rindex(b"\xff\xc4", 0, starts[3])
    broken_off = content[:tables] + b"\xff\xd9"
    assert _decoded(broken_off).shape == (37, 53, 3)
    assert _as_baseline(broken_off) is None


@with_jpegtran
def test_a_limit_of_memory_holds(monkeypatch):
    # 1.9 MB of coefficients, for which memory is asked once the limit is there.
    content = _jpeg(height=800, width=800)
    assert _as_baseline(content) is not None
    monkeypatch.setattr(baseline, "_PROGRAM_BYTES", 2**20)
    monkeypatch.setattr(baseline, "_BYTES_PER_PIXEL", 0)
    assert _as_baseline(content) is None


# Programs of the same name, which do other things.


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Makes a shell script the one jpegtran that is found."""

    def make(script):
        path = tmp_path / "bin/jpegtran"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")

    return make


ONE_SCAN = _jpeg(progressive=False)
OTHERS = {
    "nothing": b"",
    "no JPEG": b"GIF89a",
    "the file itself": _jpeg(),
    "half of it": ONE_SCAN[: len(ONE_SCAN) // 2],
    "no end": ONE_SCAN[:-2],
    "other pixels": _jpeg(progressive=False, seed=1),
    "another size": _jpeg(progressive=False, height=53, width=37),
    "another orientation": _jpeg(progressive=False, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_written_must_be_the_same_image(program, tmp_path, kind):
    (tmp_path / "other").write_bytes(OTHERS[kind])
    program(f"cat > /dev/null; cat {tmp_path}/other")
    assert _as_baseline(_jpeg()) is None


def test_the_right_file_is_taken_but_not_with_a_warning(program, tmp_path):
    (tmp_path / "other").write_bytes(ONE_SCAN)
    program(f"cat > /dev/null; cat {tmp_path}/other")
    assert _as_baseline(_jpeg()) == ONE_SCAN
    program(f"cat > /dev/null; cat {tmp_path}/other; exit 2")
    assert _as_baseline(_jpeg()) is None


@pytest.mark.parametrize(
    ("script", "patience"), [("exec sleep 60", 3), ("while :; do :; done", 60)]
)
def test_a_program_that_does_not_end_is_ended(program, monkeypatch, script, patience):
    # The one waits, the other works: a second of CPU time, which a busy machine may take long for.
    monkeypatch.setattr(baseline, "_SECONDS", 1)
    monkeypatch.setattr(baseline, "_PATIENCE", patience)
    program(script)
    start = time.monotonic()
    assert _as_baseline(_jpeg()) is None
    assert time.monotonic() - start < 40


def test_a_damaged_file_is_refused_before_anything_runs(program, tmp_path):
    program(f"touch {tmp_path}/ran")
    content = _jpeg()
    with pytest.raises(UnreadableImageError, match="it is truncated"):
        baseline.as_baseline(content[: len(content) // 2], read_header(content[:-2]))
    assert not (tmp_path / "ran").exists()


# In a conversion.


def _read(path, **options):
    source = SourceImage("7", str(path), "7.xml", None)
    return stored_image.read_image(source, ImageOptions(**options))


@with_jpegtran
@pytest.mark.parametrize("verify", ["decode", "header"])
def test_only_progressive_files_are_rewritten(tmp_path, verify):
    options = {"verify": verify, "progressive": "baseline"}
    (tmp_path / "a.jpg").write_bytes(_jpeg())
    image = _read(tmp_path / "a.jpg", **options)
    assert (image.height, image.width, image.original_format) == (37, 53, "jpeg")
    assert (image.notes, image.changes) == (("made_baseline",), ())
    assert image.encoded == _as_baseline(_jpeg())
    (tmp_path / "a.jpg").write_bytes(ONE_SCAN)
    image = _read(tmp_path / "a.jpg", **options)
    assert (image.encoded, image.notes) == (ONE_SCAN, ())


@pytest.mark.parametrize("verify", ["decode", "header"])
def test_what_cannot_be_rewritten_is_kept_and_counted(program, tmp_path, verify):
    program("exit 1")
    (tmp_path / "a.jpg").write_bytes(_jpeg())
    image = _read(tmp_path / "a.jpg", verify=verify, progressive="baseline")
    assert (image.encoded, image.notes) == (_jpeg(), ("still_progressive",))
    assert _read(tmp_path / "a.jpg", verify=verify).notes == ()


def test_a_damaged_progressive_file_is_damaged_even_with_header(program, tmp_path):
    program("exit 1")
    content = bytearray(_jpeg(height=200, width=200))
    # A scan's own header in the middle: how many components it has.
    content[content.index(b"\xff\xda", len(content) // 3) + 4] = 9
    (tmp_path / "a.jpg").write_bytes(content)
    options = {"verify": "header", "bad_images": "drop"}
    assert _read(tmp_path / "a.jpg", **options).notes == ()
    with pytest.raises(DroppedImage, match="TensorFlow's decoder refuses it"):
        _read(tmp_path / "a.jpg", progressive="baseline", **options)


@with_jpegtran
def test_a_set_says_how_many_were_rewritten_and_depends_on_the_program(
    tiny_voc, tmp_path, monkeypatch
):
    identities = []
    journal = convert.Journal
    monkeypatch.setattr(
        convert,
        "Journal",
        lambda folder, identity, **options: (
            identities.append(identity) or journal(folder, identity, **options)
        ),
    )
    path = tiny_voc / "VOC2007/JPEGImages/000002.jpg"
    Image.open(path).save(path, progressive=True)
    pixels = _decoded(path.read_bytes())
    sources = voc.read_devkit(str(tiny_voc), ["2007_trainval"])
    kept, described = (
        convert.convert(
            sources,
            RecordSetOptions(output_dir=str(tmp_path / kind), classes="auto", num_shards=1),
            images=ImageOptions(progressive=kind),
            tool="test",
            flag_lines=["--a=b"],
        )
        for kind in ("keep", "baseline")
    )
    assert (dict(kept.notes), dict(described.notes)) == ({}, {"made_baseline": 1})
    # An unfinished conversion is not resumed with another jpegtran, which may write other bytes.
    assert "jpegtran" not in identities[0]
    assert identities[1]["jpegtran"] == baseline.jpegtran_version() != ""
    (record,) = (
        record
        for record in tf.data.TFRecordDataset(described.shard_paths).map(schema.parse_example)
        if record["source_id"] == b"VOC2007/000002"
    )
    assert read_header(record["encoded"].numpy()).num_scans == 1
    np.testing.assert_array_equal(_decoded(record["encoded"]), pixels)


def test_without_jpegtran_nothing_is_begun(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    options = RecordSetOptions(output_dir=str(tmp_path / "set"))
    message = r"^--progressive=baseline: jpegtran is not installed: .*; or pass --progressive=keep$"
    with pytest.raises(InputError, match=message):
        convert.check_output(options, ImageOptions(progressive="baseline"))
    convert.check_output(options, ImageOptions())
    # Where all is encoded anew, nothing is left to rewrite.
    convert.check_output(options, ImageOptions(progressive="baseline", recode=True))


def test_the_version_is_the_first_line_that_it_says(program):
    baseline.jpegtran_version.cache_clear()
    program('echo "libjpeg-turbo version 9" >&2; echo more >&2')
    assert baseline.jpegtran_version() == "libjpeg-turbo version 9"
    baseline.jpegtran_version.cache_clear()
