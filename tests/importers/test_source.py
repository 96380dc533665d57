"""Hostile and damaged archives: one typed refusal that names the file, and nothing else, whatever the bytes are."""

import os
import stat
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.importers.exports import archive, directory
from undercroft.errors import SourceRefused
from undercroft.importers.source import Limits, Reader, Source, open_source

FILES = {"channels.json": "[]", "general/2020-01-01.json": "[" + "1," * 500 + "1]"}


def contents(source: Source) -> dict[str, bytes]:
    found = {}
    for name in source.entries:
        with source.open(name) as reader:
            found[name] = b"".join(iter(lambda: reader.read(4096), b""))
    return found


def opened(path: Path, **limits: int) -> dict[str, bytes]:
    source = open_source(path, Limits(**limits))
    try:
        return contents(source)
    finally:
        source.close()


def raw_archive(path: Path, *infos: zipfile.ZipInfo, data: bytes = b"[]") -> Path:
    with zipfile.ZipFile(path, "w") as made, pytest.MonkeyPatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "_writecheck", lambda *_: None)  # which warns of a name that comes twice
        for info in infos:
            made.writestr(info, data)
    return path


def entry(name: str, mode: int = 0, system: int = 3) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.filename = info.orig_filename = name
    info.external_attr = mode << 16
    info.create_system = system
    return info


@pytest.mark.parametrize("make", [archive, directory])
def test_an_honest_source_gives_its_files(make, tmp_path):
    made = make(tmp_path / "export", FILES)
    assert opened(made) == {name: value.encode() for name, value in FILES.items()}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../channels.json", "leads out"),
        ("general/../../etc/passwd", "leads out"),
        ("/etc/passwd", "absolute name"),
        ("C:/windows/system.ini", "absolute name"),
        ("c:evil", "absolute name"),
        ("general\\2020-01-01.json", "backslash"),
        ("..\\channels.json", "backslash"),
        ("general//2020-01-01.json", "empty part"),
        ("general/\x1b[31mred.json", "control characters"),
        ("general\n/2020-01-01.json", "control characters"),
        ("a" * 300 + "/2020-01-01.json", "endless part"),
        ("a/" * 600 + "b", "endless name"),
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(name, reason, tmp_path):
    made = raw_archive(tmp_path / "x.zip", entry("channels.json"), entry(name))
    with pytest.raises(SourceRefused, match=reason) as refused:
        open_source(made)
    assert str(refused.value).isprintable()


def test_a_name_with_nul_is_refused(tmp_path):
    made = archive(tmp_path / "x.zip", {"channels.json": "[]", "generalX2020.json": "[]"})
    made.write_bytes(made.read_bytes().replace(b"generalX", b"general\0"))
    with pytest.raises(SourceRefused, match="control characters"):
        open_source(made)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
@pytest.mark.parametrize("system", [0, 3])
def test_a_link_or_device_in_an_archive_is_refused(kind, system, tmp_path):
    made = raw_archive(tmp_path / "x.zip", entry("channels.json", kind | 0o777, system), data=b"/etc/passwd")
    with pytest.raises(SourceRefused, match=r"channels\.json is a link or a device"):
        open_source(made)


def test_a_file_that_comes_twice_is_refused(tmp_path):
    for second in ("channels.json", "./channels.json"):
        made = raw_archive(tmp_path / "x.zip", entry("channels.json"), entry(second))
        with pytest.raises(SourceRefused, match=r"channels\.json is in the archive twice"):
            open_source(made)


def test_entries_that_share_bytes_are_refused(tmp_path):
    made = archive(tmp_path / "x.zip", {"a.json": "[1]", "b.json": "[2]"})
    data = bytearray(made.read_bytes())
    second = data.rfind(b"PK\x01\x02")
    data[second + 42 : second + 46] = struct.pack("<L", 0)  # its local header: that of the first
    made.write_bytes(data)
    with pytest.raises(SourceRefused, match="shares its bytes with"):
        open_source(made)


def test_an_encrypted_archive_is_refused(tmp_path):
    made = archive(tmp_path / "x.zip", {"channels.json": "[]"})
    data = bytearray(made.read_bytes())
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.find(magic) + offset] |= 1
    made.write_bytes(data)
    with pytest.raises(SourceRefused, match=r"channels\.json is encrypted"):
        open_source(made)


def test_an_unusual_compression_is_refused(tmp_path):
    with pytest.raises(SourceRefused, match="unusual way"):
        open_source(archive(tmp_path / "x.zip", FILES, zipfile.ZIP_BZIP2))


def test_a_bomb_is_refused_by_what_it_declares(tmp_path):
    made = archive(tmp_path / "x.zip", {"general/2020-01-01.json": b" " * (17 << 20)})
    with pytest.raises(SourceRefused, match="unpacks to 17,825,792 bytes"):
        open_source(made)
    assert opened(made, ratio=2000)  # a limit, not a bug, refused it


def test_a_bomb_that_lies_about_its_size_is_refused_while_it_unpacks(tmp_path):
    made = archive(tmp_path / "x.zip", {"channels.json": b" " * 100_000})
    data = made.read_bytes().replace(struct.pack("<L", 100_000), struct.pack("<L", 10))
    made.write_bytes(data)
    with pytest.raises(SourceRefused, match=r"channels\.json is damaged"):
        opened(made)


def test_an_entry_shorter_than_it_says_is_refused(tmp_path):
    made = archive(tmp_path / "x.zip", {"channels.json": b" " * 5_000})
    made.write_bytes(made.read_bytes().replace(struct.pack("<L", 5_000), struct.pack("<L", 6_000)))
    with pytest.raises(SourceRefused, match=r"channels\.json is"):
        opened(made)


