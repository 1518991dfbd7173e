"""What each format returns: a file that is not yet checked, and how it is run."""

import pathlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from ssd_tfrecord.errors import InputError

if TYPE_CHECKING:
    from ssd_tfrecord.detection.detections import Detections
    from ssd_tfrecord.exporting.check_set import CheckImage

# A program may say pages.
_MAX_REASON = 300


class Runtime(Protocol):
    """An exported file, opened in a program that runs such files."""

    title: str
    """The program with its version, as in ``onnxruntime 1.20.1``."""

    def detect(self, image: "CheckImage") -> "Detections":
        """The detections of one image, through the file's own input and outputs."""

    def run(self, image: "CheckImage") -> None:
        """Runs the file on the image, and nothing else: what latency is measured by."""


@dataclass(frozen=True)
class Tolerance:
    """How far an exported file may be from the Detector.

    ``box`` is the largest difference of a corner, as a fraction of the image, and ``score`` that of
    a score; None: not compared. ``ap`` is the largest difference of VOC07 mAP, or how far it may be
    below where boxes are not compared. ``unmatched`` is the
    largest share of detections that only one of the two has: above 0 only where the format's own
    suppression differs from ours.
    """

    box: float | None = 1e-4
    score: float | None = 1e-4
    ap: float = 0.001
    unmatched: float = 0.0


@dataclass(frozen=True)
class ExportedFile:
    """A file or folder that was written aside.

    ``name`` is its final name in the folder of exports, ``kind`` the format and ``precision`` that
    of its weights. ``open_fn`` opens the file at a path in its own runtime. ``notes`` are lines for
    the user: what differs, which layers were left in float.
    """

    name: str
    kind: str
    precision: str
    path: pathlib.Path
    open_fn: Callable[[pathlib.Path], Runtime]
    tolerance: Tolerance = Tolerance()
    notes: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)


def unusable(path: pathlib.Path, program: str, error: Exception) -> InputError:
    """The error of an exported file that a program cannot open or run.

    Args:
        path: of the file.
        program: what runs it.
        error: what the program has raised.
    """
    words = " ".join(str(error).split()) or type(error).__name__
    if len(words) > _MAX_REASON:
        words = f"{words[:_MAX_REASON]} …"
    return InputError(f"{path}: {program} cannot run it ({words}); export again")
