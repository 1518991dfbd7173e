"""Class names in one form, whatever tool wrote them: when two are equal, and when they look it."""

import re
import unicodedata

# Longer ones are no class names. Normalizing takes time by the square of the length: 15 s for a
# name of 80,000 accents.
_LONGEST = 256
# Control characters, and Unicode's ends of lines and paragraphs.
_BREAK = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def normal_name(name: str) -> str:
    """Returns a class name in Unicode's form NFC, in one line, without white space around it.

    Names from a Mac have decomposed letters; names typed into a form often end with a space; those
    in XML may be broken into lines. Of names of more than 256 characters the letters stay as they
    are.
    """
    name = " ".join(filter(None, map(str.strip, _BREAK.split(name))))
    if name.isascii() or len(name) > _LONGEST:
        return name
    return unicodedata.normalize("NFC", name)


def look_alike_key(name: str) -> str:
    """Returns what names that a reader would take for one another have in common.

    ``Traffic Light``, ``traffic_light`` and ``traffic-light`` share it.
    """
    if len(name) > _LONGEST:
        return name
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(letter for letter in folded if letter.isalnum()) or folded
