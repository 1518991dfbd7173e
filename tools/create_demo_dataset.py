"""Draws a demo data set in Pascal VOC's layout, to see the whole road in minutes.

    python tools/create_demo_dataset.py --output_dir=demo/VOCdevkit
    python tools/create_voc_tfrecords.py --voc_root=demo/VOCdevkit --sets=demo_train \
        --classes=auto --output_dir=demo/records/train
"""

import sys

from ssd_tfrecord import flags
from ssd_tfrecord.config import DemoConfig


def main(config):
    """Draws the data set, and prints what it holds."""
    from ssd_tfrecord.records.demo.dataset import format_tallies, write_demo_dataset

    tallies = write_demo_dataset(
        config.output_dir,
        num_train=config.num_train,
        num_test=config.num_test,
        seed=config.seed,
        overwrite=config.overwrite,
    )
    print(format_tallies(tallies))
    print(f"next: tools/create_voc_tfrecords.py --voc_root={config.output_dir} --sets=demo_train …")


if __name__ == "__main__":
    sys.exit(flags.run(DemoConfig, main))
