"""Programs that were written for other SavedModels read ours as they are."""

import base64
import json

import numpy as np
import pytest
import tensorflow as tf

NUMPY = tuple(int(part) for part in np.__version__.split(".")[:2])


class Server:
    """TensorFlow Serving's way: SignatureDef and Session, and JSON as util/json_tensor.cc has it.

    Only what the REST API does to a predict request in row format. Written from its sources; the
    server itself is in no package registry.
    """

    def __init__(self, path):
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        with self._session.graph.as_default():
            graph = tf.compat.v1.saved_model.load(self._session, ["serve"], str(path))
        self._signatures = graph.signature_def

    def predict(self, body):
        """The body of the answer to POST /v1/models/NAME:predict."""
        request = json.loads(body)
        signature = self._signatures[request.get("signature_name", "serving_default")]
        assert signature.method_name == "tensorflow/serving/predict"
        ((name, info),) = signature.inputs.items()
        dtype = tf.as_dtype(info.dtype)
        rows = [self._value(item, name) for item in request["instances"]]
        fed = np.array(rows, object if dtype == tf.string else dtype.as_numpy_dtype)
        fetched = {key: value.name for key, value in signature.outputs.items()}
        outputs = self._session.run(fetched, {info.name: fed})
        # Row format needs outputs that agree in their first axis.
        (batch,) = {len(value) for value in outputs.values()}
        assert batch == len(rows)
        predictions = [
            {key: value[row].tolist() for key, value in outputs.items()} for row in range(batch)
        ]
        return json.dumps({"predictions": predictions}, allow_nan=False)

    def _value(self, item, name):
        """Of an instance: its only input may be named, and {"b64": …} stands for bytes."""
        if isinstance(item, dict) and set(item) == {name}:
            item = item[name]
        if isinstance(item, dict):
            assert set(item) == {"b64"}
            return base64.b64decode(item["b64"], validate=True)
        return item


@pytest.fixture(scope="module")
def server(saved):
    return Server(saved.path)


@pytest.fixture(scope="module")
def expected(saved, photographs):
    outputs = saved.loaded.signatures["encoded"](input_tensor=tf.constant(photographs.jpegs))
    return {name: value.numpy() for name, value in outputs.items()}


def assert_predictions(answer, expected):
    predictions = json.loads(answer)["predictions"]
    assert len(predictions) == 2
    for row, prediction in enumerate(predictions):
        assert set(prediction) == set(expected)
        for name, value in prediction.items():
            np.testing.assert_allclose(value, expected[name][row], atol=1e-6, err_msg=name)


def test_rest_takes_files_as_base64(server, photographs, expected):
    instances = [{"b64": base64.b64encode(jpeg).decode()} for jpeg in photographs.jpegs]
    assert_predictions(server.predict(json.dumps({"instances": instances})), expected)
    named = [{"input_tensor": item} for item in instances]
    body = json.dumps({"signature_name": "encoded", "instances": named})
    assert_predictions(server.predict(body), expected)


def test_rest_takes_pixels_as_numbers(server, photographs):
    body = {"signature_name": "image_tensor", "instances": photographs.pixels.tolist()}
    predictions = json.loads(server.predict(json.dumps(body)))["predictions"]
    found = [row["num_detections"] for row in predictions]
    assert len(found) == 2
    assert all(count > 0 for count in found)


def test_rest_takes_records(server, photographs, expected):
    instances = []
    for jpeg in photographs.jpegs:
        feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[jpeg]))
        example = tf.train.Example(
            features=tf.train.Features(feature={"image/encoded": feature})
        ).SerializeToString()
        instances.append({"b64": base64.b64encode(example).decode()})
    body = {"signature_name": "tf_example", "instances": instances}
    assert_predictions(server.predict(json.dumps(body)), expected)


# NumPy warns of int() of one value with an axis, and from 2.5 on refuses it: there the script fails
# with the files that it was written for, too, and is read as its users mend it.
@pytest.mark.filterwarnings("ignore:Conversion of an array with ndim > 0:DeprecationWarning")
def test_the_script_of_the_object_detection_api(saved, photographs):
    """As its tutorials read: the loaded object is called with one image, and row 0 is taken."""
    detect_fn = saved.loaded
    image_np = photographs.pixels[0]

    input_tensor = tf.convert_to_tensor(image_np)
    input_tensor = input_tensor[tf.newaxis, ...]
    detections = detect_fn(input_tensor)
    num_detections = detections.pop("num_detections")
    num_detections = int(num_detections[0] if NUMPY >= (2, 5) else num_detections)
    detections = {key: value[0, :num_detections].numpy() for key, value in detections.items()}
    detections["num_detections"] = num_detections
    detections["detection_classes"] = detections["detection_classes"].astype(np.int64)

    assert num_detections > 0
    assert {1, 2, 3} >= set(detections["detection_classes"].tolist())
    outputs = saved.loaded.signatures["image_tensor"](input_tensor=input_tensor)
    np.testing.assert_array_equal(
        detections["detection_boxes"], outputs["detection_boxes"][0, :num_detections]
    )


def test_what_is_loaded_takes_whatever_it_is_given(saved, photographs):
    files = saved.loaded(tf.constant(photographs.pngs))
    for images in (photographs.pixels, photographs.pixels.astype(np.float32)):
        found = saved.loaded(tf.constant(images))
        np.testing.assert_array_equal(found["detection_scores"], files["detection_scores"])


def test_a_notebook_that_calls_the_signature_with_one_argument(saved, photographs):
    model_fn = saved.loaded.signatures["serving_default"]
    output_dict = model_fn(tf.constant(photographs.jpegs[:1]))
    assert int(output_dict.pop("num_detections")[0]) > 0
