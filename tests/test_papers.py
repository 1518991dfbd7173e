"""The papers say what is true: flags, commands, files, links and the notebook's keys."""

import dataclasses
import pathlib
import re
import shlex

import pytest
import yaml

from ssd_tfrecord import flags
from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.programs import PROGRAMS

ROOT = pathlib.Path(__file__).parent.parent
PAPERS = ("README.md", "WORKSPACE.md", "configs/README.md")
# How a paper may call each program.
CALLS = {
    "ssd_tfrecord.fit": "fit",
    "ssd_tfrecord.train": "train",
    "ssd_tfrecord.evaluate": "evaluate",
    "ssd_tfrecord.detect": "detect",
    "ssd_tfrecord.export": "export",
    "tools/create_tfrecords.py": "convert",
    "tools/download_dataset.py": "download",
    "tools/create_voc_tfrecords.py": "convert-voc",
    "tools/create_coco_tfrecords.py": "convert-coco",
    "tools/create_demo_dataset.py": "demo-data",
    "tools/data_service.py": "data-service",
    "tools/inspect_tfrecords.py": "inspect",
    "tools/benchmark.py": "benchmark",
    "tools/import_weights.py": "import-weights",
    "tools/compare_curve.py": "compare-curve",
}
# Slurm's, TensorBoard's, Apache Beam's, and the form of a flag.
NOT_OURS = {
    *("ntasks-per-node", "kill-on-bad-exit"),
    "nodes",
    "ntasks",
    "gpus-per-node",
    "cpus-per-task",
    "mem",
    "time",
    "signal",
}
NOT_OURS |= {"requeue", "open-mode", "logdir", "name"}
NOT_OURS |= {"service_port", "flink_master", "parallelism", "direct_running_mode"}
NOT_OURS |= {"environment_type", "environment_config"}

# The keys of the notebook's configuration, all of them.
NOTEBOOK_KEYS = """
    DRIVE_PATH CHECKPOINT_DIR CHECKPOINT_FILEPATH BASE_WEIGHTS BASE_NAME ASPECT_RATIOS
    DEFAULT_BOXES_NUM INPUT_SHAPE IMAGE_DIM N_CHANNELS WEIGHT_DECAY MOMENTUM ALPHA REGRESSION_TYPE
    CHECKPOINT_PERIOD PLOT_PERIOD BATCH_SIZE NUM_WORKERS LOAD_MODEL TENSORBOARD_LOGS IOU_THRESHOLDES
    PATCHFIND_ATTEMPTS CONFIDENCE_THRESHOLD JACCARD_THRESHOLD MAX_NMS_BOXES TOP_K_BOXES DATASET_NAME
    DATASET_YEAR TESTSET_YEAR DATASET_KEY DATA_PATH TRAINVAL_PATH TEST_PATH TRAIN_ANN_PATH
    VAL_ANN_PATH ANN_PATH TEST_ANN_PATH SCALES LR_VALUES BOUNDARIES IMGS_FOLDER ANNS_FOLDER
    ITERATIONS
"""


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def flag_names(config_class):
    """Names of every flag of ``config_class``, those of its options included."""
    for field in dataclasses.fields(config_class):
        if dataclasses.is_dataclass(field.default):
            yield from flag_names(type(field.default))
        else:
            yield field.name


def shell_lines(name):
    """Lines of the paper's sh and bash blocks, continued ones joined."""
    blocks = re.findall(r"```(?:sh|bash)\n(.*?)```", text(name), re.DOTALL)
    return "\n".join(blocks).replace("\\\n", " ").splitlines()


def commands(name):
    """(call, words behind it) of each command of the paper that runs a program of ours."""
    for line in shell_lines(name):
        words = shlex.split(line, comments=True)
        words = words[: words.index("&")] if "&" in words else words
        if "python" in words:
            words = words[words.index("python") + 1 :]
            words = words[1:] if words[0] == "-m" else words
            yield words[0], words[1:]
        elif words and words[0] == "ssd-tfrecord":
            yield words[1], words[2:]


