"""The feature extractors, each a value: its facts, and a function that builds it.

In reading order: backbone (what one is), vgg16, mobilenet_v2, then what they are built of:
conv_blocks and layers. Importing this room imports no TensorFlow, so that options and ``--help``
may read it; the build functions do. A new backbone is a file beside vgg16 and its name below.
"""

from ssd_tfrecord.backbones.backbone import MEAN_RGB as MEAN_RGB
from ssd_tfrecord.backbones.backbone import Backbone as Backbone
from ssd_tfrecord.backbones.backbone import FeatureMaps as FeatureMaps
from ssd_tfrecord.backbones.backbone import PublishedWeights as PublishedWeights
from ssd_tfrecord.backbones.mobilenet_v2 import MOBILENET_V2
from ssd_tfrecord.backbones.vgg16 import VGG16

# By the name that --backbone takes.
BACKBONES = {item.name: item for item in (VGG16, MOBILENET_V2)}
