"""VOC annotations as they lie in the world: folders, names, and images that do not fit."""

import shutil
import unicodedata

import pytest

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.sources.paths import ImageFolder
from ssd_tfrecord.records.sources.voc import read_devkit, read_folder


@pytest.fixture
def year(tiny_voc, tmp_path):
    """VOC2007 of a copy of the tiny devkit."""
    return shutil.copytree(tiny_voc, tmp_path / "devkit") / "VOC2007"


def _read(year, **options):
    return read_folder(str(year / "Annotations"), str(year / "JPEGImages"), **options)


def _rename(year, stem, new):
    """XML and image get a new name, <filename> as well."""
    new = year / "Annotations" / new
    for folder, suffix in (("Annotations", ".xml"), ("JPEGImages", ".jpg")):
        target = year / folder / new.relative_to(year / "Annotations").with_suffix(suffix)
        target.parent.mkdir(parents=True, exist_ok=True)
        (year / folder / f"{stem}{suffix}").rename(target)
    xml = new.with_suffix(".xml")
    xml.write_text(xml.read_text().replace(f"{stem}.jpg", f"{new.stem}.jpg"), encoding="utf-8")


def _set_filename(year, stem, filename):
    xml = year / "Annotations" / f"{stem}.xml"
    text = xml.read_text().replace(f"<filename>{stem}.jpg", f"<filename>{filename}")
    xml.write_text(text, encoding="utf-8")


def test_a_devkit_without_image_sets(year):
    shutil.rmtree(year / "ImageSets")
    sources = read_devkit(str(year.parent), ["2007"])
    assert [image.source_id for image in sources.images] == [
        f"VOC2007/00000{i}" for i in range(1, 7)
    ]
    assert sources.notes == ()


def test_xml_beside_images(year):
    for path in (year / "JPEGImages").iterdir():
        path.rename(year / "Annotations" / path.name)
    sources = read_folder(str(year / "Annotations"), str(year / "Annotations"))
    assert len(sources.images) == 6
    assert (sources.notes, tuple(sources.rejects)) == ((), ())


def test_sub_folders_spaces_and_any_letters(year):
    _rename(year, "000001", "day 1/größe ✓")
    _rename(year, "000002", "day 2/größe ✓")
    sources = _read(year)
    assert len(sources.images) == 6
    assert [image.source_id for image in sources.images][-2:] == ["day 1/größe ✓", "day 2/größe ✓"]
    assert sources.images[-1].image_path == str(year / "JPEGImages/day 2/größe ✓.jpg")
    assert (sources.notes, tuple(sources.rejects)) == ((), ())


def test_a_name_that_a_mac_has_decomposed(year):
    _rename(year, "000001", "größe")
    image = year / "JPEGImages/größe.jpg"
    image.rename(image.with_name(unicodedata.normalize("NFD", image.name)))
    sources = _read(year)
    assert sources.images[-1].image_path.endswith(unicodedata.normalize("NFD", "größe.jpg"))
    assert not sources.rejects


@pytest.mark.parametrize("suffix", [".JPG", ".jpeg", ".JPEG", ".JpG", ".png", ".webp", ".tif"])
def test_any_suffix_and_case_is_found_by_the_stem_and_reported(year, suffix):
    image = year / "JPEGImages/000003.jpg"
    image.rename(image.with_suffix(suffix))
    sources = _read(year)
    assert sources.images[2].image_path.endswith(f"000003{suffix}")
    assert sources.notes == (
        f"<filename> names no existing image in 1 of 6 XML files ({year}/Annotations/000003.xml): "
        "used the image with the name of the XML",
    )


@pytest.mark.parametrize("filename", ["photo", "./photo", "photo.jpg.bak", "PHOTO.PNG"])
def test_a_wrong_filename_is_reported(year, filename):
    _set_filename(year, "000003", filename)
    sources = _read(year)
    assert sources.images[2].image_path.endswith("000003.jpg")
    assert len(sources.notes) == 1
    assert sources.notes[0].startswith("<filename> names no existing image in 1 of 6 XML files")


