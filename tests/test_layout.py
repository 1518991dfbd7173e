"""The tree is the architecture: layers, file sizes, names, docstrings and the top level."""

import ast
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "ssd_tfrecord"
SOURCES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "tools").glob("*.py")])
MODULES = [path for path in SOURCES if path.name != "__init__.py"]

# What each part may import of ours; layer 4 (mains and tools) may import everything.
BELOW = {
    "errors": set(),
    "options": {"errors"},
    "config": {"errors", "options"},
    "flags": {"errors", "options"},
    "geometry": {"errors", "options"},
    "pixels": {"errors", "options"},
    "records": {"errors", "options"},
    "data": {"errors", "options", "geometry", "pixels", "records"},
    "model": {"errors", "options", "geometry", "pixels"},
    "evaluation": {"errors", "options", "config", "geometry", "pixels", "records", "data", "model"},
}
BELOW["training"] = {*BELOW["evaluation"], "evaluation", "flags"}
TOP_LEVEL = {
    *("ssd_tfrecord", "tools", "configs", "tests", "WORKSPACE.md", "pyproject.toml", "README.md"),
    *("LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile"),
}


def part_of(path):
    """The part that a file of the package belongs to, or None for a main or a tool."""
    if not path.is_relative_to(PACKAGE):
        return None
    name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return name if name in BELOW else None


def imported_parts(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            words = name.split(".")
            if words[0] == "ssd_tfrecord" and len(words) > 1:
                yield words[1]


def by_name(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=by_name)
def test_imports_go_downward(path):
    part = part_of(path)
    if part is None:
        return
    upward = set(imported_parts(ast.parse(path.read_text()))) - BELOW[part] - {part}
    assert not upward, f"{part} (layer below) imports {', '.join(sorted(upward))}"


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


@pytest.mark.parametrize("name", ["train", "evaluate", "detect"])
def test_mains_are_thin(name):
    assert len((PACKAGE / f"{name}.py").read_text().splitlines()) <= 90


def test_feature_keys_stand_in_one_file():
    holders = [by_name(path) for path in SOURCES if '"image/object/' in path.read_text()]
    assert holders == ["ssd_tfrecord/records/schema.py"]


def test_top_level_holds_what_the_design_names():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    top = {name.split("/")[0] for name in listed if not name.startswith(".")}
    assert top == TOP_LEVEL if listed else (ROOT / "Makefile").exists()
