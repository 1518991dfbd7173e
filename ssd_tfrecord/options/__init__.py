"""The options: one small frozen dataclass per noun, each field with its help text and range.

A field has the name of its flag. ``flags`` makes the flags from the fields; ``config`` composes the
options of a program. Standard library only, so that ``--help`` and errors in flags do not have to
wait for TensorFlow.
"""

from ssd_tfrecord.options.detection import DetectionOptions as DetectionOptions
from ssd_tfrecord.options.detection import ShownOptions as ShownOptions
from ssd_tfrecord.options.input import ColorOptions as ColorOptions
from ssd_tfrecord.options.input import FramingOptions as FramingOptions
from ssd_tfrecord.options.input import InputOptions as InputOptions
from ssd_tfrecord.options.input import ReadOptions as ReadOptions
from ssd_tfrecord.options.input import RenderOptions as RenderOptions
from ssd_tfrecord.options.model import AMDEGROOT as AMDEGROOT
from ssd_tfrecord.options.model import CAFFE as CAFFE
from ssd_tfrecord.options.model import TORCHVISION as TORCHVISION
from ssd_tfrecord.options.model import AnchorOptions as AnchorOptions
from ssd_tfrecord.options.model import LossOptions as LossOptions
from ssd_tfrecord.options.model import ModelOptions as ModelOptions
from ssd_tfrecord.options.option import Options as Options
from ssd_tfrecord.options.option import allowed as allowed
from ssd_tfrecord.options.option import field_text as field_text
from ssd_tfrecord.options.option import flag_text as flag_text
from ssd_tfrecord.options.option import names_of_role as names_of_role
from ssd_tfrecord.options.option import option as option
from ssd_tfrecord.options.records import BoxOptions as BoxOptions
from ssd_tfrecord.options.records import ImageOptions as ImageOptions
from ssd_tfrecord.options.records import RecordSetOptions as RecordSetOptions
from ssd_tfrecord.options.records import SourceOptions as SourceOptions
from ssd_tfrecord.options.training import CheckpointOptions as CheckpointOptions
from ssd_tfrecord.options.training import ClusterOptions as ClusterOptions
from ssd_tfrecord.options.training import DeviceOptions as DeviceOptions
from ssd_tfrecord.options.training import OptimizerOptions as OptimizerOptions
