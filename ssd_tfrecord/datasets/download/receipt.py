"""``download.json``: what of the data sets the output folder already holds."""

import json
import os
import pathlib
from typing import Any

from ssd_tfrecord import __version__
from ssd_tfrecord.datasets.download.catalogue import Part
from ssd_tfrecord.datasets.download.unpack import Count
from ssd_tfrecord.errors import InputError

RECEIPT = "download.json"


class Receipt:
    """The parts that were downloaded to ``root``.

    Raises:
        InputError: there is a file of this name that is not one of ours.
    """

    def __init__(self, root: pathlib.Path) -> None:
        self._root = root
        self._parts = _load(root / RECEIPT)

    def holds(self, part: Part) -> bool:
        """Whether ``part`` is complete in its folder.

        Raises:
            InputError: what is there was not downloaded, or files of it are missing.
        """
        folder = self._root / part.folder
        if not folder.is_dir() or not any(folder.iterdir()):
            # What is unpacked gets its name at once; only an empty folder gives way to that.
            if os.path.lexists(folder) and (folder.is_symlink() or not folder.is_dir()):
                what = "a link" if folder.is_dir() else "no folder"
                raise InputError(f"{folder}: is {what}, but {part.name} goes there; move it away")
            return False
        entry = self._parts.get(part.name, {})
        if entry.get("archives") != _archives(part):
            raise InputError(
                f"{folder}: is there, but {self._root / RECEIPT} does not say that it was "
                "downloaded; move it away, or choose another --output_dir"
            )
        # Counted, not read: of 100,000 files that takes a second. Own files may have been added.
        found = sum(len(files) for _, _, files in os.walk(folder))
        if found < entry["files"]:
            raise InputError(
                f"{folder}: holds {found} files, but {entry['files']} were unpacked; delete the "
                "folder to download it again"
            )
        return True

    def add(self, part: Part, count: Count) -> None:
        """Writes down that ``part`` is complete. It is so as soon as its folder has its name."""
        self._parts[part.name] = {
            "folder": part.folder,
            "files": count.files,
            "bytes": count.num_bytes,
            "archives": _archives(part),
        }
        content = {"tool": "ssd_tfrecord download", "version": __version__, "parts": self._parts}
        path = self._root / RECEIPT
        aside = path.with_name(path.name + ".tmp")
        aside.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        os.replace(aside, path)


def _archives(part: Part) -> list[dict[str, Any]]:
    return [
        {"name": item.name, "bytes": item.num_bytes, "sha256": item.sha256}
        for item in part.archives
    ]


def _load(path: pathlib.Path) -> dict[str, dict[str, Any]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        parts = content["parts"]
        if all(isinstance(entry["files"], int) for entry in parts.values()):
            return dict(parts)
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    raise InputError(
        f"{path}: is damaged or of another program; move it away, or choose another --output_dir"
    )
