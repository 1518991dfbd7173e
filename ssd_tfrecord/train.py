"""Trains an SSD; --help lists the flags.

Example:
    python -m ssd_tfrecord.train --flagfile=configs/demo.flags --train_records=… --run_dir=runs/a
"""

import sys

from ssd_tfrecord import programs

if __name__ == "__main__":
    sys.exit(programs.run("train"))
