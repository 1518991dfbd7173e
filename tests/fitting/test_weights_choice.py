"""Which weights there are, without a network."""

import http.server
import threading

import h5py
import pytest

from ssd_tfrecord.backbones import BACKBONES
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.fitting import weights_choice


def test_what_the_user_gives_is_taken():
    assert weights_choice.find("none", "vgg16") == ("none", "")
    assert weights_choice.find("a.h5", "vgg16") == ("a.h5", "")


def test_a_backbone_without_published_weights():
    assert weights_choice.find("auto", "toy") == ("none", "weights: there are none for toy")


def test_kerass_cache_is_enough(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    url = BACKBONES["vgg16"].weights.url_fn(1.0)
    folder = tmp_path / ".keras/models"
    folder.mkdir(parents=True)
    (folder / url.rpartition("/")[2]).touch()
    assert weights_choice.find("auto", "vgg16")[0] == "imagenet"


class Answer(http.server.BaseHTTPRequestHandler):
    """Knows one file."""

    def do_HEAD(self):
        self.send_response(200 if self.path == "/there.h5" else 404)
        self.end_headers()

    def log_message(self, *_):
        """Nothing."""


@pytest.fixture
def server():
    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()


@pytest.mark.parametrize(
    ("name", "wanted", "line"),
    [
        ("there.h5", "imagenet", "downloaded by Keras"),
        ("gone.h5", "none", "training from scratch. With the file http://127.0.0.1:"),
    ],
)
def test_a_server_is_asked(server, tmp_path, monkeypatch, name, wanted, line):
    import dataclasses

    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    kind = BACKBONES["vgg16"]
    weights = dataclasses.replace(kind.weights, url_fn=lambda width: f"{server}/{name}")
    monkeypatch.setitem(BACKBONES, "vgg16", dataclasses.replace(kind, weights=weights))
    found, said = weights_choice.find("auto", "vgg16")
    assert found == wanted
    assert line in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("groups", "wanted"),
    [
        (("block1_conv1", "block1_conv2", "block5_conv3"), "vgg16"),
        (("Conv1", "bn_Conv1", "expanded_conv_depthwise", "block_1_expand"), "mobilenet_v2"),
        (("model_weights/conv1_conv", "model_weights/conv2_block1_1_conv"), "resnet50"),
        (("layers/conv2d", "layers/depthwise_conv2d", "layers/add"), "mobilenet_v2"),
        (("layers/conv2d", "layers/depthwise_conv2d", "layers/multiply"), "mobilenet_v3_large"),
        (("layers/conv2d", "layers/batch_normalization"), "resnet50"),
        (("layers/conv2d", "layers/conv2d_1"), "vgg16"),
        (("layers/dense",), ""),
    ],
)
def test_the_backbone_of_a_file(tmp_path, groups, wanted):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in groups:
            file.create_group(name)
    assert weights_choice.backbone_of(str(tmp_path / "a.h5")) == wanted


def test_the_backbones_of_real_files(real_weights):
    for name in ("mobilenet_v2_person_notop.weights.h5", "vgg16_imagenet_notop.h5"):
        assert (
            weights_choice.backbone_of(str(real_weights / name))
            == name.partition("_imagenet")[0].partition("_person")[0]
        )


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(InputError, match="no such file; must be auto, imagenet, none, or"):
        weights_choice.backbone_of(str(tmp_path / "a.h5"))
    (tmp_path / "a.h5").write_text("text")
    with pytest.raises(InputError, match="not an HDF5 file"):
        weights_choice.backbone_of(str(tmp_path / "a.h5"))
