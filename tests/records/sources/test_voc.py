"""VOC's folders: sets and their union, loose folders, images found by name, what is missing."""

import shutil

import pytest

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.sources.voc import read_devkit, read_folder
from ssd_tfrecord.records.sources.voc_files import voc_folder


@pytest.fixture
def devkit(tiny_voc, tmp_path):
    return shutil.copytree(tiny_voc, tmp_path / "devkit")


def _lists(devkit, **sets):
    for name, text in sets.items():
        (devkit / f"VOC2007/ImageSets/Main/{name}.txt").write_text(text)


def _folder(devkit, **options):
    year = devkit / "VOC2007"
    return read_folder(str(year / "Annotations"), str(year / "JPEGImages"), **options)


def test_a_set_of_a_devkit(tiny_voc):
    sources = read_devkit(str(tiny_voc), ["2007_trainval"])
    assert len(sources.images) == 6
    first, second = sources.images[:2]
    assert first.source_id == "VOC2007/000001"
    assert first.objects[0].box == (0.0, 0.0, 48.0, 64.0)
    assert [item.difficult for item in second.objects] == [False, True]
    assert (sources.pixel_origin, sources.notes, sources.category_ids) == (1, (), {})


def test_the_union_of_sets_of_several_years(devkit):
    shutil.copytree(devkit / "VOC2007", devkit / "VOC2012")
    _lists(devkit, train="000001\n000003\n", val="000002\n")
    sources = read_devkit(str(devkit), ["2007_train", "2012_trainval", "2007_val"])
    ids = [image.source_id for image in sources.images]
    assert len(ids) == 9
    assert ids[:3] == ["VOC2007/000001", "VOC2007/000003", "VOC2012/000001"]
    assert ids[-1] == "VOC2007/000002"


def test_an_image_in_two_sets_is_an_error(devkit):
    _lists(devkit, train="000001\n000003\n")
    with pytest.raises(InputError, match=r"^VOC2007/000001: listed twice; an image may be in only"):
        read_devkit(str(devkit), ["2007_trainval", "2007_train"])


def test_files_of_one_class_have_a_second_column(devkit):
    _lists(devkit, dog_train="000002  1\n000001 -1\n\n")
    sources = read_devkit(str(devkit), ["2007_dog_train"])
    assert [image.source_id for image in sources.images] == ["VOC2007/000002", "VOC2007/000001"]


def test_a_set_without_annotations_comes_without_objects_and_says_so(devkit):
    shutil.copytree(devkit / "VOC2007", devkit / "VOC2012")
    shutil.rmtree(devkit / "VOC2012/Annotations")
    sources = read_devkit(str(devkit), ["2007_trainval", "2012_trainval"])
    assert sum(len(image.objects) for image in sources.images) == 7
    assert sources.images[6].image_path.endswith("VOC2012/JPEGImages/000001.jpg")
    (note,) = sources.notes
    assert note.startswith("2012_trainval: no image has an XML in ")


def test_one_missing_xml_is_skipped_taken_or_refused(devkit):
    xml = devkit / "VOC2007/Annotations/000003.xml"
    xml.unlink()
    sources = read_devkit(str(devkit), ["2007_trainval"])
    assert len(sources.images) == 5
    assert sources.notes == ("2007_trainval: 1 of 6 images has no XML: skipped",)
    (reject,) = sources.rejects
    assert (reject.file, reject.source_id) == (str(xml), "VOC2007/000003")
    assert (reject.reason, reject.action) == ("unannotated", "dropped")

    sources = read_devkit(str(devkit), ["2007_trainval"], unannotated="negative")
    assert (sources.images[2].objects, sources.images[2].size) == ((), None)
    assert sources.images[2].image_path.endswith("JPEGImages/000003.jpg")
    note = "2007_trainval: 1 of 6 images has no XML: converted without objects"
    assert (sources.notes, tuple(sources.rejects)) == ((note,), ())

    message = r"000003\.xml: has no XML in .*Annotations; add one, or pass --unannotated=skip"
    with pytest.raises(InputError, match=message):
        read_devkit(str(devkit), ["2007_trainval"], unannotated="fail")


