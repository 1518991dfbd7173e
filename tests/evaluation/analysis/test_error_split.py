"""TIDE: worked by hand, against tidecv's numbers and a slow twin, and on what is empty."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from scored_sets import arrays, found, sets, truth

from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.detection.ground_truth import GroundTruth
from ssd_tfrecord.evaluation.analysis.answers import ERROR_KINDS
from ssd_tfrecord.evaluation.analysis.error_split import split_errors
from ssd_tfrecord.evaluation.overlaps import find_overlaps
from ssd_tfrecord.evaluation.scored_set import Found, Objects, ScoredSet, score_set


def _coco_set(folder):
    """COCO's own example: 100 images of val2014 with 734 made-up detections."""
    content = json.loads((folder / "instances_val2014_100.json").read_text())
    results = json.loads((folder / "instances_val2014_fakebbox100_results.json").read_text())
    categories = [category["id"] for category in content["categories"]]
    used = {item["image_id"] for item in results}
    images = [image for image in content["images"] if image["id"] in used]

    def of(items, image):
        items = [item for item in items if item["image_id"] == image["id"]]
        x, y, width, height = np.float64([item["bbox"] for item in items]).reshape(-1, 4).T
        sides = [image["height"], image["width"]] * 2
        boxes = (np.stack([y, x, y + height, x + width], axis=-1) / sides).astype(np.float32)
        labels = np.int32([categories.index(item["category_id"]) + 1 for item in items])
        return items, boxes, labels, (str(image["id"]), image["height"], image["width"])

    truths, detections = [], []
    for image in images:
        items, boxes, labels, facts = of(content["annotations"], image)
        crowd = np.array([item["iscrowd"] for item in items], bool)
        truths.append(GroundTruth(*facts, boxes, labels, crowd & False, crowd, crowd * 0.0))
        items, boxes, labels, facts = of(results, image)
        scores = np.float32([item["score"] for item in items])
        detections.append(Detections(*facts, boxes, scores, labels))
    return score_set(truths, detections, [str(category) for category in categories])


def _voc_set(real_data, detector):
    """Images of VOC2012 with the detections of a detector; all objects count, difficult or not."""
    folder, voc = real_data / "evaluator" / "voc", real_data / "VOCdevkit" / "VOC2012"
    ids = (folder / "imageset.txt").read_text().split()
    objects, sizes = [], []
    for place, image in enumerate(ids):
        root = ElementTree.parse(voc / "Annotations" / f"{image}.xml").getroot()
        sizes.append([int(root.find(f"size/{side}").text) for side in ("height", "width")])
        for item in root.iter("object"):
            edges = [float(item.find(f"bndbox/{e}").text) for e in ("ymin", "xmin", "ymax", "xmax")]
            objects.append((place, item.find("name").text, edges))
    rows = []
    for path in sorted((folder / f"dets_{detector}").glob("*.txt")):
        for line in path.read_text().splitlines():
            image, score, xmin, ymin, xmax, ymax = line.split()
            edges = [float(edge) for edge in (ymin, xmin, ymax, xmax)]
            name = path.stem.rsplit("_", 1)[1]
            rows.append((ids.index(image), name, edges, float(score)))
    rows.sort(key=lambda row: row[0])
    names = sorted({row[1] for row in objects} | {row[1] for row in rows})

    def columns(items):
        places, own, edges = (list(column) for column in list(zip(*items))[:3])
        # Pixels are counted from 1, and both ends are inside.
        boxes = np.float64(edges) - [1, 1, 0, 0]
        return np.int64(places), boxes, np.int32([names.index(name) + 1 for name in own])

    places, boxes, labels = columns(objects)
    nothing = np.zeros(len(labels), bool)
    annotated = Objects(places, boxes, labels, nothing, nothing, nothing * 0.0)
    places, boxes, labels = columns(rows)
    detected = Found(places, boxes, labels, np.float32([row[3] for row in rows]))
    return ScoredSet(tuple(ids), np.int64(sizes), tuple(names), annotated, detected)


