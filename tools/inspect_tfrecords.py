"""Verifies, counts or draws record sets; --index writes manifests for those of other tools.

Example:
    python tools/inspect_tfrecords.py --records=records/voc07_test --verify --stats
    python tools/inspect_tfrecords.py --records=od_api --index --label_map=label_map.pbtxt
"""

import sys

from ssd_tfrecord import programs

if __name__ == "__main__":
    sys.exit(programs.run("inspect"))
