"""A batch that is not finite: kept, saved, named, counted, and read again."""

import dataclasses
import io
import pathlib
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.data import pipeline
from ssd_tfrecord.data.pipeline import Batch
from ssd_tfrecord.data.reading import RecordReader
from ssd_tfrecord.errors import InputError, NotFiniteError
from ssd_tfrecord.options import ModelOptions
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.training.nonfinite import bad_batch

TOY = ModelOptions(backbone="toy", backbone_weights="none", input_size=64)


def config_for(records, run_dir):
    return TrainConfig(
        train_records=(str(records),),
        run_dir=str(run_dir),
        model=TOY,
        global_batch_size=2,
        skip_nonfinite=1,
    )


@pytest.fixture
def config(tiny_records, tmp_path):
    return config_for(tiny_records, tmp_path)


@pytest.fixture(scope="module")
def source(tiny_records):
    return RecordReader([Manifest.load(tiny_records)])


@pytest.fixture(scope="module")
def batch(tiny_records, source):
    batches = bad_batch.training_batches(config_for(tiny_records, "unused"), source, 0)
    return next(batches.as_numpy_iterator())


@pytest.fixture(scope="module")
def names(source, batch):
    return pipeline.source_ids(source.manifests, batch.indices)


def test_the_error_names_step_images_file_checkpoint_and_the_way_on(config, source, batch, names):
    error = bad_batch.report(config, source, 7, batch, checkpoint="checkpoints/ckpt-6")
    assert isinstance(error, NotFiniteError)
    path = pathlib.Path(config.run_dir) / "nonfinite-7.npz"
    assert str(error) == (
        f"step 7: the loss or its gradient is not finite; images {', '.join(names)}; the "
        f"batch is saved: python -m ssd_tfrecord.train --replay={path} shows what is wrong; the "
        "last checkpoint is checkpoints/ckpt-6. Run the same command again with a lower "
        "--learning_rate, with --gradient_clip_norm, with more --warmup_steps, or with "
        "--skip_nonfinite=2, which leaves this batch out"
    )
    saved = bad_batch.load(path)
    assert (saved.step, list(saved.names)) == (7, names)
    for ours, theirs in zip(saved.batch, batch, strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_the_line_comes_without_a_file_where_none_can_be_written(config, source, batch, tmp_path):
    (tmp_path / "nonfinite-7.npz.part").mkdir()
    line = str(bad_batch.report(config, source, 7, batch))
    assert f"the batch could not be saved ({tmp_path}/nonfinite-7.npz: Is a directory)" in line
    assert "--learning_rate" in line


def test_images_have_numbers_where_the_shards_are_gone(config, batch, tmp_path):
    gone = dataclasses.replace(
        Manifest.load(config.train_records[0]), directory=str(tmp_path / "gone")
    )
    line = str(bad_batch.report(config, RecordReader([gone]), 7, batch))
    assert f"images record {batch.indices[0]}, record {batch.indices[1]};" in line


def test_names_cannot_break_the_line():
    assert bad_batch._listed(["a\nb", "c\x1b[2J", "ö"]) == "images a?b, c?[2J, ö"
    many = bad_batch._listed([f"{i}" for i in range(70)])
    assert many.endswith("63 and 6 more")


def test_as_many_batches_are_left_out_as_the_flag_says(config, source, batch, names):
    said, taken = [], []

    def left_out(step):
        return bad_batch.left_out(
            config,
            source,
            step,
            take_fn=lambda: taken.append(step) or batch,
            say_fn=said.append,
        )

    # One that has ended the run was not left out.
    bad_batch.report(config, source, 3, batch)
    assert left_out(4)
    assert said[0].startswith(
        "step 4: the loss or its gradient is not finite; the batch is left out "
        f"(--skip_nonfinite=1): images {', '.join(names)}; the batch is saved"
    )
    # Met again after a resume, it is the same one; another one is too many.
    assert left_out(4)
    assert not left_out(5)
    assert (taken, len(said)) == ([4, 4], 2)


def test_a_damaged_file_counts_as_a_batch_left_out(config, tmp_path):
    (tmp_path / "nonfinite-9.npz").write_bytes(b"PK")
    assert bad_batch.num_skipped(config.run_dir, 10) == 1
    assert bad_batch.num_skipped(config.run_dir, 9) == 0


def test_the_keeper_joins_the_parts_of_replicas_in_order(batch):
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    keeper = bad_batch.BatchKeeper()

    @tf.function
    def run(finite):
        parts = strategy.experimental_distribute_values_from_function(
            lambda context: Batch(
                *(tf.constant(v[context.replica_id_in_sync_group :][:1]) for v in batch)
            )
        )
        strategy.run(keeper.keep, args=(parts, finite))

    run(tf.constant(True))
    assert keeper.take() is None
    run(tf.constant(False))
    for ours, theirs in zip(keeper.take(), batch, strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)


def rewritten(path, **arrays):
    """The file ``path`` with other arrays, or members that are bytes."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for name, value in arrays.items():
        file = io.BytesIO()
        if not isinstance(value, bytes):
            np.save(file, value)
        members[f"{name}.npy"] = value if isinstance(value, bytes) else file.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def promise(shape):
    """The header of an .npy that holds nothing of what it promises."""
    file = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        pytest.param({"images": promise((2**20, 2**10, 2**10, 3))}, "bytes, but", id="bomb"),
        pytest.param({"boxes": np.array([None])}, "boxes: object", id="pickle"),
        pytest.param({"color": b"nonsense"}, "damaged", id="not an array"),
        pytest.param({"labels": np.zeros((3, 8), np.int32)}, "do not fit each other", id="longer"),
        pytest.param({"labels": np.zeros((2, 8), np.int64)}, "labels: int64", id="other dtype"),
    ],
)
def test_a_file_that_is_not_ours_is_one_line(config, source, batch, arrays, message):
    bad_batch.report(config, source, 7, batch)
    path = pathlib.Path(config.run_dir) / "nonfinite-7.npz"
    rewritten(path, **arrays)
    with pytest.raises(InputError, match=message) as error:
        bad_batch.load(path)
    assert str(error.value).startswith(f"--replay={path}: damaged")


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_cut_file_is_one_line(config, source, batch, share):
    bad_batch.report(config, source, 7, batch)
    path = pathlib.Path(config.run_dir) / "nonfinite-7.npz"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match="damaged, or not written by training"):
        bad_batch.load(path)


def test_a_file_of_another_name_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no such file; must be a run's nonfinite-N\.npz"):
        bad_batch.load(tmp_path / "nonfinite-1.npz")
    (tmp_path / "a.npz").write_bytes(b"")
    with pytest.raises(InputError, match="is not called so"):
        bad_batch.load(tmp_path / "a.npz")
