"""Ground truth from annotation files: that of the records converted from them, to the bit."""

import gzip
import json

import numpy as np
import pytest
from PIL import Image

from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.detection.recorded import read_ground_truths
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.evaluation.files.truth_files import read_coco_truths, read_voc_truths
from ssd_tfrecord.evaluation.image_ids import image_ids
from ssd_tfrecord.evaluation.metrics import compute_metrics
from ssd_tfrecord.options import RecordSetOptions
from ssd_tfrecord.records.sources import coco, voc
from ssd_tfrecord.records.writing import convert

ARRAYS = ("boxes", "labels", "difficult", "crowd", "area")


def _convert(sources, folder, classes="default"):
    options = RecordSetOptions(output_dir=str(folder), classes=classes, num_shards=2, workers=1)
    return convert.convert(sources, options, tool="test", flag_lines=())


def _near(truths):
    """Detections near the objects, with scores that all differ."""
    rng = np.random.default_rng(0)
    found = []
    for truth in sorted(truths, key=lambda truth: truth.source_id):
        boxes = np.clip(truth.boxes + rng.normal(0, 0.03, truth.boxes.shape), 0, 1)
        boxes[:, 2:] = np.maximum(boxes[:, :2], boxes[:, 2:])
        scores = np.sort(rng.random(len(boxes)))[::-1].astype(np.float32)
        found.append(
            Detections(
                truth.source_id,
                truth.height,
                truth.width,
                boxes.astype(np.float32),
                scores,
                truth.labels,
            )
        )
    return {image.source_id: image for image in found}


def _assert_same(annotated, manifest):
    """Of the same images, in another order: the same arrays, ids and metrics."""
    of_records = read_ground_truths(manifest)
    by_id = {truth.source_id: truth for truth in annotated.truths}
    assert sorted(by_id) == sorted(truth.source_id for truth in of_records)
    for truth in of_records:
        other = by_id[truth.source_id]
        assert (truth.height, truth.width) == (other.height, other.width)
        for name in ARRAYS:
            one, two = getattr(truth, name), getattr(other, name)
            np.testing.assert_array_equal(one, two)
            assert one.dtype == two.dtype
    assert annotated.class_names == manifest.class_names
    assert annotated.original_ids == manifest.original_ids
    ids = image_ids([t.source_id for t in of_records], strings=manifest.has_string_ids)
    assert dict(zip([t.source_id for t in of_records], ids)) == dict(
        zip(by_id, annotated.image_ids, strict=True)
    )
    found = _near(of_records)
    one, two = (
        compute_metrics(
            truths,
            [found[truth.source_id] for truth in truths],
            manifest.class_names,
            manifest.original_ids,
            image_ids=of_set,
        )
        for truths, of_set in ((of_records, ids), (annotated.truths, annotated.image_ids))
    )
    assert one == two and one["num_objects"] == manifest.num_objects


def _jpegs(folder, sizes):
    folder.mkdir()
    for name, size in sizes.items():
        Image.new("RGB", size).save(folder / name)
    return folder


def _instances(tmp_path, **changes):
    """A JSON with all that conversions repair, and its images."""
    sizes = {f"{letter}.jpg": (200, 100) for letter in "abcd"}
    images = [
        {"id": number, "file_name": name, "width": 200, "height": 100}
        for number, name in zip((30, 4, 100, 7), sizes)
    ]
    boxes = [
        (30, 9, [40.25, 20, 80, 60.5], {"area": 1234.5}),
        (30, 2, [130, 20, 40, 40], {"iscrowd": 1}),
        # Reaches beyond the image; inverted; without area; twice; not finite.
        (4, 2, [150, 50, 80, 80], {}),
        (4, 9, [90, 90, -40, -30], {}),
        (4, 9, [90, 90, 0, 30], {}),
        (100, 2, [1, 1, 20.1, 20.3], {"area": float("nan")}),
        (100, 2, [1, 1, 20.1, 20.3], {}),
        (100, 9, [5, 5, 30, float("inf")], {}),
        (100, 9, [5, 5, 33, 44], {}),
    ]
    annotations = [
        {"id": number, "image_id": image, "category_id": category, "bbox": box, **more}
        for number, (image, category, box, more) in enumerate(boxes, 1)
    ]
    categories = [{"id": 9, "name": "dog "}, {"id": 2, "name": "cat"}, {"id": 5, "name": "owl"}]
    content = {"images": images, "annotations": annotations, "categories": categories, **changes}
    path = tmp_path / "val.json"
    path.write_text(json.dumps(content))
    return str(path), str(_jpegs(tmp_path / "jpg", sizes))