@pytest.mark.parametrize("target", ["none.xml", "000003.xml"])
def test_an_xml_that_is_a_link_to_nothing_is_named(devkit, target):
    xml = devkit / "VOC2007/Annotations/000003.xml"
    xml.unlink()
    xml.symlink_to(target)
    message = r"000003\.xml: cannot be read: (No such file|Too many levels of symbolic links)"
    with pytest.raises(InputError, match=message):
        read_devkit(str(devkit), ["2007_trainval"])
    with pytest.raises(InputError, match=message):
        _folder(devkit)


def test_an_xml_that_may_not_be_read_is_not_taken_for_missing(devkit, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        for name in ("lstat", "stat"):
            patch.setattr(voc_folder.os, name, refuse)
        with pytest.raises(InputError, match=r"3\.xml: cannot be read: Permission denied"):
            voc_folder._parse_if_there(str(devkit / "3.xml"), 1)


def test_a_set_without_annotations_may_be_refused(devkit):
    shutil.rmtree(devkit / "VOC2007/Annotations")
    with pytest.raises(InputError, match=r"000001\.xml: has no XML in "):
        read_devkit(str(devkit), ["2007_trainval"], unannotated="fail")


def test_a_year_without_xml_is_named(devkit):
    shutil.rmtree(devkit / "VOC2007/Annotations")
    message = rf"^--sets=2007: {devkit}/VOC2007/Annotations: must contain \.xml files$"
    with pytest.raises(InputError, match=message):
        read_devkit(str(devkit), ["2007"])


def test_a_missing_set_names_those_there_are(devkit):
    message = r"^--sets=2007_foo: .*/Main/foo\.txt does not exist; the folder has trainval\.txt$"
    with pytest.raises(InputError, match=message):
        read_devkit(str(devkit), ["2007_foo"])


def test_an_empty_set(devkit):
    _lists(devkit, train="\n")
    with pytest.raises(InputError, match=r"train\.txt is empty: must have one image name per line"):
        read_devkit(str(devkit), ["2007_train"])


def test_a_listed_path_that_leads_out_is_read_by_its_last_part_or_is_not_there(devkit):
    annotations = devkit / "VOC2007/Annotations"
    shutil.copy(annotations / "000001.xml", devkit / "VOC2007/secret.xml")
    _lists(devkit, train="000001\n../000002\n/data/VOC2007/JPEGImages/000003.jpg\n../secret\n")
    sources = read_devkit(str(devkit), ["2007_train"])
    assert [image.source_id for image in sources.images] == [
        f"VOC2007/00000{number}" for number in (1, 2, 3)
    ]
    assert sources.notes == (
        f"2007_train: 2 of 4 listed names (../000002) are not in {annotations} under that path: "
        "used the only XML of that name",
        "2007_train: 1 of 4 images has no XML: skipped",
    )
    (reject,) = sources.rejects
    assert (reject.file, reject.reason) == (str(annotations / "secret.xml"), "unannotated")


def test_a_folder_of_xml(devkit):
    sources = _folder(devkit)
    assert [image.source_id for image in sources.images] == [f"00000{i}" for i in range(1, 7)]
    assert _folder(devkit, pixel_origin=0).images[0].objects[0].box == (1.0, 1.0, 48.0, 64.0)


def test_a_folder_of_xml_with_an_image_set(devkit):
    _lists(devkit, some="000004\n000002\n")
    path = devkit / "VOC2007/ImageSets/Main/some.txt"
    sources = _folder(devkit, image_set=str(path))
    assert [image.source_id for image in sources.images] == ["000004", "000002"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"annotations_dir": "none"}, "--annotations_dir=none: must be a folder"),
        ({"images_dir": "none"}, "--images_dir=none: must be a folder"),
        ({"image_set": "none.txt"}, r"--image_set: none\.txt does not exist"),
        (
            {"annotations_dir": "IMAGES"},
            r"^--annotations_dir=.*JPEGImages: must contain \.xml files$",
        ),
    ],
)
def test_folders_and_files_that_are_not_there(devkit, options, message):
    year = devkit / "VOC2007"
    given = {
        "annotations_dir": str(year / "Annotations"),
        "images_dir": str(year / "JPEGImages"),
        **options,
    }
    if given["annotations_dir"] == "IMAGES":
        given["annotations_dir"] = given["images_dir"]
    with pytest.raises(InputError, match=message):
        read_folder(**given)