def test_too_many_entries_are_refused_before_they_are_loaded(tmp_path, monkeypatch):
    made = archive(tmp_path / "x.zip", {f"{number}.json": "[]" for number in range(20)})
    assert len(opened(made, entries=20)) == 20
    monkeypatch.setattr(zipfile, "ZipFile", None)
    with pytest.raises(SourceRefused, match=r"too many entries \(20\)"):
        open_source(made, Limits(entries=19))
    with pytest.raises(SourceRefused, match="too many files"):
        open_source(directory(tmp_path / "d", {f"{number}.json": "[]" for number in range(20)}), Limits(entries=19))


def test_a_zip64_directory_is_counted_too(tmp_path):
    made = archive(tmp_path / "x.zip", {"a.json": "[]", "b.json": "[]"})
    data = made.read_bytes()
    at = data.rfind(b"PK\x05\x06")
    size, offset = struct.unpack_from("<2L", data, at + 12)
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 900_000, 900_000, size, offset)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, at, 1)
    made.write_bytes(data[:at] + end64 + locator + data[at:])
    with pytest.raises(SourceRefused, match=r"too many entries \(900,000\)"):
        open_source(made)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"Rar!\x1a\x07\x00", "is not a zip archive"),
        (b'[{"type":"message"}]', "is not a zip archive"),
        (b"PK\x05\x06", "is not a zip archive"),
        (b"PK\x03\x04" + bytes(40), "damaged or cut-off"),
    ],
)
def test_what_is_no_archive_is_refused(data, reason, tmp_path):
    made = tmp_path / "x.zip"
    made.write_bytes(data)
    with pytest.raises(SourceRefused, match=reason):
        open_source(made)


def test_what_is_not_there_is_refused(tmp_path):
    for path in (tmp_path / "none.zip", tmp_path / "nul\0.zip"):
        with pytest.raises(SourceRefused, match=r"there is no|cannot be read"):
            open_source(path)


def test_every_cut_of_an_archive_is_refused(tmp_path):
    whole = archive(tmp_path / "whole.zip", FILES).read_bytes()
    made = tmp_path / "x.zip"
    for size in range(1, len(whole)):
        made.write_bytes(whole[:size])
        with pytest.raises(SourceRefused):
            opened(made)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4))
def test_changed_bytes_are_refused_or_harmless(changes, tmp_path):
    made = archive(tmp_path / "x.zip", FILES)
    data = bytearray(made.read_bytes())
    for place, byte in changes:
        data[int(place * len(data))] = byte
    made.write_bytes(data)
    try:
        found = opened(made)
    except SourceRefused as refused:
        assert refused.code == "import.source-refused"  # noqa: PT017 - either outcome is right
    else:
        assert {zlib.crc32(value) for value in found.values()} <= {zlib.crc32(v.encode()) for v in FILES.values()}


def test_a_name_that_says_to_be_utf8_and_is_not_is_refused(tmp_path):
    made = archive(tmp_path / "x.zip", FILES)
    data = bytearray(made.read_bytes())
    data[7] |= 0x08  # of the first file's own header, whose name begins at 30
    data[30] = 0xFF
    made.write_bytes(data)
    with pytest.raises(SourceRefused, match=r"channels\.json cannot be read"):
        opened(made)


def test_names_written_as_utf8_without_a_flag_are_read(tmp_path):
    made = archive(tmp_path / "x.zip", {"東京/2020-01-01.json": "[]", "FC:F1:canvas/2020-01-01.json": "[]"})
    data = bytearray(made.read_bytes())
    for magic, offset in ((b"PK\x03\x04", 7), (b"PK\x01\x02", 9)):
        at = data.find(magic)
        data[at + offset] &= ~0x08
    made.write_bytes(data)
    assert list(opened(made)) == ["東京/2020-01-01.json", "FC:F1:canvas/2020-01-01.json"]


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside.json", "channels.json"])
def test_a_link_in_a_directory_is_refused(target, tmp_path):
    made = directory(tmp_path / "d", FILES)
    (tmp_path / "outside.json").write_text("[]")
    (made / "users.json").symlink_to(target)
    with pytest.raises(SourceRefused, match=r"users\.json is a link"):
        open_source(made)


def test_a_linked_directory_and_a_pipe_are_refused(tmp_path):
    made = directory(tmp_path / "d", FILES)
    (made / "random").symlink_to(tmp_path)
    with pytest.raises(SourceRefused, match="random is a link"):
        open_source(made)
    (made / "random").unlink()
    os.mkfifo(made / "users.json")
    with pytest.raises(SourceRefused, match=r"users\.json is a device or a pipe"):
        open_source(made)


def test_a_file_that_becomes_a_link_or_a_pipe_is_not_followed(tmp_path):
    made = directory(tmp_path / "d", FILES)
    source = open_source(made)
    for replace in (lambda path: path.symlink_to("/etc/passwd"), os.mkfifo, lambda path: None):
        (made / "channels.json").unlink(missing_ok=True)
        replace(made / "channels.json")
        with pytest.raises(SourceRefused, match=r"channels\.json cannot be read"), source.open("channels.json"):
            pass


def test_a_directory_reached_through_a_link_is_read(tmp_path):
    made = directory(tmp_path / "d", FILES)
    (tmp_path / "link").symlink_to(made)
    assert set(opened(tmp_path / "link")) == set(FILES)


@pytest.mark.parametrize("failure", [OSError("I/O error"), EOFError(), zlib.error(), zipfile.BadZipFile()])
def test_a_stream_that_fails_names_its_file(failure):
    class Failing:
        def read(self, size):
            raise failure

    with pytest.raises(SourceRefused, match=r"^channels\.json is damaged") as refused:
        Reader(Failing(), "channels.json").read(10)
    assert refused.value.__cause__ is failure
