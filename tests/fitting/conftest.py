"""Folders of annotated images, as a user brings them."""

import numpy as np
import pytest
from PIL import Image

OBJECT = (
    "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax>"
    "</bndbox></object>"
)
COLORS = {"cat": (220, 60, 40), "dog": (40, 90, 220)}


@pytest.fixture
def draw_folder():
    """A function that writes VOC XML beside JPEGs of 64 x 48 pixels, with an object or two each."""

    def draw(folder, count, splits=("",), names=("cat", "dog")):
        random = np.random.default_rng(0)
        for index in range(count):
            place = folder / splits[index % len(splits)]
            place.mkdir(parents=True, exist_ok=True)
            pixels = random.integers(90, 150, (48, 64, 3), dtype=np.uint8)
            text = ""
            for number, name in enumerate(names):
                top, left = 4 + index % 5, 2 + 30 * number
                pixels[top : top + 24, left : left + 24] = COLORS.get(name, (9, 9, 9))
                text += OBJECT.format(name, left + 1, top + 1, left + 24, top + 24)
            Image.fromarray(pixels).save(place / f"{index:03}.jpg", quality=90)
            (place / f"{index:03}.xml").write_text(
                f"<annotation><filename>{index:03}.jpg</filename><size><width>64</width>"
                f"<height>48</height><depth>3</depth></size>{text}</annotation>"
            )
        return folder

    return draw
