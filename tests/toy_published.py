"""A published model whose network is the toy, so that a test of what is done with one is quick."""

from ssd_tfrecord.model import ssd
from ssd_tfrecord.model.weights.published import published_model
from ssd_tfrecord.model.weights.published.published_model import PublishedModel
from ssd_tfrecord.options import AnchorOptions, ModelOptions

CLASSES = ("cat", "dog", "person")


def toy_model(path, *, seed=5, **changes):
    """The model that ``read_published`` is to return."""
    options = ModelOptions(backbone="toy", input_size=64, backbone_weights="none")
    network = ssd.build(options, AnchorOptions(), len(CLASSES), seed)
    facts = {
        "path": str(path),
        "layout": "torchvision toy",
        "backbone": "toy",
        "input_size": 64,
        "anchor_scales": "voc",
        "aspect_ratios": "",
        "anchor_variant": "torchvision",
        "class_names": CLASSES,
        "original_ids": (7, 8, 9),
        "names_known": True,
        "arrays": {layer.name: layer.get_weights() for layer in network.layers if layer.weights},
        "left": ("optimizer.step",),
        "metadata": {},
    }
    return PublishedModel(**(facts | changes))


def install(monkeypatch, path, **changes):
    """Makes the file ``path`` hold the toy; returns what it is read as."""
    path.write_bytes(b"weights")
    model = toy_model(path, **changes)
    monkeypatch.setattr(
        published_model, "is_published", lambda value: str(value) == str(path) and path.exists()
    )
    monkeypatch.setattr(published_model, "read_published", lambda value, classes=(): model)
    return model
