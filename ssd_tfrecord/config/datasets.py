"""The configs of data sets that we draw or download."""

import urllib.parse
from dataclasses import dataclass

from ssd_tfrecord.config.checks import require
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import Options, option


@dataclass(frozen=True)
class DemoConfig(Options):
    """Draw a demo data set, to be converted with --sets=demo_train and --sets=demo_test."""

    output_dir: str = option(
        "",
        "folder to create VOCdemo in, new or empty; it is the --voc_root of the conversion "
        "(required)",
    )
    num_train: int = option(600, "number of images in demo_train", minimum=1)
    num_test: int = option(200, "number of images in demo_test", minimum=1)
    seed: int = option(0, "random seed of the images; equal seeds draw equal images", minimum=0)
    overwrite: bool = option(False, "replace the VOCdemo in --output_dir, and nothing else there")
    workers: int = option(
        0,
        "number of processes that draw; 0: one per core, fewer for few images. The result does not "
        "depend on it",
        minimum=0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "output_dir")


@dataclass(frozen=True)
class DownloadConfig(Options):
    """Download VOC2007, VOC2012 or COCO 2017. The same command resumes if it was interrupted."""

    dataset: str = option(
        "",
        "data set to download (required). voc2007: trainval and test; voc2012: trainval; coco2017: "
        "train, val and their annotations",
        choices=("voc2007", "voc2012", "coco2017"),
    )
    output_dir: str = option(
        "",
        "folder to download to (required): files go to VOCdevkit/VOC2007, VOCdevkit/VOC2012; "
        "coco/annotations, coco/val2017, coco/train2017 in it",
    )
    parts: tuple[str, ...] = option(
        (),
        "parts of coco2017 to download: annotations, val2017, train2017, comma-separated; empty: "
        "all",
    )
    mirror: tuple[str, ...] = option(
        (),
        "addresses of folders to download from, instead of the official ones: "
        "https://HOST/PATH, comma-separated, tried in this order; the archive's file name is "
        "appended. The checksum must be the official one",
    )
    keep_archives: bool = option(
        False,
        "keep the archives, in the folder archives of --output_dir; otherwise they are deleted "
        "once they are unpacked. Archives that you put there yourself are not downloaded",
    )
    dry_run: bool = option(
        False, "only print addresses, sizes, checksums and the disk space that is needed"
    )
    timeout: float = option(
        60.0,
        "seconds without data after which a connection counts as broken",
        above=0,
        maximum=3600,
    )
    retries: int = option(
        5,
        "how often in a row an address is tried again without new data, after pauses of 1, 2, 4, … "
        "seconds; then the next address is tried",
        minimum=0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "output_dir")
        for address in self.mirror:
            if not _is_folder_address(address):
                raise InputError(
                    f"--mirror={address}: must be http://HOST/PATH or https://HOST/PATH, without "
                    "password, ? and #"
                )


def _is_folder_address(address: str) -> bool:
    """Whether a file name can be appended to ``address``, which messages may show."""
    try:
        parts = urllib.parse.urlsplit(address)
        _ = parts.port
    except ValueError:
        return False
    plain = "@" not in parts.netloc and not any(mark in address for mark in "?# ")
    return parts.scheme in ("http", "https") and bool(parts.hostname) and plain
