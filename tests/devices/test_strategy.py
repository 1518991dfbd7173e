"""Strategies, the device table and their errors; conftest declares two CPU devices."""

import pytest
import tensorflow as tf

from ssd_tfrecord.backbones import BACKBONES
from ssd_tfrecord.devices import gpu_threads, onednn, strategy
from ssd_tfrecord.devices.cluster.worker_group import WorkerGroup
from ssd_tfrecord.devices.strategy import check_xla, create_strategy, device_table
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.keras import keras
from ssd_tfrecord.options import DeviceOptions, ModelOptions

NO_GPU = pytest.mark.skipif(
    bool(tf.config.list_physical_devices("GPU")), reason="this machine has a GPU"
)


def test_two_virtual_devices_are_two_replicas():
    two = create_strategy(DeviceOptions(num_virtual_devices=2))
    assert two.num_replicas_in_sync == 2
    total = two.run(lambda: tf.distribute.get_replica_context().all_reduce("SUM", tf.constant(3)))
    assert [int(part) for part in two.experimental_local_results(total)] == [6, 6]


@NO_GPU
def test_one_cpu_takes_the_default_strategy_and_says_so():
    one = create_strategy(DeviceOptions())
    assert one is tf.distribute.get_strategy()
    table = device_table(one, DeviceOptions())
    assert table.startswith("Devices: 1 replica(s), float32\n  no GPU: computing on the CPU, ")
    assert " cores (TF_CPP_MIN_LOG_LEVEL=0 in the environment shows why)\n" in table
    assert table.splitlines()[2:] == [f"  {onednn.describe()}"]


def test_table_names_the_devices_that_compute_and_no_others(monkeypatch):
    two = create_strategy(DeviceOptions(num_virtual_devices=2))
    names = ["/physical_device:GPU:0", "/physical_device:GPU:1"]
    gpus = [tf.config.PhysicalDevice(name, "GPU") for name in names]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    monkeypatch.setattr(strategy, "_model", lambda gpu: "Tesla T4")
    said = device_table(two, DeviceOptions()).splitlines()
    assert said[0] == "Devices: 2 replica(s), float32"
    assert len(said) == 3
    assert said[1].startswith("  2 virtual devices on the CPU, ")
    assert said[2] == f"  {onednn.describe()}"
    monkeypatch.setattr(strategy, "_device_names", lambda strategy: ["GPU:1"])
    assert device_table(two, DeviceOptions(gradient_dtype="bfloat16")).splitlines()[1:] == [
        "  GPU:1  Tesla T4",
        f"  {gpu_threads.describe()}",
        "  gradients travel as bfloat16, packs of 32 MB",
    ]


def test_the_table_names_the_workers_and_whose_devices_these_are():
    group = WorkerGroup(("node1:2222", "node2:2222"), 0, "Slurm", 3222)
    one = tf.distribute.get_strategy()
    lines = device_table(one, DeviceOptions(), group).splitlines()
    assert lines[0] == "Devices: 1 replica(s) on 2 workers (Slurm), float32"
    assert lines[1] == "  workers: node1, node2; those of node1:"


def test_gradients_travel_only_in_a_type_that_is_added_up_rightly(monkeypatch):
    options = DeviceOptions(num_virtual_devices=2, gradient_dtype="bfloat16")
    assert create_strategy(options).num_replicas_in_sync == 2

    def garbled(self, op, value, options=None):
        return tf.bitcast(tf.bitcast(value, tf.int16) + 1, tf.bfloat16)

    monkeypatch.setattr(tf.distribute.ReplicaContext, "all_reduce", garbled)
    with pytest.raises(InputError, match=r"--gradient_dtype=bfloat16: .* use float32"):
        create_strategy(options)


@NO_GPU
def test_required_gpu_that_is_missing_is_an_error():
    with pytest.raises(InputError, match=r"TensorFlow finds no GPU \(TF_CPP_MIN_LOG_LEVEL=0"):
        create_strategy(DeviceOptions(require_gpu=True))


def test_more_devices_than_tensorflow_began_with():
    tf.config.list_logical_devices()
    with pytest.raises(
        InputError,
        match=r"--num_virtual_devices=3: TensorFlow has already started with 2 device\(s\)",
    ):
        create_strategy(DeviceOptions(num_virtual_devices=3))


def test_precision_becomes_the_policy_of_new_layers():
    create_strategy(DeviceOptions(precision="mixed_bfloat16"))
    try:
        assert keras.layers.Dense(1).compute_dtype == "bfloat16"
    finally:
        create_strategy(DeviceOptions())
    assert keras.layers.Dense(1).compute_dtype == "float32"


def test_xla_and_synchronised_batch_norm_on_several_replicas():
    mobilenet, frozen, vgg = (
        ModelOptions(backbone="mobilenet_v2"),
        ModelOptions(backbone="mobilenet_v2", batch_norm="frozen"),
        ModelOptions(),
    )
    check_xla(True, frozen, 2)
    check_xla(False, mobilenet, 2)
    check_xla(True, mobilenet, 1)
    check_xla(True, vgg, 2)
    with pytest.raises(InputError, match="--xla cannot be combined with --batch_norm=sync on 2"):
        check_xla(True, mobilenet, 2)


@pytest.mark.parametrize(
    "name", [name for name, item in BACKBONES.items() if item.has_batch_norm and name != "toy"]
)
def test_every_backbone_with_batch_norm_is_known_to_have_it(name):
    size = min(BACKBONES[name].inputs)
    check_xla(True, ModelOptions(backbone=name, input_size=size, batch_norm="frozen"), 2)
    with pytest.raises(InputError, match="--xla cannot be combined with --batch_norm=sync on 2"):
        check_xla(True, ModelOptions(backbone=name, input_size=size), 2)
