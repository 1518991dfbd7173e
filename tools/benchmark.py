"""What conversion and the parts of training cost, alone and together; --help lists the flags.

    python tools/benchmark.py --records=records/voc0712_trainval --json=figures.json
    python tools/benchmark.py --records=records/voc0712_trainval --compare=figures.json

CPU milliseconds and ratios are the figures to compare: images/s drift on a shared machine.
"""

import sys

from ssd_tfrecord import programs

if __name__ == "__main__":
    sys.exit(programs.run("benchmark"))
