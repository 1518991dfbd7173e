"""Scenes of the demo: what is annotated is what is seen, to the pixel."""

import numpy as np
import pytest

from ssd_tfrecord.datasets.demo import scenes
from ssd_tfrecord.datasets.demo.objects import CLASSES, draw_object

LIGHT = (0.5, -0.8)


def lay(sprites, height=100, width=120):
    """The annotated objects of solid rectangles (left, top, width, height), later ones nearer."""
    canvas = scenes._Canvas(np.zeros((height, width, 3), np.float32), LIGHT)
    for left, top, wide, high in sprites:
        canvas.lay("crate", left, top, np.ones((high, wide, 3)), np.ones((high, wide)))
    return canvas, [scenes._visible_object(canvas, index) for index in range(len(sprites))]


@pytest.mark.parametrize(
    ("sprites", "box", "truncated", "difficult", "visible"),
    [
        pytest.param([(10, 20, 30, 40)], (10, 20, 40, 60), False, False, 1.0, id="whole"),
        pytest.param([(0, 0, 120, 100)], (0, 0, 120, 100), False, False, 1.0, id="whole picture"),
        pytest.param([(-10, 20, 40, 40)], (0, 20, 30, 60), True, False, 0.75, id="cut at the left"),
        pytest.param([(85, 92, 40, 40)], (85, 92, 120, 100), True, True, 0.175, id="a corner left"),
        pytest.param(
            [(10, 20, 30, 40), (10, 20, 12, 40)], (22, 20, 40, 60), False, False, 0.6, id="covered"
        ),
        pytest.param(
            [(10, 20, 30, 40), (0, 0, 34, 90)], (34, 20, 40, 60), False, True, 0.2, id="hidden"
        ),
        pytest.param(
            [(10, 20, 30, 40), (12, 30, 5, 5)], (10, 20, 40, 60), False, False, 47 / 48, id="hole"
        ),
        pytest.param([(10, 20, 4, 4)], (10, 20, 14, 24), False, True, 1.0, id="tiny"),
        pytest.param([(10, 20, 5, 4)], (10, 20, 15, 24), False, False, 1.0, id="a twentieth"),
    ],
)
def test_box_is_tight_about_what_stays_visible(sprites, box, truncated, difficult, visible):
    first = lay(sprites)[1][0]
    assert first == scenes.SceneObject("crate", box, truncated, difficult, pytest.approx(visible))


def test_nothing_is_laid_where_it_or_another_would_vanish():
    canvas, _ = lay([(10, 20, 30, 40)])

    def fits(left, top, wide, high, apart=False):
        return canvas.fits(left, top, np.ones((high, wide), bool), apart)

    assert fits(10, 20, 27, 40)
    assert not fits(10, 20, 28, 40)  # 2 of 30 columns would stay, under a tenth
    assert fits(117, 0, 30, 10)
    assert not fits(118, 0, 30, 10)
    assert fits(40, 20, 10, 10, apart=True)
    assert not fits(39, 20, 10, 10, apart=True)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("side", [24.0, 200.0])
def test_object_has_the_side_asked_for_at_every_angle(name, side):
    for seed in range(8):
        rgb, alpha = draw_object(name, side, LIGHT, np.random.default_rng(seed))
        rows, columns = ((alpha > 0.5).any(axis=axis) for axis in (1, 0))
        assert max(rows.sum(), columns.sum()) == pytest.approx(side, rel=0.03, abs=1)
        assert rgb.shape == (*alpha.shape, 3)
        assert (rgb.min(), rgb.max(), alpha.min(), alpha.max()) >= (0, 0, 0, 0)
        assert max(rgb.max(), alpha.max()) <= 1
        assert alpha[[0, -1]].max() < 0.5 and alpha[:, [0, -1]].max() < 0.5


def test_scene_is_its_seed_and_its_boxes_are_those_of_its_owner_map():
    for seed in range(12):
        scene = scenes.compose_scene(np.random.default_rng(seed))
        again = scenes.compose_scene(np.random.default_rng(seed))
        assert np.array_equal(scene.pixels, again.pixels)
        assert scene.objects == again.objects
        height, width = scene.owner.shape
        assert scene.pixels.shape == (height, width, 3)
        assert min(height, width) >= 256 and 320 <= max(height, width) <= 400
        for index, item in enumerate(scene.objects):
            y, x = np.nonzero(scene.owner == index)
            assert item.box == (x.min(), y.min(), x.max() + 1, y.max() + 1)
            assert item.visible >= scenes.MIN_VISIBLE
