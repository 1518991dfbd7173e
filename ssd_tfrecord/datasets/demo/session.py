"""The demo data set, from its flags to a table of what it holds."""

import os

from ssd_tfrecord.config import DemoConfig
from ssd_tfrecord.datasets.demo.dataset import format_tallies, write_demo_dataset

# Two processes start in a third of a second, in which one draws some 20 images.
_IMAGES_WORTH_A_WORKER = 200


def run(config: DemoConfig) -> None:
    """Draws the data set, and prints what it holds."""
    tallies = write_demo_dataset(
        config.output_dir,
        num_train=config.num_train,
        num_test=config.num_test,
        seed=config.seed,
        overwrite=config.overwrite,
        num_workers=_num_workers(config),
    )
    print(format_tallies(tallies))
    print(
        f"next: ssd-tfrecord convert-voc --voc_root={config.output_dir} --sets=demo_train "
        "--classes=auto --output_dir=…"
    )


def _num_workers(config: DemoConfig) -> int:
    # Not os.cpu_count(): containers are often confined to some of the cores.
    cores = len(os.sched_getaffinity(0))
    images = config.num_train + config.num_test
    return config.workers or min(cores, 1 + images // _IMAGES_WORTH_A_WORKER)
