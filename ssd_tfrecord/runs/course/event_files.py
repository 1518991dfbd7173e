"""TensorBoard's event files: written so that a full disk does no harm, and read although cut.

An event file is a TFRecord file of ``Event`` messages. Not ``tf.summary``, which keeps in memory
what it could not write, raises at whichever call comes next, and leaves half a record in the middle
of its file, where TensorBoard stops reading for good.
"""

import contextlib
import errno
import io
import os
import pathlib
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from google.protobuf.message import DecodeError
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
from tensorboard.plugins.hparams.metadata import SESSION_START_INFO_TAG
from tensorboard.summary.writer.record_writer import RecordWriter

# What every start of a run writes first, at the step that it goes on from: its flags, in one folder
# as text, in another as hyperparameters.
FLAGS_TAG, HPARAMS_TAG = "flags", SESSION_START_INFO_TAG

# Length and checksum before a record's content, checksum behind it.
_HEADER, _FOOTER = struct.Struct("<QI"), struct.Struct("<I")
# Numbers are a hundred bytes each; longer records are pictures, which are not read.
_MAX_NUMBERS_BYTES = 1 << 16


class EventWriter:
    """Writes to an event file of its own, made with the first write, in ``folder``.

    After a failure, the next write begins another file: TensorBoard reads all of a folder.

    Args:
        folder: made if it does not exist; the folder above it must.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = pathlib.Path(folder)
        self._path = self._folder
        self._descriptor: int | None = None
        self._size = 0
        self._count = 0

    def write(self, summaries: Sequence[Summary], step: int) -> None:
        """Writes all at once, so that TensorBoard sees them now; nothing is held back.

        Args:
            summaries: what TensorBoard's plugins make.
            step: number of finished steps.

        Raises:
            OSError: they could not be written, and will not be.
        """
        content = b"".join(
            _record(Event(wall_time=time.time(), step=step, summary=summary))
            for summary in summaries
        )
        if self._is_gone():
            self.close()
        if self._descriptor is None:
            self._descriptor = self._open()
            content = _record(Event(wall_time=time.time(), file_version="brain.Event:2")) + content
        self._write(self._descriptor, content)

    def close(self) -> None:
        """Closes the file."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            # Some network file systems report only here what they could not write.
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def _is_gone(self) -> bool:
        """Whether somebody has deleted the file under the run."""
        try:
            return self._descriptor is not None and not os.fstat(self._descriptor).st_nlink
        except OSError:  # a network file system no longer knows it
            return True

    def _open(self) -> int:
        with contextlib.suppress(FileExistsError):
            self._folder.mkdir()
        # TensorBoard reads the files of a folder in the order of their names.
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}"
        self._size = 0
        while True:
            self._count += 1
            self._path = self._folder / f"{name}.{self._count:04}.v2"
            # Another run of this process may have begun in the same second.
            with contextlib.suppress(FileExistsError):
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
                return os.open(self._path, flags, 0o666)

    def _write(self, descriptor: int, content: bytes) -> None:
        try:
            if os.write(descriptor, content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._size += len(content)
        except OSError:
            # A reader would stop at half a record; an empty file tells nothing.
            with contextlib.suppress(OSError):
                os.truncate(self._path, self._size) if self._size else os.unlink(self._path)
            self.close()
            raise


@dataclass(frozen=True)
class Number:
    """A number of an event file; ``tag`` is empty at a start of the run, which has no number."""

    step: int
    tag: str
    value: float


def read_numbers(folder: str | os.PathLike[str]) -> Iterator[Number]:
    """The numbers in the event files of ``folder``, in the order in which they were written.

    A file counts up to its first damaged record, such as one that a kill has cut.
    """
    # Their names begin with the time at which they were made.
    for path in sorted(pathlib.Path(folder).glob("events.out.tfevents.*")):
        try:
            if path.is_file():
                with open(path, "rb") as file:
                    yield from _numbers(file)
        except OSError:
            continue


def _numbers(file: BinaryIO) -> Iterator[Number]:
    for content in _contents(file, os.fstat(file.fileno()).st_size):
        try:
            event = Event.FromString(content)
        except DecodeError:
            return
        for value in event.summary.value:
            if value.tag in (FLAGS_TAG, HPARAMS_TAG):
                yield Number(event.step, "", 0.0)
            elif (number := _number(value)) is not None:
                yield Number(event.step, value.tag, number)


def _number(value: Summary.Value) -> float | None:
    # By hand: a tensor of a few bytes can claim any shape, and would be made in full.
    if value.HasField("simple_value"):
        return float(value.simple_value)
    tensor = value.tensor
    if value.metadata.plugin_data.plugin_name not in ("", "scalars"):
        return None
    if len(tensor.float_val) == 1:
        return float(tensor.float_val[0])
    if len(tensor.tensor_content) == 4:
        return float(struct.unpack("<f", tensor.tensor_content)[0])
    return None


def _contents(file: BinaryIO, size: int) -> Iterator[bytes]:
    """The contents of the short records of a TFRecord file of ``size`` bytes."""
    while len(header := file.read(_HEADER.size)) == _HEADER.size:
        length, checksum = _HEADER.unpack(header)
        end = file.tell() + length + _FOOTER.size
        if checksum != masked_crc32c(header[:8]) or end > size:
            return
        if length <= _MAX_NUMBERS_BYTES:
            content = file.read(length)
            if file.read(_FOOTER.size) != _FOOTER.pack(masked_crc32c(content)):
                return
            yield content
        file.seek(end)


def _record(event: Event) -> bytes:
    buffer = io.BytesIO()
    RecordWriter(buffer).write(event.SerializeToString())
    return buffer.getvalue()
