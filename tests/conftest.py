"""Shared by all tests: two CPU replicas, declared once, and the folders of real data."""

import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import pytest
import tensorflow as tf

# Logical devices can be declared only once, before TensorFlow touches any device.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


def _folder(variable):
    path = os.environ.get(variable)
    if not path:
        pytest.skip(f"{variable} is not set")
    return pathlib.Path(path).resolve()


@pytest.fixture(scope="session")
def real_data():
    """Folder of real images and reference evaluations; the test is skipped without it."""
    return _folder("SSD_TFRECORD_TEST_DATA")


@pytest.fixture(scope="session")
def real_weights():
    """Folder of pretrained backbone weights; the test is skipped without it."""
    return _folder("SSD_TFRECORD_TEST_WEIGHTS")
