"""The config of each program: composed options plus fields of its own, one file per family.

Standard library only. Imports options, backbones and errors.
"""

from ssd_tfrecord.config.any_layout import ConvertConfig as ConvertConfig
from ssd_tfrecord.config.benchmark import BenchmarkConfig as BenchmarkConfig
from ssd_tfrecord.config.checks import check_batch_size as check_batch_size
from ssd_tfrecord.config.comparison import CompareCurveConfig as CompareCurveConfig
from ssd_tfrecord.config.conversion import ConvertCocoConfig as ConvertCocoConfig
from ssd_tfrecord.config.conversion import ConvertVocConfig as ConvertVocConfig
from ssd_tfrecord.config.datasets import DemoConfig as DemoConfig
from ssd_tfrecord.config.datasets import DownloadConfig as DownloadConfig
from ssd_tfrecord.config.detection import DetectConfig as DetectConfig
from ssd_tfrecord.config.evaluation import EvalConfig as EvalConfig
from ssd_tfrecord.config.export import ExportConfig as ExportConfig
from ssd_tfrecord.config.fitting import FitConfig as FitConfig
from ssd_tfrecord.config.inspection import InspectConfig as InspectConfig
from ssd_tfrecord.config.training import DataServiceConfig as DataServiceConfig
from ssd_tfrecord.config.training import TrainConfig as TrainConfig
from ssd_tfrecord.config.weights_import import ImportConfig as ImportConfig
