"""Detections of any tool as their files have them: collected row by row, checked, and counted."""

import collections
import math
import reprlib
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ssd_tfrecord.errors import InputError

# Why a row is left out.
MALFORMED, BAD_BOX, BAD_SCORE = "not of this form", "impossible box", "score beyond 0 to 1"

# 56 bytes each while they are read: a gigabyte. COCO's test set has 4 million at 100 an image.
MAX_ROWS = 2**24
# Longer ones are no names of images or classes.
_MAX_NAME = 4096
# How far from the image's origin an edge may lie, in pixels and as a fraction of the image. Boxes
# may reach beyond their image, as some tools do not clip them.
MAX_PIXELS, MAX_FRACTION = 2.0**20, 2.0

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class OutsideDetections:
    """N detections as a file has them, whatever set they belong to.

    ``keys`` are what it calls its images, and ``words`` its classes: names, or numbers where it has
    no names. ``key`` and ``word`` int64 [N] are indices into them. ``boxes`` float64 [N, 4] as
    [ymin, xmin, ymax, xmax], edges counted from 0, in pixels or, with ``in_fractions``, as
    fractions of the image; they may reach beyond it. ``scores`` float32 [N] in [0, 1]. ``dropped``
    is {why: rows that were left out}; ``notes`` are lines for the user; ``aliases`` is {key: the
    image's source_id} and ``files`` {key: the name of its file} where the files say so.
    """

    keys: tuple[str, ...]
    words: tuple[str | int, ...]
    key: np.ndarray
    word: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    in_fractions: bool = False
    dropped: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


class RowCollector:
    """Detections in the making.

    Args:
        path: what is read, for messages.
        wanted: what a row must be, for messages.
        in_fractions: whether boxes are fractions of the image.
    """

    def __init__(self, path: str, wanted: str, *, in_fractions: bool = False) -> None:
        self.notes: list[str] = []
        self.aliases: Mapping[str, str] = {}
        self._path, self._wanted, self._in_fractions = path, wanted, in_fractions
        self._limit = MAX_FRACTION if in_fractions else MAX_PIXELS
        # {key or word: its index}
        self._keys: dict[str, int] = {}
        self._words: dict[str | int, int] = {}
        self._indices, self._numbers = array("q"), array("d")
        # With those that are left out.
        self._num_rows = 0
        self._dropped: collections.Counter[str] = collections.Counter()
        # The first row that was left out for each reason, and where it is.
        self._first: dict[str, str] = {}

    def add_key(self, key: str) -> None:
        """Enters an image, which then may have no detections."""
        self._keys.setdefault(key, len(self._keys))

    def add_word(self, word: str | int) -> None:
        """Enters a class, which then may have no detections."""
        self._words.setdefault(word, len(self._words))

    def add(self, where: str, key: str, word: str | int, box: Box, score: float) -> None:
        """Adds a detection, or counts it as left out if its box or its score cannot be.

        Args:
            where: its place in the file, for messages.
            key: its image.
            word: its class.
            box: [ymin, xmin, ymax, xmax].
            score: of the detection.

        Raises:
            InputError: there are too many rows.
        """
        ymin, xmin, ymax, xmax = box
        # Written so that NaN, of which no comparison is true, is left out too.
        if not (
            -self._limit <= ymin <= ymax <= self._limit
            and -self._limit <= xmin <= xmax <= self._limit
        ):
            edges = ", ".join(f"{edge:.6g}" for edge in (xmin, ymin, xmax, ymax))
            self.drop(where, BAD_BOX, f"box from xmin, ymin to xmax, ymax {edges}")
        elif not 0 <= score <= 1:
            self.drop(where, BAD_SCORE, f"score {score:.6g}")
        elif len(key) > _MAX_NAME or (isinstance(word, str) and len(word) > _MAX_NAME):
            self.drop(where, MALFORMED, f"a name of more than {_MAX_NAME} characters")
        else:
            self._count()
            self._indices.append(self._keys.setdefault(key, len(self._keys)))
            self._indices.append(self._words.setdefault(word, len(self._words)))
            self._numbers.extend((*box, score))

    def drop(self, where: str, reason: str, text: str) -> None:
        """Counts a row that is left out.

        Args:
            where: its place in the file.
            reason: MALFORMED, BAD_BOX or BAD_SCORE.
            text: what stands there.

        Raises:
            InputError: there are too many rows.
        """
        self._count()
        self._dropped[reason] += 1
        self._first.setdefault(reason, f"{where}: {text}")

    def _count(self) -> None:
        self._num_rows += 1
        if self._num_rows > MAX_ROWS:
            raise InputError(f"{self._path}: must have at most {MAX_ROWS} detections")

    def result(self) -> OutsideDetections:
        """What has been collected.

        Raises:
            InputError: more than half of the rows had to be left out.
        """
        num_dropped = self._dropped.total()
        if 2 * num_dropped > self._num_rows:
            reason = max(self._dropped, key=lambda name: self._dropped[name])
            counts = f"{num_dropped} of {self._num_rows} rows cannot be used"
            raise InputError(f"{self._first[reason]} ({reason}): {self._wanted}; {counts}")
        for reason, count in self._dropped.items():
            rows = "row is" if count == 1 else "rows are"
            self.notes.append(f"{count} {rows} left out: {reason} ({self._first[reason]})")
        indices = np.array(self._indices, np.int64).reshape(-1, 2)
        numbers = np.array(self._numbers, np.float64).reshape(-1, 5)
        return OutsideDetections(
            keys=tuple(self._keys),
            words=tuple(self._words),
            key=indices[:, 0],
            word=indices[:, 1],
            boxes=numbers[:, :4],
            scores=numbers[:, 4].astype(np.float32),
            in_fractions=self._in_fractions,
            dropped=dict(self._dropped),
            notes=tuple(self.notes),
            aliases=self.aliases,
        )


def voc_box(left: float, top: float, right: float, bottom: float) -> Box:
    """The box [ymin, xmin, ymax, xmax] of VOC's pixels, counted from 1 with both ends inside."""
    return top - 1, left - 1, bottom, right


def quoted(value: object) -> str:
    """``value`` in quotes or brackets, shortened, on one line, whatever it contains."""
    text = reprlib.repr(value)
    return text if text.isprintable() else ascii(text)[1:-1]


def named(names: Sequence[str], most: int = 3) -> str:
    """The first ``names``, in quotes, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(quoted, names[:most])) + more


def to_float(value: float) -> float:
    """``value`` as a float: infinite if it is an integer that is too long to be one."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
