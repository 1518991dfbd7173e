"""The directory of a zip archive, as far as torch uses zip: entries stored, not compressed.

Not ``zipfile``, which reads a directory of any size and takes 700 bytes for each 46 of it. Format:
PKWARE's APPNOTE 6.3, sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16 and 4.5.3.
"""

import dataclasses
import struct

from ssd_tfrecord.model.weights.published.bounded_file import BoundedFile, shown

# An entry takes about 60 bytes; a state dict has one a tensor and five more.
_MAX_DIRECTORY = 2**22
_MAX_COMMENT = 2**16
_ENCRYPTED = 1
_END, _END64, _LOCATOR64 = b"PK\5\6", b"PK\6\6", b"PK\6\7"


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the directory.

    Attributes:
        name: with its folders.
        header: offset of its local header.
        size: bytes of its data.
        crc: CRC-32 of its data.
        is_stored: neither compressed nor encrypted.
    """

    name: str
    header: int
    size: int
    crc: int
    is_stored: bool

    def place(self, file: BoundedFile) -> int:
        """Offset of its data.

        Raises:
            InputError: it is compressed or encrypted, or its local header is another's.
        """
        what = shown(self.name)
        if not self.is_stored:
            raise file.refused(f"{what} is compressed or encrypted, which torch.save does not do")
        header = file.bytes_at(self.header, 30, what)
        name_length, extra_length = struct.unpack("<HH", header[26:])
        name = file.bytes_at(self.header + 30, name_length, what)
        if header[:4] != b"PK\3\4" or name != self.name.encode():
            raise file.refused(f"{what} is not where the archive's directory says")
        return self.header + 30 + name_length + extra_length


def directory_of(file: BoundedFile) -> dict[str, Entry]:
    """{name: entry} of a zip archive.

    Raises:
        InputError: it is no such archive, its directory is damaged or too large, or it has a name
            twice.
    """
    offset, size, count = _place_of_directory(file)
    if size > _MAX_DIRECTORY:
        raise file.refused(f"its zip directory has {size} bytes, more than {_MAX_DIRECTORY}")
    data = file.bytes_at(offset, size, "its zip directory")
    entries: dict[str, Entry] = {}
    place = 0
    try:
        for _ in range(count):
            entry, place = _entry(data, place)
            if entry.name in entries:
                raise file.refused(f"has {shown(entry.name)} twice")
            entries[entry.name] = entry
    except (struct.error, UnicodeDecodeError):
        raise file.refused("its zip directory is damaged") from None
    return entries


def _place_of_directory(file: BoundedFile) -> tuple[int, int, int]:
    """Offset, bytes and number of entries of the directory."""
    tail = min(file.size, 22 + _MAX_COMMENT)
    data = file.bytes_at(file.size - tail, tail, "its end")
    at = data.rfind(_END)
    if at < 0 or len(data) - at < 22:
        raise file.refused("a zip archive without its end; it may be cut")
    count, size, offset = struct.unpack("<HII", data[at + 10 : at + 20])
    locator = data[at - 20 : at] if at >= 20 else b""
    # In an archive of 4 GB or 65,535 entries these three are all ones, and stand elsewhere; miniz,
    # which torch writes with, adds the 64-bit records to some smaller ones too.
    if locator[:4] == _LOCATOR64:
        (place,) = struct.unpack("<Q", locator[8:16])
        record = file.bytes_at(place, 56, "its zip directory")
        if record[:4] != _END64:
            raise file.refused("its zip directory is damaged")
        count, size, offset = struct.unpack("<QQQ", record[32:56])
    return offset, size, count


def _entry(data: bytes, place: int) -> tuple[Entry, int]:
    """The entry at ``place`` of the directory, and where the next one begins."""
    if data[place : place + 4] != b"PK\1\2":
        raise struct.error("no entry")
    flags, method = struct.unpack_from("<HH", data, place + 8)
    crc, packed, size, *lengths = struct.unpack_from("<IIIHHH", data, place + 16)
    (header,) = struct.unpack_from("<I", data, place + 42)
    name_end = place + 46 + lengths[0]
    extra_end = name_end + lengths[1]
    size, packed, header = _wide(data[name_end:extra_end], (size, packed, header))
    name = data[place + 46 : name_end].decode()
    is_stored = method == 0 and not flags & _ENCRYPTED and packed == size
    return Entry(name, header, size, crc, is_stored), extra_end + lengths[2]


def _wide(extra: bytes, values: tuple[int, int, int]) -> list[int]:
    """Values of 32 bits, those that are all ones taken from the 64-bit field of ``extra``."""
    wide = b""
    while len(extra) >= 4:
        kind, length = struct.unpack("<HH", extra[:4])
        if kind == 1:
            wide = extra[4 : 4 + length]
        extra = extra[4 + length :]
    result = []
    for value in values:
        is_wide = value == 2**32 - 1
        result.append(struct.unpack("<Q", wide[:8])[0] if is_wide else value)
        wide = wide[8 if is_wide else 0 :]
    return result
