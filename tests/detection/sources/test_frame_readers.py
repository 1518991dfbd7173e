"""Images of files, animations and videos in order, each opened when its turn comes."""

import pathlib
import random
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from ssd_tfrecord.detection.sources import video_reader
from ssd_tfrecord.detection.sources.frame_readers import frames
from ssd_tfrecord.detection.sources.source_list import Source, find_sources
from ssd_tfrecord.errors import InputError

COLORS = [(250, 10, 10), (10, 250, 10), (10, 10, 250)]


def _frames(path, animated=True, max_pixels=10**6):
    sources = find_sources([str(path)])
    return list(frames(sources, stretch="none", max_pixels=max_pixels, animated=animated))


def _color(frame):
    return np.asarray(frame.load().shown()).reshape(-1, 3).mean(0).round()


def _animation(path, **options):
    first, *others = [Image.new("RGB", (20, 10), color) for color in COLORS]
    first.save(path, save_all=True, append_images=others, **options)
    return path


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.tif"])
def test_each_frame_of_an_animation_is_an_image(tmp_path, name):
    options = {"lossless": True} if name == "a.webp" else {}
    path = _animation(tmp_path / name, **options)
    found = _frames(path)
    assert [frame.name for frame in found] == [f"{path}#{number}" for number in (1, 2, 3)]
    for frame, color in zip(found, COLORS):
        np.testing.assert_allclose(_color(frame), color, atol=3)
    (first,) = _frames(path, animated=False)
    assert first.name == str(path)
    np.testing.assert_allclose(_color(first), COLORS[0], atol=3)


def test_a_file_of_one_frame_is_an_image_whatever_it_is_called(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.gif")
    Image.new("RGB", (4, 4)).save(tmp_path / "b.gif", "JPEG")
    (tmp_path / "c.gif").write_bytes(b"no image")
    found = _frames(tmp_path)
    assert [frame.name[-5:] for frame in found] == ["a.gif", "b.gif", "c.gif"]
    assert [frame.load().size for frame in found[:2]] == [(4, 4)] * 2
    with pytest.raises(InputError, match=r"c.gif: cannot be decoded"):
        found[2].load()


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.tif"])
def test_changed_bytes_are_frames_or_errors_that_name_the_file(tmp_path, name):
    draw, path = random.Random(name), _animation(tmp_path / name)
    content = path.read_bytes()
    failures = 0
    for _ in range(60):
        changed = bytearray(content)
        for _ in range(draw.choice([1, 3, 30])):
            changed[draw.randrange(4, len(changed))] = draw.randrange(256)
        path.write_bytes(changed[: draw.choice([len(changed)] * 3 + [len(changed) // 2])])
        for frame in _frames(path):
            try:
                assert min(frame.load().size) > 0
            except InputError as error:
                assert str(error).startswith(str(path)) and "\n" not in str(error)
                failures += 1
    assert failures > 3


def test_frames_of_too_many_pixels_are_errors(tmp_path):
    path = _animation(tmp_path / "a.gif")
    with pytest.raises(InputError, match=r"a.gif#1: 20x10 is too many pixels: must be at most 199"):
        _frames(path, max_pixels=199)[0].load()


def _video(path, size=(64, 48), count=5):
    codec = cv2.VideoWriter_fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, codec, 10.0, size)
    for number in range(count):
        writer.write(np.full((*size[::-1], 3), (250, 40 * number, 10), np.uint8))
    writer.release()
    return path


def test_each_frame_of_a_video_is_an_image_in_rgb(tmp_path):
    path = _video(tmp_path / "a.mp4")
    found = _frames(path)
    assert [frame.name for frame in found] == [f"{path}#{number}" for number in range(1, 6)]
    assert [frame.seconds for frame in found] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    for number, frame in enumerate(found):
        np.testing.assert_allclose(_color(frame), (10, 40 * number, 250), atol=8)
    assert video_reader.facts(Source(path, "video")) == (5, 10.0)


def test_what_is_no_video_is_an_error_of_its_own(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no video")
    (broken,) = _frames(tmp_path / "a.mp4")
    with pytest.raises(InputError, match=r"a.mp4: cannot be opened; must be an intact video"):
        broken.load()
    (large,) = _frames(_video(tmp_path / "b.mp4"), max_pixels=3071)
    with pytest.raises(InputError, match=r"b.mp4: 64x48 is too many pixels: must be at most 3071"):
        large.load()


def test_a_playlist_opens_no_address(tmp_path):
    (tmp_path / "a.mp4").write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n")
    (broken,) = _frames(tmp_path / "a.mp4")
    with pytest.raises(InputError, match=r"a.mp4: "):
        broken.load()


def test_without_opencv_a_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(InputError, match=r"pip install 'ssd_tfrecord\[video\]'"):
        video_reader.opencv()
    with pytest.raises(InputError, match=r"need OpenCV"):
        list(video_reader.read(Source(pathlib.Path("a.mp4"), "video"), 10))
