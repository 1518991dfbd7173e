"""Progress bars, on the error output."""

import sys

import tqdm


def bar(total: int, unit: str, title: str) -> tqdm.tqdm:
    """A bar for what is usually quick: it shows after a second, and is removed at the end."""
    return tqdm.tqdm(
        total=total, desc=title, unit=unit, unit_scale=True, delay=1, leave=False, file=sys.stderr
    )


def steady_bar(total: int | None, unit: str, done: int = 0, *, quiet: bool = False) -> tqdm.tqdm:
    """A bar that shows at once and stays, with ``done`` of ``total`` steps already taken.

    Args:
        total: number of steps.
        unit: as it is called after a number of them.
        done: number of steps.
        quiet: show nothing.
    """
    return tqdm.tqdm(total=total, initial=done, unit=unit, file=sys.stderr, disable=quiet)