def _made_set():
    """Near and far detections of 5 classes, with crowds; RandomState never changes its numbers."""
    rng = np.random.RandomState(7)
    truths, detections = [], []
    for image in range(60):
        count = rng.randint(1, 7)
        low = rng.randint(0, 700, [count, 2])
        boxes = np.concatenate([low, low + rng.randint(20, 300, [count, 2])], axis=1)
        labels, crowd = rng.randint(1, 6, count), rng.random_sample(count) < 0.08
        name = str(image)
        truths.append(truth(boxes, labels=labels, crowd=crowd, source_id=name, size=1000))
        near = np.repeat(boxes, 3, axis=0) + rng.randint(-40, 41, [3 * count, 4])
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 5)
        low = rng.randint(0, 700, [4, 2])
        far = np.concatenate([low, low + rng.randint(20, 300, [4, 2])], axis=1)
        own = np.repeat(labels, 3)
        own = np.where(rng.random_sample(len(own)) < 0.75, own, rng.randint(1, 6, len(own)))
        own = np.concatenate([own, rng.randint(1, 6, 4)])
        boxes = np.clip(np.concatenate([near, far]), 0, 1000)
        scores = rng.randint(1, 256, len(boxes)) / 256
        detections.append(found(boxes, scores, labels=own, source_id=name, size=1000))
    return score_set(truths, detections, list("abcde"))


# What tidecv 1.0.1 gives for the same boxes (tidecv.TIDE().evaluate(…, mode=TIDE.BOX), crowds by
# add_ignore_region) with classes without objects left out of its mean: AP, the costs of
# ERROR_KINDS, of false positives and of false negatives, then its counts.
_TIDECV = {
    "made": (
        [0.2439764717807128, 0.02260176167169675, 0.18700373843415094, 0.03127876603382095]
        + [0.014227275366525021, 0.08132995749977866, 0.0, 0.5025581816846337, 0.07880355912957768],
        [56, 170, 108, 145, 259, 0],
    ),
    "coco": (
        [0.6994872618979601, 0.1698320760508723, 0.0024742454002485204, 0.0, 0.00020599225914494924]
        + [0.0, 0.09104059250484013, 0.0740629502661136, 0.1906210788906425],
        [83, 1, 0, 1, 0, 96],
    ),
    "rafael": (
        [0.6100296805315171, 0.02455735683458464, 0.0621468314042739, 0.046240001807601135]
        + [4.6802436963275794e-05, 0.10632267712020116, 0.07576954823315325, 0.2053168541219481]
        + [0.1230407635752956],
        [3, 34, 22, 2, 165, 35],
    ),
    "objectron": (
        [0.2922779981737564, 0.47597609409660846, 0.026280137297389174, 0.006615384246510523]
        + [0.0009058844467709903, 0.01352261665697803, 0.0041913213373829805, 0.10920715034109524]
        + [0.41972984338947],
        [619, 1162, 1835, 94, 5803, 19],
    ),
}


def _assert_equals_tidecv(scored, name):
    split = split_errors(scored, find_overlaps(scored))
    numbers, counts = _TIDECV[name]
    own = [split.ap, *(split.costs[kind] for kind in ERROR_KINDS)]
    own += [split.false_positive_cost, split.false_negative_cost]
    np.testing.assert_allclose(own, numbers, atol=1e-12)
    assert [split.counts[kind] for kind in ERROR_KINDS] == counts


def test_equals_tidecv_on_a_made_up_set():
    _assert_equals_tidecv(_made_set(), "made")


def test_equals_tidecv_on_coco(real_data):
    _assert_equals_tidecv(_coco_set(real_data / "evaluator" / "coco"), "coco")


@pytest.mark.parametrize("detector", ["rafael", "objectron"])
def test_equals_tidecv_on_voc(real_data, detector):
    _assert_equals_tidecv(_voc_set(real_data, detector), detector)


