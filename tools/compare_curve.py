"""Compares the scores of a run with those that its recipe is known to reach; 1 if it is below.

Example:
    python tools/compare_curve.py --run_dir=runs/mine
    python tools/compare_curve.py --run_dir=runs/mine --curve=ssd300_voc0712 --tolerance=0.01
"""

import sys

from ssd_tfrecord import programs

if __name__ == "__main__":
    sys.exit(programs.run("compare-curve"))
