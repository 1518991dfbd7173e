"""Texts from outside, such as names of classes and images, made safe for pages and sheets."""

import html
import unicodedata
from typing import TypeAlias

Cell: TypeAlias = str | int | float | None

# Categories of Unicode that are not to be seen: control characters, line and paragraph separators,
# lone surrogates, private and unassigned code points.
_UNSEEN = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
# Those that change the order of what stands around them (Unicode Standard Annex 9, 2.1 to 2.6),
# and the byte-order mark. Joiners, of the same category Cf, belong to the spelling of words.
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
# With these a spreadsheet begins a formula, which names from strangers must not do (OWASP, CSV
# injection); an apostrophe before them makes it text.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def visible(text: str, max_length: int = 80) -> str:
    """``text`` on one line: what cannot be seen becomes \N{REPLACEMENT CHARACTER}.

    Args:
        text: any, lone surrogates included.
        max_length: of what is longer, the beginning is kept, and an ellipsis put behind it.
    """
    if len(text) > max_length:
        text = text[: max_length - 1] + "…"
    return "".join("\ufffd" if _is_unseen(letter) else letter for letter in text)


def markup(text: str, max_length: int = 80) -> str:
    """``visible`` text for HTML, kept apart from the direction of writing of what is around it."""
    return f"<bdi>{attribute(text, max_length)}</bdi>"


def attribute(text: str, max_length: int = 80) -> str:
    """``visible`` text for an attribute in double quotes, or for SVG."""
    return html.escape(visible(text, max_length))


def chart_text(text: str, max_length: int = 24) -> str:
    """``visible`` text for matplotlib, which takes what is between dollar signs for a formula."""
    return visible(text, max_length).replace("$", r"\$")


def cell(value: Cell) -> str | int | float:
    """A value for CSV: a text never begins a formula; nothing stands for None."""
    if value is None:
        return ""
    # Our own numbers are no text.
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _is_unseen(letter: str) -> bool:
    return letter in _BIDI or unicodedata.category(letter) in _UNSEEN
