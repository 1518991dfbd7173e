"""The feature extractors, each a value: its facts, and a function that builds it.

In reading order: backbone (what a backbone is), vgg16, resnet50, mobilenet_v2, mobilenet_v3, then
what they are built from: conv_blocks, layers and cpu_convolution; comparison (what they cost, as
texts). Importing this room does not import TensorFlow, so
options and ``--help`` can read it; only the build functions do. To add a backbone, add a file
beside vgg16 and list it below.
"""

from ssd_tfrecord.backbones.backbone import MEAN_RGB as MEAN_RGB
from ssd_tfrecord.backbones.backbone import Backbone as Backbone
from ssd_tfrecord.backbones.backbone import FeatureMaps as FeatureMaps
from ssd_tfrecord.backbones.backbone import PublishedWeights as PublishedWeights
from ssd_tfrecord.backbones.mobilenet_v2 import MOBILENET_V2
from ssd_tfrecord.backbones.mobilenet_v3 import MOBILENET_V3_LARGE, MOBILENET_V3_LARGE_REDUCED
from ssd_tfrecord.backbones.resnet50 import RESNET50
from ssd_tfrecord.backbones.vgg16 import VGG16

# Keys are the values of --backbone.
BACKBONES = {
    item.name: item
    for item in (VGG16, RESNET50, MOBILENET_V2, MOBILENET_V3_LARGE, MOBILENET_V3_LARGE_REDUCED)
}
