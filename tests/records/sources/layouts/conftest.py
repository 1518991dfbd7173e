"""A small data set, and functions that write it in each layout without any code of the package."""

import csv
import dataclasses
import io
import json
from xml.etree import ElementTree

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

CLASSES = ("cat", "dog", "traffic light")


@dataclasses.dataclass(frozen=True)
class Sample:
    """An image: ``objects`` are (class, (xmin, ymin, xmax, ymax)) in pixels, edges from 0."""

    split: str
    stem: str
    size: tuple[int, int]
    encoded: bytes
    objects: tuple

    @property
    def fractions(self):
        """(class, [ymin, xmin, ymax, xmax] in fractions) of each object."""
        width, height = self.size
        return [
            (name, (ymin / height, xmin / width, ymax / height, xmax / width))
            for name, (xmin, ymin, xmax, ymax) in self.objects
        ]


def jpeg(random, width, height):
    buffer = io.BytesIO()
    pixels = random.integers(0, 255, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG", quality=50)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def samples():
    """Nine images of three splits, with zero to three objects each; the first has some."""
    random = np.random.default_rng(7)
    found = []
    for number in range(9):
        split = ("train", "train", "train", "val", "test")[number % 5]
        width, height = (int(side) for side in random.integers(32, 65, 2))
        objects = []
        for place in range((2, 1, 3, 1, 2, 0, 1, 1, 2)[number]):
            xmin, ymin = int(random.integers(0, width - 9)), int(random.integers(0, height - 9))
            xmax = int(random.integers(xmin + 4, width + 1))
            ymax = int(random.integers(ymin + 4, height + 1))
            objects.append((CLASSES[(number + place) % 3], (xmin, ymin, xmax, ymax)))
        image = jpeg(random, width, height)
        found.append(Sample(split, f"img {number}", (width, height), image, tuple(objects)))
    return tuple(found)


# BCCD's classes, which are written as those of the small set.
_RENAMED = {"RBC": "cat", "WBC": "dog", "Platelets": "traffic light"}


@pytest.fixture(scope="session")
def bccd_samples(real_data):
    """Forty images of BCCD in three splits, without its boxes that have no area."""
    found = []
    for number, path in enumerate(sorted((real_data / "bccd/Annotations").glob("*.xml"))[:40]):
        root = ElementTree.parse(path).getroot()
        objects = []
        for item in root.iter("object"):
            xmin, ymin, xmax, ymax = (
                int(item.find(f"bndbox/{edge}").text) for edge in ("xmin", "ymin", "xmax", "ymax")
            )
            if xmax > xmin and ymax > ymin:
                name = _RENAMED[item.find("name").text]
                objects.append((name, (xmin - 1, ymin - 1, xmax, ymax)))
        size = tuple(int(root.find(f"size/{side}").text) for side in ("width", "height"))
        encoded = (real_data / f"bccd/JPEGImages/{path.stem}.jpg").read_bytes()
        split = ("train", "val", "test")[number % 3]
        found.append(Sample(split, path.stem, size, encoded, tuple(objects)))
    return tuple(found)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def voc_xml(sample):
    def field(name, *inner):
        return f"<{name}>{''.join(map(str, inner))}</{name}>"

    objects = [
        field(
            "object",
            field("name", name),
            field(
                "bndbox",
                field("xmin", box[0] + 1),
                field("ymin", box[1] + 1),
                field("xmax", box[2]),
                field("ymax", box[3]),
            ),
        )
        for name, box in sample.objects
    ]
    size = field("size", field("width", sample.size[0]), field("height", sample.size[1]))
    return field("annotation", field("filename", sample.stem, ".jpg"), size, *objects)


def voc_devkit(root, samples):
    for sample in samples:
        year = root / "devkit/VOC2031"
        write(year / f"JPEGImages/{sample.stem}.jpg", sample.encoded)
        write(year / f"Annotations/{sample.stem}.xml", voc_xml(sample))
    for split in {sample.split for sample in samples}:
        stems = [sample.stem for sample in samples if sample.split == split]
        write(year / f"ImageSets/Main/{split}.txt", "\n".join(stems) + "\n")


def voc_beside(root, samples):
    for sample in samples:
        folder = root / {"val": "valid"}.get(sample.split, sample.split)
        write(folder / f"{sample.stem}.jpg", sample.encoded)
        write(folder / f"{sample.stem}.xml", voc_xml(sample))


def _coco_json(samples, prefix=""):
    images, annotations = [], []
    for number, sample in enumerate(samples):
        width, height = sample.size
        name = f"{prefix}{sample.stem}.jpg"
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        for label, (xmin, ymin, xmax, ymax) in sample.objects:
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": number,
                    "category_id": CLASSES.index(label) * 10,
                    "bbox": [xmin, ymin, xmax - xmin, ymax - ymin],
                }
            )
    categories = [{"id": number * 10, "name": name} for number, name in enumerate(CLASSES)]
    return json.dumps({"images": images, "annotations": annotations, "categories": categories})


