"""An inspection from its flags to its findings: set by set, verified, counted, drawn, searched."""

import os
from collections.abc import Sequence

from ssd_tfrecord import flags
from ssd_tfrecord.config import InspectConfig
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.records.processes.progress import steady_bar


def run(config: InspectConfig) -> None:
    """Does what ``config`` asks for, with one record set after another.

    Args:
        config: of the inspection.

    Raises:
        InputError: a set is damaged, once all sets are done; or a set cannot be read at all.
    """
    # Decoding runs on the CPU; TensorFlow would take all memory of the GPUs for nothing.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    num_damages, manifests = 0, []
    for directory in config.records:
        if config.index:
            _index(directory, config)
        manifest = Manifest.load(directory)
        print(f"{directory}: {manifest.num_records} records, {manifest.num_classes} classes")
        if config.verify:
            num_damages += _verify(manifest, config.workers)
        manifests.append(manifest)
    for manifest, name in zip(manifests, _names(manifests)):
        _show(manifest, config, os.path.join(config.output_dir, name))
    if num_damages:
        raise InputError(
            f"problems found: {num_damages}, listed above; copy the files again, or convert again"
        )
    if config.suspects:
        _search(manifests, config)


def _index(directory: str, config: InspectConfig) -> None:
    # Imported only where needed, as below: --stats alone loads neither TensorFlow nor matplotlib.
    from ssd_tfrecord.inspection import index

    with steady_bar(None, " records") as progress:
        manifest = index.write_manifest(
            directory,
            config.pattern,
            config.label_map,
            flag_lines=flags.to_lines(config),
            num_workers=config.workers,
            advance=progress.update,
        )
    if count := manifest.actions.get(index.BOXES_CLIPPED, 0):
        noun, verb = ("box", "is") if count == 1 else ("boxes", "are")
        print(
            f"{directory}: {count} {noun} reached beyond the image by up to 10 % and {verb} "
            "clipped when read"
        )


def _verify(manifest: Manifest, num_workers: int) -> int:
    """Prints every damage, and returns their number."""
    from ssd_tfrecord.inspection import verification

    count = 0
    with steady_bar(manifest.num_records, " records") as progress:
        for damage in verification.verify(manifest, num_workers, progress.update):
            print(f"{manifest.directory}: {damage}")
            count += 1
    if not count:
        print(f"{manifest.directory}: intact: checksums, counts and all records are correct")
    return count


def _names(manifests: Sequence[Manifest]) -> list[str]:
    """Of the folders for what is drawn of each set: the sets' own, unless two are called alike."""
    names = [manifest.name for manifest in manifests]
    if len({name.lower() for name in names}) < len(names):
        from ssd_tfrecord.detection.detections import image_names

        folders = [os.path.abspath(manifest.directory) for manifest in manifests]
        above = os.path.commonpath([os.path.dirname(folder) for folder in folders])
        names = image_names([os.path.relpath(folder, above) for folder in folders])
    return names


def _show(manifest: Manifest, config: InspectConfig, folder: str) -> None:
    if config.stats:
        from ssd_tfrecord.inspection import tables

        print(tables.to_text(manifest))
    if config.plots:
        from ssd_tfrecord.inspection import plots

        print(f"plots: {', '.join(plots.write_plots(manifest, folder))}")
    if config.draw:
        from ssd_tfrecord.inspection import sheets

        for path, names in sheets.write_sheets(manifest, config.draw, folder):
            print(f"pictures: {path}, row by row: {', '.join(names)}")


def _search(manifests: Sequence[Manifest], config: InspectConfig) -> None:
    """Lists and draws what people should look at, in all sets together."""
    from ssd_tfrecord.inspection import (
        facts,
        model_suspects,
        sheets,
        suspects,
        suspects_report,
    )

    folders = [os.path.realpath(manifest.directory) for manifest in manifests]
    if len({*folders}) < len(folders):
        raise InputError("--records: a folder is given twice; with --suspects they must differ")
    os.makedirs(config.output_dir, exist_ok=True)
    num_records = sum(manifest.num_records for manifest in manifests)
    with steady_bar(num_records, " records") as progress:
        sets = facts.gather(manifests, config.workers, progress.update)
    if count := sum(int((~one.facts.comparable).sum()) for one in sets):
        print(
            f"images compared with others only as files: {count}, as they are of one colour or "
            "cannot be decoded"
        )
    doubts = model_suspects.read_suspects(config.detections, sets) if config.detections else []
    found = suspects.in_order([*suspects.find_suspects(sets), *doubts])
    # Also without suspects: a list of an earlier search would be wrong now.
    path = suspects_report.write_csv(found, sets, config.output_dir)
    drawn = sheets.write_suspect_sheets(found, sets, config.output_dir)
    if not found:
        print(f"no suspects in {num_records} images")
        return
    print(suspects_report.to_table(found, sets))
    print(f"suspects: {path}, the worst of each kind: {', '.join(drawn) or 'nothing to draw'}")