def table(name, heading):
    """Rows of the table under ``heading``, without its head."""
    lines = text(name).split(f"\n## {heading}\n")[1].split("\n## ")[0].splitlines()
    rows = [line.strip("|").split(" | ") for line in lines if line.startswith("| `")]
    return [[cell.strip(" |") for cell in row] for row in rows]


def tree_folders():
    """{folder: file names} of the tree that WORKSPACE.md draws."""
    block = text("WORKSPACE.md").split("\nThe tree:\n\n")[1].split("\n\n")[0]
    folder, folders = "", {}
    for line in block.splitlines():
        head, names = re.fullmatch(r" {4}(?:(\S+/)| {2}) *(.*)", line).groups()
        folder = head or folder
        folders.setdefault(folder, []).extend(re.findall(r"\w+\.py", names))
    return folders


ALL_FLAGS = {name for item in PROGRAMS.values() for name in flag_names(item.config)}
ALL_FLAGS |= {"help", "flagfile"}
COMMANDS = [(name, call, words) for name in PAPERS for call, words in commands(name)]


@pytest.mark.parametrize("name", [*PAPERS, "CONTRIBUTING.md", "CHANGELOG.md"])
def test_every_flag_that_is_mentioned_exists(name):
    mentioned = set(re.findall(r"(?<![\w-])--([a-z][\w-]*)", text(name)))
    assert mentioned - ALL_FLAGS - NOT_OURS == set()


@pytest.mark.parametrize(
    ("call", "words"),
    [item[1:] for item in COMMANDS],
    ids=[f"{name} {call} {number}" for number, (name, call, _) in enumerate(COMMANDS)],
)
def test_every_command_parses(call, words, monkeypatch, tmp_path):
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "ssd300_a.flags").write_text(job_flagfile())
    monkeypatch.chdir(tmp_path)
    if call in CALLS:
        path = f"{call.replace('.', '/')}.py" if call.startswith("ssd_tfrecord") else call
        assert f'programs.run("{CALLS[call]}")' in (ROOT / path).read_text()
    if "--help" in (call, *words):
        return
    config = PROGRAMS[CALLS.get(call, call)].config
    assert isinstance(flags.parse(config, [call, *words]), config)


def test_manifests_of_kubernetes_give_what_the_trainer_asks_for():
    """Each starts as many pods as it says, and none is started again after a user's mistake."""
    blocks = re.findall(r"```yaml\n(.*?)```", text("WORKSPACE.md"), re.DOTALL)
    kinds = {}
    for item in (item for block in blocks for item in yaml.safe_load_all(block)):
        kinds[item["kind"]] = item["spec"]
    jobs = [kinds["Job"], kinds["JobSet"]["replicatedJobs"][0]["template"]["spec"]]
    for job in jobs:
        pod = job["template"]["spec"]["containers"][0]
        variables = {entry["name"]: entry.get("value") for entry in pod["env"]}
        assert variables["JOB_COMPLETIONS"] == str(job["completions"]) == str(job["parallelism"])
        rule = job["podFailurePolicy"]["rules"][0]
        assert (rule["action"], rule["onExitCodes"]["values"]) == ("FailJob", [2, 3, 4, 6])
        words = [*pod["command"][3:], *pod["args"]]
        assert words[0].startswith("--flagfile=")
        assert set(words[1:]) == {"--cluster=kubernetes", "--cluster_timeout=900"}


def job_flagfile():
    return (
        text("WORKSPACE.md")
        .split("    # jobs/ssd300_a.flags\n")[1]
        .split("\n\n")[0]
        .replace("    --", "--")
    )


def test_all_papers_have_commands_and_readme_has_all_programs():
    assert {name for name, _, _ in COMMANDS} == set(PAPERS)
    in_readme = {CALLS.get(call, call) for name, call, _ in COMMANDS if name == "README.md"}
    assert in_readme == {*PROGRAMS} - {"demo-data", "data-service"} | {"--help"}
    assert set(CALLS.values()) == set(PROGRAMS)


