"""Which images are drawn, and what in them."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from ssd_tfrecord.evaluation.report import gallery
from ssd_tfrecord.evaluation.report.marked_pictures import FALSE, MISSED, TRUE


@pytest.fixture
def drawn(evaluated):
    return gallery.draw_gallery(evaluated, 5)


def test_marks_are_what_is_right_false_and_missed(evaluated):
    answers, scored = evaluated.answers, evaluated.scored
    counts = {TRUE: 0, FALSE: 0, MISSED: 0}
    for image in range(scored.num_images):
        for mark in gallery.scene_marks(evaluated, image):
            counts[mark.color] += 1
            assert mark.dashed == (mark.color == MISSED)
            assert bool(mark.tag) == (mark.color != TRUE)
    assert counts == {
        TRUE: answers.true.sum(),
        FALSE: answers.false.sum(),
        MISSED: answers.missed.sum(),
    }
    assert min(counts.values()) > 0


def test_a_false_detection_says_its_class_and_score(evaluated):
    place = int(np.flatnonzero(evaluated.answers.false)[0])
    scored = evaluated.scored
    marks = gallery.scene_marks(evaluated, int(scored.found.image[place]))
    name = scored.class_names[scored.found.labels[place] - 1]
    tags = [mark.tag for mark in marks if (mark.box == scored.found.boxes[place]).all()]
    assert f"{name} {scored.found.scores[place]:.2f}" in tags


def test_the_worst_come_first_and_each_image_is_read_once(evaluated):
    asked = []

    def read(images):
        asked.append(list(images))
        for _ in images:
            yield Image.new("RGB", (120, 90))

    made = gallery.draw_gallery(dataclasses.replace(evaluated, read_images=read), 5)
    assert [image for image, _ in made.worst] == evaluated.answers.worst.images[:5].tolist()
    (images,) = asked
    assert images == sorted(set(images))
    kinds = {doubt.kind for doubt in evaluated.answers.doubts}
    assert set(made.doubts) == kinds and kinds


def test_sheets_replace_those_of_before(evaluated, drawn, tmp_path):
    (tmp_path / "suspects-old.png").write_bytes(b"")
    paths = gallery.write_sheets(tmp_path, evaluated, drawn)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in paths}
    assert paths[0].name == "worst_images.jpg"
    for path in paths:
        with Image.open(path) as image:
            image.load()
    assert gallery.write_sheets(tmp_path, evaluated, gallery.Gallery()) == []
    assert not list(tmp_path.iterdir())


def test_without_images_there_is_no_gallery(evaluated):
    made = gallery.draw_gallery(dataclasses.replace(evaluated, read_images=None), 5)
    assert not made.worst and not made.doubts


def test_an_image_that_cannot_be_read_is_said(evaluated):
    unread = dataclasses.replace(evaluated, read_images=lambda images: iter([None] * len(images)))
    made = gallery.draw_gallery(unread, 2)
    assert len(made.worst) == 2
    assert made.worst[0][1].size == made.worst[1][1].size


def test_captions(evaluated):
    worst = evaluated.answers.worst
    text = gallery.tally(evaluated, 0)
    assert text.startswith(f"{worst.missed[0]} missed, {worst.false[0]} false; costs 0.")
    swap = next(doubt for doubt in evaluated.answers.doubts if doubt.kind == "class_swap")
    where, why = gallery.doubt_caption(swap, evaluated)
    assert "detected as" in where and why == swap.explanation
