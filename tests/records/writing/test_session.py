"""What the flags of a VOC conversion change about reading."""

import pytest

from ssd_tfrecord.config import ConvertVocConfig
from ssd_tfrecord.options import BoxOptions, ImageOptions, RecordSetOptions
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.records.writing import session


@pytest.fixture
def config(tiny_voc, tmp_path, monkeypatch):
    """Makes the config for VOC2007 of ``tiny_voc``, whose images are links out of their folder."""
    # A conversion sets it: this way it is reset.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    images = tmp_path / "images"
    images.mkdir()
    for path in (tiny_voc / "VOC2007/JPEGImages").iterdir():
        (images / path.name).symlink_to(path)

    def make(**options):
        return ConvertVocConfig(
            annotations_dir=str(tiny_voc / "VOC2007/Annotations"),
            images_dir=str(images),
            record_set=RecordSetOptions(output_dir=str(tmp_path / "records"), classes="auto"),
            images=ImageOptions(links="follow"),
            **options,
        )

    return make


def test_links_are_followed_if_asked_for(config, tmp_path):
    session.convert_voc(config())
    manifest = Manifest.load(tmp_path / "records")
    assert (manifest.num_records, manifest.num_objects, manifest.pixel_origin) == (6, 7, 1)


@pytest.mark.parametrize(("unit", "origin"), [("auto", 1), ("pixel", 1), ("fraction", 0)])
def test_fractions_count_no_pixels(config, monkeypatch, unit, origin):
    read = []
    monkeypatch.setattr(session, "_convert", lambda sources, *_: read.append(sources))
    session.convert_voc(config(boxes=BoxOptions(box_unit=unit)))
    (sources,) = read
    assert sources.pixel_origin == origin
    assert sources.images[0].objects[0].box == (1.0 - origin, 1.0 - origin, 48.0, 64.0)
