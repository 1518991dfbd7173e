"""Images in order through threads and a network, few at a time, however it ends."""

import pathlib
import threading
import time

import numpy as np
import pytest

from ssd_tfrecord.detection.detections import Detections
from ssd_tfrecord.detection.detector import Prepared
from ssd_tfrecord.detection.image_files import LoadedImage
from ssd_tfrecord.detection.sources.frame_readers import Frame
from ssd_tfrecord.detection.sources.source_list import Source
from ssd_tfrecord.detection.stream import Stream, num_workers
from ssd_tfrecord.errors import InputError

NONE = {
    "boxes": np.zeros([0, 4], np.float32),
    "scores": np.zeros([0], np.float32),
    "labels": np.zeros([0], np.int32),
}


class _Network:
    """Finds nothing, and notes the sizes of its batches."""

    def __init__(self):
        self.batches = []

    def prepare(self, image, name):
        return Prepared(name, *image.size, np.zeros([4, 4, 3], np.uint8))

    def detect_prepared(self, batch):
        self.batches.append(len(batch))
        return [Detections(item.source_id, item.height, item.width, **NONE) for item in batch]


class _Frames:
    """Frames that count how many of them are alive: read, and not yet finished."""

    def __init__(self, count, bad=(), side=4):
        self.count, self.bad, self.side = count, bad, side
        self.asked = self.alive = self.most = 0
        self._lock = threading.Lock()

    def __iter__(self):
        for number in range(self.count):
            self.asked += 1
            yield Frame(Source(pathlib.Path(f"{number}.jpg")), 0, self._load(number))

    def _load(self, number):
        def load():
            # The first are the last to be read.
            time.sleep(0.02 if number < 3 else 0.001)
            if number in self.bad:
                raise InputError(f"{number}.jpg: bad")
            with self._lock:
                self.alive += 1
                self.most = max(self.most, self.alive)
            return LoadedImage.of_array(np.full([self.side, self.side, 3], number, np.uint8))

        return load

    def finish(self, seen):
        time.sleep(0.003 if seen.place % 3 else 0.0)
        if seen.detections:
            with self._lock:
                self.alive -= 1
            assert seen.image is None or seen.image.getpixel((0, 0)) == (seen.place,) * 3
        return seen.place, seen.frame.name, seen.error


def _run(frames, network, stopped=lambda: False, finish=None, **settings):
    settings = {"batch_size": 4, "workers": 3, "keeps_images": True, **settings}
    return Stream(network, finish or frames.finish, **settings).run(frames, stopped)


def test_results_are_in_order_and_bad_images_in_their_place():
    frames, network = _Frames(30, bad={5, 6, 29}), _Network()
    found = list(_run(frames, network))
    assert [place for place, _, _ in found] == list(range(30))
    assert [name for _, name, _ in found] == [f"{number}.jpg" for number in range(30)]
    assert [place for place, _, error in found if error] == [5, 6, 29]
    assert sum(network.batches) == 27 and max(network.batches) == 4


def test_few_images_are_in_memory():
    frames = _Frames(100)
    for _ in _run(frames, _Network()):
        pass
    # A batch and twice the threads wait for the network, a batch is in it, the rest is drawn.
    assert frames.most <= 4 + 6 + 4 + 6 + 1


def test_fewer_large_images_are(monkeypatch):
    monkeypatch.setattr("ssd_tfrecord.detection.stream._LIVE_PIXELS", 2 * 64 * 64)
    frames = _Frames(60, side=64)
    places = [place for place, _, _ in _run(frames, _Network(), workers=2)]
    assert places == list(range(60))
    # The first are read before it is known how large they are.
    assert frames.most <= 4 + 4 + 4


def test_one_image_is_a_batch_of_one():
    network = _Network()
    assert len(list(_run(_Frames(1), network))) == 1
    assert network.batches == [1]
    assert list(_run(_Frames(0), network)) == []


def test_stopped_it_finishes_what_is_in_the_network_and_reads_no_further():
    frames, network, seen = _Frames(1000), _Network(), []
    for item in _run(frames, network, stopped=lambda: len(seen) >= 8):
        seen.append(item)
    assert [place for place, _, _ in seen] == list(range(len(seen)))
    assert 8 <= len(seen) == sum(network.batches) < 60
    assert frames.asked < 80
    assert not [thread for thread in threading.enumerate() if thread.name == "frames"]


def test_what_goes_wrong_with_an_image_comes_after_those_before_it():
    def finish(seen):
        if seen.place == 9:
            raise OSError("the disk is full")
        return seen.place

    frames, places = _Frames(100), []
    with pytest.raises(OSError, match="the disk is full"):
        for place in _run(frames, _Network(), finish=finish):
            places.append(place)
    assert places == list(range(9))


def test_what_the_source_raises_is_raised_here():
    def broken():
        yield from _Frames(5)
        raise RuntimeError("the camera is gone")

    with pytest.raises(RuntimeError, match="the camera is gone"):
        list(
            Stream(_Network(), lambda seen: seen, batch_size=2, workers=1, keeps_images=False).run(
                broken(), lambda: False
            )
        )


def test_time_is_that_of_batches_whose_size_was_seen_before():
    def timing(count):
        frames = _Frames(count)
        stream = Stream(_Network(), frames.finish, batch_size=4, workers=1, keeps_images=False)
        list(stream.run(frames, lambda: False))
        return stream.timing()

    assert timing(4).endswith(" ms per image in the network, compilation included")
    assert timing(8).endswith(" ms per image in the network")


def test_workers_are_as_many_as_asked_or_as_cores():
    assert num_workers(5) == 5
    assert 1 <= num_workers(0) <= 8
