"""Pascal VOC XML -> TFRecords and a manifest; --help lists the flags."""

import os
import sys

from ssd_tfrecord import flags
from ssd_tfrecord.config import ConvertVocConfig


def main(config):
    """Converts what ``config`` names, and prints what was written."""
    # Decoding runs on the CPU; TensorFlow would take all of a GPU's memory for nothing.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    from ssd_tfrecord.records import convert, voc

    convert.check_output(config.record_set)
    if config.voc_root:
        folders = (config.voc_root, config.sets)
        read = voc.read_devkit
    else:
        folders = (config.annotations_dir, config.images_dir, config.image_set)
        read = voc.read_folder
    sources = read(
        *folders,
        pixel_origin=config.pixel_origin,
        unannotated=config.unannotated,
        bad_images=config.images.bad_images,
        workers=config.record_set.workers,
    )
    convert.convert_and_report(
        sources,
        config.record_set,
        images=config.images,
        boxes=config.boxes,
        tool="create_voc_tfrecords",
        flag_lines=flags.to_lines(config),
    )


if __name__ == "__main__":
    sys.exit(flags.run(ConvertVocConfig, main))
