"""The history of a run, stopped and resumed."""

from PIL import Image

from ssd_tfrecord.runs.history import History

HEADER = (
    "step,loss,class_loss,box_loss,learning_rate,images_per_s,data_wait,"
    "eval_loss,voc07_map,voc12_map,coco_ap,coco_ap50\n"
)


def lines(folder):
    return (folder / "history.csv").read_text()


def test_rows_and_the_evaluation_of_the_same_step_share_a_line(tmp_path):
    history = History(tmp_path, 0)
    history.append(10, {"loss": 4.0, "class_loss": 3.0, "box_loss": 1.0, "learning_rate": 1e-3})
    history.append(10, {"voc07_map": 0.25, "num_images": 7})
    history.append(20, {"loss": 1 / 3})
    assert lines(tmp_path) == HEADER + "10,4,3,1,0.001,,,,0.25,,,\n20,0.33333333,,,,,,,,,,\n"


def test_rows_after_the_restored_step_are_cut(tmp_path):
    history = History(tmp_path, 0)
    for step in (10, 20, 30):
        history.append(step, {"loss": step})
    resumed = History(tmp_path, 20)
    resumed.append(30, {"loss": 7})
    assert lines(tmp_path) == HEADER + "10,10,,,,,,,,,,\n20,20,,,,,,,,,,\n30,7,,,,,,,,,,\n"


def test_best_is_the_first_of_equals_and_evaluations_since_are_counted(tmp_path):
    history = History(tmp_path, 0)
    assert history.best("voc07_map") is None
    history.append(5, {"eval_loss": 9.0, "voc07_map": None})
    assert history.best("voc07_map") is None
    for step, value in ((10, 0.25), (20, 0.5), (30, 0.5), (40, 0.125)):
        history.append(step - 1, {"loss": 1.0})
        history.append(step, {"eval_loss": 3.0, "voc07_map": value, "num_images": 7})
    assert history.best("voc07_map") == (20, 2)
    assert History(tmp_path, 10).best("voc07_map") == (10, 0)
    assert history.last("voc07_map") == 0.125
    assert [history.improves("voc07_map", value) for value in (None, 0.5, 0.500000001, 0.51)] == [
        *(False, False, False, True)
    ]
    assert History(tmp_path, 5).improves("voc07_map", 0.0)
    assert history.evaluated(40)
    assert not history.evaluated(39)


def test_curves_are_a_picture_with_and_without_metrics(tmp_path):
    history = History(tmp_path, 0)
    history.draw()
    empty = (tmp_path / "curves.png").read_bytes()
    history.append(1, {"loss": 3.0, "class_loss": 2.0, "box_loss": 1.0})
    history.append(2, {"voc07_map": 0.5})
    history.draw()
    assert (tmp_path / "curves.png").read_bytes() != empty
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.size == (1210, 440)
