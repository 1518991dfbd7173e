"""The draw of the photometric distortion: probabilities, ranges and order."""

import numpy as np
import pytest
import tensorflow as tf

from ssd_tfrecord.data import coloring
from ssd_tfrecord.pixels import color

LOW = np.array([-32.0, 0.5, 0.5, -18.0])
HIGH = np.array([32.0, 1.5, 1.5, 18.0])


@pytest.fixture(scope="module")
def drawn():
    uniforms = np.random.default_rng(0).uniform(size=(100_000, coloring.NUM_UNIFORMS))
    return coloring.draw(tf.constant(uniforms, tf.float32)).numpy()


def test_each_operation_and_each_order_has_one_chance_in_two(drawn):
    applied = drawn != np.float32(color.IDENTITY)
    # Five standard deviations of a share of 1e5 are 0.008.
    np.testing.assert_allclose(applied.mean(axis=0), 0.5, atol=0.008)


def test_operations_and_order_are_drawn_independently(drawn):
    applied = np.float64(drawn != np.float32(color.IDENTITY))
    correlation = np.corrcoef(applied.T) - np.eye(5)
    assert np.abs(correlation).max() < 0.016


@pytest.mark.parametrize("column", range(4), ids=["brightness", "contrast", "saturation", "hue"])
def test_what_is_applied_is_uniform_over_its_range(drawn, column):
    values = drawn[:, column].astype(float)
    share = (values[values != color.IDENTITY[column]] - LOW[column]) / (HIGH - LOW)[column]
    assert share.min() >= 0
    assert share.max() <= 1
    # Kolmogorov-Smirnov: sqrt(n) times the largest distance is above 2 once in 1,500 draws.
    distance = np.abs(np.sort(share) - (np.arange(len(share)) + 0.5) / len(share)).max()
    assert distance * np.sqrt(len(share)) < 2


def test_by_hand():
    uniforms = [[0.4, 0.6, 0.4, 0.4, 0.75, 0.9, 0.25, 0.0, 0.4], [0.5] * 9]
    want = [[16.0, 1.0, 0.75, -18.0, 1.0], [0.0, 1.0, 1.0, 0.0, 0.0]]
    np.testing.assert_allclose(coloring.draw(tf.constant(uniforms)), want, rtol=1e-6)
