"""Trains an SSD: python -m ssd_tfrecord.train --flagfile=configs/….flags --run_dir=runs/a …"""

import sys

from ssd_tfrecord import flags
from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.training import preflight, run_folder


def main(config: TrainConfig) -> None:
    """Checks what can be checked at once, then trains."""
    train, evaluation = preflight.check(config)
    run_folder.check(config)

    # TensorFlow takes seconds to import: only now that there is work.
    from ssd_tfrecord.training import session

    session.run(config, train, evaluation)


if __name__ == "__main__":
    sys.exit(flags.run(TrainConfig, main))
