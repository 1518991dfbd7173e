"""The boxes of training samples, drawn without pixels: those of the pipeline itself."""

import itertools
import json
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

from ssd_tfrecord.data import pipeline
from ssd_tfrecord.errors import DamagedRecordError
from ssd_tfrecord.fitting.seen_boxes import lost_to_size, seen_boxes
from ssd_tfrecord.options import FramingOptions, InputOptions, ReadOptions, RecordSetOptions
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.records.sources import coco
from ssd_tfrecord.records.writing import convert

# The objects of ``tiny_voc``: width and height of the image, then xmin, ymin, xmax, ymax from 1.
OBJECTS = (
    (64, 48, 1, 1, 64, 48),
    (80, 60, 11, 6, 50, 45),
    (80, 60, 41, 21, 80, 60),
    (50, 75, 6, 16, 35, 60),
    (96, 64, 9, 5, 32, 60),
    (96, 64, 49, 17, 88, 56),
    (72, 54, 19, 7, 54, 48),
)
FEW_TRIALS = InputOptions(framing=FramingOptions(crop_trials=5))
WHOLE = InputOptions(framing=FramingOptions(augmentation="none"))


@pytest.fixture(scope="module")
def manifest(tiny_records):
    return Manifest.load(tiny_records)


@pytest.fixture(scope="module")
def drawn(manifest):
    return seen_boxes([manifest], FEW_TRIALS, input_size=64, seed=3)


def rows(images, boxes):
    """Image and box, in an order of their own."""
    table = np.concatenate([np.asarray(images, float)[:, np.newaxis], boxes], axis=1)
    return table[np.lexsort(table.T)]


def test_they_are_the_samples_of_the_runs_first_epochs(manifest, drawn):
    # 6 records, 20 epochs.
    assert drawn.num_samples == 120
    assert drawn.boxes.dtype == np.float32
    assert drawn.images.dtype == np.int64
    batches = pipeline.training_dataset([manifest], FEW_TRIALS, input_size=64, batch_size=6, seed=3)
    images, boxes = [], []
    for batch in itertools.islice(batches.as_numpy_iterator(), 20):
        sample, place = np.nonzero(batch.labels)
        images.append(batch.indices[sample])
        boxes.append(batch.boxes[sample, place])
    images, boxes = np.concatenate(images), np.concatenate(boxes)
    assert len(boxes) > 100
    np.testing.assert_array_equal(rows(drawn.images, drawn.boxes), rows(images, boxes))


def test_without_augmentation_they_are_the_records_own_once(manifest):
    seen = seen_boxes([manifest, manifest], WHOLE, input_size=300)
    # 7 objects, one of them difficult; one of the six images has none.
    assert seen.num_samples == 12
    assert sorted(np.bincount(seen.images[:7], minlength=6)) == [0, 1, 1, 1, 2, 2]
    np.testing.assert_array_equal(seen.images[7:], seen.images[:7] + 6)
    own = [
        [(ymin - 1) / height, (xmin - 1) / width, ymax / height, xmax / width]
        for width, height, xmin, ymin, xmax, ymax in OBJECTS
    ]
    np.testing.assert_allclose(rows(np.zeros(7), seen.boxes[:7]), rows(np.zeros(7), own), atol=1e-6)


def test_crowds_are_not_trained_on(tmp_path):
    Image.new("RGB", (40, 40)).save(tmp_path / "a.jpg")
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 40, "width": 40}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [
            {"id": number, "image_id": 1, "category_id": 1, "bbox": box, "area": 100.0}
            | {"iscrowd": crowd, "segmentation": []}
            for number, (box, crowd) in enumerate([([0, 0, 40, 20], 1), ([10, 10, 10, 20], 0)], 1)
        ],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    options = RecordSetOptions(output_dir=str(tmp_path / "set"), num_shards=1)
    source = coco.read_instances(str(tmp_path / "a.json"), str(tmp_path))
    convert.convert(source, options, tool="test", flag_lines=())
    seen = seen_boxes([Manifest.load(tmp_path / "set")], WHOLE, input_size=300)
    np.testing.assert_allclose(seen.boxes, [[0.25, 0.25, 0.75, 0.5]], atol=1e-6)


def test_equal_arguments_give_equal_boxes_and_another_seed_others(manifest, drawn):
    same, other = (seen_boxes([manifest], FEW_TRIALS, input_size=64, seed=seed) for seed in (3, 2))
    np.testing.assert_array_equal(drawn.boxes, same.boxes)
    assert drawn.boxes[:10].tolist() != other.boxes[:10].tolist()


def test_of_more_boxes_than_the_limit_evenly_spaced_ones_are_taken(manifest, drawn):
    some = seen_boxes([manifest], FEW_TRIALS, input_size=64, seed=3, limit=10)
    places = [len(drawn.boxes) * index // 10 for index in range(10)]
    np.testing.assert_array_equal(some.boxes, drawn.boxes[places])
    np.testing.assert_array_equal(some.images, drawn.images[places])


def test_a_damaged_record_is_named_or_passed_over(tiny_records, tmp_path):
    damaged = Manifest.load(shutil.copytree(tiny_records, tmp_path / "copy"))
    path = pathlib.Path(damaged.shard_paths[0])
    content = bytearray(path.read_bytes())
    content[200] ^= 4
    path.write_bytes(content)
    with pytest.raises(DamagedRecordError, match=r"record 0 .* is damaged"):
        seen_boxes([damaged], WHOLE, input_size=300)
    skipping = InputOptions(WHOLE.framing, reading=ReadOptions(on_bad_record="skip"))
    seen = seen_boxes([damaged], skipping, input_size=300)
    # The second record stands for the first, under its index.
    intact = seen_boxes([Manifest.load(tiny_records)], WHOLE, input_size=300)
    second = intact.boxes[intact.images == 1]
    np.testing.assert_array_equal(seen.boxes[seen.images == 0], second)
    np.testing.assert_array_equal(seen.boxes[seen.images == 1], second)
    assert len(second) > 0


def test_boxes_lost_to_size_are_counted_by_area():
    # 8 x 8 pixels of 300 are not below it; 16 x 3 are.
    sides = np.array([[8.01, 8.01], [16, 3], [7, 7], [100, 100]], np.float32) / 300
    boxes = np.concatenate([np.full([4, 2], 0.1, np.float32), 0.1 + sides], axis=1)
    assert lost_to_size(boxes, 300) == (
        "boxes lost to size: 2 of 4 (50.0%) in samples as training draws them are smaller than 8x8 "
        "of the 300x300 pixels"
    )
    assert lost_to_size(boxes, 300, side=16).startswith("boxes lost to size: 3 of 4 (75.0%) ")
    assert lost_to_size(boxes[:0], 512).startswith("boxes lost to size: 0 of 0 (0.0%)")
