"""Archives from elsewhere: what is expected is read, everything else is refused in one sentence."""

from __future__ import annotations

import gzip
import io
import resource
import stat
import struct
import tarfile
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.common.errors import UserError
from pipeline.prepare.fetch.archives import open_gzip, open_zip_member, read_tar_members

CONTENT = bytes(range(256)) * 8
NAME = "set/images.bin"
WANTED = {NAME: len(CONTENT)}


def tar(path: Path, *members: tarfile.TarInfo, contents: bytes = CONTENT) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(contents[: member.size]))
    return path


def member(name: str = NAME, size: int = len(CONTENT), **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def read_zip(path: Path, name: str = "a", most: int = 10_000) -> bytes:
    with open_zip_member(path, name, most) as stream:
        return stream.read()


def refusal(path: Path, kind: str = "tar") -> str:
    start = time.monotonic()
    with pytest.raises(UserError) as error:
        read_tar_members(path, WANTED) if kind == "tar" else read_zip(path)
    assert time.monotonic() - start < 5
    (problem,) = error.value.problems
    assert problem.startswith(f"{path}: ") and problem.endswith("fetch it again")
    assert "\n" not in problem
    return problem


def test_wanted_members_are_read(tmp_path: Path) -> None:
    folder = member("set", 0, type=tarfile.DIRTYPE)
    path = tar(tmp_path / "a.tar.gz", folder, member("set/readme.txt", 5), member())
    assert read_tar_members(path, WANTED) == {NAME: CONTENT}
    path = zipped(tmp_path / "a.zip", a=CONTENT, b=b"other")
    assert read_zip(path) == CONTENT


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (member("../images.bin"), "points out of the archive"),
        (member("/etc/passwd"), "points out of the archive"),
        (member("set/../../x"), "points out of the archive"),
        (member("..\\x"), "points out of the archive"),
        (member("l", 0, type=tarfile.SYMTYPE, linkname="/etc/passwd"), "is a link or a device"),
        (member("l", 0, type=tarfile.LNKTYPE, linkname=NAME), "is a link or a device"),
        (member("d", 0, type=tarfile.CHRTYPE, devmajor=1, devminor=5), "is a link or a device"),
        (member("f", 0, type=tarfile.FIFOTYPE), "is a link or a device"),
        (member(NAME, 7), "7 bytes instead of 2,048"),
    ],
)
def test_a_hostile_tar_member_is_refused(bad: tarfile.TarInfo, words: str, tmp_path: Path) -> None:
    assert words in refusal(tar(tmp_path / "a.tar.gz", bad, member()))


def test_a_member_twice_or_missing_is_refused(tmp_path: Path) -> None:
    assert "occurs twice" in refusal(tar(tmp_path / "a.tar.gz", member(), member()))
    assert "has no member 'set/images.bin'" in refusal(tar(tmp_path / "b.tar.gz", member("x")))


def test_a_million_members_are_not_read(tmp_path: Path) -> None:
    block = member("x", 0).tobuf()
    with gzip.open(tmp_path / "a.tar.gz", "wb", compresslevel=1) as file:
        for _ in range(100):
            file.write(block * 10_000)
    assert "more than" in refusal(tmp_path / "a.tar.gz")


@pytest.mark.parametrize("kind", ["member", "header"])
def test_a_tar_bomb_stays_folded(kind: str, tmp_path: Path) -> None:
    size = 10 << 30
    info = member("zeros", size) if kind == "member" else member("x", size, type=tarfile.XHDTYPE)
    with gzip.open(tmp_path / "a.tar.gz", "wb", compresslevel=1) as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(64):
            file.write(bytes(1 << 20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "unpacks to more than" in refusal(tmp_path / "a.tar.gz")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


def test_a_zip_bomb_stays_folded(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", a=bytes(50 << 20))
    assert "unpacks to 52,428,800 bytes" in refusal(path, "zip")
    # A directory that lies about the size makes no difference.
    lying = path.read_bytes().replace(struct.pack("<I", 50 << 20), struct.pack("<I", 5_000))
    path.write_bytes(lying)
    with pytest.raises(UserError):
        read_zip(path)


def test_hostile_zip_members_are_refused(tmp_path: Path) -> None:
    assert "points out" in refusal(zipped(tmp_path / "a.zip", **{"../a": b"x", "a": b"x"}), "zip")
    assert "no member 'a'" in refusal(zipped(tmp_path / "b.zip", b=b"x"), "zip")
    link = zipfile.ZipInfo("l")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert "is a link" in refusal(tmp_path / "c.zip", "zip")
    many = {f"m{number}": b"" for number in range(1001)}
    assert "more than 1000 members" in refusal(zipped(tmp_path / "d.zip", **many), "zip")


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"\n<!DOCTYPE html>", "a web page saved"),
        (b"nothing", "it is not a "),
    ],
)
def test_what_is_no_archive_is_named(kind: str, content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(content)
    assert words in refusal(tmp_path / "a", kind)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    cut=st.integers(0, 400), place=st.integers(0, 10_000), change=st.integers(1, 255),
    kind=st.sampled_from(["tar", "zip", "gzip"]),
)  # fmt: skip
def test_a_damaged_archive_gives_what_was_in_it_or_is_refused(
    cut: int, place: int, change: int, kind: str, tmp_path: Path
) -> None:
    path = tmp_path / kind
    if kind == "tar":
        tar(path, member("set/readme.txt", 5), member())
    elif kind == "zip":
        zipped(path, a=CONTENT)
    else:
        path.write_bytes(gzip.compress(CONTENT))
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= change
    path.write_bytes(data[: len(data) - cut])
    try:
        if kind == "tar":
            found = read_tar_members(path, WANTED)[NAME]
        elif kind == "zip":
            found = read_zip(path)
        else:
            with open_gzip(path, len(CONTENT)) as stream:
                found = b"".join(iter(lambda: stream.read(300), b""))
    except UserError as error:
        assert len(error.problems) == 1 and "\n" not in str(error)
    else:
        assert found == CONTENT