def _by_split(samples):
    splits = dict.fromkeys(sample.split for sample in samples)
    return {split: [item for item in samples if item.split == split] for split in splits}


def coco(root, samples):
    for split, found in _by_split(samples).items():
        write(root / f"annotations/instances_{split}2017.json", _coco_json(found))
        write(root / f"annotations/captions_{split}2017.json", '{"images": [{"id": 1}]}')
        for sample in found:
            write(root / f"images/{split}2017/{sample.stem}.jpg", sample.encoded)


def coco_roboflow(root, samples):
    for split, found in _by_split(samples).items():
        folder = root / {"val": "valid"}.get(split, split)
        write(folder / "_annotations.coco.json", _coco_json(found))
        for sample in found:
            write(folder / f"{sample.stem}.jpg", sample.encoded)
    write(root / "README.roboflow.txt", "Nine images.\n")


def yolo_lines(sample):
    lines = []
    for name, (ymin, xmin, ymax, xmax) in sample.fractions:
        numbers = ((xmin + xmax) / 2, (ymin + ymax) / 2, xmax - xmin, ymax - ymin)
        lines.append(" ".join(map(str, (CLASSES.index(name), *numbers))))
    return "".join(f"{line}\n" for line in lines)


def yolo(root, samples):
    for sample in samples:
        write(root / f"images/{sample.split}/{sample.stem}.jpg", sample.encoded)
        write(root / f"labels/{sample.split}/{sample.stem}.txt", yolo_lines(sample))
    names = "".join(f"  {number}: {name}\n" for number, name in enumerate(CLASSES))
    splits = "train: images/train\nval: images/val\ntest: images/test\n"
    write(root / "own.yaml", f"path: ../datasets/own  # root\n{splits}names:\n{names}")


def yolo_roboflow(root, samples):
    for sample in samples:
        folder = root / {"val": "valid"}.get(sample.split, sample.split)
        write(folder / f"images/{sample.stem}.jpg", sample.encoded)
        write(folder / f"labels/{sample.stem}.txt", yolo_lines(sample))
    names = ", ".join(f"'{name}'" for name in CLASSES)
    write(
        root / "data.yaml",
        "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\nnc: 3\n"
        f"names: [{names}]\n\nroboflow:\n  workspace: own\n  version: 1\n",
    )
    write(root / "README.dataset.txt", "own > 1\n")


def darknet(root, samples):
    for sample in samples:
        write(root / f"obj_data/{sample.stem}.jpg", sample.encoded)
        write(root / f"obj_data/{sample.stem}.txt", yolo_lines(sample))
    data = "classes = 3\nnames = data/obj.names\nbackup = backup/\n"
    for split, found in _by_split(samples).items():
        key = {"val": "valid"}.get(split, split)
        data += f"{key} = data/{split}.txt\n"
        lines = [f"data/obj_data/{sample.stem}.jpg\n" for sample in found]
        write(root / f"{split}.txt", "".join(lines))
    write(root / "obj.data", data)
    write(root / "obj.names", "\n".join(CLASSES) + "\n")


def _rows(samples):
    for sample in samples:
        for name, box in sample.objects:
            yield sample, name, box


def _csv(rows, delimiter=","):
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter).writerows(rows)
    return buffer.getvalue()


def csv_tables(root, samples):
    for split, found in _by_split(samples).items():
        rows = [["filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"]]
        rows += [[f"{s.stem}.jpg", *s.size, name, *box] for s, name, box in _rows(found)]
        write(root / f"annotations/{split}_labels.csv", "\ufeff" + _csv(rows, ";"))
    for sample in samples:
        write(root / f"images/{sample.stem}.jpg", sample.encoded)


