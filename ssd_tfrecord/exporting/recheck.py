"""``--verify``: exported files run once more, on the images that are stored with them."""

import dataclasses
import pathlib
from typing import Any

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.exporting import export_folder, export_formats
from ssd_tfrecord.exporting.exported_file import Tolerance
from ssd_tfrecord.options import DetectionOptions


@dataclasses.dataclass(frozen=True)
class _Listed:
    """A file that parity.json lists; ``ap`` is its VOC07 mAP on the stored images then."""

    path: pathlib.Path
    kind: str
    tolerance: Tolerance
    ap: float | None


def verify(folder: pathlib.Path) -> None:
    """Runs every file of a folder of exports, and prints the table.

    Raises:
        InputError: the folder is no such folder, a file is missing, or it does something else than
            when it was exported.
    """
    content = export_folder.read(folder)
    listed, options = _listed(folder, content)
    for file in listed:
        if not file.path.exists():
            raise InputError(f"{file.path}: not found; export again")
        export_formats.require(file.kind, to_run=True)
    # They import TensorFlow.
    from ssd_tfrecord.devices import compiler_line
    from ssd_tfrecord.exporting.bench import Bench
    from ssd_tfrecord.exporting.export_table import table

    compiler_line.swallow()
    images, expected, class_names = export_folder.load_checks(folder)
    bench = Bench(images, expected, class_names, options)
    rows, faults = [], []
    for file in listed:
        open_fn = export_formats.module(file.kind).open_file
        row, _ = bench.measure(file.path.name, file.path, open_fn, file.tolerance)
        if file.tolerance.box is None:
            # An integer model may differ from the run by more on so few images than on all; from
            # what it did itself, by little.
            parity = dataclasses.replace(row.parity, ap_reference=file.ap)
            row = dataclasses.replace(row, parity=parity)
        rows.append(row)
        faults += [f"{file.path}: {fault}" for fault in row.parity.faults(file.tolerance)]
    print(table(rows))
    if faults:
        raise InputError("; ".join(faults))
    print(f"{folder}: all {len(rows)} files do what they did when they were exported")


def _listed(
    folder: pathlib.Path, content: dict[str, Any]
) -> tuple[list[_Listed], DetectionOptions]:
    entries = content.get("files")
    if not isinstance(entries, dict) or not entries:
        raise InputError(f"--verify={folder}: has no {export_folder.PARITY_FILE} that lists files")
    try:
        listed = [
            _Listed(
                # A name in the file is not trusted to stay in the folder.
                folder / pathlib.PurePath(name).name,
                str(item["kind"]),
                Tolerance(**item["tolerance"]),
                item["ap_stored"],
            )
            for name, item in entries.items()
        ]
        options = DetectionOptions(**content["thresholds"])
        if any(file.kind not in export_formats.MODULES for file in listed):
            raise ValueError
    except (TypeError, KeyError, ValueError):
        raise InputError(f"{folder / export_folder.PARITY_FILE}: damaged; export again") from None
    return listed, options
