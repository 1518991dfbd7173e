"""Names of output files: distinct, valid on every system, and like those of their images."""

import re
from collections.abc import Sequence

from ssd_tfrecord.detection.detections import file_names
from ssd_tfrecord.detection.sources.frame_readers import Frame
from ssd_tfrecord.detection.sources.source_list import Source

_NUMBERED = re.compile(r"(.+)-[0-9]+", re.DOTALL)


class OutputNames:
    """The name without suffix of each source and of each of its frames.

    That is the stem of its file where no other has it, or else with -2, -3, … appended; a frame has
    its number appended: a-3 of a.gif#3.

    Args:
        sources: all of them: those in different folders may have the same stem.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        names = file_names([source.stem for source in sources])
        self._names = dict(zip(sources, names))
        matches = map(_NUMBERED.fullmatch, names)
        # What another image is called with a number; in any case, as file systems may ignore it.
        self._taken = {match[1].casefold() for match in matches if match}

    def of_source(self, source: Source) -> str:
        """The name of a source."""
        return self._names[source]

    def of(self, frame: Frame) -> str:
        """The name of a frame, or of the source if that is one image."""
        name = self._names[frame.source]
        if not frame.number:
            return name
        while name.casefold() in self._taken:
            name += "-frame"
        return f"{name}-{frame.number}"
