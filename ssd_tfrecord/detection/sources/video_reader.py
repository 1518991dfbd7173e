"""Frames of video files and cameras, decoded by OpenCV: the extra ``video``."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from ssd_tfrecord.detection.sources.source_list import Source
from ssd_tfrecord.errors import InputError

# FFmpeg guesses what a file is, and a playlist would open others: none from the network.
_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
# A camera's, and a file's that does not say.
DEFAULT_RATE = 25.0
_MAX_RATE = 1000.0


def opencv() -> Any:
    """The module cv2.

    Raises:
        InputError: it is not installed.
    """
    os.environ.setdefault(_OPTIONS, "protocol_whitelist;file")
    # Its own messages on damaged files say nothing to a user.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    try:
        import cv2
    except ImportError:
        raise InputError(
            "videos and cameras need OpenCV: pip install 'ssd_tfrecord[video]'"
        ) from None
    return cv2


def read(source: Source, max_pixels: int) -> Iterator[tuple[np.ndarray, float]]:
    """The frames of a video or camera: (uint8 [height, width, 3] RGB, seconds from its begin).

    Args:
        source: a video or a camera.
        max_pixels: of a frame; a video of larger ones is not decoded.

    Raises:
        InputError: it cannot be opened or has no frame, or they are too large.
    """
    cv2 = opencv()
    with _opened(cv2, source, max_pixels) as capture:
        frames_per_second = rate(capture.get(cv2.CAP_PROP_FPS))
        number = 0
        while True:
            there, pixels = capture.read()
            if not there:
                break
            yield cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), number / frames_per_second
            number += 1
    if not number:
        raise InputError(f"{source.name}: no frame can be decoded; must be an intact video")


def rate(frames_per_second: float) -> float:
    """``frames_per_second`` if it can be one, else 25."""
    return frames_per_second if 0 < frames_per_second <= _MAX_RATE else DEFAULT_RATE


def facts(source: Source) -> tuple[int, float]:
    """(number of frames as the file states it, 0 if it does not; frames per second).

    Raises:
        InputError: OpenCV is not installed.
    """
    cv2 = opencv()
    if source.kind == "camera":
        return 0, DEFAULT_RATE
    capture = cv2.VideoCapture(str(source.path), cv2.CAP_FFMPEG)
    try:
        count, stated = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
    finally:
        capture.release()
    return (int(count) if 0 < count < 1e9 else 0), rate(stated)


@contextlib.contextmanager
def _opened(cv2: Any, source: Source, max_pixels: int) -> Iterator[Any]:
    if source.kind == "camera":
        capture = cv2.VideoCapture(int(str(source.path)))
        must = "must be the number of a camera of this machine"
    else:
        capture = cv2.VideoCapture(str(source.path), cv2.CAP_FFMPEG)
        must = "must be an intact video"
    try:
        if not capture.isOpened():
            raise InputError(f"{source.name}: cannot be opened; {must}")
        width, height = (
            int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        )
        if width * height > max_pixels:
            raise InputError(
                f"{source.name}: {width}x{height} is too many pixels: must be at most {max_pixels}"
            )
        yield capture
    finally:
        capture.release()
