"""Which checkpoints a folder holds, by the names of its files."""

from ssd_tfrecord.runs import checkpoint_names


def touch(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()


def test_steps_of_what_has_an_index_and_data(tmp_path):
    folder = tmp_path / "a"
    touch(folder, "ckpt-10.index", "ckpt-10.data-00000-of-00001", "checkpoint", "classes.json")
    touch(folder, "ckpt-2.index", "ckpt-2.data-00000-of-00002", "ckpt-2.data-00001-of-00002")
    # Of a kill, damaged, or nobody's.
    touch(folder, "ckpt-3.index", "ckpt-4.data-00000-of-00001", "damaged-ckpt-5.index")
    touch(folder, "damaged-ckpt-5.data-00000-of-00001", "ckpt-06.index", "ckpt-٧.index")
    assert checkpoint_names.steps(folder) == [2, 10]
    assert checkpoint_names.steps(tmp_path / "none") == []


def test_files_of_one_checkpoint(tmp_path):
    touch(tmp_path, "ckpt-2.index", "ckpt-2.data-00000-of-00001", "ckpt-2.part", "ckpt-20.index")
    found = checkpoint_names.files(tmp_path / "ckpt-2")
    assert [path.name for path in found] == ["ckpt-2.data-00000-of-00001", "ckpt-2.index"]
    assert checkpoint_names.files(tmp_path / "none" / "ckpt-2") == []
