"""Environment variables that are missing, malformed, or longer than a line."""

import pytest

from ssd_tfrecord.devices.cluster import variables
from ssd_tfrecord.errors import InputError


def read(value, **limits):
    environment = {} if value is None else {"RANK": value}
    return variables.number(environment, "RANK", "use srun", **limits)


@pytest.mark.parametrize(("value", "number"), [("0", 0), ("3", 3), (" 2 ", 2), ("03", 3)])
def test_numbers(value, number):
    assert read(value, minimum=0, maximum=3) == number


@pytest.mark.parametrize("value", ["4", "-1", "+1", "1.0", "1e0", "1_0", "٣", "x", "9" * 5000])
def test_what_is_no_number_within_limits_is_refused(value):
    with pytest.raises(
        InputError, match=r"^RANK=.{1,50}: must be a whole number, 0\.\.3; use srun$"
    ):
        read(value, minimum=0, maximum=3)


@pytest.mark.parametrize("value", [None, "", "  "])
def test_what_is_not_set_is_named(value):
    with pytest.raises(InputError, match=r"^RANK is not set; use srun$"):
        read(value, minimum=0, maximum=3)


def test_the_only_allowed_number_is_said():
    with pytest.raises(InputError, match=r"^RANK=2: must be 1; use srun$"):
        read("2", minimum=1, maximum=1)


def test_a_message_quotes_what_is_long_or_not_plain_and_stays_one_line():
    assert variables.shortened("node[01-02],a") == "node[01-02],a"
    assert variables.shortened("a\nb") == r"'a\nb'"
    assert len(variables.shortened("x" * 100_000)) < 50
