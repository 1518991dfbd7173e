"""Class names in one form, and in a time that no name can stretch."""

import time

import pytest

from ssd_tfrecord.records.sources.names import look_alike_key, normal_name


@pytest.mark.parametrize(
    ("given", "expected"),
    [(" dog\t", "dog"), ("cafe\u0301 ", "caf\u00e9"), ("\u00a0\u732b", "\u732b"), ("  ", "")],
)
def test_white_space_and_decomposed_letters(given, expected):
    assert normal_name(given) == expected


def test_hostile_names_take_no_time():
    name = "e" + "\u0301\u0316" * 100_000
    start = time.process_time()
    assert normal_name(name) == name
    assert look_alike_key(name) == name
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    "names", [("Traffic Light", "traffic_light", "traffic-light"), ("\ufb01sh", "fish")]
)
def test_look_alikes_share_a_key(names):
    assert len({look_alike_key(name) for name in names}) == 1


def test_others_do_not():
    assert len({look_alike_key(name) for name in ("+", "-", "cat", "cats")}) == 4
