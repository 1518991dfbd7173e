"""The images of a folder whose layout is known, split by split, as they are or divided anew."""

import dataclasses

from ssd_tfrecord.options import BoxOptions, ImageOptions, SourceOptions
from ssd_tfrecord.records.sources.layouts import joined
from ssd_tfrecord.records.sources.layouts.layout import Finding, Policies
from ssd_tfrecord.records.sources.source_set import SourceSet
from ssd_tfrecord.records.writing import division


def boxes_of(finding: Finding, boxes: BoxOptions) -> BoxOptions:
    """``boxes`` with the unit that the layout has.

    What the user says about the unit counts more than what the layout usually has.
    """
    unit = finding.box_unit if boxes.box_unit == "auto" else ""
    return dataclasses.replace(boxes, box_unit=unit) if unit else boxes


def read(
    folder: str,
    finding: Finding,
    source: SourceOptions,
    *,
    images: ImageOptions,
    boxes: BoxOptions,
    workers: int,
) -> dict[str, SourceSet]:
    """Reads the annotations of a folder.

    Args:
        folder: whose layout was found.
        finding: the layout.
        source: how it is read and divided.
        images: what is done with images that cannot be used.
        boxes: likewise, as ``boxes_of`` returns them.
        workers: number of processes; 0: one per core, fewer for few files.

    Returns:
        {split: its images}: those that are there, or those of ``source.split``; "" where there are
        none.

    Raises:
        InputError: as the policies say; or the images cannot be divided.
    """
    policies = Policies(
        # Fractions and percentages of the image count no pixels.
        pixel_origin=0 if boxes.whole_side else source.pixel_origin,
        unannotated=source.unannotated,
        bad_images=images.bad_images,
        bad_boxes=boxes.bad_boxes,
        unknown_classes=boxes.unknown_classes,
        links=images.links,
        workers=workers,
    )
    found = {part.name: part.read(policies) for part in finding.parts}
    if not source.split:
        return found
    whole = joined.join(found, {"input": folder})
    return division.divide(whole, source.fractions, source.split_seed, workers)
