"""What detect says at its end."""

import pytest

from ssd_tfrecord.detection import session


@pytest.mark.parametrize(
    ("threshold", "line"),
    [
        (0.4, "none scored more than 0.4; --score_threshold=0.05 draws weaker ones, too"),
        (0.05, "none scored more than 0.05; --score_threshold=0.005 draws weaker ones, too"),
        (
            None,
            "none scored more than its class's threshold; --score_threshold=0.05 draws weaker "
            "ones, too",
        ),
    ],
)
def test_where_nothing_is_found_a_lower_threshold_is_named(threshold, line):
    assert session._why_nothing(threshold) == line
