"""A run is known by its records, start weights and flags, wherever they lie."""

import dataclasses
import json
import pathlib
import shutil

import pytest

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import ModelOptions, OptimizerOptions
from ssd_tfrecord.records.manifest import ClassLabel, Manifest, Shard
from ssd_tfrecord.runs import identity, run_folder

CONFIG = TrainConfig(train_records=("a", "b"), run_dir="run")


def manifest(directory, *digests, classes=("cat", "dog"), **values):
    """A set of one shard for each of ``digests``, of three records each."""
    labels = tuple(ClassLabel(i, name, i) for i, name in enumerate(classes, 1))
    shards = tuple(Shard(f"{directory}-{d}", 3, 99, d * 64, (17,) * 3) for d in digests)
    counts = dict.fromkeys(
        ("num_records", "num_objects", "num_difficult", "num_crowd", "max_objects", "num_pixels"), 3
    )
    plain = Manifest(
        **{"directory": directory, "schema_version": 2, "tool": "test", "name": directory},
        **{"classes": labels, "pixel_origin": 0, "per_class": {}, "histograms": {}, **counts},
        **{"shards": shards, "rejects": {}, "flags": (), "source": {}},
    )
    return dataclasses.replace(plain, **values)


def made(config=CONFIG, train=None, evaluation=None):
    sets = [manifest("a", "1", "2"), manifest("b", "3")] if train is None else train
    return identity.identify(config, sets, evaluation)


def differences(old, new):
    found = identity.difference(old, new)
    return [*found.flags, *found.content]


def test_a_set_that_was_moved_or_indexed_again_is_the_same():
    """Another folder, tool, name of the shards; other statistics."""
    moved = [
        manifest("/mnt/a", "1", "2", tool="index", num_objects=7, flags=("--x=1",)),
        manifest("/mnt/b", "3", name="other"),
    ]
    assert differences(made(), made(train=moved)) == []


@pytest.mark.parametrize(
    ("train", "said"),
    [
        (
            [manifest("a", "1", "2", "4"), manifest("b", "3")],
            "--train_records=a: has other content than before (6 records in 2 shards -> 9 records "
            "in 3 shards)",
        ),
        (
            [manifest("a", "1", "2"), manifest("/mnt/b", "4")],
            "--train_records=/mnt/b: has other content than b had (other records in 1 of 1 "
            "shard, first in shard 0)",
        ),
        (
            [manifest("a", "1", "9"), manifest("b", "3")],
            "--train_records=a: has other content than before (other records in 1 of 2 "
            "shards, first in shard 1)",
        ),
        (
            [manifest("a", "1", "2", classes=("dog", "cat")), manifest("b", "3")],
            "--train_records=a: has other content than before (classes cat, dog -> dog, cat)",
        ),
        (
            [manifest("b", "3"), manifest("a", "1", "2")],
            "--train_records: the sets are in another order; the run has a, b",
        ),
        ([manifest("a", "1", "2")], "--train_records: 2 sets -> 1"),
    ],
    ids=["more", "elsewhere", "a shard", "classes", "order", "fewer"],
)
def test_other_records_are_named(train, said):
    assert differences(made(), made(train=train)) == [said]


def test_an_evaluation_set_may_move_be_added_or_removed_and_other_content_is_said():
    ours, moved, other = manifest("e", "5"), manifest("/mnt/e", "5"), manifest("/mnt/e", "6")
    for old, new in [(ours, moved), (None, ours), (ours, None)]:
        found = identity.difference(made(evaluation=old), made(evaluation=new))
        assert found == identity.Difference((), (), (), ())
    found = identity.difference(made(evaluation=ours), made(evaluation=other))
    assert (found.flags, found.content) == ((), ())
    assert "--eval_records=/mnt/e: has other content than before" in found.notes[0]


def test_flags_that_matter_are_compared_and_no_others():
    known = set(made().flags)
    assert {"seed", "global_batch_size", "xla", "precision", "learning_rate", "backbone"} <= known
    assert not known & {
        *("train_records", "eval_records", "run_dir", "init_checkpoint", "backbone_weights"),
        *("num_steps", "restart", "restart_id", "best_metric", "eval_every", "cache_dir"),
    }
    cosine = dataclasses.replace(CONFIG, optimizer=OptimizerOptions(lr_schedule="cosine"))
    assert set(made(cosine).flags) - known == {"num_steps"}
    other = dataclasses.replace(CONFIG, seed=3, num_steps=7, run_dir="run/")
    assert differences(made(), made(other)) == ["--seed: 0 -> 3"]


