"""Anchors against rows worked by hand from the sizes, steps and aspect ratios of the paper."""

import numpy as np
import pytest

from ssd_tfrecord.backbones import BACKBONES
from ssd_tfrecord.backbones.backbone import SSD300, SSD512, SSDLITE320
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.geometry.anchors import anchor_boxes, anchors_per_cell
from ssd_tfrecord.options import AnchorOptions

# Index of the cell's first anchor, (y, x) of the cell's centre, and the sides in pixels of its
# anchors: two squares, then the flat box of each aspect ratio as (height, width).
SSD300_VOC = [
    (0, (4, 4), (30, 42.42641), [(21.21320, 42.42641)]),
    (2960, (156, 148), (30, 42.42641), [(21.21320, 42.42641)]),
    (5772, (300, 300), (30, 42.42641), [(21.21320, 42.42641)]),
    (5776, (8, 8), (60, 81.60882), [(42.42641, 84.85281), (34.64102, 103.92305)]),
    (6856, (152, 152), (60, 81.60882), [(42.42641, 84.85281), (34.64102, 103.92305)]),
    (7936, (296, 296), (60, 81.60882), [(42.42641, 84.85281), (34.64102, 103.92305)]),
    (7942, (16, 16), (111, 134.09698), [(78.48885, 156.97771), (64.08588, 192.25764)]),
    (8266, (176, 144), (111, 134.09698), [(78.48885, 156.97771), (64.08588, 192.25764)]),
    (8536, (304, 304), (111, 134.09698), [(78.48885, 156.97771), (64.08588, 192.25764)]),
    (8542, (32, 32), (162, 185.75790), [(114.55130, 229.10260), (93.53074, 280.59223)]),
    (8614, (160, 160), (162, 185.75790), [(114.55130, 229.10260), (93.53074, 280.59223)]),
    (8686, (288, 288), (162, 185.75790), [(114.55130, 229.10260), (93.53074, 280.59223)]),
    (8692, (50, 50), (213, 237.13287), [(150.61375, 301.22749)]),
    (8708, (150, 150), (213, 237.13287), [(150.61375, 301.22749)]),
    (8724, (250, 250), (213, 237.13287), [(150.61375, 301.22749)]),
    (8728, (150, 150), (264, 288.37476), [(186.67619, 373.35238)]),
]
SSD300_COCO = [
    (0, (4, 4), (21, 30.74085), [(14.84924, 29.69848)]),
    (2960, (156, 148), (21, 30.74085), [(14.84924, 29.69848)]),
    (5772, (300, 300), (21, 30.74085), [(14.84924, 29.69848)]),
    (5776, (8, 8), (45, 66.74579), [(31.81981, 63.63961), (25.98076, 77.94229)]),
    (6856, (152, 152), (45, 66.74579), [(31.81981, 63.63961), (25.98076, 77.94229)]),
    (7936, (296, 296), (45, 66.74579), [(31.81981, 63.63961), (25.98076, 77.94229)]),
    (7942, (16, 16), (99, 123.07315), [(70.00357, 140.00714), (57.15768, 171.47303)]),
    (8266, (176, 144), (99, 123.07315), [(70.00357, 140.00714), (57.15768, 171.47303)]),
    (8536, (304, 304), (99, 123.07315), [(70.00357, 140.00714), (57.15768, 171.47303)]),
    (8542, (32, 32), (153, 177.96348), [(108.18734, 216.37468), (88.33459, 265.00377)]),
    (8614, (160, 160), (153, 177.96348), [(108.18734, 216.37468), (88.33459, 265.00377)]),
    (8686, (288, 288), (153, 177.96348), [(108.18734, 216.37468), (88.33459, 265.00377)]),
    (8692, (50, 50), (207, 232.43709), [(146.37110, 292.74221)]),
    (8708, (150, 150), (207, 232.43709), [(146.37110, 292.74221)]),
    (8724, (250, 250), (207, 232.43709), [(146.37110, 292.74221)]),
    (8728, (150, 150), (261, 286.73158), [(184.55487, 369.10974)]),
]
SSD512_VOC = [
    (0, (4, 4), (35, 51.57519), [(24.74874, 49.49747)]),
    (8320, (260, 260), (35, 51.57519), [(24.74874, 49.49747)]),
    (16380, (508, 508), (35, 51.57519), [(24.74874, 49.49747)]),
    (16384, (8, 8), (76, 107.83320), [(53.74012, 107.48023), (43.87862, 131.63586)]),
    (19546, (264, 248), (76, 107.83320), [(53.74012, 107.48023), (43.87862, 131.63586)]),
    (22522, (504, 504), (76, 107.83320), [(53.74012, 107.48023), (43.87862, 131.63586)]),
    (22528, (16, 16), (153, 187.58998), [(108.18734, 216.37468), (88.33459, 265.00377)]),
    (23344, (272, 272), (153, 187.58998), [(108.18734, 216.37468), (88.33459, 265.00377)]),
    (24058, (496, 496), (153, 187.58998), [(108.18734, 216.37468), (88.33459, 265.00377)]),
    (24064, (32, 32), (230, 265.72542), [(162.63456, 325.26912), (132.79056, 398.37169)]),
    (24280, (288, 288), (230, 265.72542), [(162.63456, 325.26912), (132.79056, 398.37169)]),
    (24442, (480, 480), (230, 265.72542), [(162.63456, 325.26912), (132.79056, 398.37169)]),
    (24448, (64, 64), (307, 343.34822), [(217.08178, 434.16356), (177.24653, 531.73960)]),
    (24508, (320, 320), (307, 343.34822), [(217.08178, 434.16356), (177.24653, 531.73960)]),
    (24538, (448, 448), (307, 343.34822), [(217.08178, 434.16356), (177.24653, 531.73960)]),
    (24544, (128, 128), (384, 420.28562), [(271.52900, 543.05801)]),
    (24548, (128, 384), (384, 420.28562), [(271.52900, 543.05801)]),
    (24556, (384, 384), (384, 420.28562), [(271.52900, 543.05801)]),
    (24560, (256, 256), (460, 497.01107), [(325.26912, 650.53824)]),
]


