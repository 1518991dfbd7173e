"""A conversion from its flags to its summary."""

import functools
import os

from ssd_tfrecord import flags
from ssd_tfrecord.config import ConvertCocoConfig, ConvertVocConfig
from ssd_tfrecord.records.sources.source_set import SourceSet


def convert_voc(config: ConvertVocConfig) -> None:
    """Converts VOC XML as ``config`` says, and prints what was written."""
    # Before TensorFlow is imported. Decoding runs on the CPU, and TensorFlow would reserve all of a
    # GPU's memory for nothing.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    from ssd_tfrecord.records.sources import voc
    from ssd_tfrecord.records.writing import convert

    # Before the annotations are read, which may take minutes.
    convert.check_output(config.record_set)
    if config.voc_root:
        read = functools.partial(voc.read_devkit, config.voc_root, config.sets)
    else:
        read = functools.partial(
            voc.read_folder, config.annotations_dir, config.images_dir, config.image_set
        )
    sources = read(
        pixel_origin=config.pixel_origin,
        unannotated=config.unannotated,
        bad_images=config.images.bad_images,
        workers=config.record_set.workers,
    )
    _convert(sources, config, "create_voc_tfrecords")


def convert_coco(config: ConvertCocoConfig) -> None:
    """Converts a COCO JSON file as ``config`` says, and prints what was written."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    from ssd_tfrecord.records.sources import coco
    from ssd_tfrecord.records.writing import convert

    convert.check_output(config.record_set)
    sources = coco.read_instances(
        config.annotations,
        config.images_dir,
        bad_images=config.images.bad_images,
        bad_boxes=config.boxes.bad_boxes,
        unknown_classes=config.boxes.unknown_classes,
    )
    _convert(sources, config, "create_coco_tfrecords")


def _convert(sources: SourceSet, config: ConvertVocConfig | ConvertCocoConfig, tool: str) -> None:
    from ssd_tfrecord.records.writing import convert

    convert.convert_and_report(
        sources,
        config.record_set,
        images=config.images,
        boxes=config.boxes,
        tool=tool,
        flag_lines=flags.to_lines(config),
    )
