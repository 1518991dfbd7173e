"""The ids of images as COCO files have them."""

import re
from collections.abc import Sequence
from typing import TypeAlias

ImageIds: TypeAlias = list[int] | list[str]
# What str(int) can be. Of more digits than this, int() may refuse to read it.
_WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,99}")


def image_ids(source_ids: Sequence[str], *, strings: bool = False) -> ImageIds:
    """The image ids as a COCO JSON of the set has them.

    Args:
        source_ids: of the records.
        strings: whether that JSON has strings, though they may look like numbers.

    Returns:
        The source ids: as int if all are written as an int is (0012 is not), else as they are.
        1, 2, … where two are equal, as other tools may have written them.
    """
    if len(set(source_ids)) < len(source_ids):
        return list(range(1, len(source_ids) + 1))
    if strings or not all(map(_WHOLE_NUMBER.fullmatch, source_ids)):
        return list(source_ids)
    return [int(source_id) for source_id in source_ids]
