"""The demo data set, from its flags to a table of what it holds."""

from ssd_tfrecord.config import DemoConfig
from ssd_tfrecord.datasets.demo.dataset import format_tallies, write_demo_dataset


def run(config: DemoConfig) -> None:
    """Draws the data set, and prints what it holds."""
    tallies = write_demo_dataset(
        config.output_dir,
        num_train=config.num_train,
        num_test=config.num_test,
        seed=config.seed,
        overwrite=config.overwrite,
    )
    print(format_tallies(tallies))
    print(
        f"next: ssd-tfrecord convert-voc --voc_root={config.output_dir} --sets=demo_train "
        "--classes=auto --output_dir=…"
    )
