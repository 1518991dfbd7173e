"""Flags <-> configs: one round trip, every error in one line, and help without TensorFlow."""

import dataclasses
import os
import subprocess
import sys
from typing import ClassVar

import pytest

from ssd_tfrecord import config, flags
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import Options, option

TRAIN = ["prog", "--train_records=a,b", "--run_dir=runs/a"]


def test_config_survives_its_own_flagfile(tmp_path):
    given = flags.parse(
        config.TrainConfig,
        [*TRAIN, "--lr_boundaries=60000", "--lr_values=1e-3,1e-4", "--xla", "--crop_trials=7"],
    )
    (tmp_path / "flags.txt").write_text("\n".join(flags.to_lines(given)))
    again = flags.parse(config.TrainConfig, ["prog", f"--flagfile={tmp_path / 'flags.txt'}"])
    assert again == given
    assert (again.xla, again.input.framing.crop_trials) == (True, 7)
    assert again.optimizer.lr_values == (1e-3, 1e-4)


@pytest.mark.parametrize(
    "names", [("a,b", "c"), ('say "a"',), ('a,"b"', "c d"), ("a=b", "c\nd"), ("only",)]
)
def test_a_list_survives_though_its_items_have_commas(names):
    given = dataclasses.replace(flags.parse(config.TrainConfig, TRAIN), train_records=names)
    assert flags.parse(config.TrainConfig, ["prog", *flags.to_lines(given)]) == given


