"""Versions and devices, for the list of starts."""

import json
import platform

import pytest
import tensorflow as tf

from ssd_tfrecord.devices import inventory


def test_versions_of_this_process():
    found = inventory.versions_and_devices()
    assert found["python"] == platform.python_version()
    assert found["tensorflow"] == tf.__version__
    assert found["keras"].split(" ")[1].startswith("2.")
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(
    ("line", "driver"),
    [
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 2023",
            "535.104.05",
        ),
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build",
            "570.86.15",
        ),
        ("", None),
        ("\0\xff", None),
    ],
)
def test_driver(tmp_path, monkeypatch, line, driver):
    (tmp_path / "version").write_text(line, encoding="latin-1")
    monkeypatch.setattr(inventory, "_DRIVER_FILE", str(tmp_path / "version"))
    assert inventory.versions_and_devices()["driver"] == driver


def test_gpus_are_named(monkeypatch):
    details = {"device_name": "NVIDIA H100", "compute_capability": (9, 0)}
    gpus = [tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: details)
    assert inventory.versions_and_devices()["gpus"] == [
        {"name": "NVIDIA H100", "compute_capability": "9.0"}
    ]