# torchvision's ssdlite320_mobilenet_v3_large: 0.2 to 0.95 of 320 in equal steps, then 1.
SSDLITE320_ROWS = [
    (0, (8, 8), (64, 84.66404), [(45.25483, 90.50967), (36.95042, 110.85125)]),
    (1254, (168, 152), (64, 84.66404), [(45.25483, 90.50967), (36.95042, 110.85125)]),
    (2394, (312, 312), (64, 84.66404), [(45.25483, 90.50967), (36.95042, 110.85125)]),
    (2400, (16, 16), (112, 133.86560), [(79.19596, 158.39192), (64.66323, 193.98969)]),
    (2724, (176, 144), (112, 133.86560), [(79.19596, 158.39192), (64.66323, 193.98969)]),
    (2994, (304, 304), (112, 133.86560), [(79.19596, 158.39192), (64.66323, 193.98969)]),
    (3000, (32, 32), (160, 182.42807), [(113.13708, 226.27417), (92.37604, 277.12813)]),
    (3072, (160, 160), (160, 182.42807), [(113.13708, 226.27417), (92.37604, 277.12813)]),
    (3144, (288, 288), (160, 182.42807), [(113.13708, 226.27417), (92.37604, 277.12813)]),
    (3150, (160 / 3, 160 / 3), (208, 230.75528), [(147.07821, 294.15642), (120.08886, 360.26657)]),
    (3174, (160, 160), (208, 230.75528), [(147.07821, 294.15642), (120.08886, 360.26657)]),
    (3198, (800 / 3, 800 / 3), (208, 230.75528), [(147.07821, 294.15642), (120.08886, 360.26657)]),
    (3204, (80, 80), (256, 278.96953), [(181.01934, 362.03867), (147.80167, 443.40501)]),
    (3216, (240, 80), (256, 278.96953), [(181.01934, 362.03867), (147.80167, 443.40501)]),
    (3222, (240, 240), (256, 278.96953), [(181.01934, 362.03867), (147.80167, 443.40501)]),
    (3228, (160, 160), (304, 311.89742), [(214.96046, 429.92092), (175.51448, 526.54345)]),
]
# The same fractions of 512, the first or middle cell of each map.
SSDLITE512_ROWS = [
    (0, (8, 8), (102.4, 135.46247), [(72.40773, 144.81547), (59.12067, 177.36200)]),
    (6954, (272, 240), (179.2, 214.18497), [(126.71354, 253.42707), (103.46117, 310.38350)]),
    (7680, (32, 32), (256, 291.88491), [(181.01934, 362.03867), (147.80167, 443.40501)]),
    (8118, (320, 192), (332.8, 369.20845), [(235.32514, 470.65027), (192.14217, 576.42651)]),
    (8160, (128, 128), (409.6, 446.35125), [(289.63094, 579.26188), (236.48267, 709.44801)]),
    (8184, (256, 256), (486.4, 499.03587), [(343.93674, 687.87348), (280.82317, 842.46951)]),
]
# SSD300's fractions of 320, with its six maps of 40, 20, 10, 5, 3 and 1 cells.
SSD320_VOC = [
    (0, (4, 4), (32, 45.25483), [(22.62742, 45.25483)]),
    (3276, (164, 156), (32, 45.25483), [(22.62742, 45.25483)]),
    (6396, (316, 316), (32, 45.25483), [(22.62742, 45.25483)]),
    (7654, (168, 152), (64, 87.04941), [(45.25483, 90.50967), (36.95042, 110.85125)]),
    (9124, (176, 144), (118.4, 143.03678), [(83.72144, 167.44289), (68.35827, 205.07482)]),
    (9472, (160, 160), (172.8, 198.14177), [(122.18805, 244.37610), (99.76613, 299.29838)]),
    (9582, (800 / 3, 800 / 3), (227.2, 252.94173), [(160.65466, 321.30932)]),
    (9586, (160, 160), (281.6, 307.59974), [(199.12127, 398.24254)]),
]