def test_a_json_is_scored_as_its_records_are(tmp_path):
    path, folder = _instances(tmp_path)
    manifest = _convert(coco.read_instances(path, folder), tmp_path / "records")
    annotated, notes = read_coco_truths(path)
    _assert_same(annotated, manifest)
    assert [truth.source_id for truth in annotated.truths] == ["30", "4", "100", "7"]
    assert annotated.image_ids == [30, 4, 100, 7]
    assert annotated.file_names == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    assert (annotated.name, annotated.where, annotated.manifest) == ("val", path, None)
    assert annotated.read_images is None and len(annotated.digest) == 64
    told = {line for line in notes if line.startswith("objects ")}
    assert told == {f"{what}: {count}" for what, count in manifest.actions.items()}
    assert "objects dropped: zero_area: 1" in told


@pytest.mark.parametrize("ids", [["0012", "12", "w o/d", "7"], ["30", "4", "100", "7"]])
def test_a_gzipped_json_and_string_ids_too(tmp_path, ids):
    content = {
        "images": [
            {"id": ids[place], "file_name": f"{letter}.jpg", "width": 200, "height": 100}
            for place, letter in enumerate("abcd")
        ],
        "annotations": [
            {"id": 1, "image_id": image, "category_id": 2, "bbox": [10, 10, 50, 50]}
            for image in ids
        ],
    }
    path, folder = _instances(tmp_path, **content)
    manifest = _convert(coco.read_instances(path, folder), tmp_path / "records")
    packed = tmp_path / "val.json.gz"
    packed.write_bytes(gzip.compress((tmp_path / "val.json").read_bytes()))
    annotated, _ = read_coco_truths(str(packed))
    _assert_same(annotated, manifest)
    assert annotated.image_ids == ids and annotated.name == "val"


def test_two_entries_of_one_file_are_one_image(tmp_path):
    images = [
        {"id": number, "file_name": name, "width": 200, "height": 100}
        for number, name in ((30, "a.jpg"), (4, "b.jpg"), (100, "a.jpg"), (7, "d.jpg"))
    ]
    path, folder = _instances(tmp_path, images=images)
    manifest = _convert(coco.read_instances(path, folder), tmp_path / "records")
    annotated, notes = read_coco_truths(path)
    _assert_same(annotated, manifest)
    assert len(annotated.truths) == 3 and any("under several ids: 1" in line for line in notes)


def test_pictures_and_missing_sizes_come_from_the_images_folder(tmp_path):
    images = [
        {"id": number, "file_name": f"{letter}.jpg"} for number, letter in zip((30, 4, 100), "abx")
    ]
    images[2] |= {"width": 200, "height": 100}
    path, folder = _instances(tmp_path, images=images)
    with pytest.raises(InputError) as error:
        read_coco_truths(path)
    assert str(error.value) == (
        f"{path}: image 30: its size is none: must be whole numbers of pixels, or the image must "
        "be in --images_dir"
    )
    annotated, _ = read_coco_truths(path, folder)
    assert [(truth.height, truth.width) for truth in annotated.truths] == [(100, 200)] * 3
    # The third is not there: it is scored, and not drawn.
    first, third = annotated.read_images([0, 2])
    assert first.size == (200, 100) and third is None


