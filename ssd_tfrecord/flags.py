"""Dataclass fields <-> absl flags: name, type, default, help and range are written once.

``run`` is the whole of a main: flags, flagfiles, ``--help``, the config, errors of one line.
"""

import dataclasses
import os
import pathlib
import re
import sys
import textwrap
import typing

from absl import flags as absl_flags

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import allowed, flag_text


def run(config_class, program, argv=None):
    """Parses ``argv``, calls ``program(config)``; returns the exit code.

    A wrong flag or input ends with one line on stderr and code 2, ``--help`` with 0, Ctrl-C
    with 130.
    """
    # TensorFlow's log of its start is noise, but for the GPU libraries that it misses: the trainer
    # says to set 0 where it finds no GPU.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    argv = list(sys.argv if argv is None else argv)
    if any(word in ("--help", "-help", "-h", "--helpfull", "--helpshort") for word in argv[1:]):
        print(help_text(config_class))
        return 0
    try:
        program(parse(config_class, argv))
    except InputError as error:
        # A file's name may hold line breaks, and bytes that no terminal takes.
        line = str(error).encode(errors="backslashreplace").decode()
        print("error: " + "\\n".join(line.splitlines()), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # `| head` has what it wants; what Python would still flush goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def parse(config_class, argv):
    """The config that ``argv`` (program name first; flagfiles are read) describes."""
    values = _FlagValues()
    for _, field, default in _flat_fields(config_class):
        _define(field, default, values)
    try:
        leftover = values(argv)[1:]
    except (absl_flags.Error, OSError, UnicodeDecodeError) as error:
        raise InputError(_reworded(error, values)) from None
    if leftover:
        raise InputError(f"{leftover[0]!r} is no flag: flags are written --name=value; see --help")
    return _build(config_class, values)


def to_lines(config):
    """The config as the lines of a flagfile; ``parse`` reads them back to an equal config."""
    lines = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            lines += to_lines(value)
        else:
            lines.append(f"--{field.name}={flag_text(value)}")
    return lines


def help_text(config_class):
    """Every flag with its default, meaning and range, a group for each noun."""
    groups = {}
    for owner, field, default in _flat_fields(config_class):
        limits = allowed(field)
        text = field.metadata["text"] + (f" ({limits})" if limits else "")
        block = textwrap.fill(text, 92, initial_indent=" " * 6, subsequent_indent=" " * 6)
        groups.setdefault(owner.__doc__.splitlines()[0], []).append(
            f"  --{field.name}={flag_text(default)}\n{block}"
        )
    lines = ["Flags are written --name=value; --flagfile=FILE reads them from a file, a line each."]
    for title, blocks in groups.items():
        lines += ["", title, "", *blocks]
    return "\n".join(lines)


def _flat_fields(config_class, default=None):
    """(owner class, field, default) of every flag; nested options follow their parent's own."""
    nested = []
    types = typing.get_type_hints(config_class)
    for field in dataclasses.fields(config_class):
        value = getattr(default, field.name) if default else field.default
        if dataclasses.is_dataclass(types[field.name]):
            nested.append((types[field.name], value))
        else:
            yield config_class, field, value
    for options_class, value in nested:
        yield from _flat_fields(options_class, value)


def _define(field, default, values):
    text = field.metadata["text"]
    define = {
        bool: absl_flags.DEFINE_bool,
        int: absl_flags.DEFINE_integer,
        float: absl_flags.DEFINE_float,
        str: absl_flags.DEFINE_string,
    }
    if isinstance(default, tuple):
        absl_flags.DEFINE_list(field.name, [flag_text(v) for v in default], text, values)
    else:
        define[type(default)](field.name, default, text, flag_values=values)


def _build(config_class, values):
    types = typing.get_type_hints(config_class)
    arguments = {}
    for field in dataclasses.fields(config_class):
        kind = types[field.name]
        if dataclasses.is_dataclass(kind):
            arguments[field.name] = _build(kind, values)
        elif typing.get_origin(kind) is tuple:
            arguments[field.name] = _tuple(field.name, values[field.name].value, kind)
        else:
            arguments[field.name] = values[field.name].value
    return config_class(**arguments)


class _FlagValues(absl_flags.FlagValues):
    """absl's, whose flagfiles may be recipes, be they named in another flagfile or not."""

    def _get_flag_file_lines(self, filename, *arguments, **settings):
        return super()._get_flag_file_lines(_find_flagfile(filename), *arguments, **settings)


def _find_flagfile(name):
    """``name`` itself if it is a file, else the recipe of that name.

    Raises:
        InputError if it is neither.
    """
    if os.path.isfile(name):
        return name
    # In a wheel the recipes are beside this file, in a checkout at its top.
    here = pathlib.Path(__file__).parent
    recipes = {
        path.name: str(path)
        for folder in (here / "configs", here.parent / "configs")
        for path in sorted(folder.glob("*.flags"))
    }
    recipe = recipes.get(name.removeprefix("configs/"))
    if recipe is None:
        raise InputError(
            f"--flagfile={name}: no such file; must be a file or a recipe: {', '.join(recipes)}"
        )
    return recipe


_MUST_BE = {"int": "a whole number", "float": "a number", "bool": "true or false"}


def _reworded(error, values):
    """Absl's message in one line; what Python says of a value becomes what the flag takes."""
    text = " ".join(str(error).split()).removeprefix("ERROR:: ")
    wrong = re.match(r"flag (--(\w+)=.*?): ", text)
    if wrong is None or values[wrong[2]].flag_type() not in _MUST_BE:
        return text
    return f"{wrong[1]}: must be {_MUST_BE[values[wrong[2]].flag_type()]}"


def _tuple(name, items, kind):
    convert = typing.get_args(kind)[0]
    try:
        return tuple(convert(item) for item in items if item != "")
    except ValueError:
        raise InputError(
            f"--{name}={','.join(items)}: must be {_MUST_BE[convert.__name__]}, or several joined "
            "by commas"
        ) from None
