"""Learning rates worked by hand."""

import numpy as np
import pytest

from ssd_tfrecord.options import OptimizerOptions
from ssd_tfrecord.training.update.schedules import LearningRate


def rates(options, num_steps, steps):
    schedule = LearningRate(options, num_steps)
    return np.array([schedule(np.int64(step)).numpy() for step in steps])


@pytest.mark.parametrize(
    ("options", "steps", "expected"),
    [
        pytest.param(
            OptimizerOptions(lr_boundaries=(80000, 100000)),
            [0, 79999, 80000, 99999, 100000, 119999],
            [1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5],
            id="the published rates fall to a tenth once a boundary's steps are done",
        ),
        pytest.param(
            OptimizerOptions(lr_boundaries=(3,), lr_values=(0.5, 0.2)),
            [0, 2, 3, 10],
            [0.5, 0.5, 0.2, 0.2],
            id="values win over the first rate",
        ),
        pytest.param(
            OptimizerOptions(learning_rate=0.8, warmup_steps=4, lr_boundaries=(6,)),
            [0, 1, 2, 3, 4, 5, 6],
            [0.2, 0.4, 0.6, 0.8, 0.8, 0.8, 0.08],
            id="warm-up rises to the whole rate in its last step",
        ),
        pytest.param(OptimizerOptions(), [0, 5], [1e-3, 1e-3], id="no boundary, one rate"),
    ],
)
def test_steps(options, steps, expected):
    np.testing.assert_allclose(rates(options, 120000, steps), expected, rtol=1e-6)


def test_cosine_falls_from_the_end_of_the_warmup_to_zero_at_num_steps():
    options = OptimizerOptions(learning_rate=2.0, lr_schedule="cosine", warmup_steps=2)
    # Share of the way 0, 0, 1/4, 1/2, 1: 2 * (1 + cos) / 2 = 2, 2, 1.707107, 1, 0.
    expected = [1.0, 2.0, 2.0, 1.7071068, 1.0, 0.0, 0.0]
    got = rates(options, 10, [0, 1, 2, 4, 6, 10, 11])
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_cosine_without_a_step_after_the_warmup_stays_finite():
    options = OptimizerOptions(learning_rate=2.0, lr_schedule="cosine", warmup_steps=4)
    np.testing.assert_allclose(rates(options, 4, [0, 3]), [0.5, 2.0], atol=1e-6)
