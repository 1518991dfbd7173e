"""Class names in one form, whatever tool wrote them: when two are equal, and when they look it."""

import unicodedata

# Longer ones are no class names. Normalizing takes time by the square of the length: 15 s for a
# name of 80,000 accents.
_LONGEST = 256


def normal_name(name: str) -> str:
    """Returns a class name in Unicode's form NFC, without white space around it.

    Names from a Mac have decomposed letters; names typed into a form often end with a space. Names
    of more than 256 characters only lose their white space.
    """
    name = name.strip()
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
