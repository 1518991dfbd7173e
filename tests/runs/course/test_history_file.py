"""history.csv, whatever happened to it."""

import pytest

from ssd_tfrecord.runs.course import history_file
from ssd_tfrecord.runs.course.history_file import ALL_COLUMNS, COLUMNS, RAW_COLUMNS, HistoryFile

HEADER = ",".join(COLUMNS)
EMPTY = "," * (len(COLUMNS) - 2)


def row(step, loss=""):
    return dict.fromkeys(ALL_COLUMNS, "") | {"step": str(step), "loss": loss}


def line(step, loss=""):
    return f"{step},{loss}{EMPTY}"


GOOD = "\n".join([HEADER, line(10, "4"), line(20, "3.5"), ""])


def read(tmp_path, content, step=1000):
    path = tmp_path / "history.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return history_file.read(path, step)


def test_what_is_written_is_read(tmp_path):
    file = HistoryFile(tmp_path / "history.csv")
    file.replace([row(10, "4")])
    file.append([row(10, "4"), row(20, "3.5")])
    assert (tmp_path / "history.csv").read_text() == GOOD
    found = history_file.read(tmp_path / "history.csv", 20)
    assert found.rows == {10: row(10, "4"), 20: row(20, "3.5")}
    assert (found.damaged, found.foreign, found.problem) == (0, (), "")


@pytest.mark.parametrize(
    ("content", "steps", "damaged"),
    [
        pytest.param(GOOD[:-1], [10], 1, id="cut at the end of a line"),
        pytest.param(GOOD[: len(HEADER) + 4], [], 1, id="cut within the first row"),
        pytest.param(GOOD[:10], [], 1, id="cut within the header"),
        pytest.param(GOOD + "\0" * 4096, [10, 20], 1, id="NUL tail"),
        pytest.param(b"\0" * 4096, [], 1, id="NUL only"),
        pytest.param(GOOD + "30,x" + EMPTY + "\n", [10, 20], 1, id="word for a number"),
        pytest.param(GOOD + line("3_0", "1_0") + "\n", [10, 20], 1, id="Python's numbers"),
        pytest.param(GOOD + line("-5") + "\n", [10, 20], 1, id="negative step"),
        pytest.param(GOOD + line("9" * 5000) + "\n", [10, 20], 1, id="endless step"),
        pytest.param(GOOD + line("٣٠") + "\n", [10, 20], 1, id="digits of another script"),
        pytest.param(GOOD + "30,1\n", [10, 20], 1, id="too few cells"),
        pytest.param(GOOD + line(15, "9") + "\n", [10, 15, 20], 1, id="descending"),
        pytest.param(GOOD + line(20, "3.5") + "\n", [10, 20], 1, id="repeated"),
        pytest.param(GOOD[len(HEADER) + 1 :], [10, 20], 0, id="no header"),
        pytest.param(b"\xff\xfe\n" + GOOD.encode(), [10, 20], 2, id="garbage before the header"),
        pytest.param("\ufeff" + GOOD.replace("\n", "\r\n"), [10, 20], 0, id="a Windows editor"),
        pytest.param("", [], 0, id="empty"),
    ],
)
def test_rows_that_are_whole_are_kept(tmp_path, content, steps, damaged):
    found = read(tmp_path, content)
    assert sorted(found.rows) == steps
    assert found.damaged == damaged
    assert set(map(len, found.rows.values())) <= {len(ALL_COLUMNS)}


def test_of_two_rows_of_a_step_the_later_counts(tmp_path):
    assert read(tmp_path, GOOD + line(20, "7") + "\n").rows[20]["loss"] == "7"


def test_columns_of_another_version(tmp_path):
    found = read(tmp_path, "loss,mood,step\n4,good,10\n")
    assert found.rows == {10: row(10, "4")}
    assert found.foreign == ("mood",)


def test_problems_are_named(tmp_path):
    assert history_file.read(tmp_path / "none.csv", 1).problem == "is missing"
    assert history_file.read(tmp_path, 1).problem == "is not a regular file"
    assert read(tmp_path, "").problem == "is empty"


def test_a_huge_file_is_read_only_as_far_as_it_can_be_ours(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text(GOOD)
    with open(path, "r+b") as file:
        file.truncate(1 << 40)
    found = history_file.read(path, 20)
    assert (sorted(found.rows), found.damaged) == ([10, 20], 1)
    HistoryFile(path).replace(list(found.rows.values()))
    assert path.read_text() == GOOD


def test_only_a_changed_file_is_written_again(tmp_path):
    path = tmp_path / "history.csv"
    file = HistoryFile(path)
    file.replace([row(10, "4")])
    before = path.stat().st_ino
    HistoryFile(path).replace([row(10, "4")])
    file.append([row(10, "4"), row(20, "3.5")])
    assert path.stat().st_ino == before
    file.replace([row(10, "4"), row(20, "3")])
    assert path.stat().st_ino != before


@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), lambda path: path.write_text("x")])
def test_a_file_that_others_changed_is_written_whole(tmp_path, spoil):
    path = tmp_path / "history.csv"
    file = HistoryFile(path)
    file.replace([row(10, "4")])
    spoil(path)
    file.append([row(10, "4"), row(20, "3.5")])
    assert path.read_text() == GOOD


def test_raw_weights_have_columns_once_there_are_numbers_of_them(tmp_path):
    path = tmp_path / "history.csv"
    file = HistoryFile(path)
    rows = [row(10, "4"), row(20, "3.5") | {"voc07_map": "0.5", "raw_voc07_map": "0.25"}]
    file.replace(rows[:1])
    before = path.read_text()
    file.append(rows)
    assert before == "\n".join([HEADER, line(10, "4"), ""])
    header, first, second = path.read_text().splitlines()
    assert header == ",".join([*COLUMNS, *RAW_COLUMNS])
    assert (first, second) == (line(10, "4") + ",,,,", "20,3.5,,,,,,,0.5,,,,0.25,,,")
    inode = path.stat().st_ino
    file.append([*rows, row(30, "3")])
    assert path.stat().st_ino == inode
    expected = {int(item["step"]): item for item in (*rows, row(30, "3"))}
    assert history_file.read(path, 30).rows == expected
    assert read(tmp_path, path.read_text().split("\n", 1)[1]).rows == expected
