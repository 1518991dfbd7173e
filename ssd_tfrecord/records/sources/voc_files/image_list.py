"""Text files that list images, one per line: encodings, and columns beside the names."""

import codecs
import os
import re
from collections.abc import Callable, Sequence

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.image_suffixes import IMAGE_SUFFIXES

_LABELLED = re.compile(r".*\s(?:-1|0|1)").fullmatch
# Where in a line the name of an image may end and another begin.
_GAP = re.compile(rf"(?:{'|'.join(map(re.escape, IMAGE_SUFFIXES))})(\s+)(?=\S)", re.IGNORECASE)


def read_lines(flag: str, path: str) -> list[str]:
    """Returns the lines of an image list that are not blank, without white space around them.

    Args:
        flag: begins the message of an error.
        path: the file, in UTF-8, or in UTF-16 with a byte order mark.

    Raises:
        InputError: the file is missing, empty or not text.
    """
    try:
        with open(path, "rb") as file:
            content = file.read()
        is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        # With or without a byte order mark, which some Windows editors write.
        text = content.decode("utf-16" if is_utf16 else "utf-8-sig")
    except FileNotFoundError:
        others = _others(os.path.dirname(path))
        raise InputError(f"{flag}: {path} does not exist{others}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{flag}: {path} cannot be read: {error}") from None
    # Not splitlines(), for which lines also end at characters that names may contain.
    lines = [line.strip() for line in re.split(r"\r\n|\r|\n", text) if line.strip()]
    if not lines:
        raise InputError(f"{flag}: {path} is empty: must have one image name per line")
    return lines


def _others(folder: str) -> str:
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    names = [name for name in names if name.endswith(".txt")]
    return f"; the folder has {', '.join(names)}" if names else ""


def without_labels(lines: Sequence[str], *exists: Callable[[str], bool]) -> Sequence[str]:
    """Returns the names in ``lines``, without the second column of files of one class.

    That column, such as of dog_train.txt, is -1, 0 or 1: whether the image shows the class. But a
    name may end so too, as "cam 0" and "cam 1" do.

    Args:
        lines: as of ``read_lines``.
        exists: says of a name whether something has it; a second one is asked if the first knows
            none of all the names, and so on.
    """
    if not all(map(_LABELLED, lines)):
        return lines
    names = [line.rsplit(maxsplit=1)[0] for line in lines]
    for is_known in exists:
        for line, name in zip(lines, names):
            if is_known(line):
                return lines
            if is_known(name):
                return names
    return names


def split_pair(line: str, where: str) -> tuple[str, str]:
    """Splits a line that names an image and its XML, as "JPEGImages/a.jpg Annotations/a.xml" does.

    Returns:
        (image, XML), or ("", ``line``) if the line is a single name.

    Raises:
        InputError: names with spaces leave open where the one ends and the other begins.
    """
    if not line.lower().endswith(".xml"):
        return "", line
    gaps = list(_GAP.finditer(line))
    if len(gaps) > 1:
        raise InputError(
            f"{where}: {line[:200]!r}: cannot tell where the name of the image ends and that of "
            "the XML begins; list one of them only"
        )
    return (line[: gaps[0].start(1)], line[gaps[0].end(1) :]) if gaps else ("", line)