def test_images_without_a_name_are_not_taken_for_one(tmp_path):
    """As in our own ground_truth.json, where it is not known."""
    images = [{"id": number, "width": 200, "height": 100} for number in (30, 4, 100)]
    path, _ = _instances(tmp_path, images=images)
    annotated, _ = read_coco_truths(path)
    assert annotated.file_names == ["", "", ""] and len(annotated.truths) == 3


def test_a_json_cannot_make_a_file_be_opened_elsewhere(tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "secret.jpg")
    images = [{"id": 30, "file_name": "../secret.jpg"}, {"id": 4}, {"id": 100}]
    path, folder = _instances(tmp_path, images=images)
    for name in ("../secret.jpg", str(tmp_path / "secret.jpg")):
        images[0]["file_name"] = name
        content = json.loads((tmp_path / "val.json").read_text())
        (tmp_path / "val.json").write_text(json.dumps({**content, "images": images}))
        with pytest.raises(InputError, match="image 30: its size is none"):
            read_coco_truths(path, folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"annotations": [{"id": 1, "image_id": 1, "category_id": 2, "bbox": [1, 1, 5, 5]}]},
            "no object is left",
        ),
        (
            {
                "annotations": [
                    {"id": 1, "image_id": 4, "category_id": 2, "bbox": [0.1, 0.1, 0.5, 0.5]}
                ]
            },
            r"look like fractions of the image; pass --box_unit=fraction, .* \(flags of the "
            r"converters: convert the set, then pass --records\)",
        ),
        ({"images": []}, "."),
        ({"categories": None}, "categories"),
    ],
    ids=["other ids", "fractions", "no image", "no categories"],
)
def test_what_a_conversion_refuses_is_refused(tmp_path, changes, message):
    path, _ = _instances(tmp_path, **changes)
    with pytest.raises(InputError, match=message) as error:
        read_coco_truths(path)
    assert "\n" not in str(error.value)


def test_xml_is_scored_as_its_records_are(tiny_voc, tmp_path):
    folders = [str(tiny_voc / "VOC2007" / name) for name in ("Annotations", "JPEGImages")]
    # cat, dog and person are of VOC's 20.
    manifest = _convert(voc.read_folder(*folders), tmp_path / "records")
    annotated, _ = read_voc_truths(folders[0])
    _assert_same(annotated, manifest)
    assert annotated.file_names[0] == "000001.jpg" and annotated.read_images is None
    assert annotated.name == "Annotations"
    again, _ = read_voc_truths(*folders)
    assert again.digest == annotated.digest
    assert next(iter(again.read_images([1]))).size == (80, 60)


def test_xml_of_other_classes_has_every_name_found(tmp_path):
    xml = (
        "<annotation><filename>a.jpg</filename><size><width>50</width><height>40</height>"
        "<depth>3</depth></size><object><name>RBC</name><bndbox><xmin>{}</xmin><ymin>2</ymin>"
        "<xmax>60</xmax><ymax>30</ymax></bndbox></object></annotation>"
    )
    (tmp_path / "xml").mkdir()
    (tmp_path / "xml" / "a.xml").write_text(xml.format(11))
    (tmp_path / "xml" / "b.xml").write_text(xml.format(21).replace("RBC", "Platelets"))
    (tmp_path / "xml" / "b.xml").write_text(
        (tmp_path / "xml" / "b.xml").read_text().replace("a.jpg", "b.jpg")
    )
    folder = str(_jpegs(tmp_path / "jpg", {"a.jpg": (50, 40), "b.jpg": (50, 40)}))
    manifest = _convert(voc.read_folder(str(tmp_path / "xml"), folder), tmp_path / "r", "auto")
    annotated, notes = read_voc_truths(str(tmp_path / "xml"))
    _assert_same(annotated, manifest)
    assert annotated.class_names == ("Platelets", "RBC")
    assert "objects clipped: beyond_tolerance: 2" in notes
    with pytest.raises(InputError, match=r"must be a folder$"):
        read_voc_truths(str(tmp_path / "xml" / "a.xml"))
    with pytest.raises(InputError, match=r"must contain .xml files"):
        read_voc_truths(folder)
