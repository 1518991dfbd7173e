"""What is said before the first step about options that do not pay."""

import dataclasses

import pytest

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.options import DeviceOptions, ModelOptions
from ssd_tfrecord.training import briefing

CONFIG = TrainConfig(train_records=("a",), run_dir="b", model=ModelOptions(backbone="vgg16"))
MOBILE = dataclasses.replace(
    CONFIG, model=ModelOptions(backbone="mobilenet_v2", input_size=300), xla=True
)
HALF = dataclasses.replace(CONFIG, devices=DeviceOptions(precision="mixed_bfloat16"))
XLA = "warning: --xla with --backbone=mobilenet_v2 is slow on a CPU"
BFLOAT = "warning: --precision=mixed_bfloat16 is slow on a CPU without AVX512-BF16 or AMX"


@pytest.mark.parametrize(
    ("config", "on_gpus", "units", "begins"),
    [
        (CONFIG, False, (), []),
        (MOBILE, False, ("avx2",), [XLA]),
        (MOBILE, True, ("avx2",), []),
        (dataclasses.replace(MOBILE, xla=False), False, (), []),
        (dataclasses.replace(CONFIG, xla=True), False, (), []),
        (HALF, False, ("avx2", "avx512f"), [BFLOAT]),
        (HALF, False, ("avx2", "avx512_bf16"), []),
        (HALF, True, (), []),
        (dataclasses.replace(MOBILE, devices=HALF.devices), False, (), [XLA, BFLOAT]),
    ],
    ids=[
        "defaults",
        "XLA of depthwise convolutions",
        "on a GPU",
        "without XLA",
        "XLA of plain convolutions",
        "bfloat16 that is emulated",
        "bfloat16 that is not",
        "bfloat16 on a GPU",
        "both",
    ],
)
def test_what_does_not_pay_is_a_line(config, on_gpus, units, begins):
    lines = briefing.slow_choices(config, on_gpus=on_gpus, units=units)
    assert len(lines) == len(begins)
    assert all(line.startswith(words) for line, words in zip(lines, begins))
