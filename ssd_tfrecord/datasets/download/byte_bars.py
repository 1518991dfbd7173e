"""Progress bars that count bytes, on the error output, and lines above them."""

import sys
from typing import Any

from tqdm import tqdm


def byte_bar(title: str, total: int, done: int = 0, *, leave: bool = True) -> "tqdm[Any]":
    """A bar for ``total`` bytes, ``done`` of which are there; ``leave``: it stays at the end."""
    return tqdm(
        desc=title,
        total=total,
        initial=done,
        unit="B",
        unit_scale=True,
        leave=leave,
        file=sys.stderr,
    )


def say(text: str) -> None:
    """Prints a line above the bar, if there is one."""
    # What a server sends may hold bytes that a terminal cannot show.
    tqdm.write(text.encode(errors="backslashreplace").decode(), file=sys.stderr)


def size_text(num_bytes: int) -> str:
    """``num_bytes`` in three digits: 1.92GB."""
    return f"{tqdm.format_sizeof(num_bytes)}B"
