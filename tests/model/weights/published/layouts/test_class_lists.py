import pytest

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.model.weights.published.layouts.class_lists import of_depth


@pytest.mark.parametrize(
    ("depth", "names", "ids"),
    [
        (21, ("aeroplane", "tvmonitor"), (1, 20)),
        (81, ("person", "toothbrush"), (1, 90)),
        (91, ("person", "toothbrush"), (1, 90)),
        (4, ("class_1", "class_3"), (1, 3)),
    ],
)
def test_classes_follow_from_their_number(depth, names, ids):
    found = of_depth(depth, (), "a.pth")
    assert (found.names[0], found.names[-1]) == names
    assert (found.original_ids[0], found.original_ids[-1]) == ids
    assert len(found.channels) == len(found.names) + 1 == len(found.original_ids) + 1
    assert found.known == (depth != 4)
    given = [f"own {label}" for label in range(1, depth)]
    named = of_depth(depth, given, "a.pth")
    assert (list(named.names), named.channels) == (given, tuple(range(depth)))


def test_torchvisions_outputs_are_cocos_ids():
    found = of_depth(91, (), "a.pth")
    by_name = dict(zip(found.names, found.channels[1:]))
    # The first after each gap: instances_val2017.json.
    assert {
        **{"stop sign": 13, "backpack": 27, "handbag": 31, "wine glass": 46},
        **{"dining table": 67, "toilet": 70, "tv": 72, "book": 84},
    }.items() <= by_name.items()
    assert of_depth(81, (), "a.pth").channels == tuple(range(81))


def test_names_must_be_as_many_as_classes():
    with pytest.raises(InputError, match=r"a.pth: has 20 classes, but 2 names are given"):
        of_depth(21, ["a", "b"], "a.pth")
    with pytest.raises(InputError, match=r"a.pth: the class name 'a' is given twice"):
        of_depth(4, ["a", "b", "a"], "a.pth")