def _rename(devkit, filename):
    path = devkit / "VOC2007/Annotations/000003.xml"
    path.write_text(path.read_text().replace("000003.jpg", filename))


@pytest.mark.parametrize("suffix", [".jpeg", ".JPG", ".png"])
def test_an_image_is_found_by_the_stem_where_filename_is_not_there(devkit, suffix):
    _rename(devkit, "elsewhere.jpg")
    images = devkit / "VOC2007/JPEGImages"
    (images / "000003.jpg").rename(images / f"000003{suffix}")
    assert _folder(devkit).images[2].image_path.endswith(f"JPEGImages/000003{suffix}")


def test_an_image_without_one_of_its_stem_is_found_by_filename(devkit):
    _rename(devkit, "sub/photo.jpg")
    images = devkit / "VOC2007/JPEGImages"
    (images / "sub").mkdir()
    (images / "000003.jpg").rename(images / "sub/photo.jpg")
    sources = _folder(devkit)
    assert sources.images[2].image_path.endswith("JPEGImages/sub/photo.jpg")
    assert sources.notes == ()


def test_a_filename_that_is_another_image_is_passed_over_and_counted(devkit):
    _rename(devkit, "000001.jpg")
    for sources, where in (
        (_folder(devkit), ""),
        (read_devkit(str(devkit), ["2007_trainval"]), "2007_trainval: "),
    ):
        assert sources.images[2].image_path.endswith("JPEGImages/000003.jpg")
        xml = devkit / "VOC2007/Annotations/000003.xml"
        assert sources.notes == (
            f"{where}<filename> names another image in 1 of 6 XML files ({xml}): used the image "
            "with the name of the XML",
        )


def test_a_filename_says_which_of_two_images_of_one_stem(devkit):
    _rename(devkit, "000003.png")
    images = devkit / "VOC2007/JPEGImages"
    shutil.copy(images / "000003.jpg", images / "000003.png")
    sources = _folder(devkit)
    assert sources.images[2].image_path.endswith("JPEGImages/000003.png")
    assert sources.notes == ()


@pytest.mark.parametrize(
    "filename", ["../JPEGImages/000001.jpg", "/etc/hostname", "..\\a.jpg", "C:\\a\\000003.jpg"]
)
def test_a_filename_that_leads_out_is_no_filename(devkit, filename):
    _rename(devkit, filename)
    sources = _folder(devkit)
    assert sources.images[2].image_path == str(devkit / "VOC2007/JPEGImages/000003.jpg")
    xml = devkit / "VOC2007/Annotations/000003.xml"
    assert sources.notes == (
        f"<filename> names no existing image in 1 of 6 XML files ({xml}): used the image with the "
        "name of the XML",
    )


def test_an_image_that_is_not_there(devkit):
    (devkit / "VOC2007/JPEGImages/000003.jpg").unlink()
    message = r"000003\.xml: neither '000003\.jpg' nor '000003' with a suffix of \.jpg, .* is in "
    with pytest.raises(InputError, match=message):
        _folder(devkit)


def test_what_is_lost_with_a_missing_image_is_counted_by_class(devkit):
    for stem in ("000002", "000005"):
        (devkit / f"VOC2007/JPEGImages/{stem}.jpg").unlink()
    sources = _folder(devkit, bad_images="drop")
    assert sources.lost == {"cat": 1, "dog": 2, "person": 1}
    assert [reject.num_objects for reject in sources.rejects] == [2, 2]
