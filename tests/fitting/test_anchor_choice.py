"""Fitted anchors are taken only if they are clearly better, on images that they have not seen."""

import numpy as np
import pytest

from ssd_tfrecord.backbones.backbone import SSD300
from ssd_tfrecord.fitting import anchor_choice
from ssd_tfrecord.fitting.anchor_choice import choose_anchors, judge, standard_error
from ssd_tfrecord.fitting.anchor_recall import anchor_recall
from ssd_tfrecord.fitting.seen_boxes import SeenBoxes, seen_boxes
from ssd_tfrecord.options import AnchorOptions, FramingOptions, InputOptions, ModelOptions
from ssd_tfrecord.records.manifest import Manifest


def seen_of(side, num_images, per_image=5, seed=0):
    """Squares of about ``side`` of 300 pixels, anywhere in each image."""
    random = np.random.default_rng(seed)
    count = num_images * per_image
    sides = side * np.exp(random.normal(0, 0.1, (count, 1))) / 300
    low = random.uniform(size=(count, 2)) * (1 - sides)
    boxes = np.concatenate([low, low + sides], axis=1).astype(np.float32)
    return SeenBoxes(boxes, np.repeat(np.arange(num_images), per_image), num_images)


@pytest.fixture(scope="module")
def gained():
    return judge(seen_of(16, 60), seen_of(17, 60), AnchorOptions("voc", "2:3:2:3:2:2"), SSD300)


def test_fitted_anchors_are_taken_where_they_gain(gained):
    assert gained.is_fitted
    assert gained.options == gained.fitted
    assert gained.best == "coco"
    gain = gained.fitted_recall.recall - gained.published["coco"].recall
    assert gain > gained.margin >= 0.01
    assert gained.num_images == 30
    assert gained.fitted_recall.num_boxes == 150


def test_published_anchors_are_judged_with_their_own_ratios_on_the_same_boxes(gained):
    assert {*gained.published} == {"voc", "coco"}
    assert {item.num_boxes for item in gained.published.values()} == {150}
    seen = seen_of(16, 60)
    first = np.random.default_rng(0).permutation(60)[:30]
    others = seen.boxes[~np.isin(seen.images, first)]
    assert gained.published["voc"] == anchor_recall(others, AnchorOptions(), SSD300)
    assert gained.fitted_recall == anchor_recall(others, gained.fitted, SSD300)


def test_the_fit_sees_the_other_half_alone(gained):
    """Whatever lies in the judging half, the fitted anchors are the same."""
    seen = seen_of(16, 60)
    first = np.random.default_rng(0).permutation(60)[:30]
    changed = np.where(np.isin(seen.images, first)[:, np.newaxis], seen.boxes, [[0, 0, 0.2, 0.2]])
    other = judge(
        seen._replace(boxes=changed.astype(np.float32)), seen_of(17, 60), AnchorOptions(), SSD300
    )
    assert other.fitted == gained.fitted
    assert not other.is_fitted


def test_lines_and_flags_say_what_is_chosen(gained):
    recalls, sizes, choice = gained.lines
    voc, coco = (gained.published[name].recall for name in ("voc", "coco"))
    assert f"{voc:.3f} with voc, {coco:.3f} with coco, " in recalls
    assert f"{gained.fitted_recall.recall:.3f} fitted; on whole images" in recalls
    assert recalls.endswith("on 30 images that were not used to fit")
    assert sizes.startswith("anchor recall of small, medium and large boxes: ")
    assert choice.startswith("anchors: fitted, as recall gains 0.")
    scales, ratios = gained.flags
    flags = AnchorOptions(scales.partition("=")[2], ratios.partition("=")[2])
    assert flags == gained.options


def test_where_published_anchors_match_all_they_are_kept():
    # 42.4 pixels are the second square of voc's first map.
    choice = judge(seen_of(42, 60), seen_of(42, 60), AnchorOptions(), SSD300)
    assert not choice.is_fitted
    assert choice.options == AnchorOptions(choice.best)
    assert choice.flags == (f"--anchor_scales={choice.best}", "--aspect_ratios=")
    gain = choice.fitted_recall.recall - choice.published[choice.best].recall
    assert choice.lines[-1] == (
        f"anchors: {choice.best} is kept, as fitting changes recall by {gain:+.3f} (+0.010 needed)"
    )


def test_on_four_images_a_gain_may_be_chance(gained):
    """Two standard errors of n equal gains are 2 / sqrt(n) of the gain."""
    few = judge(seen_of(16, 8), seen_of(17, 8), AnchorOptions(), SSD300)
    assert few.num_images == 4
    gain = few.fitted_recall.recall - few.published["coco"].recall
    assert 0.1 < gain < few.margin
    assert not few.is_fitted


def test_anchors_that_lose_the_objects_of_whole_images_are_refused(monkeypatch):
    """The gain in training samples is real, but what is detected is as large as coco's anchors."""
    # Sizes with a gap around 80 pixels.
    gap = AnchorOptions("0.05,0.4,0.5,0.6,0.7,0.87,1.05")
    monkeypatch.setattr(anchor_choice, "fit_anchors", lambda *_: gap)
    kept = judge(seen_of(16, 60), seen_of(16, 60), AnchorOptions(), SSD300)
    assert kept.options == gap
    refused = judge(seen_of(16, 60), seen_of(65, 60), AnchorOptions(), SSD300)
    assert refused.fitted == gap
    assert refused.options == AnchorOptions("coco")
    before, after = refused.whole
    assert before - after > 0.5
    assert refused.lines[-1] == (
        f"anchors: coco is kept, as fitting loses {before - after:.3f} of recall on whole images"
    )


def test_the_standard_error_adds_up_images():
    before = np.array([0, 0, 1, 1, 0, 1], bool)
    after = np.array([1, 1, 1, 0, 0, 1], bool)
    # Sums of 2, -1 and 0 of three images, and of six boxes.
    images = np.array([7, 7, 7, 9, 9, 4])
    assert standard_error(before, after, images) == pytest.approx(np.sqrt(5) / 6)
    assert standard_error(before[:0], after[:0], images[:0]) == 0.0


def test_no_boxes_leave_the_published_anchors():
    nothing = SeenBoxes(np.zeros([0, 4], np.float32), np.zeros([0], np.int64), 0)
    choice = judge(nothing, nothing, AnchorOptions(), SSD300)
    assert not choice.is_fitted
    assert choice.options == AnchorOptions("voc")


def test_from_records(tiny_records, monkeypatch):
    monkeypatch.setattr(anchor_choice, "fit_anchors", lambda boxes, published, maps: published)
    manifests = [Manifest.load(tiny_records)]
    options = InputOptions(framing=FramingOptions(crop_trials=5))
    anchors, model = AnchorOptions(anchor_variant="torchvision"), ModelOptions()
    choice = choose_anchors(manifests, options, model, anchors, seed=4)
    # Five of the six images have objects.
    assert choice.num_images == 3
    assert choice.options.anchor_variant == "torchvision"
    seen = seen_boxes(manifests, options, input_size=300, seed=4)
    whole = seen_boxes(
        manifests, InputOptions(framing=FramingOptions(augmentation="none")), input_size=300
    )
    assert judge(seen, whole, anchors, model.maps, seed=4) == choice
    assert judge(seen, whole, anchors, model.maps, seed=5) != choice
    given = seen._replace(boxes=seen.boxes / 9)
    other = choose_anchors(manifests, options, model, anchors, seed=4, seen=given)
    assert other == judge(given, whole, anchors, model.maps, seed=4) != choice