def test_a_word_may_stand_for_a_number():
    given = flags.parse(config.TrainConfig, [*TRAIN, "--global_batch_size=auto"])
    assert given.global_batch_size == 0
    lines = flags.to_lines(given)
    assert "--global_batch_size=auto" in lines
    assert flags.parse(config.TrainConfig, ["prog", *lines]) == given
    [line] = [
        line for line in flags.to_lines(flags.parse(config.TrainConfig, TRAIN)) if "size=32" in line
    ]
    assert line == "--global_batch_size=32"
    # Of several, the last one counts, also where a flagfile's is overridden.
    words = [*TRAIN, "--global_batch_size=auto", "--global_batch_size=8"]
    assert flags.parse(config.TrainConfig, words).global_batch_size == 8
    assert "(auto or at least 1)" in " ".join(flags.help_text(config.TrainConfig).split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["stray"], "'stray' is not a flag; write --name=value, see --help"),
        (["--nope=1"], "Unknown command line flag 'nope'"),
        (["--num_steps=x"], "error: --num_steps=x: must be a whole number\n"),
        (["--num_steps=1.5"], "error: --num_steps=1.5: must be a whole number\n"),
        (["--momentum=high"], "error: --momentum=high: must be a number\n"),
        (["--xla=maybe"], "error: --xla=maybe: must be true or false\n"),
        (["--num_steps=0"], "--num_steps=0: must be at least 1"),
        (["--num_steps=99999999999"], "--num_steps=99999999999: must be within ±2147483647"),
        (["--global_batch_size=0"], "--global_batch_size=0: must be auto or at least 1\n"),
        (["--global_batch_size=-8"], "--global_batch_size=-8: must be auto or at least 1\n"),
        (["--global_batch_size=many"], "=many: must be auto or a whole number\n"),
        (["--global_batch_size=8.5"], "=8.5: must be auto or a whole number\n"),
        (
            ["--accumulate_steps=3", "--num_virtual_devices=2"],
            "--global_batch_size=32: must be a multiple of 6: 2 replica(s), --accumulate_steps=3",
        ),
        (["--augmentation=max"], "--augmentation=max: must be one of ssd, flip, none"),
        (["--crop_min_ious=0.1,2"], "--crop_min_ious=2.0: must be at least 0 and at most 1"),
        (["--crop_min_ious=a"], "--crop_min_ious=a: must be a number, or several separated"),
        (["--learning_rate=0"], "--learning_rate=0.0: must be above 0"),
        (["--learning_rate=nan"], "--learning_rate=nan: must be above 0"),
        (["--lr_boundaries=5,5"], "--lr_boundaries=5,5: must be in increasing order"),
        (["--lr_values=1,2,3"], "--lr_values=1,2,3: must have one more value than --lr_bound"),
        (["--lr_schedule=cosine", "--lr_boundaries=5"], "--lr_schedule=cosine cannot be combined"),
        (["--anchor_scales=0.5,0.2"], "--anchor_scales=0.5,0.2: must be positive and in incr"),
        (["--anchor_scales=big"], "--anchor_scales=big: must be voc, coco, ssdlite or a list of n"),
        (["--aspect_ratios=2:1"], "--aspect_ratios=2:1: must be numbers greater than 1"),
        (["--input_size=400"], "--input_size=400: must be 300 or 512 for vgg16"),
        (
            ["--backbone=mobilenet_v2", "--input_size=640"],
            "must be 300, 320 or 512 for mobilenet_v2",
        ),
        (["--width=0.5"], "--width=0.5: must be 1 for vgg16"),
        (["--patience=3"], "--patience requires --eval_records"),
        (["--focal_gamma=1"], "--focal_gamma=1 requires --focal"),
        (["--freeze=conv["], "--freeze=conv[: must be a regular expression"),
        (["--accumulate_steps=3"], "--global_batch_size=32: must be a multiple of 3"),
        (
            ["--num_virtual_devices=3"],
            "--global_batch_size=32: must be a multiple of the number of replicas, 3",
        ),
        (
            ["--num_virtual_devices=2", "--require_gpu"],
            "--require_gpu cannot be combined with --num_virtual_devices=2, which uses the CPU",
        ),
        (
            ["--anchor_scales=0.1,0.5"],
            "--anchor_scales=0.1,0.5: has 2 scales; --input_size=300 needs 7, one per feature",
        ),
        (
            ["--aspect_ratios=2:2:2:2:2:2", "--input_size=512"],
            "--aspect_ratios=2:2:2:2:2:2: has ratios for 6 feature maps; --input_size=512 needs 7",
        ),
        (["--run_dir="], "--run_dir is required"),
        (["--flagfile=missing.flags"], "error: --flagfile=missing.flags: no such file; must be "),
        (["--flagfile=missing.flags"], "or a recipe: bccd.flags, demo.flags, "),
    ],
)
def test_wrong_flag_is_one_line_that_names_it(words, message, capsys):
    assert flags.run(config.TrainConfig, print, [*TRAIN, *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_an_empty_choice_has_a_name(capsys):
    words = ["prog", "--records=a", "--run_dir=b", "--save_detections=foo"]
    assert flags.run(config.EvalConfig, print, words) == 2
    message = "--save_detections=foo: must be one of empty, voc, coco, cartucho"
    assert message in capsys.readouterr().err


def test_byte_order_mark_in_a_flagfile_is_an_error_not_a_lost_setting(tmp_path):
    (tmp_path / "bom.flags").write_text("\ufeff--num_steps=5\n", encoding="utf-8")
    assert flags.run(config.TrainConfig, print, [*TRAIN, f"--flagfile={tmp_path}/bom.flags"]) == 2


def test_help_names_every_flag_with_its_default():
    text = flags.help_text(config.DetectConfig)
    assert "--score_threshold=0.4" in text
    assert "--max_detections=100" in text
    assert "one of float32, mixed_bfloat16, mixed_float16" in " ".join(text.split())
    for line in flags.to_lines(flags.parse(config.TrainConfig, TRAIN)):
        assert line.split("=")[0] + "=" in flags.help_text(config.TrainConfig)


def test_flags_do_not_import_tensorflow():
    code = (
        "import sys; from ssd_tfrecord import config, flags; flags.help_text(config.TrainConfig);"
        "sys.exit('tensorflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="TensorFlow 2.15 has Keras 2 alone")
def test_a_program_imports_neither_keras_3_nor_matplotlib_beside_keras_2():
    code = (
        "import sys\n"
        "from ssd_tfrecord import config, flags\n"
        "def program(config):\n"
        "    from ssd_tfrecord.keras import keras\n"
        "    import tensorflow as tf\n"
        "    assert tf.keras.layers.Dense is keras.layers.Dense\n"
        "    print(sorted({'keras', 'matplotlib.pyplot', 'tf_keras'} & set(sys.modules)))\n"
        f"sys.exit(flags.run(config.TrainConfig, program, {TRAIN}))\n"
    )
    env = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "['tf_keras']\n")


def test_a_flagfile_that_is_no_text_is_named(tmp_path, capsys):
    (tmp_path / "a.flags").write_bytes(b"\xff\xfe")
    assert flags.run(config.TrainConfig, print, ["prog", f"--flagfile={tmp_path}/a.flags"]) == 2
    said = f"error: --flagfile={tmp_path}/a.flags: must be text in UTF-8\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_of_another_encoding_takes_what_is_printed(encoding):
    code = (
        "import sys\n"
        "from ssd_tfrecord import config, flags\n"
        "sys.exit(flags.run(config.TrainConfig, lambda _: print('caf\u00e9 \u2013'), sys.argv))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *TRAIN[1:]],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=True,
    )
    said = "caf\u00e9 \u2013\n".encode(encoding, "backslashreplace")
    assert done.stdout.replace(b"\r", b"") == said
    command = [sys.executable, "-m", "ssd_tfrecord", "train", "--help"]
    subprocess.run(command, env={**os.environ, "PYTHONIOENCODING": encoding}, check=True)


def test_an_error_is_one_line_whatever_a_name_holds(capsys):
    def program(config):
        raise InputError("a\nb/\udcff.xml: must be a file")

    assert flags.run(config.TrainConfig, program, TRAIN) == 2
    assert capsys.readouterr().err == "error: a\\nb/\\udcff.xml: must be a file\n"


def test_a_file_that_cannot_be_written_is_named(capsys, tmp_path):
    def program(config):
        (tmp_path / "none" / "a.txt").write_text("")

    assert flags.run(config.TrainConfig, program, TRAIN) == 7
    said = f"error: {tmp_path}/none/a.txt: No such file or directory\n"
    assert capsys.readouterr().err == said


def test_what_is_no_files_fault_keeps_its_traceback():
    def program(config):
        raise OSError("a fault of the program")

    with pytest.raises(OSError, match="a fault"):
        flags.run(config.TrainConfig, program, TRAIN)


def test_a_reader_that_has_enough_ends_it_without_a_traceback():
    code = (
        "import sys\n"
        "from ssd_tfrecord import config, flags\n"
        "def program(config):\n"
        "    for _ in range(100_000): print('a line')\n"
        "sys.exit(flags.run(config.TrainConfig, program, sys.argv))\n"
    )
    command = [sys.executable, "-c", code, *TRAIN[1:]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"a line\n"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_help_into_a_pipe_that_closes_ends_quietly():
    command = f"{sys.executable} -m ssd_tfrecord train --help | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Write flags as --name=value") and done.stderr == ""


@dataclasses.dataclass(frozen=True)
class WithFolder(Options):
    """A program that is given a folder."""

    bare_word: ClassVar[str] = "folder"

    folder: str = option("", "what is worked on")
    depth: int = option(1, "how far down", minimum=1)


@pytest.mark.parametrize(
    "words",
    [
        ("in", "--depth=2"),
        ("--depth=2", "in"),
        ("--depth=2", "--folder=in"),
        ("--depth", "2", "--", "in"),
    ],
)
def test_a_bare_word_is_the_value_of_its_flag(words):
    assert flags.parse(WithFolder, ["prog", *words]) == WithFolder("in", 2)
    assert "A word without -- is --folder." in flags.help_text(WithFolder)


@pytest.mark.parametrize(
    ("words", "stray"), [(("in", "out"), "in"), (("--folder=in", "out"), "out")]
)
def test_only_one_bare_word_has_a_place(words, stray):
    with pytest.raises(InputError, match=f"'{stray}' is not a flag"):
        flags.parse(WithFolder, ["prog", *words])


def test_changed_lines_are_those_that_are_not_the_defaults():
    assert flags.changed_lines(WithFolder("in")) == ["--folder=in"]
    assert flags.changed_lines(WithFolder(depth=3)) == ["--depth=3"]