def retinanet(root, samples):
    for split, found in _by_split(samples).items():
        rows = [[f"{split}/{s.stem}.jpg", *box, name] for s, name, box in _rows(found)]
        empty = [s for s in found if not s.objects]
        rows += [[f"{split}/{s.stem}.jpg", *[""] * 5] for s in empty]
        write(root / f"{split}.csv", _csv(rows))
        for sample in found:
            write(root / f"{split}/{sample.stem}.jpg", sample.encoded)
    write(root / "classes.csv", _csv([[name, number] for number, name in enumerate(CLASSES)]))


def labelme(root, samples):
    for sample in samples:
        shapes = []
        for name, (xmin, ymin, xmax, ymax) in sample.objects:
            # From the lower left to the upper right.
            points = [[xmin, ymax], [xmax, ymin]]
            shapes.append({"label": name, "points": points, "shape_type": "rectangle"})
        content = {
            **{"version": "5.2.1", "flags": {}, "shapes": shapes},
            **{"imagePath": f"..\\images\\{sample.stem}.jpg", "imageData": "aGFsbG8=" * 9},
            **{"imageHeight": sample.size[1], "imageWidth": sample.size[0]},
        }
        write(root / f"{sample.split}/json/{sample.stem}.json", json.dumps(content))
        write(root / f"{sample.split}/images/{sample.stem}.jpg", sample.encoded)


def open_images(root, samples):
    titles = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,"
    titles += "IsGroupOf,IsDepiction,IsInside"
    for split, found in _by_split(samples).items():
        rows = [titles.split(",")]
        for sample in found:
            for name, (ymin, xmin, ymax, xmax) in sample.fractions:
                code = f"/m/0{CLASSES.index(name)}x"
                box = (xmin, xmax, ymin, ymax)
                rows.append([sample.stem, "xclick", code, 1, *box, 0, -1, 0, 0, 0])
            write(root / f"{split}/{sample.stem}.jpg", sample.encoded)
        rows.append(["000a1249af2bc5f0", "xclick", "/m/01x", 1, 0.1, 0.2, 0.1, 0.2, 0, 0, 0, 0, 0])
        name = {"val": "validation"}.get(split, split)
        write(root / f"{name}-annotations-bbox.csv", _csv(rows))
    rows = [[f"/m/0{number}x", name] for number, name in enumerate(CLASSES)]
    write(root / "class-descriptions-boxable.csv", _csv([*rows, ["/m/09z", "Zebra"]]))


def od_example(sample):
    def strings(*values):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    def ints(*values):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    def floats(values):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))

    edges = list(zip(*(box for _, box in sample.fractions))) or [()] * 4
    names = [name for name, _ in sample.objects]
    features = {
        "image/height": ints(sample.size[1]),
        "image/width": ints(sample.size[0]),
        "image/filename": strings(f"{sample.stem}.jpg".encode()),
        "image/source_id": strings(f"{sample.stem}.jpg".encode()),
        "image/encoded": strings(sample.encoded),
        "image/format": strings(b"jpeg"),
        "image/object/class/text": strings(*(name.encode() for name in names)),
        "image/object/class/label": ints(*(CLASSES.index(name) + 1 for name in names)),
        **{
            f"image/object/bbox/{edge}": floats(values)
            for edge, values in zip(("ymin", "xmin", "ymax", "xmax"), edges)
        },
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def tfrecord(root, samples):
    root.mkdir(exist_ok=True)
    for split, found in _by_split(samples).items():
        with tf.io.TFRecordWriter(str(root / f"{split}.record-00000-of-00001")) as writer:
            for sample in found:
                writer.write(od_example(sample))
    items = "".join(
        f'item {{\n  id: {number}\n  name: "{name}"\n}}\n' for number, name in enumerate(CLASSES, 1)
    )
    write(root / "label_map.pbtxt", items)


WRITERS = {
    **{"voc_devkit": voc_devkit, "voc_beside": voc_beside, "coco": coco},
    **{"coco_roboflow": coco_roboflow, "yolo": yolo, "yolo_roboflow": yolo_roboflow},
    **{"darknet": darknet, "csv_tables": csv_tables, "retinanet": retinanet},
    **{"labelme": labelme, "open_images": open_images, "tfrecord": tfrecord},
}


@pytest.fixture(scope="session")
def writers():
    """{layout: function(folder, samples) that writes it}."""
    return WRITERS


@pytest.fixture(scope="session")
def sample_class():
    """The class of samples."""
    return Sample


@pytest.fixture
def write_file():
    """function(path, text or bytes) that writes a file and the folders above it."""
    return write