# Edges of 100 pixels; the IoU of a box with the one half as wide is 0.5, with a quarter 0.25.
PLACES = [[0, 0, 100, 100], [200, 0, 300, 100], [400, 0, 500, 100], [600, 0, 700, 100]]


def _split(truths, detections, num_classes=2):
    return split_errors(*arrays(truths, detections, num_classes))


def test_one_error_of_each_kind_by_hand():
    truths = [truth(PLACES, labels=[1, 1, 1, 2], size=1000)]
    rows = [
        ([0, 0, 100, 100], 1, 0.9),  # right
        ([0, 0, 100, 100], 1, 0.8),  # duplicate
        ([200, 0, 225, 100], 1, 0.7),  # localisation
        ([400, 0, 500, 100], 2, 0.6),  # classification
        ([600, 0, 625, 100], 1, 0.5),  # both
        ([800, 0, 900, 100], 1, 0.4),  # background
    ]
    boxes, labels, scores = zip(*rows)
    split = _split(truths, [found(boxes, scores, labels=labels, size=1000)])
    # The object of class 2 is missed: the error of both kinds cannot be mended on it.
    assert split.counts == dict.fromkeys(ERROR_KINDS, 1)
    third, two_thirds = 34 / 101, 67 / 101
    # Class 1: the first of three objects, at once. Class 2: none of one.
    assert split.ap == pytest.approx(third / 2)
    # Localisation: true, false, true of three objects.
    gain = (third + (two_thirds - third) * 2 / 3) / 2
    assert split.costs["localisation"] == pytest.approx(gain - split.ap)
    # Classification: true, two false, and the one of class 2 as the second true one.
    gain = (third + (two_thirds - third) * 2 / 4) / 2
    assert split.costs["classification"] == pytest.approx(gain - split.ap)
    # A missed object is no longer expected: class 2 has but a false detection left.
    assert [split.costs[k] for k in ("both", "duplicate", "background", "missed")] == [0] * 4
    # Without its misses, class 1 is found at once; class 2 expects nothing.
    assert split.false_negative_cost == pytest.approx(0.5 - split.ap)
    assert split.false_positive_cost == pytest.approx(0.0)
    assert split.class_costs["classification"].tolist() == pytest.approx(
        [2 * split.costs["classification"], 0]
    )


def test_of_two_errors_on_one_object_the_one_of_the_higher_score_is_mended():
    # Of class 2, of class 1 but off, and of class 3: one object of class 1.
    rows, labels = [PLACES[0], [0, 0, 25, 100], PLACES[0]], [2, 1, 3]
    split = _split(
        [truth(PLACES[:1], size=1000)], [found(rows, [0.9, 0.8, 0.7], labels=labels, size=1000)], 3
    )
    assert split.ap == 0.0
    assert split.costs["classification"] == 1.0
    # The box is only deleted, as the object is mended by the other.
    assert split.costs["localisation"] == 0.0
    assert (split.counts["classification"], split.counts["localisation"]) == (2, 1)
    # Classes 2 and 3 have no objects.
    assert np.isnan(split.class_costs["classification"][1:]).all()


def test_kinds_on_their_limits():
    rows = [
        ([0, 0, 50, 100], 1),  # IoU 0.5: right
        ([0, 0, 50, 100], 1),  # the same again: localisation, not duplicate
        ([200, 0, 210, 100], 1),  # IoU 0.1: localisation
        ([400, 0, 409, 100], 1),  # IoU 0.09: background
        ([400, 0, 410, 100], 2),  # IoU 0.1 with another class: background
    ]
    boxes, labels = zip(*rows)
    detections = [found(boxes, [0.9, 0.8, 0.7, 0.6, 0.5], labels=labels, size=1000)]
    split = _split([truth(PLACES[:3], size=1000)], detections)
    assert split.ap == pytest.approx(34 / 101)
    wanted = {"localisation": 2, "background": 2, "missed": 1}
    assert split.counts == dict.fromkeys(ERROR_KINDS, 0) | wanted


