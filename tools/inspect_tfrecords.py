"""Looks at record sets: --verify, --stats, --draw; --index makes a manifest for those of others.

python tools/inspect_tfrecords.py --records=records/voc07_test --verify --stats
python tools/inspect_tfrecords.py --records=od_api --index --label_map=label_map.pbtxt
"""

import io
import os
import pathlib
import sys

from ssd_tfrecord import flags
from ssd_tfrecord.config import InspectConfig
from ssd_tfrecord.errors import InputError


def main(config):
    """Does what ``config`` asks for, set by set; damages end with an error."""
    # Decoding runs on the CPU; TensorFlow would take all of a GPU's memory for nothing.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    from ssd_tfrecord.records.inspection import index, plots, tables
    from ssd_tfrecord.records.manifest import Manifest

    num_damages = 0
    for directory in config.records:
        if config.index:
            lines = flags.to_lines(config)
            with _progress(None) as advance:
                index.write_manifest(
                    directory,
                    config.pattern,
                    config.label_map,
                    flag_lines=lines,
                    num_workers=config.workers,
                    advance=advance,
                )
        manifest = Manifest.load(directory)
        print(f"{directory}: {manifest.num_records} records of {manifest.num_classes} classes")
        if config.verify:
            num_damages += _verify(manifest, config.workers)
        if config.stats:
            print(tables.to_text(manifest))
        folder = os.path.join(config.output_dir, manifest.name)
        if config.plots:
            print(f"plots: {', '.join(plots.write_plots(manifest, folder))}")
        if config.draw:
            for path, names in _draw(manifest, config.draw, folder):
                print(f"pictures: {path}: row by row {', '.join(names)}")
    if num_damages:
        raise InputError(f"{num_damages} damages, one a line above: copy the files or convert anew")


def _progress(total):
    import contextlib

    import tqdm

    @contextlib.contextmanager
    def bar():
        with tqdm.tqdm(total=total, unit=" records", file=sys.stderr) as progress:
            yield progress.update

    return bar()


def _verify(manifest, num_workers):
    from ssd_tfrecord.records.inspection import verification

    count = 0
    with _progress(manifest.num_records) as advance:
        for damage in verification.verify(manifest, num_workers, advance):
            print(f"{manifest.directory}: {damage}")
            count += 1
    if not count:
        print(f"{manifest.directory}: whole: checksums, counts and every record are right")
    return count


def _draw(manifest, count, folder, in_sheet=12):
    """Contact sheets of ``count`` records spread evenly over the set; returns their paths,
    each with the source_id of its pictures."""
    from PIL import Image

    from ssd_tfrecord.evaluation import pictures
    from ssd_tfrecord.evaluation.ground_truth import GroundTruth
    from ssd_tfrecord.records import schema
    from ssd_tfrecord.records.inspection import frames

    drawn, names = [], []
    for serialized in frames.read_records(manifest, pictures.spread(manifest.num_records, count)):
        record = {name: value.numpy() for name, value in schema.parse_example(serialized).items()}
        image = Image.open(io.BytesIO(record.pop("encoded"))).convert("RGB")
        names.append(record["source_id"].decode())
        truth = GroundTruth(**{**record, "source_id": names[-1]})
        drawn.append(pictures.draw_ground_truth(image, truth, manifest.class_names))
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    sheets = []
    for start in range(0, len(drawn), in_sheet):
        path = os.path.join(folder, f"pictures-{start // in_sheet + 1:02d}.png")
        part = drawn[start : start + in_sheet]
        pictures.contact_sheet(part, columns=4, cell=pictures.ALONE).save(path)
        sheets.append((path, names[start : start + in_sheet]))
    return sheets


if __name__ == "__main__":
    sys.exit(flags.run(InspectConfig, main))
