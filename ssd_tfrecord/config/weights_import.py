"""The config of the import of published weights."""

from dataclasses import dataclass

from ssd_tfrecord.config.checks import require
from ssd_tfrecord.config.evaluation import EvalConfig
from ssd_tfrecord.options import DetectionOptions, Options, option


@dataclass(frozen=True)
class ImportConfig(Options):
    """Convert a published model to a run folder; with --records, evaluate it at once."""

    input: str = option(
        "",
        "file of the published model, told by its bytes (required): torchvision ssd300_vgg16 or "
        "ssdlite320_mobilenet_v3_large, amdegroot or lufficc SSD (.pth or .safetensors), the "
        "authors' Caffe SSD (.caffemodel), ssd_keras (.h5)",
    )
    output: str = option(
        "",
        "run folder to make (required): new or empty. evaluate, detect, export and "
        "--init_checkpoint take it",
    )
    classes: tuple[str, ...] = option(
        (),
        "names of the classes, comma-separated, in the order of the model's labels, without the "
        "background; empty: VOC's of a model with 20, COCO's of one with 80 (torchvision's 90), "
        "class_1, class_2 … of others",
    )
    anchor_scales: str = option(
        "",
        "sizes of the anchors, as of train; empty: the published ones; where the file does not "
        "tell, voc's for fewer than 80 classes, else coco's",
    )
    records: tuple[str, ...] = option(
        (),
        "folders of the record sets to evaluate on, comma-separated, with the thresholds of the "
        "published evaluation; empty: none",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "input", "output")

    def evaluation(self, detection: DetectionOptions) -> EvalConfig:
        """The config of the evaluation.

        Args:
            detection: the thresholds of the model's own authors.
        """
        return EvalConfig(run_dir=self.output, records=self.records, detection=detection)