def test_a_filename_without_its_suffix(year):
    _set_filename(year, "000003", "photo")
    (year / "JPEGImages/000003.jpg").rename(year / "JPEGImages/photo.JPG")
    sources = _read(year)
    assert sources.images[2].image_path.endswith("JPEGImages/photo.JPG")
    assert sources.notes == (
        f"<filename> is not the exact path of an image in 1 of 6 XML files ({year}/Annotations/"
        "000003.xml): used the only image that fits",
    )


def test_images_in_sub_folders_of_a_flat_folder_of_xml(year):
    images = year / "JPEGImages"
    (images / "a").mkdir()
    (images / "000003.jpg").rename(images / "a/000003.jpg")
    sources = _read(year)
    assert sources.images[2].image_path.endswith("a/000003.jpg")
    assert len(sources.images) == 6


def test_a_twin_in_another_sub_folder_is_no_answer(year):
    _rename(year, "000001", "a/x")
    (year / "JPEGImages/b").mkdir()
    (year / "JPEGImages/a/x.jpg").rename(year / "JPEGImages/b/x.jpg")
    with pytest.raises(InputError, match=r"a/x\.xml: neither 'x\.jpg' nor 'a/x' with a suffix of"):
        _read(year)


def test_two_xml_of_one_image_are_reported(year):
    shutil.copy(year / "Annotations/000003.xml", year / "Annotations/copy.xml")
    note = f"images with several XML files: 1 ({year}/JPEGImages/000003.jpg)"
    assert _read(year).notes == (note,)


def test_hidden_files_are_passed_over(year):
    (year / "Annotations/._000001.xml").write_bytes(b"\0\5\26\7")
    (year / "JPEGImages/._000001.jpg").write_bytes(b"\0\5\26\7")
    (year / "JPEGImages/.ipynb_checkpoints").mkdir()
    (year / "JPEGImages/.ipynb_checkpoints/x.jpg").touch()
    sources = _read(year)
    assert (len(sources.images), sources.notes) == (6, ())


def test_images_without_xml_are_skipped_taken_or_refused(year):
    shutil.copy(year / "JPEGImages/000001.jpg", year / "JPEGImages/more.jpg")
    sources = _read(year)
    assert len(sources.images) == 6
    assert sources.notes == ("1 of 7 images has no XML: skipped",)
    (reject,) = sources.rejects
    assert (reject.file, reject.source_id) == (str(year / "JPEGImages/more.jpg"), "more")
    assert (reject.reason, reject.action) == ("unannotated", "dropped")

    sources = _read(year, unannotated="negative")
    assert (sources.images[6].source_id, sources.images[6].objects) == ("more", ())
    assert sources.notes == ("1 of 7 images has no XML: converted without objects",)

    with pytest.raises(
        InputError, match=r"more\.jpg: has no XML in .*; add one, or pass --unannotated=skip"
    ):
        _read(year, unannotated="fail")


def test_a_folder_of_images_alone_may_be_all_negative(year):
    shutil.rmtree(year / "Annotations")
    (year / "Annotations").mkdir()
    with pytest.raises(InputError, match=r"--annotations_dir=.*: must contain \.xml files"):
        _read(year)
    assert len(_read(year, unannotated="negative").images) == 6


def test_xml_without_objects_is_a_negative(year):
    assert _read(year).images[3].objects == ()


@pytest.mark.parametrize("bad_images", ["drop", "repair"])
def test_xml_without_an_image_is_dropped_and_named(year, bad_images):
    (year / "JPEGImages/000003.jpg").unlink()
    sources = _read(year, bad_images=bad_images)
    assert len(sources.images) == 5
    (reject,) = sources.rejects
    assert (reject.source_id, reject.reason) == ("000003", "missing_image")
    assert reject.detail == "looked for '000003.jpg' and '000003'"
    assert reject.num_objects == 1


