"""The files of checkpoints as their names tell, without TensorFlow: which are there, which is last.

A checkpoint is several files whose names begin with its path: ``ckpt-7.index`` and
``ckpt-7.data-00000-of-00001``.
"""

import os
import pathlib
import re

# Folders of checkpoints: in the run folder, and in that one.
CHECKPOINTS = "checkpoints"
BEST = "best"

_INDEX = re.compile(r"ckpt-(0|[1-9][0-9]{0,17})\.index")
_SUFFIX = re.compile(r"\.(index|data-[0-9]{5}-of-[0-9]{5})")


def steps(folder: str | os.PathLike[str]) -> list[int]:
    """The steps of the checkpoints ``ckpt-N`` in ``folder``, ascending; none if it does not exist.

    Args:
        folder: of checkpoints; those in folders beneath do not count.
    """
    try:
        names = set(os.listdir(folder))
    except OSError:
        return []
    found = [int(match[1]) for name in names if (match := _INDEX.fullmatch(name))]
    # An index without data is of no checkpoint.
    with_data = {name.split(".data-")[0] for name in names if ".data-" in name}
    return sorted(step for step in found if f"ckpt-{step}" in with_data)


def files(path: str | os.PathLike[str]) -> list[pathlib.Path]:
    """The files of the checkpoint ``path``, sorted by name; none if it does not exist.

    Args:
        path: as in ``…/checkpoints/ckpt-7``.
    """
    path = pathlib.Path(path)

    def is_ours(name: str) -> bool:
        # Not one pattern of both: Python keeps the last 512, and each checkpoint has another name.
        rest = name.removeprefix(path.name)
        return rest != name and bool(_SUFFIX.fullmatch(rest))

    try:
        return sorted(item for item in path.parent.iterdir() if is_ours(item.name))
    except OSError:
        return []
