"""Which split is for what, as it is said."""

import pytest

from ssd_tfrecord import flags
from ssd_tfrecord.config import FitConfig
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.fitting import fit_folder
from ssd_tfrecord.fitting.fit_folder import FitFolder


@pytest.mark.parametrize(
    ("parts", "words", "said"),
    [
        (
            ("train", "val", "test"),
            (),
            "to train on: train and val (--hold_out keeps val apart); "
            "test is seen once, at the end",
        ),
        (
            ("train", "val", "test"),
            ("--hold_out",),
            "to train on: train; val chooses the checkpoint; test is seen once, at the end",
        ),
        (("train", "test"), (), "to train on: train; test is seen once, at the end"),
        (
            ("train", "val"),
            (),
            "to train on: train; val chooses the checkpoint, and scores the model",
        ),
    ],
)
def test_purposes(parts, words, said):
    config = flags.parse(FitConfig, ["fit", "in", "--output_dir=out", *words])
    assert FitFolder.of(config, parts).purposes == said


def test_the_words_that_train_name_each_set_though_the_folder_has_a_comma():
    config = flags.parse(FitConfig, ["fit", "in", "--output_dir=a,b"])
    words = FitFolder.of(config, ("train", "val", "test")).training_words()
    assert words[2] == '--train_records="a,b/records/train","a,b/records/val"'


@pytest.mark.parametrize("name", ["run", "index.html", "recipe.flags"])
def test_what_fit_has_not_made_is_not_taken_for_its(name, tmp_path):
    fit_folder.check_ours(str(tmp_path / "none"))
    fit_folder.check_ours(str(tmp_path))
    (tmp_path / "own.txt").touch()
    fit_folder.check_ours(str(tmp_path))
    # A link that leads nowhere, too, would be deleted.
    (tmp_path / name).symlink_to("nowhere")
    with pytest.raises(InputError) as raised:
        fit_folder.check_ours(str(tmp_path))
    assert str(raised.value) == (
        f"--output_dir={tmp_path}: has {name}, but no fit.json: fit has not made it; choose "
        "another folder"
    )
    (tmp_path / "fit.json").touch()
    fit_folder.check_ours(str(tmp_path))
