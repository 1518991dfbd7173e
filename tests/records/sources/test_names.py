"""Class names in one form, and in a time that no name can stretch."""

import time

import pytest

from ssd_tfrecord.records.sources.names import look_alike_key, normal_name


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        *((" dog\t", "dog"), ("cafe\u0301 ", "caf\u00e9"), ("\u00a0\u732b", "\u732b"), ("  ", "")),
        *(("stop \r\n\t sign", "stop sign"), ("a\u2028b\x7fc\x00", "a b c"), ("\n", "")),
        # What stands between words in a line stays as it is.
        *(("stop\u00a0sign", "stop\u00a0sign"), ("two  spaces", "two  spaces")),
        ("\u06a9\u062a\u200c\u062e", "\u06a9\u062a\u200c\u062e"),
    ],
)
def test_white_space_and_decomposed_letters(given, expected):
    assert normal_name(given) == expected


def test_hostile_names_take_no_time():
    name = "e" + "\u0301\u0316" * 100_000
    start = time.process_time()
    assert normal_name(name) == name
    assert normal_name("a" + " " * 1_000_000 + "b").startswith("a  ")
    assert normal_name("a" + "\n " * 500_000 + "b") == "a b"
    assert look_alike_key(name) == name
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    "names", [("Traffic Light", "traffic_light", "traffic-light"), ("\ufb01sh", "fish")]
)
def test_look_alikes_share_a_key(names):
    assert len({look_alike_key(name) for name in names}) == 1


def test_others_do_not():
    assert len({look_alike_key(name) for name in ("+", "-", "cat", "cats")}) == 4