@pytest.mark.parametrize(
    ("rows", "backbone", "input_size", "scales", "count"),
    [
        pytest.param(SSD300_VOC, "vgg16", 300, "voc", 8732, id="SSD300 VOC"),
        pytest.param(SSD300_COCO, "vgg16", 300, "coco", 8732, id="SSD300 COCO"),
        pytest.param(SSD512_VOC, "vgg16", 512, "voc", 24564, id="SSD512 VOC"),
        pytest.param(SSD300_COCO, "resnet50", 300, "coco", 8732, id="ResNet-50 300 COCO"),
        pytest.param(SSD512_VOC, "resnet50", 512, "voc", 24564, id="ResNet-50 512 VOC"),
        pytest.param(SSD300_VOC, "mobilenet_v2", 300, "voc", 8732, id="MobileNetV2 300 VOC"),
        pytest.param(SSD320_VOC, "mobilenet_v2", 320, "voc", 9590, id="MobileNetV2 320 VOC"),
        pytest.param(SSD512_VOC, "mobilenet_v2", 512, "voc", 24564, id="MobileNetV2 512 VOC"),
        pytest.param(
            SSDLITE320_ROWS, "mobilenet_v3_large", 320, "ssdlite", 3234, id="MobileNetV3 320"
        ),
        pytest.param(
            SSDLITE320_ROWS,
            "mobilenet_v3_large_reduced",
            320,
            "ssdlite",
            3234,
            id="MobileNetV3 reduced 320",
        ),
        pytest.param(
            SSDLITE512_ROWS, "mobilenet_v3_large", 512, "ssdlite", 8190, id="MobileNetV3 512"
        ),
    ],
)
def test_first_middle_and_last_cells_are_as_worked_by_hand(
    rows, backbone, input_size, scales, count
):
    boxes = anchor_boxes(
        AnchorOptions(anchor_scales=scales), BACKBONES[backbone].inputs[input_size]
    )
    assert boxes.dtype == np.float32 and boxes.shape == (count, 4)
    for index, (y, x), squares, flats in rows:
        shapes = [(side, side) for side in squares]
        for height, width in flats:
            shapes += [(height, width), (width, height)]
        expected = [(y - h / 2, x - w / 2, y + h / 2, x + w / 2) for h, w in shapes]
        got = boxes[index : index + len(shapes)] * input_size
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4, err_msg=str(index))


@pytest.mark.parametrize("input_size", [320, 512])
@pytest.mark.parametrize("scales", ["voc", "coco", "ssdlite"])
def test_mobilenet_v3_has_all_published_sizes(input_size, scales):
    maps = BACKBONES["mobilenet_v3_large"].inputs[input_size]
    first = anchor_boxes(AnchorOptions(anchor_scales=scales), maps)[0] * input_size
    side = {"voc": 0.1, "coco": 0.07, "ssdlite": 0.2}[scales] * input_size
    np.testing.assert_allclose(first, [8 - side / 2] * 2 + [8 + side / 2] * 2, atol=1e-4)


def test_x_runs_before_y():
    boxes = anchor_boxes(AnchorOptions(), SSD300)
    center_of_second_cell = (boxes[4, :2] + boxes[4, 2:]) / 2 * 300
    np.testing.assert_allclose(center_of_second_cell, [4, 12], atol=1e-4)


