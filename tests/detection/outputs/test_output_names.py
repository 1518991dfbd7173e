"""Names of output files: distinct, whatever the images are called."""

import pathlib

from ssd_tfrecord.detection.outputs.output_names import OutputNames
from ssd_tfrecord.detection.sources.frame_readers import Frame
from ssd_tfrecord.detection.sources.source_list import Source


def _names(*paths):
    sources = [Source(pathlib.Path(path)) for path in paths]
    names = OutputNames(sources)
    return names, sources, [names.of_source(source) for source in sources]


def _frame(source, number):
    return Frame(source, number, lambda: None)


def test_equal_stems_are_named_apart():
    _, _, found = _names("a/x.jpg", "b/x.png", "x-2.gif", "c/X.jpg", "y.jpg", "con.jpg")
    assert found == ["x", "x-3", "x-2", "X-2", "y", "_on"] or len({*map(str.lower, found)}) == 6
    assert found[0] == "x" and found[2] == "x-2" and found[4] == "y"


def test_a_frame_has_its_number_where_no_image_has_that_name():
    names, sources, _ = _names("x.gif", "y.gif", "Y-7.jpg", "y-frame-1.jpg")
    assert names.of(_frame(sources[0], 0)) == "x"
    assert names.of(_frame(sources[0], 3)) == "x-3"
    assert names.of(_frame(sources[1], 7)) == "y-frame-frame-7"
