"""The tree is the architecture: rooms, what each may import, sizes, names and the top level."""

import ast
import collections
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "ssd_tfrecord"
SOURCES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "tools").glob("*.py")])
MODULES = [path for path in SOURCES if path.name != "__init__.py"]

# What each room may import of ours, from the ground up. The programs (mains, tools, programs.py)
# may import everything. ``records`` is the hall alone.
BASE = {"errors", "options", "backbones", "keras", "tracing"}
GROUND = {"records", "geometry", "pixels", "devices"}
TENSORS = {"data", "model"}
WORKSHOPS = {"records/images", "records/processes"}
BENEATH = {
    "errors": set(),
    "keras": set(),
    "tracing": set(),
    "backbones": {"errors", "keras"},
    "options": {"errors", "backbones"},
    "config": {"errors", "options", "backbones"},
    "flags": {"errors", "options", "config"},
    **dict.fromkeys(GROUND, BASE),
    "records/processes": {*BASE, "records"},
    "records/sources": {*BASE, "records", "records/processes"},
    "records/images": {*BASE, "records", "records/sources"},
    "records/writing": {*BASE, "records", "records/sources", *WORKSHOPS},
    "datasets": {*BASE, "records/processes"},
    # Jobs that share a cache wait for each other by the locks of processes.
    "data": {*BASE, *GROUND, "records/processes"},
    "model": {*BASE, *GROUND},
    "runs": {*BASE, *GROUND, *TENSORS, *WORKSHOPS},
    "detection": {*BASE, *GROUND, *TENSORS, *WORKSHOPS, "runs"},
    # Detections and ground truth of other tools are read as the converters read them.
    "evaluation": {
        *(*BASE, *GROUND, *TENSORS, *WORKSHOPS, "runs", "detection"),
        *("records/sources", "records/writing"),
    },
    "inspection": {
        *(*BASE, *GROUND, *TENSORS, *WORKSHOPS, "runs", "detection"),
        *("records/sources", "records/writing"),
    },
    "training": {*BASE, *GROUND, *TENSORS, "runs", "detection", "evaluation", "config", "flags"},
}
BENEATH["exporting"] = {*BENEATH["training"], *WORKSHOPS}
BENEATH["benchmark"] = {
    *BENEATH["training"],
    *(*WORKSHOPS, "records/sources", "records/writing", "training"),
}
BENEATH["fitting"] = {*BENEATH["benchmark"]}
# The body of a main: it takes the whole config, and may read annotations.
SESSION = {"config", "flags", "records/sources"}
# The room of the run's flags, which are those of its config.
MORE = {"runs": {"config", "flags"}}

PROGRAMS = {"train", "evaluate", "detect", "export", "fit", "programs", "__main__", "__init__"}
TOP_LEVEL = {
    *("ssd_tfrecord", "tools", "configs", "tests", "WORKSPACE.md", "pyproject.toml", "README.md"),
    *("LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile"),
}


def room_of(parts):
    """The room of a dotted path below ssd_tfrecord: ``records/images`` or ``data``."""
    inner = "/".join(parts[:2])
    return inner if inner in BENEATH else parts[0]


def by_name(path):
    return str(path.relative_to(ROOT))


def modules_imported(tree):
    """Dotted paths below ssd_tfrecord of all that is imported, inside of functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            words = name.split(".")
            if words[0] == "ssd_tfrecord" and len(words) > 1 and words[1] != "__version__":
                yield words[1:]


def imported_rooms(path):
    return {room_of(words) for words in modules_imported(ast.parse(path.read_text()))}


@pytest.mark.parametrize("path", [path for path in SOURCES if PACKAGE in path.parents], ids=by_name)
def test_imports_go_downward(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    if parts[0] in PROGRAMS:
        return
    room = room_of(parts)
    allowed = {room, *BENEATH[room], *MORE.get(room, ())}
    if path.stem == "session":
        allowed |= SESSION
    upward = imported_rooms(path) - allowed
    assert not upward, f"{room} may not import {', '.join(sorted(upward))}"


def test_no_room_imports_itself_through_others():
    found, edges = [], {room: {*below, *MORE.get(room, ())} for room, below in BENEATH.items()}

    def walk(room, way):
        if room in way:
            found.append([*way[way.index(room) :], room])
            return
        for other in sorted(edges.get(room, ())):
            if other != room:
                walk(other, [*way, room])

    for room in (
        "training",
        "benchmark",
        "fitting",
        "exporting",
        "inspection",
        "evaluation",
        "datasets",
    ):
        walk(room, [])
    assert found == []


def test_every_room_is_drawn():
    rooms = {path.relative_to(PACKAGE).parts for path in PACKAGE.rglob("__init__.py")}
    rooms = {room_of(parts[:-1]) for parts in rooms if len(parts) > 1}
    files = {path.stem for path in PACKAGE.glob("*.py")} - PROGRAMS
    assert rooms | files == set(BENEATH)


def test_a_room_says_what_it_is_and_holds_15_files_at_most():
    for init in PACKAGE.rglob("__init__.py"):
        assert ast.get_docstring(ast.parse(init.read_text())), by_name(init)
        files = [path for path in init.parent.glob("*.py") if path.name != "__init__.py"]
        assert len(files) <= 15, by_name(init)


def test_no_two_files_have_one_name():
    """``session`` is a room's job. ``config`` and ``options`` are named for those they tell."""
    paths = [path for path in MODULES if PACKAGE in path.parents]
    told = [PACKAGE / "config", PACKAGE / "options"]
    names = collections.Counter(
        path.stem for path in paths if path.parent not in told and path.parent != PACKAGE
    )
    assert {name for name, count in names.items() if count > 1} == {"session"}


@pytest.mark.parametrize("path", SOURCES, ids=by_name)
def test_a_file_is_short_and_says_what_it_is(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    assert ast.get_docstring(ast.parse(text))
    assert not re.search(r"\b(TODO|FIXME|XXX)\b", text)
    assert path.stem not in {"utils", "util", "common", "helpers", "misc", "base", "factory"}


@pytest.mark.parametrize("path", MODULES, ids=by_name)
def test_no_assert_and_every_public_function_has_a_docstring(path):
    for node in ast.walk(ast.parse(path.read_text())):
        assert not isinstance(node, ast.Assert), f"line {node.lineno}: raise an error instead"
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{node.name} (line {node.lineno}) has no docstring"


@pytest.mark.parametrize(
    "path",
    [
        *(PACKAGE / f"{name}.py" for name in ("train", "evaluate", "detect", "__main__")),
        *(ROOT / "tools").glob("*.py"),
    ],
    ids=by_name,
)
def test_mains_are_thin(path):
    assert len(path.read_text().splitlines()) < 30


def test_feature_keys_stand_in_one_file():
    holders = [by_name(path) for path in SOURCES if '"image/object/' in path.read_text()]
    assert holders == ["ssd_tfrecord/records/schema.py"]


def test_tests_mirror_the_package():
    """A test of a room lies in the folder of its name."""
    folders = {
        path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")
    }
    folders -= {pathlib.Path("."), pathlib.Path("tools")}
    assert [str(folder) for folder in folders if not (PACKAGE / folder).is_dir()] == []


def test_top_level_holds_what_the_design_names():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    top = {name.split("/")[0] for name in listed if not name.startswith(".")}
    assert top == TOP_LEVEL if listed else (ROOT / "Makefile").exists()
