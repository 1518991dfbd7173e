"""COCO instances JSON -> TFRecords and a manifest; --help lists the flags."""

import os
import sys

from ssd_tfrecord import flags
from ssd_tfrecord.config import ConvertCocoConfig


def main(config):
    """Converts what ``config`` names, and prints what was written."""
    # Decoding runs on the CPU; TensorFlow would take all of a GPU's memory for nothing.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    from ssd_tfrecord.records import coco, convert

    convert.check_output(config.record_set)
    sources = coco.read_instances(
        config.annotations,
        config.images_dir,
        bad_images=config.images.bad_images,
        bad_boxes=config.boxes.bad_boxes,
        unknown_classes=config.boxes.unknown_classes,
    )
    convert.convert_and_report(
        sources,
        config.record_set,
        images=config.images,
        boxes=config.boxes,
        tool="create_coco_tfrecords",
        flag_lines=flags.to_lines(config),
    )


if __name__ == "__main__":
    sys.exit(flags.run(ConvertCocoConfig, main))
