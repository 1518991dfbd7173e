"""The pipeline on records: order, resume, determinism, padding, and what a batch holds."""

import dataclasses
import itertools

import numpy as np
import pytest

from ssd_tfrecord.data import order, pipeline, whole_images
from ssd_tfrecord.data.reading import RecordReader
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import FramingOptions, InputOptions, ReadOptions
from ssd_tfrecord.records.manifest import Manifest


@pytest.fixture(scope="module")
def manifest(tiny_records):
    return Manifest.load(tiny_records)


def batches(manifest, count, **options):
    settings = {
        "input_size": 64,
        "batch_size": 4,
        "seed": 1,
        **options,
    }
    chosen = InputOptions(
        framing=settings.pop("framing", FramingOptions(crop_trials=5)),
        reading=settings.pop("reading", ReadOptions()),
    )
    dataset = pipeline.batches(RecordReader([manifest]), chosen, **settings)
    return list(itertools.islice(dataset.as_numpy_iterator(), count))


def assert_equal(left, right):
    for a, b in zip(left, right, strict=True):
        for name, value in a._asdict().items():
            np.testing.assert_array_equal(value, getattr(b, name), err_msg=name)


def test_each_epoch_holds_every_record_once_across_batch_borders(manifest):
    n = manifest.num_records
    indices = np.concatenate([batch.indices for batch in batches(manifest, 3 * n // 4)])
    for epoch in range(len(indices) // n):
        assert sorted(indices[epoch * n : (epoch + 1) * n]) == list(range(n))
    assert indices[:n].tolist() != indices[n : 2 * n].tolist()  # another order each epoch


def test_same_seed_same_batches_for_any_number_of_threads(manifest):
    one = batches(manifest, 6, reading=ReadOptions(num_workers=1))
    assert_equal(one, batches(manifest, 6, reading=ReadOptions(num_workers=4)))
    other = batches(manifest, 6, seed=2)
    assert any((a.images != b.images).any() for a, b in zip(one, other))


@pytest.fixture(scope="module")
def unbroken(manifest):
    """The first 13 batches."""
    return batches(manifest, 13)


@pytest.mark.parametrize("step", [1, 2, 5, 9])
def test_from_any_step_the_batches_are_those_of_an_unbroken_run(manifest, unbroken, step):
    assert_equal(batches(manifest, 4, start_step=step), unbroken[step : step + 4])


def test_the_same_record_differs_between_epochs(manifest):
    n = manifest.num_records
    rows = [
        (int(i), tuple(c))
        for batch in batches(manifest, n)
        for i, c in zip(batch.indices, batch.color)
    ]
    drawn = {}
    for index, parameters in rows:
        drawn.setdefault(index, []).append(parameters)
    assert all(len(set(draws)) > 1 for draws in drawn.values())


def test_unaugmented_batch_is_the_evaluation_picture_with_all_boxes(manifest):
    options = FramingOptions(augmentation="none")
    whole = whole_images.evaluation_dataset(
        manifest, input_size=64, batch_size=manifest.num_records
    )
    images = next(whole.as_numpy_iterator()).images
    count = 0
    for batch in batches(manifest, (manifest.num_records + 3) // 4, framing=options):
        np.testing.assert_array_equal(batch.rectangles, [[0, 0, 64, 64]] * 4)
        np.testing.assert_array_equal(batch.color, [[0, 1, 1, 0, 1]] * 4)
        for row, index in enumerate(batch.indices):
            # The full decode and the window decode are equal to the bit.
            np.testing.assert_array_equal(batch.images[row], images[index])
        count += int((batch.labels > 0).sum())
    assert count >= manifest.num_objects - manifest.num_crowd


def test_batch_is_padded_to_a_bucket(manifest):
    batch = batches(manifest, 1)[0]
    assert batch.images.dtype == np.uint8
    assert batch.images.shape == (4, 64, 64, 3)
    assert batch.boxes.shape == (4, 8, 4)
    assert batch.labels.shape == (4, 8)
    assert not batch.boxes[batch.labels == 0].any()


@pytest.mark.parametrize("batch_size", [1, 4, 5])
def test_evaluation_shows_every_image_once_and_masks_the_filling(manifest, batch_size):
    dataset = whole_images.evaluation_dataset(manifest, input_size=32, batch_size=batch_size)
    seen = []
    for batch in dataset.as_numpy_iterator():
        assert len(batch.images) == batch_size
        assert (batch.indices[~batch.valid] == -1).all()
        seen += batch.indices[batch.valid].tolist()
    assert seen == list(range(manifest.num_records))


def test_arguments_that_do_not_fit_are_one_line(manifest):
    for name in ("batch_size", "input_size"):
        for value in (0, -2, 2.5):
            settings = {"input_size": 32, "batch_size": 2, name: value}
            message = rf"^{name}={value}: must be a whole number of at least 1$"
            with pytest.raises(InputError, match=message):
                whole_images.evaluation_dataset(manifest, **settings)
            with pytest.raises(InputError, match=message):
                pipeline.training_dataset([manifest], **settings)
    empty = dataclasses.replace(manifest, num_records=0)
    other = dataclasses.replace(manifest, classes=manifest.classes[::-1])
    for manifests, message in (
        ([], "manifests: must be those of one record set at least"),
        ([manifest, empty], "the set has no images; convert it again"),
        ([manifest, other], f"must have the classes of {manifest.directory}, in their order"),
    ):
        with pytest.raises(InputError, match=message):
            pipeline.training_dataset(manifests, input_size=32, batch_size=2)


def test_one_set_alone_is_a_list_of_one(manifest):
    sets = ([manifest], manifest)
    one, other = (
        next(iter(pipeline.training_dataset(chosen, input_size=32, batch_size=2)))
        for chosen in sets
    )
    np.testing.assert_array_equal(one.images, other.images)


def test_several_sets_join_with_running_indices(manifest):
    indices = [int(index) for index, _ in order.records_in_order([manifest, manifest])]
    assert indices == list(range(2 * manifest.num_records))


def test_source_ids_by_index(manifest):
    last = manifest.num_records - 1
    ids = pipeline.source_ids([manifest], [last, 0, last])
    assert ids[0] == ids[2] != ids[1]


def test_shuffle_buffer_counts_records_by_their_mean_size(manifest):
    assert order.buffered_records([manifest], ReadOptions(shuffle_buffer_mb=1000)) == (
        manifest.num_records
    )
