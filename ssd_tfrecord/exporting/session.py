"""The export command: from its config to checked files under their final names."""

import dataclasses
import hashlib
import pathlib
from typing import TYPE_CHECKING, Any

from ssd_tfrecord.config import ExportConfig
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.exporting import export_folder, export_formats, owned_names, recheck
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.records.processes import lock

if TYPE_CHECKING:
    from ssd_tfrecord.exporting.check_set import CheckSet
    from ssd_tfrecord.exporting.export_table import Row
    from ssd_tfrecord.exporting.exportable import Exportable
    from ssd_tfrecord.exporting.exported_file import ExportedFile


def run(config: ExportConfig) -> None:
    """Exports, checks each file and prints a table; or checks existing exports again.

    Raises:
        InputError: the run or the record set is missing or does not fit, a package is missing, or
            an exported file does not give the run's own detections, or another export writes into
            the folder, or something of the user's has a name of its files.
    """
    if config.verify:
        recheck.verify(pathlib.Path(config.verify))
    else:
        _export(config)


def _export(config: ExportConfig) -> None:
    from ssd_tfrecord.devices import onednn
    from ssd_tfrecord.runs import run_folder

    # All that needs no TensorFlow comes first.
    run = run_folder.read_config(config.run_dir)
    onednn.set_up(run.devices.onednn)
    records = config.records or run.eval_records
    if not records:
        raise InputError(
            "--records is required: the run has no --eval_records on whose images the exports can "
            "be checked"
        )
    manifest = Manifest.load(records)
    folder = pathlib.Path(config.output_dir)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--output_dir={folder}: must be a folder")
    for kind in config.format:
        export_formats.require(kind)
    folder.mkdir(parents=True, exist_ok=True)
    with lock.alone_in(folder, "export"):
        owned_names.check_ours(folder, export_formats.file_names(config))
        _export_alone(config, manifest)


def _export_alone(config: ExportConfig, manifest: Manifest) -> None:
    """Exports into a folder that no other export writes to."""
    from ssd_tfrecord.devices import compiler_line
    from ssd_tfrecord.exporting.check_set import CheckSet
    from ssd_tfrecord.exporting.export_table import table
    from ssd_tfrecord.exporting.exportable import load_exportable

    compiler_line.swallow()
    folder = pathlib.Path(config.output_dir)
    model = load_exportable(config.run_dir, config.checkpoint, config.detection)
    images = CheckSet(manifest, config.check_images, model.detector)
    head = _head(config, model, manifest.directory)
    entries = export_folder.check_same_model(folder, head)
    rows, notes = _export_files(config, model, images, head, entries)
    print(table(rows))
    print(*notes, sep="\n", end="\n" if notes else "")
    print(f"exports: {folder}; to check them on another machine: --verify={folder}")


def _export_files(
    config: ExportConfig,
    model: "Exportable",
    images: "CheckSet",
    head: dict[str, Any],
    entries: dict[str, Any],
) -> "tuple[list[Row], list[str]]":
    """Writes, checks and names the files of each format, and stores what a later check needs.

    Returns:
        A row for each file, and notes for the user.
    """
    from ssd_tfrecord.exporting import stored_checks
    from ssd_tfrecord.exporting.bench import Bench, with_bar
    from ssd_tfrecord.exporting.check_set import read_check_images, spread
    from ssd_tfrecord.exporting.parity import voc07_map

    folder = pathlib.Path(config.output_dir)
    print(f"checking on {len(images):,} images of {head['records']}")
    expected = [
        model.detector.detect_prepared([image.prepared])[0]
        for image in with_bar(images, len(images), "the run itself")
    ]
    places = spread(len(images), config.stored_images)
    stored = list(
        read_check_images(
            images.manifest, [images.indices[place] for place in places], model.detector
        )
    )
    if not entries:
        # At once: by it, what follows is known to be export's if it is killed.
        export_folder.write(folder, head, entries)
    stored_checks.store_checks(
        folder, stored, [expected[place] for place in places], model.class_names
    )
    export_folder.write_labels(folder, model.class_names)
    bench = Bench(images, expected, model.class_names, model.options)
    rows, notes = [], []
    with export_folder.aside(folder) as aside:
        for kind in dict.fromkeys(config.format):
            for file in export_formats.module(kind).export(model, aside, config):
                row, found = bench.measure(file.name, file.path, file.open_fn, file.tolerance)
                if faults := row.parity.faults(file.tolerance):
                    raise InputError(
                        f"{folder / file.name}: does not give the run's detections: "
                        f"{'; '.join(faults)}; it was not kept"
                    )
                on_stored = [found[place] for place in places]
                truths = [image.truth for image in stored]
                ap = voc07_map(truths, on_stored, model.class_names)
                entries[file.name] = _entry(file, row, ap)
                # At once, and the row first: no file is without one if the export ends here.
                export_folder.write(folder, head, entries)
                export_folder.publish(file, folder)
                rows.append(row)
                notes += [f"{file.name}: {note}" for note in file.notes]
    return rows, notes


def _head(config: ExportConfig, model: "Exportable", records: str) -> dict[str, Any]:
    """What parity.json says of all files."""
    from ssd_tfrecord.evaluation.measurement import versions

    digest = hashlib.sha256()
    for weight in model.model.get_weights():
        digest.update(weight.tobytes())
    return {
        "run": config.run_dir,
        "checkpoint": config.checkpoint,
        "step": model.step,
        "weights_sha256": digest.hexdigest(),
        "classes": list(model.class_names),
        "thresholds": dataclasses.asdict(model.options),
        "records": records,
        "versions": versions(),
    }


def _entry(file: "ExportedFile", row: "Row", ap_stored: float | None) -> dict[str, Any]:
    """The entry of a file in parity.json; ``ap_stored`` is its VOC07 mAP on the stored images."""
    return {
        "kind": file.kind,
        "precision": file.precision,
        "bytes": row.num_bytes,
        "runtime": row.runtime,
        "load_s": round(row.load_s, 3),
        "latency_ms": round(row.latency_ms, 2),
        "tolerance": dataclasses.asdict(file.tolerance),
        "parity": dataclasses.asdict(row.parity),
        "ap_stored": ap_stored,
        "notes": list(file.notes),
        **file.facts,
    }
