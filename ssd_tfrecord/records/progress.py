"""Progress bars of what may take minutes, which leave nothing behind."""

import sys

import tqdm


def bar(total: int, unit: str, title: str) -> tqdm.tqdm:
    """A bar that shows after a second, on the error output."""
    return tqdm.tqdm(
        total=total, desc=title, unit=unit, unit_scale=True, delay=1, leave=False, file=sys.stderr
    )
