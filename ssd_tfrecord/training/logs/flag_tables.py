"""The flags of a run for TensorBoard: as a table to read, and as hyperparameters to compare."""

import dataclasses

from ssd_tfrecord import flags
from ssd_tfrecord.options import Options, flag_text, names_of_role
from ssd_tfrecord.runs.identity import values_of

# Markdown's own characters; a bar would end the cell of a table.
_MARKS = "\\|*_`[]<>~#"
# The folder tells runs apart already.
_NOT_COMPARED = {"run_dir"}


def flag_table(config: Options) -> str:
    """All flags in Markdown: those that differ from their default first, and in bold."""
    values, defaults = values_of(flags.to_lines(config)), _defaults(config)
    changed = [name for name in values if values[name] != defaults[name]]
    lines = ["| flag | value | default |", "|---|---|---|"]
    lines += [
        f"| **{_cell(name)}** | **{_cell(values[name])}** | {_cell(defaults[name])} |"
        for name in changed
    ]
    lines += [
        f"| {_cell(name)} | {_cell(values[name])} | |" for name in values if name not in changed
    ]
    return "\n".join(lines)


def hyperparameters(config: Options) -> dict[str, bool | float | str]:
    """The flags that change a result, numbers as such: those that are not the default first.

    All of them, as TensorBoard compares runs by what the first of them has.
    """
    values, defaults = values_of(flags.to_lines(config)), _defaults(config)
    names = sorted(names_of_role(config, "result") - _NOT_COMPARED)
    names.sort(key=lambda name: values[name] == defaults[name])
    return {name: _parsed(values[name]) for name in names}


def _defaults(config: Options) -> dict[str, str]:
    lines = []
    for field in dataclasses.fields(config):
        if isinstance(field.default, Options):
            lines += flags.to_lines(field.default)
        else:
            lines.append(f"--{field.name}={flag_text(field.default)}")
    return values_of(lines)


def plain(text: str) -> str:
    """``text`` as UTF-8 can hold it, which the bytes of a path may not be: these are escaped."""
    return text.encode(errors="backslashreplace").decode()


def _cell(text: str) -> str:
    marked = "".join(f"\\{char}" if char in _MARKS else char for char in plain(text))
    # A line break would end the table.
    return " ".join(marked.split()) or "–"


def _parsed(text: str) -> bool | float | str:
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text)
    except ValueError:
        return plain(text)
