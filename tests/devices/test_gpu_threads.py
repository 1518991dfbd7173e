"""GPU threads: what is set, what a user's choice keeps, what the device table says."""

import subprocess
import sys

import pytest

from ssd_tfrecord.devices import gpu_threads
from ssd_tfrecord.devices.gpu_threads import COUNT, MODE
from ssd_tfrecord.errors import InputError


@pytest.mark.parametrize(
    ("given", "after", "words"),
    [
        ({}, {MODE: "gpu_private", COUNT: "2"}, "each GPU's work is started by 2 threads of its"),
        ({MODE: "", COUNT: ""}, {MODE: "gpu_private", COUNT: "2"}, "by 2 threads of its own ("),
        ({COUNT: "4"}, {MODE: "gpu_private", COUNT: "4"}, "by 4 threads of its own"),
        ({MODE: "global"}, {MODE: "global"}, "by the threads of the CPU (TF_GPU_THREAD_MODE=glob"),
        ({MODE: "GPU_Shared"}, {MODE: "GPU_Shared", COUNT: "2"}, "of all GPUs is started by 2"),
    ],
    ids=[
        "two threads for each GPU",
        "an empty variable is none",
        "their number is the user's",
        "the user wants the threads of the CPU",
        "TensorFlow takes capitals",
    ],
)
def test_what_the_user_has_set_stays(given, after, words):
    environment = dict(given, PATH="/bin")
    gpu_threads.set_up(environment)
    assert environment == after | {"PATH": "/bin"}
    assert words in gpu_threads.describe(environment)
    gpu_threads.set_up(environment)
    assert environment == after | {"PATH": "/bin"}


def test_tensorflow_alone_starts_gpus_from_the_threads_of_the_cpu():
    assert gpu_threads.describe({}).endswith(
        "by the threads of the CPU (TF_GPU_THREAD_MODE=global)"
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {MODE: "private"},
            "environment variable TF_GPU_THREAD_MODE=private: must be one of global, gpu_private, "
            "gpu_shared, or not set",
        ),
        (
            {COUNT: "0"},
            "environment variable TF_GPU_THREAD_COUNT=0: must be a whole number, at least 1, or "
            "not set",
        ),
        (
            {MODE: "gpu_shared", COUNT: "two"},
            "environment variable TF_GPU_THREAD_COUNT=two: must be a whole number, at least 1, or "
            "not set",
        ),
    ],
    ids=["no mode of TensorFlow's", "no thread", "no number"],
)
def test_what_tensorflow_would_not_take_is_named(given, message):
    with pytest.raises(InputError) as raised:
        gpu_threads.set_up(dict(given))
    assert str(raised.value) == message


def test_tensorflow_is_not_imported():
    code = "import sys; from ssd_tfrecord.devices import gpu_threads; gpu_threads.set_up(); "
    code += "sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