@pytest.mark.parametrize(
    ("mark", "box", "ap"),
    [
        ("crowd", [0, 0, 20, 20], 1.0),
        ("crowd", [0, 0, 200, 100], 0.5),
        ("difficult", [0, 0, 50, 100], 1.0),
        ("difficult", [0, 0, 20, 20], 0.5),
    ],
)
def test_a_detection_in_a_crowd_or_on_a_difficult_object_is_not_false(mark, box, ap):
    truths = [truth(PLACES[:2], **{mark: [True, False]}, size=1000)]
    split = _split(truths, [found([box, PLACES[1]], [0.9, 0.8], size=1000)], 1)
    assert split.ap == ap


def test_only_the_hundred_best_detections_of_an_image_count():
    rows = [[800, 800, 900, 900]] * 100 + [PLACES[0]]
    truths = [truth(PLACES[:1], size=1000)]
    scores = np.linspace(0.5, 0.9, 100)
    last = _split(truths, [found(rows, [*scores, 0.1], size=1000)], 1)
    assert (last.ap, last.counts["background"], last.counts["missed"]) == (0.0, 100, 1)
    first = _split(truths, [found(rows, [*scores, 1.0], size=1000)], 1)
    assert (first.ap, first.counts["background"], first.counts["missed"]) == (1.0, 99, 0)


def test_a_class_that_is_missed_altogether_costs_all_its_ap():
    split = _split([truth(PLACES[:2], labels=[1, 2], size=1000)], [found([], [])], 2)
    assert (split.ap, split.costs["missed"], split.counts["missed"]) == (0.0, 1.0, 2)
    assert split.class_costs["missed"].tolist() == [1.0, 1.0]
    # As in tidecv, it leaves the mean once it is mended.
    detections = [found([[400, 0, 500, 100], PLACES[0]], [0.9, 0.8], size=1000)]
    split = _split([truth(PLACES[:2], labels=[1, 2], size=1000)], detections, 2)
    assert (split.ap, split.costs["missed"]) == (0.25, 0.25)
    assert split.class_costs["missed"].tolist() == [0.0, 1.0]


@pytest.mark.parametrize("detections", [[], [found(PLACES, [0.5] * 4, size=1000)]])
def test_without_objects_there_is_no_ap(detections):
    split = _split([truth([])] * len(detections), detections)
    assert np.isnan([split.ap, *split.costs.values(), split.false_positive_cost]).all()
    assert split.counts["background"] == 4 * len(detections)