@pytest.mark.parametrize(
    ("scales", "listed"),
    [
        ("voc", "0.1,0.2,0.37,0.54,0.71,0.88,1.05"),
        ("coco", "0.07,0.15,0.33,0.51,0.69,0.87,1.05"),
    ],
)
def test_the_published_sizes_of_300_are_also_a_list_of_scales(scales, listed):
    published = anchor_boxes(AnchorOptions(anchor_scales=scales), SSD300)
    np.testing.assert_allclose(
        anchor_boxes(AnchorOptions(anchor_scales=listed), SSD300), published, atol=1e-6
    )


def test_aspect_ratios_choose_the_anchors_of_each_map():
    options = AnchorOptions(aspect_ratios="2:2,3:2:2:4:1.5")
    assert anchors_per_cell(options, SSD300) == (4, 6, 4, 4, 4, 4)
    boxes = anchor_boxes(options, SSD300)
    assert len(boxes) == 4 * (38 * 38 + 100 + 25 + 9 + 1) + 6 * 19 * 19
    # Map 4 has sizes 213 and aspect 4: half as high, twice as wide; centre 250 in its last cell.
    np.testing.assert_allclose(
        boxes[-6] * 300, [250 - 53.25, 250 - 213, 250 + 53.25, 250 + 213], atol=1e-4
    )


def test_maps_and_anchors_of_a_cell():
    assert SSD300.sides == (38, 19, 10, 5, 3, 1)
    assert SSD512.sides == (64, 32, 16, 8, 4, 2, 1)
    assert anchors_per_cell(AnchorOptions(), SSD300) == (4, 6, 6, 6, 4, 4)
    assert anchors_per_cell(AnchorOptions(), SSD512) == (4, 6, 6, 6, 6, 4, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            AnchorOptions(anchor_scales="0.1,0.5,0.9"),
            "--anchor_scales=0.1,0.5,0.9: has 3 scales; --input_size=300 needs 7, one per "
            "feature map, plus one",
        ),
        (
            AnchorOptions(aspect_ratios="2:2,3"),
            "--aspect_ratios=2:2,3: has ratios for 2 feature maps; --input_size=300 needs 6",
        ),
    ],
    ids=["scales", "aspect ratios"],
)
def test_a_wrong_number_of_maps_is_an_error(options, message):
    with pytest.raises(InputError) as caught:
        anchor_boxes(options, SSD300)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("maps", "scales", "variant", "count"),
    [
        # A 1x1 map of 264 x sqrt(2) and nine cells of 213 x sqrt(2); sqrt(261 x 315) fits.
        (SSD300, "voc", "torchvision", 20),
        (SSD300, "coco", "torchvision", 2),
        # And the 19 cells at 304 of the map of 10 x 10, with six anchors each.
        (SSD300, "voc", "amdegroot", 134),
        (SSD512, "voc", "amdegroot", 42),
        # 208 x sqrt(3) of nine cells, 256 x sqrt(2) and sqrt(3) of four, 304 of one: each twice.
        (SSDLITE320, "ssdlite", "torchvision", 2 * 9 + 4 * 4 + 4),
    ],
)
def test_variants_clip_as_published_models_do(maps, scales, variant, count):
    sizes = maps.exact_sizes.get(scales, maps.sizes[scales])
    listed = ",".join(repr(size / maps.input_size) for size in sizes)
    unclipped = anchor_boxes(AnchorOptions(anchor_scales=listed), maps)
    clipped = anchor_boxes(AnchorOptions(anchor_scales=scales, anchor_variant=variant), maps)
    changed = np.abs(clipped - unclipped).max(axis=1) > 1e-6
    assert changed.sum() == count
    sides = clipped[:, 2:] - clipped[:, :2]
    assert sides.max() <= 1 + 1e-6
    if variant == "amdegroot":
        assert (clipped[:, :2] + clipped[:, 2:]).max() / 2 <= 1 + 1e-6


def test_only_the_authors_truncate_sizes():
    # 35.84 in the first cell, whose centre is at 4 of 512 pixels.
    for variant, size in (("", 35), ("caffe", 35), ("torchvision", 35.84), ("amdegroot", 35.84)):
        first = anchor_boxes(AnchorOptions(anchor_variant=variant), SSD512)[0] * 512
        np.testing.assert_allclose(
            first, [4 - size / 2, 4 - size / 2, 4 + size / 2, 4 + size / 2], atol=1e-4
        )


def test_scales_that_are_not_published_for_the_maps_are_refused():
    with pytest.raises(InputError, match=r"--anchor_scales=ssdlite: .*must be voc, coco or a list"):
        anchor_boxes(AnchorOptions(anchor_scales="ssdlite"), SSD300)
