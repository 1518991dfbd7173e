"""A benchmark's text: rows of conversion by hand, and what bounds a run."""

import pytest

from ssd_tfrecord.benchmark import table

MACHINE = {"processor": "A", "cores": 2, "gpus": ["B"], "tensorflow": "2.15.1"}
MACHINE |= {"load_before": 0.25, "load_after": 1.0}


def test_conversion_is_a_row_beside_bare_decoding_and_its_parts():
    bare = {"images_per_s": 1000.0, "images_per_s_spread": 0.01}
    bare |= {"cpu_ms_per_image": 1.0, "cpu_ms_spread": 0.02}
    row = bare | {"images": 320, "images_per_s": 800.0, "cpu_ms_per_image": 1.25}
    row |= {"bare_decode": bare, "ratio_to_decode": 1.25, "ratio_spread": 0.03}
    row |= {"part_cpu_ms_per_image": {"reading": 0.05, "writing": 1.2}}
    row |= {"shares": {"reading": 0.04, "writing": 0.96}}
    worker = {"images_per_s": 750.0, "cpu_ms_per_image": 1.5, "whole_cpu_ms_per_image": 1.75}
    scaling = {
        "images": 12000,
        "workers": 2,
        "one_worker": worker | {"busy_share": 0.99},
        "all_workers": worker | {"images_per_s": 1250.0, "busy_share": 0.9},
        "cpu_ratio": 1.0125,
        "whole_cpu_ratio": 1.1,
    }
    found = {"verify_decode": row, "verify_header": row, "scaling": scaling}
    lines = table.text({"machine": MACHINE, "convert": found}).splitlines()
    assert lines[0] == (
        "A, 2 cores, B, TensorFlow 2.15.1, load 0.2 before and 1.0 after; ± is half the "
        "interquartile range over the rounds"
    )
    words = [line.split() for line in lines]
    assert lines[1] == "convert --verify=decode: 320 images per round, one worker"
    rate = ["images/s", "±1.0%"]
    assert words[2] == [
        *("bare", "JPEG", "decoding", "1000.0", *rate, "1.000", "CPU", "ms/image", "±2.0%")
    ]
    assert words[3] == [
        *("whole", "800.0", *rate, "1.250", "CPU", "ms/image", "±2.0%"),
        *("1.25", "±3.0%", "of", "decoding"),
    ]
    assert words[4] == ["reading", "0.050", "CPU", "ms/image", "4.0%"]
    assert words[5] == ["writing", "1.200", "CPU", "ms/image", "96.0%"]
    assert lines[6] == "convert --verify=header: 320 images per round, one worker"
    assert lines[7:11] == lines[2:6]
    assert lines[11] == "convert: 12,000 images, complete commands, from their first shard on"
    assert words[12][:2] == ["1", "worker"]
    assert words[13] == [
        *("2", "workers", "1250.0", "images/s", "1.500", "CPU", "ms/image", "1.750"),
        *("with", "the", "start", "90.0%", "busy"),
    ]
    assert lines[14:] == [
        "  2 workers need 1.012 times the CPU time of 1, 1.100 times with the start"
    ]


def test_metrics_are_rows_beside_those_of_other_tools():
    row = {"cpu_ms_per_image": 0.125, "cpu_ms_spread": 0.02}
    parts = ("coco", "part_scored_set", "part_overlaps", "part_coco", "part_voc")
    peer = {"cpu_ms_per_image": 16.0, "cpu_ms_spread": 0.01, "ratio_to_coco": 128.0}
    found = {"images": 5000, **dict.fromkeys(parts, row)}
    found["peers"] = {"pycocotools": peer | {"difference": 0.0}}
    lines = table.text({"machine": MACHINE, "evaluation": found}).splitlines()
    assert lines[1] == "evaluation: 5,000 images of 100 detections"
    words = [line.split() for line in lines[2:]]
    assert words[0] == ["COCO's", "twelve", "numbers", "0.125", "CPU", "ms/image", "±2.0%"]
    assert [line[-4:] for line in words[1:5]] == [words[0][-4:]] * 4
    assert words[5] == [
        *("pycocotools", "16.000", "CPU", "ms/image", "±1.0%"),
        *("128.0", "times", "ours,", "numbers", "differ", "by", "0"),
    ]
    assert len(lines) == 8


@pytest.mark.parametrize(
    ("feeds", "takes", "words"),
    [
        (340.0, 100.0, "The model limits the run: the input could feed 3.4 times as many images;"),
        (
            50.0,
            125.0,
            "The input limits the run: the model could process 2.5 times as many images;",
        ),
    ],
)
def test_sentence_says_what_bounds_the_run(feeds, takes, words):
    figures = {
        "input": {"host_share": {"images_per_s": feeds}},
        "model": {"images_per_s": takes},
        "end_to_end": {"images_per_s": 48.0, "data_wait": 0.125},
    }
    assert table.bound(figures) == (
        f"{words} end to end, it reaches 48.0 images/s and waits for data 12% of the time."
    )