class _Twin:
    """tidecv's loops with dictionaries, for one set."""

    def __init__(self, scored, ious, inside):
        self.scored, self.ious, self.inside = scored, ious, inside
        self.labels = scored.objects.labels
        real = ~scored.objects.ignored
        self.real = [item for item in range(len(self.labels)) if real[item]]
        self.used, self.right, self.kinds, self.out = {}, set(), {}, set()
        # {object: detection that is mended on it}
        self.best, self.errors = {}, []
        for image in range(scored.num_images):
            rows = np.flatnonzero(scored.found.image == image).tolist()
            rows.sort(key=lambda row: -scored.found.scores[row])
            self._image(rows[:100])
        self.missed = [item for item in self.real if item not in {**self.used, **self.best}]

    def _iou(self, row, item):
        return self.ious.get((row, item), 0.0)

    def _image(self, rows):
        labels = self.scored.found.labels
        for row in rows:
            own = [i for i in self.real if self.labels[i] == labels[row] and i not in self.used]
            item = max(own, key=lambda item: self._iou(row, item), default=None)
            if item is not None and self._iou(row, item) >= 0.5:
                self.used[item] = row
                self.right.add(row)
        for row in rows:
            if row not in self.right:
                self._error(row, labels[row])

    def _error(self, row, label):
        objects = self.scored.objects
        for item in np.flatnonzero(objects.ignored & (objects.labels == label)).tolist():
            crowd = objects.crowd[item]
            if (crowd and self.inside.get((row, item), 0.0) > 0.5) or (
                not crowd and self._iou(row, item) >= 0.5
            ):
                self.out.add(row)
        own = [item for item in self.real if self.labels[item] == label]
        other = [item for item in self.real if self.labels[item] != label]
        nearest = max(own, key=lambda item: self._iou(row, item), default=-1)
        swapped = max(other, key=lambda item: self._iou(row, item), default=-1)
        if 0.1 <= self._iou(row, nearest) <= 0.5:
            kind, item = "localisation", nearest
        elif self._iou(row, swapped) >= 0.5:
            kind, item = "classification", swapped
        elif self._iou(row, nearest) >= 0.5:
            kind, item = "duplicate", None
        elif max(self._iou(row, nearest), self._iou(row, swapped)) <= 0.1:
            kind, item = "background", None
        else:
            kind, item = "both", None
        self.kinds[row] = kind
        self.errors.append((row, kind, item))
        if item is not None and item not in self.used:
            self.best.setdefault(item, row)

    def ap(self, mended=None, *, positives=None):
        """Mean over the classes with objects; ``mended`` is a kind."""
        scores, labels = self.scored.found.scores, self.scored.found.labels
        lists = {}
        for row, kind, item in self.errors:
            if kind != mended:
                if row not in self.out:
                    lists.setdefault(labels[row], []).append((scores[row], False))
            elif item is not None and self.best.get(item) == row:
                lists.setdefault(self.labels[item], []).append((scores[row], True))
        for row in self.right:
            lists.setdefault(labels[row], []).append((scores[row], True))
        expected = [i for i in self.real if mended != "missed" or i not in self.missed]
        expected = expected if positives is None else positives
        aps = []
        for label in {self.labels[item] for item in self.real}:
            count = sum(self.labels[item] == label for item in expected)
            if count or lists.get(label):
                aps.append(_ap(lists.get(label, []), count))
        return float(np.mean(aps)) if aps else 1.0


def _ap(rows, positives):
    rows = sorted(rows, key=lambda row: -row[0])
    true, curve = 0, []
    for place, (_, right) in enumerate(rows, start=1):
        true += right
        curve.append((true / max(positives, 1), true / place))
    heights = [max((p for r, p in curve if r >= x / 100), default=0.0) for x in range(101)]
    return sum(heights) / 101 if positives else 0.0


@settings(max_examples=40, deadline=None)
@given(sets(num_classes=3))
def test_equals_the_slow_twin(drawn):
    truths, detections = drawn
    # Without equal scores, which tidecv orders in another way before it mends anything.
    total = sum(len(image.scores) for image in detections)
    rng, first = np.random.default_rng(total), 0
    ranks = rng.permutation(total) + 1
    for image in detections:
        image.scores[:] = ranks[first : first + len(image.scores)] / (total + 1)
        first += len(image.scores)
    scored, overlaps = arrays(truths, detections, 3)
    keys = list(zip(overlaps.found.tolist(), overlaps.objects.tolist()))
    ious, inside = (dict(zip(keys, values)) for values in (overlaps.ious, overlaps.inside))
    twin, split = _Twin(scored, ious, inside), split_errors(scored, overlaps)
    counts = {kind: list(twin.kinds.values()).count(kind) for kind in ERROR_KINDS}
    assert split.counts == {**counts, "missed": len(twin.missed)}
    if not twin.real:
        assert np.isnan(split.ap)
        return
    assert split.ap == pytest.approx(twin.ap(), abs=1e-12)
    for kind in ERROR_KINDS:
        assert split.costs[kind] == pytest.approx(max(0, twin.ap(kind) - twin.ap()), abs=1e-12)
    without_missed = twin.ap(positives=[item for item in twin.real if item in twin.used])
    assert split.false_negative_cost == pytest.approx(without_missed - twin.ap(), abs=1e-12)
