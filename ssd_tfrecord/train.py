"""Trains an SSD: python -m ssd_tfrecord.train --flagfile=configs/….flags --run_dir=runs/a …"""

import sys

from ssd_tfrecord import programs

if __name__ == "__main__":
    sys.exit(programs.run("train"))
