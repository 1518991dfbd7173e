"""Dataclass fields <-> absl flags: name, type, default, help and range are written once.

``run`` does all that a main has to: flags, flagfiles, ``--help``, the config, errors in one line.
"""

import dataclasses
import io
import os
import pathlib
import re
import sys
import textwrap
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeGuard, TypeVar

from absl import flags as absl_flags

from ssd_tfrecord.errors import DiskError, InputError
from ssd_tfrecord.options import Options, allowed, field_text, flag_text

_Config = TypeVar("_Config", bound=Options)

# What --help shows of a field: the options it belongs to, itself, and its default.
_Flag = tuple[type[Options], dataclasses.Field[Any], Any]

_HELP = ("--help", "-help", "-h", "--helpfull", "--helpshort")


def run(
    config_class: type[_Config],
    program: Callable[[_Config], object],
    argv: Sequence[str] | None = None,
) -> int:
    """Parses ``argv`` and calls ``program(config)``.

    Args:
        config_class: the dataclass from which the flags are made.
        program: called with the config; what it returns is ignored.
        argv: program name and flags; by default those of the process.

    Returns:
        The exit code: 0, also for ``--help``; that of an ``InputError``, which is one line on
        stderr, as is a file that cannot be read or written; 130 after Ctrl-C; 1 if the reader of a
        pipe has gone.
    """
    # TensorFlow's start-up log is noise, except for the GPU libraries that it cannot find: the
    # trainer says to set 0 if it finds no GPU.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if sys.version_info >= (3, 12):
        # The new stack's TensorFlow would import Keras 3, and with it matplotlib, beside tf_keras:
        # 0.9 of 4.6 CPU s. On the old stack the variable asks for a package that is not there.
        os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    argv = list(sys.argv if argv is None else argv)
    print_anywhere()
    try:
        # Answered here, before absl: its own --help exits with 1.
        if any(word in _HELP for word in argv[1:]):
            print(help_text(config_class), flush=True)
        else:
            program(parse(config_class, argv))
    except InputError as error:
        return _say(error)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # `| head` has read enough. Python flushes stdout once more at exit: into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        # Without a file it is no disk's, and a fault of the program.
        if not isinstance(error.filename, str | bytes):
            raise
        return _say(DiskError(f"{os.fsdecode(error.filename)}: {error.strerror}"))
    return 0


def print_anywhere() -> None:
    """Lets stdout and stderr take every character; what their encoding lacks is escaped.

    A terminal or a log of Latin-1 or ASCII would end a program at the first dash or accent.
    """
    for stream in (sys.stdout, sys.stderr):
        # Not of a stream that a caller has put in their place.
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _say(error: InputError) -> int:
    # A file name may contain line breaks, and bytes that a terminal cannot show.
    line = str(error).encode(errors="backslashreplace").decode()
    print("error: " + "\\n".join(line.splitlines()), file=sys.stderr)
    return error.exit_code


def parse(config_class: type[_Config], argv: Sequence[str]) -> _Config:
    """The config that ``argv`` describes, flagfiles included.

    Args:
        config_class: the dataclass from which the flags are made.
        argv: program name and flags.

    Raises:
        InputError: a flag or flagfile does not exist, or a value is not allowed.
    """
    # Values of their own, not absl's global FLAGS: several configs can be parsed in one process.
    values = _FlagValues()
    for _, field, default in _flat_fields(config_class):
        _define(field, default, values)
    # Otherwise absl stops at the first word that is not a flag.
    values.set_gnu_getopt(True)
    try:
        leftover = values(argv)[1:]
    except (absl_flags.Error, OSError, UnicodeDecodeError) as error:
        raise InputError(_reworded(error, values)) from None
    name = config_class.bare_word
    if name and len(leftover) == 1 and not values[name].present:
        values[name].value = leftover.pop()
    # A stray word or a byte-order mark in a flagfile would otherwise disable a flag silently.
    if leftover:
        raise InputError(f"{leftover[0]!r} is not a flag; write --name=value, see --help")
    return _build(config_class, values)


def to_lines(config: Options) -> list[str]:
    """The config as the lines of a flagfile; ``parse`` reads them back to an equal config."""
    lines = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, Options):
            lines += to_lines(value)
        else:
            lines.append(f"--{field.name}={field_text(field, value)}")
    return lines


def changed_lines(config: Options) -> list[str]:
    """The lines of ``to_lines`` whose values are not the flags' defaults."""
    fields = _flat_fields(type(config))
    defaults = {f"--{field.name}={field_text(field, default)}" for _, field, default in fields}
    return [line for line in to_lines(config) if line not in defaults]


def help_text(config_class: type[Options]) -> str:
    """Every flag with its default, meaning and range, in one group per options class."""
    groups: dict[str, list[str]] = {}
    for owner, field, default in _flat_fields(config_class):
        limits = allowed(field)
        text = field.metadata["text"] + (f" ({limits})" if limits else "")
        # Not broken at hyphens, as flags and their values have some.
        block = textwrap.fill(
            text, 92, initial_indent=" " * 6, subsequent_indent=" " * 6, break_on_hyphens=False
        )
        title = (owner.__doc__ or owner.__name__).splitlines()[0]
        groups.setdefault(title, []).append(
            f"  --{field.name}={field_text(field, default)}\n{block}"
        )
    lines = [
        "Write flags as --name=value (a bare --name: true); a later one overrides an earlier one.",
        "Values shown are defaults. --flagfile takes a file or a recipe (ssd300_voc0712.flags).",
    ]
    if config_class.bare_word:
        lines.append(f"A word without -- is --{config_class.bare_word}.")
    for title, blocks in groups.items():
        lines += ["", title, "", *blocks]
    return "\n".join(lines)


