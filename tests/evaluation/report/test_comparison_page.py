"""compare.html: two evaluations of the same images."""

import dataclasses

import numpy as np
import pytest
from page_reader import check_alone

from ssd_tfrecord.evaluation.analysis.answering import answer
from ssd_tfrecord.evaluation.overlaps import find_overlaps
from ssd_tfrecord.evaluation.report import comparison_page

DIFFERENCES = {"voc12_map": (0.021, 0.004, 0.038), "voc07_map": (0.01, -0.02, 0.03)}


def _best_image(a):
    wrong = np.append(
        a.scored.objects.image[a.answers.missed], a.scored.found.image[a.answers.false]
    )
    right = a.scored.found.image[a.answers.true]
    return int(np.argmax(np.bincount(right, minlength=12) - 9 * np.bincount(wrong, minlength=12)))


@pytest.fixture(scope="module")
def pair(make_set):
    """A, and a B that finds nothing on the image on which A is best."""
    a = make_set(("cat", "dog"))
    found = a.scored.found
    kept = found.image != _best_image(a)
    fewer = dataclasses.replace(
        found, **{f.name: getattr(found, f.name)[kept] for f in dataclasses.fields(found)}
    )
    scored = dataclasses.replace(a.scored, found=fewer)
    overlaps = find_overlaps(scored)
    facts = {**a.facts, "checkpoint": "runs/b/checkpoints/best/ckpt-900"}
    b = dataclasses.replace(
        a, scored=scored, overlaps=overlaps, answers=answer(scored, overlaps), facts=facts
    )
    return a, b


def _text(pair, differences=DIFFERENCES):
    return check_alone(comparison_page.render(*pair, differences)).text


def test_it_opens_with_the_difference(pair):
    text = _text(pair)
    assert "+0.021AP at IoU 0.5, B less A, 95 % interval +0.004 to +0.038: B is better" in text
    assert "−0.020 to +0.030 (holds 0)" in text
    assert "A: runs/a/checkpoints/best/ckpt-1200B: runs/b/checkpoints/best/ckpt-900" in text


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ((-0.03, -0.05, -0.01), "A is better"),
        ((0.01, -0.01, 0.03), "do not tell which is better"),
    ],
)
def test_who_is_better(pair, ends, said):
    assert said in _text(pair, {"voc12_map": ends})


def test_without_differences_there_is_no_verdict(pair):
    text = _text(pair, {})
    assert "better, by more" not in text and "do not tell" not in text


def test_the_image_that_only_one_finds_comes_first(pair):
    a, b = pair
    text = _text(pair)
    ours = text[text.index("Better by A") :]
    image = _best_image(a)
    assert ours.index(f"image {image}A: 0 missed, 0 false") < 60
    missed = b.answers.missed[b.scored.objects.image == image].sum()
    assert f"B: {missed} missed, 0 false" in ours
    assert missed == (a.scored.objects.image == image).sum() > 1


def test_the_order_of_images_does_not_matter(pair):
    a, b = pair
    order = np.argsort([f"{i * 7 % 12}" for i in range(a.scored.num_images)])
    renumbered = np.argsort(order)

    def moved(boxes):
        by_image = np.argsort(renumbered[boxes.image], kind="stable")
        fields = {f.name: getattr(boxes, f.name)[by_image] for f in dataclasses.fields(boxes)}
        return dataclasses.replace(boxes, **{**fields, "image": renumbered[fields["image"]]})

    scored = dataclasses.replace(
        b.scored,
        source_ids=tuple(b.scored.source_ids[i] for i in order),
        sizes=b.scored.sizes[order],
        objects=moved(b.scored.objects),
        found=moved(b.scored.found),
    )
    overlaps = find_overlaps(scored)
    other = dataclasses.replace(
        b, scored=scored, overlaps=overlaps, answers=answer(scored, overlaps)
    )
    part = "Images that differ most"
    one, two = (_text((a, item)).split(part)[-1] for item in (b, other))
    assert one == two


def test_other_images_are_an_error(pair, make_set, tmp_path):
    other = make_set(("cat", "dog"), images=3)
    with pytest.raises(ValueError, match="sets of 12 and 3 images: must be the same images"):
        comparison_page.write(tmp_path, pair[0], other, {})


def test_classes_that_only_one_has_are_left_out(pair, make_set):
    a, b = pair
    renamed = dataclasses.replace(
        b, scored=dataclasses.replace(b.scored, class_names=("cat", "wolf"))
    )
    page = comparison_page.render(a, renamed, {})
    table = page[page.index("<section id=classes>") :].split("</table>")[0]
    assert "cat" in table and "dog" not in table and "wolf" not in table


def test_without_pictures_images_are_listed(pair):
    a, b = (dataclasses.replace(item, read_images=None) for item in pair)
    page = check_alone(comparison_page.render(a, b, DIFFERENCES))
    assert not page.of("img") and f"image {_best_image(a)}" in page.text


def test_strangers_and_nothing(hostile, make_set):
    assert "<script>alert(1)</script>" in _text((hostile, hostile))
    for kind in ({"detect": False}, {"difficult": True}, {"images": 0}):
        made = make_set(("cat",), **kind)
        _text((made, made), {})


def test_the_file(pair, tmp_path):
    lines = comparison_page.write(tmp_path / "new", *pair, DIFFERENCES)
    assert lines == [f"comparison: {tmp_path / 'new' / 'compare.html'}"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["compare.html"]
