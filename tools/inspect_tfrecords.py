"""Looks at record sets: --verify, --stats, --draw; --index makes a manifest for those of others.

python tools/inspect_tfrecords.py --records=records/voc07_test --verify --stats
python tools/inspect_tfrecords.py --records=od_api --index --label_map=label_map.pbtxt
"""

import sys

from ssd_tfrecord import programs

if __name__ == "__main__":
    sys.exit(programs.run("inspect"))