def _flat_fields(config_class: type[Options], default: Options | None = None) -> Iterator[_Flag]:
    """(owner class, field, default) of every flag; nested options follow their parent's own.

    Args:
        config_class: a dataclass, the nested ones of which are walked too.
        default: the value of ``config_class`` in its parent, whose fields are the defaults.
    """
    nested = []
    types = typing.get_type_hints(config_class)
    for field in dataclasses.fields(config_class):
        value: Any = getattr(default, field.name) if default else field.default
        if _is_nested(types[field.name]):
            nested.append((types[field.name], value))
        else:
            yield config_class, field, value
    for options_class, value in nested:
        yield from _flat_fields(options_class, value)


def _is_nested(kind: object) -> TypeGuard[type[Options]]:
    # Not issubclass: Python 3.10 takes tuple[int, ...] for a class, and then fails.
    return dataclasses.is_dataclass(kind)


def _define(field: dataclasses.Field[Any], default: Any, values: absl_flags.FlagValues) -> None:
    text = field.metadata["text"]
    define: dict[type, Callable[..., object]] = {
        bool: absl_flags.DEFINE_bool,
        int: absl_flags.DEFINE_integer,
        float: absl_flags.DEFINE_float,
        str: absl_flags.DEFINE_string,
    }
    if field.metadata["words"]:
        absl_flags.DEFINE(_WordParser(field), field.name, default, text, values)
    elif isinstance(default, tuple):
        absl_flags.DEFINE_list(field.name, [flag_text(v) for v in default], text, values)
    else:
        define[type(default)](field.name, default, text, flag_values=values)


def _build(config_class: type[_Config], values: absl_flags.FlagValues) -> _Config:
    types = typing.get_type_hints(config_class)
    arguments: dict[str, Any] = {}
    for field in dataclasses.fields(config_class):
        kind = types[field.name]
        if _is_nested(kind):
            arguments[field.name] = _build(kind, values)
            continue
        value: Any = values[field.name].value
        if typing.get_origin(kind) is tuple:
            value = _tuple(field.name, value, kind)
        arguments[field.name] = value
    return config_class(**arguments)


class _WordParser(absl_flags.IntegerParser):
    """Of a whole number, or of a word that stands for one in ``field``."""

    def __init__(self, field: dataclasses.Field[Any]) -> None:
        super().__init__()
        self._words: dict[str, int] = field.metadata["words"]
        self._allowed = allowed(field)

    def convert(self, argument: int | str) -> int:
        # The default is a number in any case.
        if not isinstance(argument, str):
            return argument
        if argument in self._words:
            return self._words[argument]
        try:
            number = int(argument)
        except ValueError:
            kinds = " or ".join([*self._words, _MUST_BE["int"]])
            raise ValueError(f"must be {kinds}") from None
        if number in self._words.values():
            raise ValueError(f"must be {self._allowed}")
        return number


class _FlagValues(absl_flags.FlagValues):
    """absl's, but a flagfile may be a recipe, also where another flagfile refers to it."""

    # absl calls this for nested flagfiles too, and has no public hook that does.
    def _get_flag_file_lines(self, filename: str, *arguments: Any, **settings: Any) -> list[str]:
        try:
            return super()._get_flag_file_lines(_find_flagfile(filename), *arguments, **settings)
        except UnicodeDecodeError:
            raise InputError(f"--flagfile={filename}: must be text in UTF-8") from None


def _find_flagfile(name: str) -> str:
    """``name`` itself if it is a file, else the path of the recipe of that name.

    Raises:
        InputError: it is neither.
    """
    if os.path.isfile(name):
        return name
    recipes = recipe_files(".flags")
    # The README's commands say configs/NAME, which should work from any folder.
    recipe = recipes.get(name.removeprefix("configs/"))
    if recipe is None:
        raise InputError(
            f"--flagfile={name}: no such file; must be a file or a recipe: {', '.join(recipes)}"
        )
    return recipe


def recipe_files(suffix: str) -> dict[str, str]:
    """{file name: path} of what lies among the recipes and ends with ``suffix``."""
    # In a wheel the recipes are beside this file, in a checkout at its top.
    here = pathlib.Path(__file__).parent
    return {
        path.name: str(path)
        for folder in (here / "configs", here.parent / "configs")
        for path in sorted(folder.glob(f"*{suffix}"))
    }


_MUST_BE = {"int": "a whole number", "float": "a number", "bool": "true or false"}


def _reworded(error: Exception, values: absl_flags.FlagValues) -> str:
    """Absl's message in one line; Python's words about a value become what the flag accepts."""
    text = " ".join(str(error).split()).removeprefix("ERROR:: ")
    if own := re.match(r"flag (--\w+=.*?: must be .*)", text):
        return own[1]
    wrong = re.match(r"flag (--(\w+)=.*?): ", text)
    if wrong is None or values[wrong[2]].flag_type() not in _MUST_BE:
        return text
    return f"{wrong[1]}: must be {_MUST_BE[values[wrong[2]].flag_type()]}"


def _tuple(name: str, items: Sequence[str], kind: Any) -> tuple[Any, ...]:
    """The items of the flag ``name`` as the type ``kind``, a ``tuple[T, ...]``.

    Raises:
        InputError: an item is not a T.
    """
    convert = typing.get_args(kind)[0]
    try:
        # A trailing comma leaves an empty item.
        return tuple(convert(item) for item in items if item != "")
    except ValueError:
        raise InputError(
            f"--{name}={','.join(items)}: must be {_MUST_BE[convert.__name__]}, or several "
            "separated by commas"
        ) from None
