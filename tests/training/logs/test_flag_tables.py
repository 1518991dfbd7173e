"""The flags of a run as a table and as hyperparameters."""

import dataclasses

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.options import ModelOptions
from ssd_tfrecord.training.logs import flag_tables

CONFIG = TrainConfig(
    train_records=("a|b_c",),
    run_dir="runs/mine",
    seed=7,
    xla=True,
    model=ModelOptions(backbone="mobilenet_v2"),
)


def test_what_is_not_the_default_comes_first_and_bold():
    lines = flag_tables.flag_table(CONFIG).splitlines()
    assert lines[:3] == [
        "| flag | value | default |",
        "|---|---|---|",
        r"| **train\_records** | **a\|b\_c** | – |",
    ]
    assert r"| **backbone** | **mobilenet\_v2** | vgg16 |" in lines
    assert r"| momentum | 0.9 | |" in lines
    bold = [line.startswith("| **") for line in lines[2:]]
    assert bold == sorted(bold, reverse=True)
    assert sum(bold) == 5


def test_bytes_of_a_path_that_are_no_text_are_escaped():
    config = dataclasses.replace(CONFIG, train_records=("a\udcff\nb",))
    assert r'| **train\_records** | **"a\\udcff b"** | – |' in flag_tables.flag_table(config)
    assert flag_tables.hyperparameters(config)["train_records"] == '"a\\udcff\nb"'


def test_hyperparameters_are_the_flags_that_change_a_result():
    values = flag_tables.hyperparameters(CONFIG)
    assert list(values)[:4] == ["backbone", "seed", "train_records", "xla"]
    assert (values["seed"], values["xla"], values["backbone"]) == (7.0, True, "mobilenet_v2")
    assert values["momentum"] == 0.9
    assert {"run_dir", "num_workers", "checkpoint_every"}.isdisjoint(values)
