"""The config of export."""

from dataclasses import dataclass

from ssd_tfrecord.config.checks import require
from ssd_tfrecord.config.trained import CHECKPOINT_TEXT, RUN_TEXT
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import DetectionOptions, Options, option

FORMATS = ("saved_model", "tflite", "onnx", "torchvision")
SIGNATURES = ("encoded", "image_tensor", "float_image_tensor", "tf_example")
PRECISIONS = ("float32", "float16", "int8")


@dataclass(frozen=True)
class ExportConfig(Options):
    """Export a trained model to the formats that other programs run, and check each file."""

    run_dir: str = option("", RUN_TEXT.replace(" (required)", " (required, or --verify)"))
    checkpoint: str = option("best", CHECKPOINT_TEXT)
    format: tuple[str, ...] = option(
        ("saved_model",),
        "formats, comma-separated. saved_model: TensorFlow and TensorFlow Serving; tflite: phones, "
        "Coral, Frigate, MediaPipe; onnx: onnxruntime, OpenCV, OpenVINO, TensorRT (needs the extra "
        "onnx); torchvision: a state dict for torchvision's ssd300_vgg16 or ssdlite320, "
        ".safetensors",
        choices=FORMATS,
    )
    output_dir: str = option("", "folder for the exports (required); others in it stay")
    verify: str = option(
        "",
        "instead of exporting: run the files of this folder of exports once more, here, on the "
        "images that are stored with them, and compare",
    )
    records: str = option(
        "",
        "folder of the record set on whose images each file is checked; empty: the run's "
        "--eval_records",
    )
    check_images: int = option(
        200, "number of images to check on, evenly spread over the set; 0: all", minimum=0
    )
    stored_images: int = option(
        16, "number of these that are stored beside the exports, for --verify", minimum=1
    )
    serving_default: str = option(
        "encoded",
        "saved_model: what the signature serving_default takes. encoded: the bytes of JPEG or PNG "
        "files, as TensorFlow Serving's REST clients send them; image_tensor: uint8 RGB images; "
        "float_image_tensor: the same in float32, 0 to 255; tf_example: serialized tf.train.Example"
        ". All four are there under these names",
        choices=SIGNATURES,
    )
    quantize: tuple[str, ...] = option(
        ("float32",),
        "tflite: precisions, comma-separated, a file each. float16: weights of half the size; "
        "int8: for Coral and other integer hardware, calibrated on --calibration_records",
        choices=PRECISIONS,
    )
    calibration_records: str = option(
        "",
        "tflite int8: folder of the record set to calibrate on; empty: the first of the run's "
        "--train_records",
    )
    calibration_images: int = option(
        200,
        "tflite int8: number of images to calibrate on, evenly spread over the set",
        minimum=100,
    )
    detection: DetectionOptions = DetectionOptions(max_detections=100)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.verify:
            return
        require(self, "run_dir", "output_dir", "format")
        if "tflite" in self.format and not self.quantize:
            raise InputError(f"--quantize is empty; must be some of {', '.join(PRECISIONS)}")
