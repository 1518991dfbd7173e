"""``--verify``: exported files run once more, on the images that are stored with them."""

import dataclasses
import pathlib
import reprlib
from typing import Any

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.exporting import export_folder, export_formats
from ssd_tfrecord.exporting.exported_file import Tolerance, unusable
from ssd_tfrecord.options import DetectionOptions

# No difference and no mAP is larger.
_LARGEST = 1


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
        # A pipe would block.
        if not file.path.is_file() and not file.path.is_dir():
            raise InputError(f"{file.path}: not found; export again")
        export_formats.require(file.kind, to_run=True)
    # They import TensorFlow.
    from ssd_tfrecord.devices import compiler_line
    from ssd_tfrecord.exporting import stored_checks
    from ssd_tfrecord.exporting.bench import Bench
    from ssd_tfrecord.exporting.export_table import table

    compiler_line.swallow()
    images, expected, class_names = stored_checks.load_checks(folder)
    if list(class_names) != content.get("classes"):
        raise InputError(
            f"{folder / export_folder.PARITY_FILE}: has other classes than {export_folder.CHECK}/"
            f"{stored_checks.EXPECTED_FILE}; export again"
        )
    bench = Bench(images, expected, class_names, options)
    rows, faults = [], []
    for file in listed:
        open_fn = export_formats.module(file.kind).open_file
        try:
            row, _ = bench.measure(file.path.name, file.path, open_fn, file.tolerance)
        except InputError:
            raise
        # Each program has errors of its own for what is found only when the file is run.
        except Exception as error:
            raise unusable(file.path, f"{file.kind}'s program", error) from error
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
        listed = [_row(folder, name, item) for name, item in entries.items()]
    except KeyError as error:
        raise _damaged(folder, f"lacks {error}") from None
    except (TypeError, ValueError) as error:
        raise _damaged(folder, str(error)) from None
    thresholds = content.get("thresholds")
    try:
        options = DetectionOptions(**thresholds)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        shown = reprlib.repr(thresholds)
        raise _damaged(folder, f"thresholds: {shown}: must be those of an export") from None
    return listed, options


def _damaged(folder: pathlib.Path, reason: str) -> InputError:
    words = " ".join(reason.split())
    return InputError(f"{folder / export_folder.PARITY_FILE}: damaged ({words}); export again")


def _row(folder: pathlib.Path, name: str, item: object) -> _Listed:
    """The file ``name``; KeyError, TypeError or ValueError if its entry is bad."""
    # A name in the file is not trusted to stay in the folder.
    own = pathlib.PurePath(name).name
    is_name = own not in ("", "..") and own.isprintable()
    if not isinstance(item, dict) or not isinstance(item["tolerance"], dict):
        raise ValueError(f"files: {reprlib.repr(name)}: must be an object with a tolerance")
    if not is_name or item["kind"] not in export_formats.MODULES:
        raise ValueError(f"files: {reprlib.repr(name)}: must be the name of a file of a format")
    tolerance = Tolerance(**item["tolerance"])
    numbers = {**dataclasses.asdict(tolerance), "ap_stored": item["ap_stored"]}
    for key, value in numbers.items():
        if value is None and key not in ("ap", "unmatched"):
            continue
        if type(value) not in (int, float) or not 0 <= value <= _LARGEST:
            raise ValueError(
                f"{key} of {own}: {reprlib.repr(value)}: must be a number from 0 to {_LARGEST}"
            )
    return _Listed(folder / own, item["kind"], tolerance, item["ap_stored"])
