"""JPEGs of many scans, progressive ones above all, as JPEGs of one: the same pixels, to the bit.

To decode its windows of a progressive file takes training 3.2 times the CPU time of those of a
baseline one (VOC2012's and COCO's images made progressive; whole images: twice), which has 5 % more
bytes. jpegtran, one of libjpeg-turbo's programs, copies the coefficients from one kind to the
other. It is not trusted: files come from strangers, so it works under limits, and what it writes is
decoded and compared.
"""

import functools
import resource
import shutil
import subprocess

import numpy as np

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.images.decoding import decode_jpeg
from ssd_tfrecord.records.images.formats import UnreadableImageError
from ssd_tfrecord.records.images.jpeg_header import JpegHeader, read_header

_PROGRAM = "jpegtran"
# -optimize: Huffman tables made for the image, without which its file would be 4 % larger.
_FLAGS = ("-copy", "all", "-optimize")

# Coefficients of four channels at full resolution take 8 bytes a pixel. The rest is the program's,
# and of images a pixel wide, which it pads to whole blocks.
_BYTES_PER_PIXEL, _PROGRAM_BYTES = 12, 2**27
# An image of 10^6 pixels takes 0.1 s with the usual 10 scans; more than limits.MAX_SCANS, 100, are
# refused before.
_SECONDS, _PIXELS_PER_SECOND = 10, 10**6
# Of the clock, if the machine is that busy: a program that waits for something uses no CPU time.
_PATIENCE = 20


def find_jpegtran() -> str:
    """The path of jpegtran.

    Raises:
        InputError: there is none.
    """
    path = shutil.which(_PROGRAM)
    if path is None:
        raise InputError(
            f"--progressive=baseline: {_PROGRAM} is not installed: it is one of libjpeg-turbo's "
            "programs (Debian: libjpeg-turbo-progs, Fedora: libjpeg-turbo-utils); or pass "
            "--progressive=keep"
        )
    return path


@functools.cache
def jpegtran_version() -> str:
    """What jpegtran says about itself, on which the bytes of its files may depend."""
    done = subprocess.run(
        [find_jpegtran(), "-version"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    # libjpeg-turbo's says it on stderr; IJG's knows no such flag, and prints how it is used.
    return (done.stderr or done.stdout).decode(errors="replace").partition("\n")[0]


def as_baseline(content: bytes, header: JpegHeader) -> bytes | None:
    """Rewrites a JPEG as one scan.

    Args:
        content: the bytes of the file.
        header: of the file.

    Returns:
        the file of one scan, with all of the old one's segments (EXIF, colour profile …); None if
        jpegtran refuses the old one or exceeds its limits, or if the pixels would not be equal, as
        where the scans break off before the last bit.

    Raises:
        UnreadableImageError: training's decoder refuses the file as it is.
        InputError: jpegtran is not installed.
    """
    pixels = _pixels(content, header)
    rewritten = _run(content, header.height * header.width)
    if rewritten is None:
        return None
    new = read_header(rewritten)
    if new is None or new.num_scans != 1:
        return None
    if (new.height, new.width, new.exif) != (header.height, header.width, header.exif):
        return None
    try:
        return rewritten if np.array_equal(_pixels(rewritten, new), pixels) else None
    except UnreadableImageError:
        return None


def _pixels(content: bytes, header: JpegHeader) -> np.ndarray:
    return decode_jpeg(content, header, dct_method="INTEGER_ACCURATE").numpy()


def _run(content: bytes, num_pixels: int) -> bytes | None:
    """What jpegtran writes; None if it fails, warns, or is stopped by a limit."""
    seconds = _SECONDS + num_pixels // _PIXELS_PER_SECOND
    with subprocess.Popen(
        [find_jpegtran(), *_FLAGS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            # Before it gets the first byte.
            limit = _BYTES_PER_PIXEL * num_pixels + _PROGRAM_BYTES
            _limit(process.pid, resource.RLIMIT_AS, limit)
            _limit(process.pid, resource.RLIMIT_CPU, seconds)
            written, _ = process.communicate(content, timeout=_PATIENCE * seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            # Whatever happens here, Control-C included, it does not outlive this.
            process.kill()
    # It warns with 2: of a file that decoders read by guessing.
    return written if process.returncode == 0 else None


def _limit(process: int, kind: int, limit: int) -> None:
    _, hard = resource.prlimit(process, kind)
    # Nobody may raise a limit that the machine's owner has set.
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.prlimit(process, kind, (limit, limit))