def test_flags_that_are_decided_later_take_their_place():
    """Of ``--global_batch_size=auto``; content stays."""
    auto = dataclasses.replace(CONFIG, global_batch_size=0)
    begun = made(auto)
    assert begun.flags["global_batch_size"] == "auto"
    found = identity.with_flags_of(begun, dataclasses.replace(auto, global_batch_size=48))
    assert found.flags == begun.flags | {"global_batch_size": "48"}
    assert (found.train, found.weights) == (begun.train, begun.weights)


def test_it_is_read_as_it_was_written(tmp_path):
    whole = made(dataclasses.replace(CONFIG, restart_id="7"), evaluation=manifest("é\udcff", "5"))
    for item in (whole, identity.of_flags(CONFIG)):
        text = identity.to_json(item)
        assert identity.from_content(json.loads(text.encode("ascii"))) == item


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("schema_version", 2),
        ("flags", {"seed": 0}),
        ("flags", []),
        ("train", [{"path": "a", "shards": [["1", "3"]], "classes": []}]),
        ("train", [{"path": "a", "shards": [["1"]], "classes": []}]),
        ("train", 3),
        ("weights", {"flag": "x", "value": "y", "extra": "z"}),
        ("weights", []),
        ("evaluation", "e"),
        ("restart_id", None),
    ],
)
def test_an_identity_that_is_not_ours_is_refused(name, value):
    content = json.loads(identity.to_json(made()))
    with pytest.raises(ValueError, match=r"newer|not what training writes"):
        identity.from_content({**content, name: value})
    del content[name]
    with pytest.raises(ValueError, match=f"'{name}' is missing"):
        identity.from_content(content)


def test_digests_name_each_set_and_the_weights(tmp_path):
    (tmp_path / "vgg.h5").write_bytes(b"weights")
    config = with_weights(tmp_path / "vgg.h5")
    found = made(config, evaluation=manifest("e", "3")).digests()
    assert list(found) == [
        *("train_records=a", "train_records=b", "eval_records=e"),
        f"backbone_weights={tmp_path}/vgg.h5",
    ]
    # The evaluation set holds the same as the second training set.
    assert len(set(found.values())) == 3
    assert all(len(digest) == 64 for digest in found.values())


def with_weights(path):
    return dataclasses.replace(CONFIG, model=ModelOptions(backbone_weights=str(path)))


def from_checkpoint(path):
    return dataclasses.replace(CONFIG, init_checkpoint=str(path))


def change(old, new):
    """(what is refused, what is noted) of two configs or identities, old and new."""
    pair = [item if isinstance(item, identity.Identity) else made(item) for item in (old, new)]
    found = identity.difference(*pair)
    assert found.flags == ()
    return list(found.content), list(found.notes)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (with_weights("imagenet"), with_weights("none"), "--backbone_weights: imagenet -> none"),
        (with_weights("none"), with_weights("x.h5"), "--backbone_weights: none -> x.h5"),
        (with_weights("none"), from_checkpoint("runs/a"), "--init_checkpoint: empty -> runs/a"),
        (from_checkpoint("runs/a"), with_weights("none"), "--init_checkpoint: runs/a -> empty"),
    ],
)
def test_other_start_weights_are_refused_by_name(old, new, said):
    assert change(old, new) == ([said], [])


def test_a_file_of_weights_may_move_or_go_but_not_change(tmp_path):
    path = tmp_path / "vgg.h5"
    path.write_bytes(b"weights")
    old = made(with_weights(path))
    shutil.move(path, tmp_path / "moved.h5")
    assert change(old, with_weights(tmp_path / "moved.h5")) == ([], [])
    gone = f"--backbone_weights={path}: not found; not needed, as the run has its own checkpoints"
    assert change(old, with_weights(path)) == ([], [gone])
    # It stays known.
    kept = identity.resumed(old, made(with_weights(path)))
    path.write_bytes(b"Weights")
    other = f"--backbone_weights={path}: has other content than the file that the run began with"
    assert change(old, with_weights(path)) == ([other], [])
    assert change(kept, with_weights(path)) == ([other], [])


