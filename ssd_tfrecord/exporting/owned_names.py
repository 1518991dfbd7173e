"""Which names in a folder of exports are export's: all others are the user's, and stay."""

import os
import pathlib
import re
from collections.abc import Sequence

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.exporting import export_folder

# What lies beside the exported files. The list of them comes first: what is left of an export that
# was killed is known by it.
_BESIDE = (
    export_folder.PARITY_FILE,
    export_folder.LABELS_FILE,
    export_folder.CHECK,
    export_folder.ASIDE,
)

# {a folder of export's: what it puts there}; the others are files.
_CONTENTS = {
    export_folder.CHECK: re.compile(r"\d{4,}\.(jpg|npy)|expected\.json(\.\d+\.part)?"),
    "saved_model": re.compile(
        r"saved_model\.pb|fingerprint\.pb|variables/variables\.(index|data-\d+-of-\d+)"
        r"|assets\.extra/(label_map\.pbtxt|thresholds\.json)"
    ),
}


def check_ours(folder: pathlib.Path, names: Sequence[str]) -> None:
    """Checks that nothing of the user's has a name that export writes or deletes.

    Args:
        folder: --output_dir, which need not exist.
        names: of the files to be exported.

    Raises:
        InputError: something in the folder has, and parity.json, which lists what export has made,
            does not list it.
    """
    if not os.path.lexists(folder / export_folder.PARITY_FILE):
        for name in (*_BESIDE, *names):
            if os.path.lexists(folder / name):
                raise InputError(
                    f"--output_dir={folder}: has {name}, but no {export_folder.PARITY_FILE}: "
                    "export has not made it; must be another folder, or move it"
                )
        return
    listed = _listed(folder)
    for name in names:
        if name not in listed and os.path.lexists(folder / name):
            raise InputError(
                f"--output_dir={folder}: has {name}, which {export_folder.PARITY_FILE} does not "
                "list: export has not made it; must be another folder, or move it"
            )
    for name in (export_folder.LABELS_FILE, export_folder.CHECK, *names):
        if stray := _stray(folder, name):
            raise InputError(
                f"--output_dir={folder}: has {stray}, which export has not made and would delete; "
                "must be another folder, or move it"
            )


def _listed(folder: pathlib.Path) -> dict[str, object]:
    """The rows of parity.json."""
    try:
        listed = export_folder.read(folder).get("files")
    except InputError:
        listed = None
    if not isinstance(listed, dict):
        raise InputError(
            f"--output_dir={folder}: its {export_folder.PARITY_FILE} is damaged, or export has not "
            "made it; must be another folder"
        )
    return listed


def _stray(folder: pathlib.Path, name: str) -> str:
    """What is not export's below the name of something that is; "" if there is nothing."""
    place, contents = folder / name, _CONTENTS.get(name)
    # A link is replaced, whatever it leads to.
    if place.is_symlink() or not place.exists():
        return ""
    if place.is_dir() != (contents is not None):
        return name
    for path in sorted(place.rglob("*")) if contents else ():
        inner = path.relative_to(place).as_posix()
        is_folder = path.is_dir() and not path.is_symlink()
        if contents and not is_folder and not contents.fullmatch(inner):
            return f"{name}/{inner}"
    return ""
