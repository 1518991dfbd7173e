"""Shared by the tests of records."""

import numpy as np
import pytest
from PIL import Image

from ssd_tfrecord.records.sources.source_set import SourceImage, SourceObject


@pytest.fixture(scope="session")
def make_images(tmp_path_factory):
    """Makes noisy JPEGs of 32x24, one for each xmax that is given, with a box up to there."""

    def make(xmaxes):
        folder = tmp_path_factory.mktemp("images")
        random, found = np.random.default_rng(0), []
        for index, xmax in enumerate(xmaxes):
            path = str(folder / f"{index:02d}.jpg")
            Image.fromarray(random.integers(0, 255, (24, 32, 3), dtype=np.uint8)).save(path)
            item = SourceObject(1, "dog", (2.0, 3.0, 20.0, xmax))
            found.append(SourceImage(f"{index:02d}", path, f"{index:02d}.xml", None, (item,)))
        return tuple(found)

    return make