def test_a_checkpoint_makes_backbone_weights_of_no_matter(tmp_path):
    old = dataclasses.replace(with_weights("none"), init_checkpoint=str(source_run(tmp_path)))
    new = dataclasses.replace(with_weights("imagenet"), init_checkpoint=old.init_checkpoint)
    assert change(old, new) == ([], [])


def source_run(tmp_path):
    """A run with checkpoints of steps 2 and 10, of which that of step 2 is the best."""
    run = tmp_path / "source"
    run_folder.begin(TrainConfig(train_records=("x",), run_dir=str(run)))
    for folder, step in (("checkpoints", 2), ("checkpoints", 10), ("checkpoints/best", 2)):
        save(run / folder, step)
    return run


def save(folder, step, text="weights"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"ckpt-{step}.index").write_text("index")
    (folder / f"ckpt-{step}.data-00000-of-00001").write_text(f"{text} {step}")


def test_which_checkpoint_of_a_folder_is_meant(tmp_path):
    run = source_run(tmp_path)
    paths = [run, run / "checkpoints", run / "checkpoints/best", run / "checkpoints/ckpt-10"]
    found = [made(from_checkpoint(path)).weights for path in paths]
    assert [item.checkpoint for item in found] == [
        *("checkpoints/best/ckpt-2", "ckpt-10", "ckpt-2", "")
    ]
    assert found[0].digest == found[2].digest != found[1].digest == found[3].digest
    shutil.rmtree(run / "checkpoints/best")
    assert made(from_checkpoint(run)).weights.checkpoint == "checkpoints/ckpt-10"


def test_a_source_run_may_move_or_go_on(tmp_path):
    run = source_run(tmp_path)
    old = made(from_checkpoint(run))
    shutil.copytree(run, tmp_path / "moved")
    assert change(old, from_checkpoint(tmp_path / "moved")) == ([], [])
    assert change(old, from_checkpoint(run / "checkpoints/best/ckpt-2")) == ([], [])
    # Its best checkpoint is another one by now.
    shutil.rmtree(run / "checkpoints/best")
    save(run / "checkpoints/best", 20)
    content, [note] = change(old, from_checkpoint(run))
    assert content == []
    assert "the checkpoint that the run began with is no longer there; not needed" in note
    # Of another run, that is not known.
    run.rename(tmp_path / "other")
    content, _ = change(old, from_checkpoint(tmp_path / "other"))
    assert content == [f"--init_checkpoint: {run} -> {tmp_path / 'other'}"]
    # Gone altogether.
    content, [note] = change(old, from_checkpoint(run))
    assert content == []
    assert note.startswith(f"--init_checkpoint={run}: not found; not needed")


def test_other_content_of_the_same_checkpoint_is_refused(tmp_path):
    run = source_run(tmp_path)
    for path in (run, run / "checkpoints", run / "checkpoints/ckpt-10"):
        old = made(from_checkpoint(path))
        save(run / "checkpoints", 10, "others")
        save(run / "checkpoints/best", 2, "others")
        [said], notes = change(old, from_checkpoint(path))
        assert said.startswith(f"--init_checkpoint={path}: has other content than the file")
        assert notes == []
        save(run / "checkpoints", 10)
        save(run / "checkpoints/best", 2)


def test_the_run_folder_tells_all_in_one_line(tmp_path):
    config = dataclasses.replace(CONFIG, run_dir=str(tmp_path / "run"))
    run_folder.begin(config, made(config))
    assert run_folder.check(config, made(config)) == ()
    other = dataclasses.replace(config, seed=3)
    sets = [manifest("a", "1", "2"), manifest("b", "4")]
    with pytest.raises(InputError) as error:
        run_folder.check(other, made(other, sets))
    assert str(error.value) == (
        f"--run_dir={tmp_path}/run: this run has other flags and content (--seed: 0 -> 3; "
        "--train_records=b: has other content than before (other records in 1 of 1 shard, first in "
        "shard 0)); give those of the run, choose another --run_dir, or start from scratch with "
        "--restart"
    )
    assert pathlib.Path(config.run_dir, "identity.json").read_text() == identity.to_json(
        made(config)
    )
