"""Class names in one form, whatever tool wrote them: when two are equal, and when they look it."""

import unicodedata


def normal_name(name: str) -> str:
    """Returns a class name in Unicode's form NFC, without white space around it.

    Names from a Mac have decomposed letters; names typed into a form often end with a space.
    """
    return name.strip() if name.isascii() else unicodedata.normalize("NFC", name.strip())


def look_alike_key(name: str) -> str:
    """Returns what names that a reader would take for one another have in common.

    ``Traffic Light``, ``traffic_light`` and ``traffic-light`` share it.
    """
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(letter for letter in folded if letter.isalnum()) or folded
