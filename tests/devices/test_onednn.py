"""Whether oneDNN is used: who decides, and that TensorFlow does as decided."""

import os
import subprocess
import sys

import pytest

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.devices import onednn
from ssd_tfrecord.devices.onednn import VARIABLE
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import DeviceOptions, ModelOptions
from ssd_tfrecord.runs import run_folder


@pytest.fixture
def before_import(monkeypatch):
    """As in a process that has not imported TensorFlow."""
    monkeypatch.delitem(sys.modules, "tensorflow")


@pytest.mark.usefixtures("before_import")
@pytest.mark.parametrize(
    ("given", "wanted", "chosen", "value"),
    [
        ({}, ("on",), "on", "1"),
        ({}, ("off",), "off", "0"),
        ({VARIABLE: ""}, ("off", "on"), "off", "0"),
        ({}, ("auto", "off"), "off", "0"),
        ({}, ("auto", "on"), "on", "1"),
        ({}, ("auto", "auto"), "on", "1"),
        ({VARIABLE: "0"}, ("on",), "off", "0"),
        ({VARIABLE: "True"}, ("off",), "on", "True"),
    ],
    ids=[
        "on",
        "off",
        "the flag before the run's; an empty variable is none",
        "as the run",
        "as the run, on",
        "nobody has decided",
        "the environment first",
        "TensorFlow takes capitals",
    ],
)
def test_who_decides(given, wanted, chosen, value):
    environment = dict(given)
    assert onednn.set_up(*wanted, environment=environment) == chosen
    assert environment == {VARIABLE: value}


def test_once_tensorflow_is_there_it_stays_as_it_is():
    import tensorflow as tf

    assert tf.__version__
    environment = {}
    assert onednn.set_up("off", environment=environment) == onednn.set_up("on")
    assert environment == {}


def test_what_tensorflow_would_not_take_is_named():
    with pytest.raises(InputError) as raised:
        onednn.set_up(environment={VARIABLE: "yes"})
    assert str(raised.value) == (
        "environment variable TF_ENABLE_ONEDNN_OPTS=yes: must be one of 1, true, 0, false, or not "
        "set"
    )


@pytest.mark.parametrize("chosen", ["on", "off"])
def test_tensorflow_does_as_decided(chosen):
    code = (
        "import sys; from ssd_tfrecord.devices import onednn; "
        f"onednn.set_up('{chosen}'); assert 'tensorflow' not in sys.modules; "
        "print(onednn.describe())"
    )
    environment = {name: text for name, text in os.environ.items() if name != VARIABLE}
    said = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert said.startswith(f"oneDNN {chosen} (TF_ENABLE_ONEDNN_OPTS), ")


# Ends where TensorFlow, which reads the variable once, would begin.
UP_TO_TENSORFLOW = f"""
import os, sys

class End:
    def find_spec(self, name, path, target=None):
        if name == "tensorflow":
            print("{VARIABLE} is", os.environ.get("{VARIABLE}"))
            raise SystemExit(3)

sys.meta_path.insert(0, End())
from ssd_tfrecord import programs
sys.exit(programs.run(sys.argv[1], sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("program", "kept", "asked", "value"),
    # By itself, it would be on.
    [
        ("evaluate", "off", "auto", "0"),
        ("evaluate", "on", "off", "0"),
        ("detect", "off", "auto", "0"),
        ("detect", "on", "off", "0"),
        # These have no --onednn: they are to do as the run does.
        ("export", "off", "auto", "0"),
        ("train", "off", "auto", "0"),
    ],
)
def test_what_loads_a_run_begins_with_the_kernels_of_the_run(
    program, kept, asked, value, tiny_voc, tiny_records, tmp_path
):
    run_dir = str(tmp_path / "run")
    run_folder.begin(
        TrainConfig(
            train_records=(str(tiny_records),),
            run_dir=run_dir,
            model=ModelOptions(backbone="mobilenet_v2", backbone_weights="none"),
            devices=DeviceOptions(onednn=kept),
        )
    )
    output = [f"--run_dir={run_dir}", f"--output_dir={tmp_path / 'out'}"]
    flags = {
        "evaluate": [*output, f"--records={tiny_records}"],
        "detect": [*output, f"--images={tiny_voc}/VOC2007/JPEGImages", "--score_threshold=0.5"],
        "export": [*output, f"--records={tiny_records}"],
        "train": [f"--replay={run_dir}/nonfinite-1.npz"],
    }[program]
    if asked != "auto":
        flags.append(f"--onednn={asked}")
    done = subprocess.run(
        [sys.executable, "-c", UP_TO_TENSORFLOW, program, *flags],
        env={name: text for name, text in os.environ.items() if name != VARIABLE},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, f"{VARIABLE} is {value}\n"), done.stderr
