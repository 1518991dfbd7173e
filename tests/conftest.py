"""Shared by all tests: two CPU replicas, declared once, and the folders of real data."""

import os
import pathlib
import signal

# As the programs set it where nobody has: whoever sets another sees lines of TensorFlow between
# theirs, and tests compare whole outputs.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import pytest
import tensorflow as tf
import toy_network
import toy_training
from hypothesis import HealthCheck, settings
from PIL import Image

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.keras import keras
from ssd_tfrecord.model import ssd
from ssd_tfrecord.options import ModelOptions, RecordSetOptions
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.records.sources import voc
from ssd_tfrecord.records.writing import convert
from ssd_tfrecord.runs import checkpoints, run_folder

# Logical devices can be declared only once, before TensorFlow touches any device.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)

toy_network.install()
# A hundred of the processes below would compile the package anew: 0.25 s of CPU time each.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Of the job that runs the tests, not of the trainings in them: these would look for its workers.
for _name in list(os.environ):
    if _name == "TF_CONFIG" or _name.startswith(("SLURM_", "JOB_COMPLETION")):
        del os.environ[_name]
# The same examples everywhere, as Hypothesis itself does where CI is set; and no test fails because
# the machine was too slow for an example.
settings.register_profile(
    "suite",
    derandomize=True,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("suite")
# A job in the background ignores Ctrl-C, and all that it starts: here it is to be sent.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Likewise SIGHUP under nohup.
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _untuned(dataset, made=tf.data.Dataset._apply_debug_options):
    options = tf.data.Options()
    options.autotune.enabled = False
    return made(dataset.with_options(options))


# Of every dataset here, just before it is iterated. The thread that tunes one sleeps for up to a
# minute, and whoever destroys its iterator waits for that: of 68 s of a test, 61 were such.
tf.data.Dataset._apply_debug_options = _untuned


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


# Stem, image size (width, height), and objects: class, difficult, (xmin, ymin, xmax, ymax) as in
# VOC, both ends inside. The first object covers its whole image; one image has none.
TINY_VOC = (
    ("000001", (64, 48), (("cat", 0, (1, 1, 64, 48)),)),
    ("000002", (80, 60), (("dog", 0, (11, 6, 50, 45)), ("cat", 1, (41, 21, 80, 60)))),
    ("000003", (50, 75), (("dog", 0, (6, 16, 35, 60)),)),
    ("000004", (64, 64), ()),
    ("000005", (96, 64), (("person", 0, (9, 5, 32, 60)), ("dog", 0, (49, 17, 88, 56)))),
    ("000006", (72, 54), (("person", 0, (19, 7, 54, 48)),)),
)
TINY_OBJECT = (
    "<object><name>{}</name><difficult>{}</difficult><bndbox><xmin>{}</xmin><ymin>{}</ymin>"
    "<xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
)


@pytest.fixture(scope="session")
def tiny_voc(tmp_path_factory):
    """A VOCdevkit with VOC2007's set ``trainval``: six small JPEGs, seven objects, one difficult.

    An object is a filled rectangle, of one colour for each class, on noise.
    """
    root = tmp_path_factory.mktemp("VOCdevkit")
    folders = {
        name: root / "VOC2007" / name for name in ("Annotations", "JPEGImages", "ImageSets/Main")
    }
    for folder in folders.values():
        folder.mkdir(parents=True)
    colors = {"cat": (220, 60, 40), "dog": (40, 90, 220), "person": (40, 200, 60)}
    random = np.random.default_rng(0)
    for stem, (width, height), objects in TINY_VOC:
        pixels = random.integers(90, 150, (height, width, 3), dtype=np.uint8)
        for name, _, (xmin, ymin, xmax, ymax) in objects:
            pixels[ymin - 1 : ymax, xmin - 1 : xmax] = colors[name]
        Image.fromarray(pixels).save(folders["JPEGImages"] / f"{stem}.jpg", quality=90)
        body = "".join(TINY_OBJECT.format(name, hard, *box) for name, hard, box in objects)
        (folders["Annotations"] / f"{stem}.xml").write_text(
            f"<annotation><filename>{stem}.jpg</filename><size><width>{width}</width>"
            f"<height>{height}</height><depth>3</depth></size>{body}</annotation>"
        )
    lines = "".join(f"{stem}\n" for stem, _, _ in TINY_VOC)
    (folders["ImageSets/Main"] / "trainval.txt").write_text(lines)
    return root


@pytest.fixture(scope="session")
def tiny_records(tiny_voc, tmp_path_factory):
    """Folder of the record set of ``tiny_voc``: classes cat, dog, person; two shards."""
    folder = tmp_path_factory.mktemp("records") / "tiny"
    options = RecordSetOptions(output_dir=str(folder), num_shards=2, classes="auto")
    sources = voc.read_devkit(str(tiny_voc), ["2007_trainval"])
    convert.convert(sources, options, tool="conftest", flag_lines=())
    return folder


@pytest.fixture(scope="session")
def tiny_run(tiny_records, tmp_path_factory):
    """Run folder of an untrained toy for the classes of ``tiny_records``, at step 3."""
    run_dir = tmp_path_factory.mktemp("runs") / "tiny"
    small = ModelOptions(backbone="toy", backbone_weights="none")
    config = TrainConfig(train_records=(str(tiny_records),), run_dir=str(run_dir), model=small)
    run_folder.begin(config)
    model = ssd.build(small, config.anchors, 3)
    kept = checkpoints.Checkpoints(run_dir, model=model, optimizer=tf.train.Checkpoint(), keep=1)
    kept.write_classes(Manifest.load(tiny_records).classes)
    kept.save(3)
    return run_dir


@pytest.fixture(scope="session")
def unbroken_run(tiny_records, tmp_path_factory):
    """Run folder of ``toy_training``'s 14 steps that nobody has touched; one for all workers."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    return toy_training.whole(folder, tiny_records)


@pytest.fixture
def quick_run(tiny_run, monkeypatch):
    """``tiny_run``, but loaded as a network that takes no time: every anchor has the same score."""

    def load_run(run_dir, checkpoint):
        config = run_folder.read_config(run_dir)
        image = keras.Input([300, 300, 3])
        mean = keras.layers.GlobalAveragePooling2D()(image)
        logits = keras.layers.Dense(4, kernel_initializer="zeros")(mean)
        offsets = keras.layers.Dense(4, kernel_initializer="zeros")(mean)
        repeat = keras.layers.RepeatVector(8732)
        model = keras.Model(image, {"offsets": repeat(offsets), "logits": repeat(logits)})
        return checkpoints.LoadedRun(model, config, ("cat", "dog", "person"), (1, 2, 3), 3)

    monkeypatch.setattr(checkpoints, "load_run", load_run)
    return tiny_run
