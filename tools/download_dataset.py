"""Downloads VOC2007, VOC2012 or COCO 2017: verified, resumed if interrupted, unpacked.

Example:
    python tools/download_dataset.py --dataset=voc2007 --output_dir=data
    python tools/download_dataset.py --dataset=coco2017 --parts=annotations,val2017 \
        --output_dir=data
"""

import sys

from ssd_tfrecord import programs

if __name__ == "__main__":
    sys.exit(programs.run("download"))
