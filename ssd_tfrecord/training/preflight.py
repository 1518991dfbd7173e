"""What can be known to be wrong before TensorFlow is imported."""

import importlib.util
import pathlib
import sys

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.data.footprint import check_cache
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.manifest import Manifest, load_manifests
from ssd_tfrecord.runs.run_folder import run_of_checkpoint


def check(config: TrainConfig) -> tuple[tuple[Manifest, ...], Manifest | None]:
    """The manifests of the training sets, and of the evaluation set if there is one.

    Raises ``InputError`` for record sets that are missing or disagree in their classes, for
    weights that are not there, and for an optimizer that this stack lacks.
    """
    require_addons(config.optimizer.optimizer)
    if config.init_checkpoint:
        run_of_checkpoint(config.init_checkpoint)
    elif config.model.backbone_weights not in ("imagenet", "none"):
        _require_file("backbone_weights", config.model.backbone_weights, "imagenet, none or a file")
    evaluation = (config.eval_records,) if config.eval_records else ()
    manifests = load_manifests((*config.train_records, *evaluation))
    train = manifests[: len(config.train_records)]
    check_cache(train, config.input.reading)
    return train, manifests[-1] if evaluation else None


def require_addons(optimizer: str) -> None:
    """Raises ``InputError`` where ``optimizer`` is TensorFlow Addons' and that is not installed."""
    if optimizer != "sgd" and importlib.util.find_spec("tensorflow_addons") is None:
        raise InputError(
            f"--optimizer={optimizer}: comes from TensorFlow Addons, which ended with Python 3.11 "
            f"and TensorFlow 2.15 (this is Python {sys.version_info[0]}.{sys.version_info[1]}); "
            "use those, or --optimizer=sgd"
        )


def _require_file(name, path, what):
    if not pathlib.Path(path).is_file():
        raise InputError(f"--{name}={path}: no such file; must be {what}")
