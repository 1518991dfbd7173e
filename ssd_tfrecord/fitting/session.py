"""fit: looks at the folder, then runs one program after another, and writes the page."""

import dataclasses
import pathlib
import time

from ssd_tfrecord import flags
from ssd_tfrecord.config import FitConfig
from ssd_tfrecord.errors import DiskError
from ssd_tfrecord.fitting import fit_folder, model_page, recipe_file, source_check
from ssd_tfrecord.fitting.fit_folder import FitFolder
from ssd_tfrecord.fitting.source_check import Found
from ssd_tfrecord.fitting.stages import Stage, Stages
from ssd_tfrecord.options import flag_text

_CHECK_IMAGES = 24


def run(config: FitConfig) -> None:
    """Makes a model of ``config.input``, or goes on where that was stopped.

    Raises:
        InputError: the folder cannot be used, before anything is written; or a program has failed.
    """
    began = time.monotonic()
    fit_folder.check_ours(config.output_dir)
    stages = Stages(pathlib.Path(config.output_dir))
    asked = _asked(config)
    listing = source_check.listing(config)
    # A large set takes a minute to look through.
    known = None if config.restart else Found.of(stages.known(asked))
    found = known or source_check.check(config)
    converted = listing if config.restart else stages.remembered.get("listing", listing)
    folder = FitFolder.of(config, found.parts)
    print(*found.lines, folder.purposes, sep="\n", flush=True)
    if converted != listing:
        print(
            f"--input={config.input}: files have changed since they were converted; what follows "
            "is about those of then, --restart takes those of now"
        )
    try:
        if config.restart:
            folder.remove()
            stages = Stages(folder.path)
        folder.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiskError(
            f"--output_dir={config.output_dir}: cannot be written: {error.strerror}"
        ) from None
    if stages.run(_conversion(config, found, folder)):
        converted = listing
    stages.remember(asked, {**dataclasses.asdict(found), "listing": converted})
    if config.only == "check":
        # In this process: TensorFlow is needed from here on.
        from ssd_tfrecord.fitting import check

        check.run(config, folder)
        return
    for stage in _after_conversion(config, folder):
        stages.run(stage)
    model_page.write(config, folder)
    print(*model_page.closing_lines(folder, time.monotonic() - began), sep="\n")


def _asked(config: FitConfig) -> list[str]:
    """The flags that what is found depends on."""
    lines = [f"--input={config.input}", f"--classes={config.classes}", f"{config.hold_out}"]
    for options in (config.source, config.images, config.boxes):
        lines += flags.to_lines(options)
    return lines


def _conversion(config: FitConfig, found: Found, folder: FitFolder) -> Stage:
    source = dataclasses.replace(config.source, split=found.split)
    given = (source, config.images, config.boxes)
    words = ["convert", f"--input={config.input}", f"--output_dir={folder.records}"]
    words += [f"--classes={found.classes}"] if found.classes != "default" else []
    words += [line for options in given for line in flags.changed_lines(options)]
    proofs = tuple(path / "manifest.json" for path in folder.record_sets.values())
    return Stage("convert", tuple(words), proofs)


def _after_conversion(config: FitConfig, folder: FitFolder) -> list[Stage]:
    recipe = folder.path / recipe_file.NAME
    run = folder.run
    test = folder.record_sets[folder.evaluated]
    evaluated = f"--records={flag_text((str(test),))}"
    # Without what does not matter to it: its outcome stays, as does the run that follows from it.
    plain = dataclasses.replace(config, restart=False, format=FitConfig.format)
    stages = [
        Stage(
            "check",
            ("fit", *flags.changed_lines(plain), "--only=check"),
            (recipe, folder.path / "check.json"),
        ),
        Stage("train", tuple(folder.training_words()), (run / "checkpoints",)),
        Stage(
            "evaluate",
            ("evaluate", f"--run_dir={run}", evaluated, "--loss=false"),
            (folder.evaluation / "metrics.json", folder.evaluation / "report.html"),
        ),
    ]
    if config.format:
        words = (
            "export",
            f"--run_dir={run}",
            f"--records={test}",
            f"--format={','.join(config.format)}",
            f"--output_dir={folder.exports}",
            # Whether a file is right shows on the first; all of them take a minute.
            f"--check_images={_CHECK_IMAGES}",
        )
        stages.append(Stage("export", words, (folder.exports / "parity.json",)))
    return stages