def test_a_name_that_is_no_utf8_is_read_and_escaped(year):
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    try:
        _rename(year, "000001", name)
    except UnicodeEncodeError:
        shutil.copy(year / "JPEGImages/000002.jpg", year / f"JPEGImages/{name}.jpg")
        xml = year / "Annotations/000002.xml"
        shutil.copy(xml, year / f"Annotations/{name}.xml")
    sources = _read(year)
    ids = [image.source_id for image in sources.images]
    assert "caf\\udce9" in ids
    assert all(note.isprintable() for note in sources.notes)


def test_names_of_a_folder_are_found_whatever_the_slashes(year):
    folder = ImageFolder(str(year / "JPEGImages"))
    assert folder.find("sub\\nothing", "000001", "x")[0].endswith("000001.jpg")


@pytest.mark.parametrize("listed", [False, True])
def test_several_workers_read_the_same(year, listed):
    body = (year / "Annotations/000002.xml").read_text()
    for number in range(200):
        (year / f"Annotations/more {number}.xml").write_text(body)
    (year / "list.txt").write_text("".join(f"more {number}\n" for number in range(199, -1, -1)))
    (year / "Annotations/more 150.xml").unlink()
    options = {"image_set": str(year / "list.txt")} if listed else {}
    alone, several = (_read(year, workers=workers, **options) for workers in (1, 2))
    assert len(alone.images) == (199 if listed else 205)
    assert tuple(several.images) == tuple(alone.images)
    assert tuple(several.rejects) == tuple(alone.rejects)
    assert several.notes == alone.notes


def test_several_workers_name_the_first_damaged_xml(year):
    for number in range(300):
        (year / f"Annotations/x{number:03d}.xml").write_text("<annotation>")
    with pytest.raises(InputError, match=r"Annotations/x000\.xml: not well-formed XML"):
        _read(year, workers=2)


def test_a_filename_with_the_whole_path_of_another_machine(year):
    _set_filename(year, "000003", "/data/set7/images/000003.jpg")
    _set_filename(year, "000005", "D:\\set7\\images\\000005.jpg")
    sources = _read(year)
    assert sources.images[2].image_path == str(year / "JPEGImages/000003.jpg")
    assert sources.notes == (
        f"<filename> names no existing image in 2 of 6 XML files ({year}/Annotations/000003.xml): "
        "used the image with the name of the XML",
    )


def test_two_images_of_the_name_in_an_xml_are_both_named(year):
    _set_filename(year, "000003", "photo.jpg")
    for folder in ("a", "b"):
        (year / "JPEGImages" / folder).mkdir()
        shutil.copy(year / "JPEGImages/000003.jpg", year / "JPEGImages" / folder / "photo.jpg")
    (year / "JPEGImages/000003.jpg").unlink()
    message = r"000003\.xml: 'photo\.jpg' may be 'a/photo\.jpg' or 'b/photo\.jpg' in .*JPEGImages; "
    for bad_images in ("fail", "drop"):
        with pytest.raises(InputError, match=message):
            _read(year, bad_images=bad_images)


@pytest.fixture
def two_disks(year, tmp_path):
    """Half of the XML and of the images are on another disk, to which links lead."""
    for folder in ("Annotations", "JPEGImages"):
        disk = tmp_path / "disk2" / folder
        disk.mkdir(parents=True)
        for path in sorted((year / folder).iterdir())[3:]:
            path.rename(disk / path.name)
        (year / folder / "more").symlink_to(disk)
    return year


def test_a_link_to_another_disk_is_named_or_followed(two_disks, tmp_path):
    year = two_disks
    sources = _read(year)
    assert len(sources.images) == 3
    first = year / "Annotations/more"
    assert sources.notes == (
        f"links not followed: 2 ({first} -> {tmp_path}/disk2/Annotations), as they lead out of the "
        "folder; pass --links=follow to follow them",
    )
    sources = _read(year, links="follow")
    assert [image.source_id for image in sources.images] == [
        *("000001", "000002", "000003", "more/000004", "more/000005", "more/000006")
    ]
    assert sources.images[5].image_path == str(year / "JPEGImages/more/000006.jpg")
    assert (sources.notes, tuple(sources.rejects)) == ((), ())


