"""Progress bars, on the error output."""

import sys

import tqdm


def bar(total: int, unit: str, title: str) -> tqdm.tqdm:
    """A bar for what is quick as a rule: it shows after a second, and leaves nothing behind."""
    return tqdm.tqdm(
        total=total, desc=title, unit=unit, unit_scale=True, delay=1, leave=False, file=sys.stderr
    )


def steady_bar(total: int | None, unit: str, done: int = 0) -> tqdm.tqdm:
    """A bar that shows at once and stays, ``done`` of ``total`` steps already taken."""
    return tqdm.tqdm(total=total, initial=done, unit=unit, file=sys.stderr)
