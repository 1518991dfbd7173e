"""Videos with boxes, written by OpenCV."""

import pathlib
from typing import Any

import numpy as np

from ssd_tfrecord.detection.outputs.output_folder import clear
from ssd_tfrecord.detection.sources import video_reader
from ssd_tfrecord.errors import DiskError

SUFFIX = ".mp4"
# MPEG-4 counts time in parts of a second, in 16 bits.
_MAX_PARTS = 2**16 - 1
# OpenCV takes slower ones for none.
_MIN_RATE = 0.002


class VideoWriting:
    """A video that is written frame by frame.

    Args:
        path: of the video, an MP4.
        frames_per_second: of the video, above 0; as near to it as the format can come.
    """

    def __init__(self, path: pathlib.Path, frames_per_second: float) -> None:
        self._path = path
        self._rate = _writable(frames_per_second)
        self._cv2 = video_reader.opencv()
        self._writer: Any = None
        self._count = 0

    def add(self, pixels: np.ndarray) -> None:
        """Adds a frame.

        Args:
            pixels: uint8 [height, width, 3] RGB; all of the first one's size.

        Raises:
            DiskError: the video cannot be written.
            OSError: its name is another thing's.
        """
        # The codec wants even sides.
        height, width = (max(2, side // 2 * 2) for side in pixels.shape[:2])
        pixels = np.pad(pixels, [(0, 2), (0, 2), (0, 0)], "edge")[:height, :width]
        if self._writer is None:
            # OpenCV follows links.
            clear(self._path)
            codec = self._cv2.VideoWriter_fourcc(*"mp4v")
            self._writer = self._cv2.VideoWriter(
                str(self._path), self._cv2.CAP_FFMPEG, codec, self._rate, (width, height)
            )
        if not self._writer.isOpened():
            raise DiskError(f"{self._path}: cannot be written")
        self._writer.write(self._cv2.cvtColor(pixels, self._cv2.COLOR_RGB2BGR))
        self._count += 1

    def close(self) -> None:
        """Ends the video, and looks whether it is all there: OpenCV says nothing of a full disk.

        Raises:
            DiskError: it is not.
        """
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        capture = self._cv2.VideoCapture(str(self._path), self._cv2.CAP_FFMPEG)
        count = capture.get(self._cv2.CAP_PROP_FRAME_COUNT) if capture.isOpened() else 0
        capture.release()
        if count < self._count:
            raise DiskError(f"{self._path}: only {count:.0f} of {self._count} frames were written")


def _writable(frames_per_second: float) -> float:
    """The nearest rate that OpenCV can write.

    It makes a fraction of a rate, with the first of 1, 10, 100 and 1000 below the line by which it
    is met to a thousandth. Of 119.673 the number above the line would be too large.
    """
    digits = next((n for n in (3, 2, 1) if frames_per_second * 10**n <= _MAX_PARTS), 0)
    return min(max(round(frames_per_second, digits), _MIN_RATE), float(_MAX_PARTS))
