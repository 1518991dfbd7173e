"""report.html: what it says, that it needs nothing, and whom it obeys."""

import base64
import dataclasses
import hashlib

import numpy as np
import pytest
from page_reader import check_alone
from PIL import Image

from ssd_tfrecord.evaluation.report.gallery import Gallery, draw_gallery
from ssd_tfrecord.evaluation.report.pages import page


def _render(made, count=12):
    return page.render(made, draw_gallery(made, count))


@pytest.fixture(scope="module")
def content(evaluated):
    return _render(evaluated)


def test_it_opens_with_the_answer(content, evaluated):
    text = check_alone(content).text
    best, metrics = evaluated.answers.curves.overall_best, evaluated.metrics
    low, high = evaluated.answers.intervals["voc12_map"]
    assert "val12 images" in text
    told = [
        f"{metrics['voc12_map']:.3f}",
        f"95 % interval {low:.3f} to {high:.3f}",
        f"{best.precision:.3f}",
        f"best score threshold is {best.threshold:.3f}",
        "What costs most",
        "Worst images",
        evaluated.scored.source_ids[evaluated.answers.worst.images[0]],
        "Classes",
        "unicorn",
        "Curves",
        "Confusion",
        "Calibration",
        "runs/a/checkpoints/best/ckpt-1200",
        "How to read this",
    ]
    # Each after the one before; the links at the top are passed over.
    place = text.index("How to read this")
    for part in told:
        place = text.index(part, place)


def test_a_row_for_each_class_and_a_sum(content, evaluated):
    table = content[content.index("<section id=classes>") :]
    rows = table[: table.index("</table>")].split("<tr>")[2:]
    assert len(rows) == 4
    best = evaluated.answers.curves.best[0]
    ap = evaluated.metrics["ap_per_class"]["cat"]["voc12"]
    assert rows[0].startswith("<th scope=row><bdi>cat</bdi></th>")
    assert f"<td class=bar data-v={ap:.6g} style='--v:{ap:.3f}'>{ap:.3f}</td>" in rows[0]
    assert f">{best.threshold:.3f}</td>" in rows[0]
    assert rows[2].count("–") > 3
    assert f"<td>{len(evaluated.scored.objects.labels)}</td>" in rows[3]


def test_only_its_own_script_may_run(content):
    parsed = check_alone(content)
    (policy,) = [item for item in parsed.of("meta") if "http-equiv" in item]
    digest = base64.b64encode(hashlib.sha256(parsed.scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy["content"]
    assert "default-src 'none'" in policy["content"]
    assert content.index("Content-Security-Policy") < content.index("<style>")


def test_for_phones_print_and_the_dark(content):
    assert '<meta name=viewport content="width=device-width, initial-scale=1">' in content
    for part in ("prefers-color-scheme: dark", "@media print", "max-width: 760px"):
        assert part in content


def test_names_of_strangers_stay_text(hostile):
    content = _render(hostile)
    parsed = check_alone(content)
    assert "<script>alert(1)</script>" in parsed.text
    assert not {"\u202e", "\x00", "\x1b"} & set(content)
    assert "x" * 600 not in content
    content.encode()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ({"detect": False}, "nothing was found, at any score"),
        ({"difficult": True}, "all difficult or crowds"),
        ({"images": 0}, "No object is annotated"),
    ],
)
def test_sets_without_an_answer(make_set, kind, said):
    assert said in check_alone(_render(make_set(("cat", "dog"), **kind))).text


@pytest.mark.parametrize("count", [1, 20, 80, 130])
def test_any_number_of_classes(make_set, count):
    names = tuple(f"class {number}" for number in range(count))
    parsed = check_alone(_render(make_set(names, images=40)))
    assert names[-1] in parsed.text
    assert f"{count} class{'es' if count > 1 else ''}" in parsed.text


def test_it_stays_below_5_megabytes(make_set):
    rng = np.random.default_rng(0)

    def noise(images):
        for _ in images:
            yield Image.fromarray(rng.integers(0, 256, [480, 720, 3], np.uint8))

    names = tuple(f"{'class' * 11} {number}" for number in range(200))
    made = dataclasses.replace(make_set(names, images=120), read_images=noise)
    content = _render(made, 40)
    assert len(check_alone(content).of("img")) > 20
    assert len(content.encode()) < 5_000_000


def test_without_pictures_images_are_listed(evaluated):
    parsed = check_alone(page.render(evaluated, Gallery()))
    assert not parsed.of("img")
    assert evaluated.scored.source_ids[evaluated.answers.worst.images[0]] in parsed.text


def test_objects_without_an_anchor_are_told(make_set):
    made = make_set(("cat", "dog"), anchors=np.float32([[0, 0, 0.01, 0.01]]))
    total = len(made.scored.objects.labels)
    assert f"{total} objects (100 %) without an anchor" in check_alone(_render(made, 0)).text