def test_job_overrides_the_recipe_it_begins_with(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    (tmp_path / "a.flags").write_text(job_flagfile())
    job = flags.parse(TrainConfig, ["train", f"--flagfile={tmp_path / 'a.flags'}"])
    assert (job.num_steps, job.run_dir) == (120_000, "/runs/ssd300_a")
    assert (job.devices.precision, job.devices.require_gpu) == ("mixed_float16", True)


def test_make_targets_exist():
    targets = set(re.findall(r"^(\w+):", text("Makefile"), re.MULTILINE))
    named = {
        target
        for name in (*PAPERS, "CONTRIBUTING.md")
        for target in re.findall(r"(?:^|`)make (\w+)", text(name), re.MULTILINE)
    }
    assert {"demo", "test", "venv"} <= named
    assert named <= targets


def test_the_tree_names_every_file():
    folders = tree_folders()
    for folder, names in folders.items():
        found = {path.name for path in (ROOT / folder).glob("*.py")} - {"__init__.py"}
        assert set(names) == found or folder in ("configs/", "tests/"), folder
    packages = {f"{path.parent.relative_to(ROOT)}/" for path in ROOT.glob("ssd_tfrecord/**/*.py")}
    assert packages <= set(folders)


@pytest.mark.parametrize("name", [*PAPERS, "CONTRIBUTING.md"])
def test_files_and_links_that_are_named_exist(name):
    for path in re.findall(r"\]\(([^)#]+)[^)]*\)", text(name)):
        assert path.startswith("http") or (ROOT / name).parent.joinpath(path).exists(), path
    for path in re.findall(r"\b((?:ssd_tfrecord|tests|tools|configs)/[\w/]+\.\w+)", text(name)):
        assert (ROOT / path).exists(), path
    parts = "records|data|pixels|geometry|model|training|evaluation|benchmark|detection|runs"
    for path in re.findall(rf"(?<![\w/])((?:{parts})/\w+\.py)", text(name)):
        assert (ROOT / "ssd_tfrecord" / path).exists(), path


def test_headings_that_are_linked_to_exist():
    linked = []
    for name in (*PAPERS, "CONTRIBUTING.md"):
        for path, anchor in re.findall(r"\]\(([\w./]*)#([^)]+)\)", text(name)):
            target = (ROOT / name).parent.joinpath(path or (ROOT / name).name)
            headings = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in headings}
            assert anchor in slugs, f"{name}: {path}#{anchor}"
            linked.append(anchor)
    assert len(linked) > 10


def test_readme_is_short_and_starts_with_the_quickstart():
    assert 100 <= len(text("README.md").splitlines()) <= 160
    assert re.findall(r"^## (.+)$", text("README.md"), re.MULTILINE)[0] == "Quickstart"


def test_every_key_of_the_notebook_has_its_row():
    keys = [row[0].strip("`") for row in table("WORKSPACE.md", "Notebook key → flag")]
    assert len(keys) == 43
    assert keys == NOTEBOOK_KEYS.split()


@pytest.mark.parametrize(
    "row", table("WORKSPACE.md", "Notebook key → flag"), ids=lambda row: row[0].strip("`")
)
def test_row_of_the_notebook_names_a_flag_that_exists(row):
    named = re.findall(r"`--(\w+)`", row[1])
    assert named or row[:2] == ["`N_CHANNELS`", "none"]
    assert set(named) <= ALL_FLAGS


def test_run_folder_of_the_paper_is_the_run_folder_of_the_code():
    from ssd_tfrecord.runs import run_folder

    block = text("WORKSPACE.md").split("    runs/a/\n")[1].split("\n\n")[0]
    shown = set(re.findall(r"^ {6}([\w.]+)", block, re.MULTILINE))
    assert set(run_folder.RUN_NAMES) <= shown


def test_licence_is_the_one_that_the_project_declares():
    assert 'license = "Apache-2.0"' in text("pyproject.toml")
    assert "Apache License\n                           Version 2.0, January 2004" in text("LICENSE")
    assert "END OF TERMS AND CONDITIONS" in text("LICENSE")