def test_an_image_on_another_disk_is_missing_unless_links_are_followed(two_disks):
    year = two_disks
    (year / "Annotations/more").unlink()
    shutil.copytree(year.parents[1] / "disk2/Annotations", year / "Annotations/more")
    hint = "links that lead out of the folder are not followed unless you pass --links=follow"
    with pytest.raises(InputError, match=rf"more/000004\.xml: neither '000004\.jpg' .*; {hint}$"):
        _read(year)
    sources = _read(year, bad_images="drop")
    assert len(sources.images) == 3
    assert sources.lost == {"person": 2, "dog": 1}
    assert [reject.reason for reject in sources.rejects] == ["missing_image"] * 3
    assert sources.rejects[0].detail == f"looked for '000004.jpg' and 'more/000004'; {hint}"
    assert any("links not followed: 1 (" in note for note in sources.notes)
    assert len(_read(year, links="follow").images) == 6


@pytest.mark.parametrize("by", ["all", "list"])
def test_a_cache_of_links_into_a_store(year, tmp_path, by):
    """As caches of data sets are: each file is a link to its content, whose name is a digest."""
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    for folder in ("Annotations", "JPEGImages"):
        for path in sorted((year / folder).iterdir()):
            path.rename(blobs / f"{folder}{path.stem}")
            path.symlink_to(f"../../../blobs/{folder}{path.stem}")
    (year / "list.txt").write_text("000001\n000002\n000003\n000004\n000005\n000006\n")
    listed = {"image_set": str(year / "list.txt")} if by == "list" else {}
    message = "must contain .xml files; links" if by == "all" else "none of its 6 names .*; links"
    with pytest.raises(InputError, match=rf"{message} not followed: 6 \(.*--links=follow"):
        _read(year, **listed)
    sources = _read(year, links="follow", **listed)
    assert [image.image_path for image in sources.images] == [
        str(year / f"JPEGImages/00000{number}.jpg") for number in range(1, 7)
    ]
    assert (sources.notes, tuple(sources.rejects)) == ((), ())


def test_links_inside_the_folder_are_followed_and_listed_once(year):
    (year / "Annotations/again").symlink_to(".")
    (year / "JPEGImages/again").symlink_to(year / "JPEGImages")
    (year / "Annotations/first.xml").symlink_to("000001.xml")
    sources = _read(year)
    assert len(sources.images) == 7
    assert sources.notes == (f"images with several XML files: 1 ({year}/JPEGImages/000001.jpg)",)


def test_odd_values_are_counted_over_the_set(year):
    for number in (2, 3, 5):
        xml = year / f"Annotations/00000{number}.xml"
        text = xml.read_text().replace("<difficult>0", "<difficult>Unspecified")
        xml.write_text(text.replace("<width>80", "<width>-1").replace("<xmin>6<", "<xmin>six<"))
    folder = year / "Annotations"
    assert _read(year).notes == (
        f"box of 1 object cannot be read (xmin is 'six'; first in {folder}/000003.xml): "
        "--bad_boxes says what becomes of these",
        f"difficult of 4 objects is not 0 or 1 ('Unspecified'; first in {folder}/000002.xml): "
        "taken as 0",
        f"size of 1 XML file is not in pixels ('-1x60'; first in {folder}/000002.xml): taken as "
        "unknown",
    )


def test_a_box_that_encloses_another_shape_is_listed_with_its_image(year):
    xml = year / "Annotations/000003.xml"
    rotation = "<attribute><name>rotation</name><value>45</value></attribute></attributes>"
    text = xml.read_text().replace("</object>", f"<attributes>{rotation}</object>")
    xml.write_text(text)
    (reject,) = read_devkit(str(year.parent), ["2007"]).rejects
    assert (reject.file, reject.source_id) == (str(xml), "VOC2007/000003")
    assert (reject.reason, reject.action, reject.object) == ("rotation", "enclosed", 1)
    # Not of an image that is not there.
    (year / "JPEGImages/000003.jpg").unlink()
    (reject,) = _read(year, bad_images="drop").rejects
    assert (reject.reason, reject.num_objects) == ("missing_image", 1)
