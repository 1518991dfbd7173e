"""The catalogue: complete, of the flags' names, and its commands are those of the converters."""

import dataclasses
import re
import shlex

import pytest

from ssd_tfrecord import flags
from ssd_tfrecord.config import DownloadConfig
from ssd_tfrecord.datasets.download.catalogue import DATASETS
from ssd_tfrecord.programs import PROGRAMS

PARTS = [part for dataset in DATASETS.values() for part in dataset.parts]
ARCHIVES = [archive for part in PARTS for archive in part.archives]


def test_flag_knows_all_data_sets():
    (field,) = [item for item in dataclasses.fields(DownloadConfig) if item.name == "dataset"]
    assert field.metadata["choices"] == tuple(DATASETS)


def test_flag_names_all_parts():
    (field,) = [item for item in dataclasses.fields(DownloadConfig) if item.name == "parts"]
    assert all(part.name in field.metadata["text"] for part in DATASETS["coco2017"].parts)


def test_parts_have_their_own_names_and_folders():
    assert [(part.name, part.folder) for part in PARTS] == [
        ("VOC2007", "VOCdevkit/VOC2007"),
        ("VOC2012", "VOCdevkit/VOC2012"),
        *((name, f"coco/{name}") for name in ("annotations", "val2017", "train2017")),
    ]
    names = [archive.name for archive in ARCHIVES]
    assert len(set(names)) == len(names) == 6
    assert len({archive.sha256 for archive in ARCHIVES}) == 6


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda archive: archive.name)
def test_entry_is_consistent(archive):
    assert re.fullmatch(r"[0-9a-f]{64}", archive.sha256)
    assert re.fullmatch(r"[\w-]+\.(tar|zip)", archive.name)
    assert archive.max_bytes >= archive.num_bytes * (0.99 if archive.name.endswith("tar") else 1)
    assert archive.urls[0].startswith("https://")
    for url in archive.urls:
        assert url.startswith(("http://", "https://")) and url.endswith(f"/{archive.name}")


@pytest.mark.parametrize("name", DATASETS)
def test_commands_are_those_of_the_converters(name):
    dataset = DATASETS[name]
    assert {part for needed, _ in dataset.conversions for part in needed} == {
        part.name for part in dataset.parts
    }
    for needed, command in dataset.conversions:
        program, *words = shlex.split(command.format(root=shlex.quote("a b")))[1:]
        config = flags.parse(PROGRAMS[program].config, [program, *words])
        folders = [part.folder for part in dataset.parts if part.name in needed]
        if program == "convert-voc":
            assert config.voc_root == "a b/VOCdevkit"
            years = {f"VOCdevkit/VOC{item.split('_')[0]}" for item in config.sets}
            assert years == set(folders)
        else:
            assert config.images_dir in {f"a b/{folder}" for folder in folders}
            assert config.annotations.startswith("a b/coco/annotations/instances_")
