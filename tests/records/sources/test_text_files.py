"""Texts: plain, with a byte order mark, gzipped, damaged, too large."""

import gzip

import pytest

from ssd_tfrecord.records.sources.text_files import open_text

TEXT = "größe\n" * 50_000


def _read(path, **options):
    with open_text(str(path), **options) as file:
        return file.read()


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_what_is_written_is_read(tmp_path, mark, pack):
    path, counts = tmp_path / "a", []
    path.write_bytes(pack(mark + TEXT.encode()))
    assert _read(path, advance=counts.append) == TEXT
    # Of the file as it is, packed or not: the bar shows what is left of it.
    assert sum(counts) == path.stat().st_size


def test_several_gzip_members_are_one_text(tmp_path):
    (tmp_path / "a").write_bytes(gzip.compress(b"ab") + gzip.compress(b"cd"))
    assert _read(tmp_path / "a") == "abcd"


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: data[:40] + b"x" * 60])
def test_damaged_gzip_is_a_value_error(tmp_path, damage):
    (tmp_path / "a").write_bytes(damage(gzip.compress(TEXT.encode())))
    with pytest.raises(ValueError, match="damaged gzip file"):
        _read(tmp_path / "a")


def test_what_unpacks_to_too_much_is_stopped(tmp_path):
    (tmp_path / "a").write_bytes(gzip.compress(bytes(2**27)))
    with pytest.raises(ValueError, match="unpacks to more than 200 times its size"):
        _read(tmp_path / "a")
    # A small file of zeros is no bomb.
    (tmp_path / "a").write_bytes(gzip.compress(bytes(2**20)))
    assert len(_read(tmp_path / "a")) == 2**20


def test_a_missing_file_and_other_encodings(tmp_path):
    with pytest.raises(FileNotFoundError):
        _read(tmp_path / "none")
    (tmp_path / "a").write_bytes("é".encode("latin-1"))
    with pytest.raises(UnicodeDecodeError):
        _read(tmp_path / "a")
